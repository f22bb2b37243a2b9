//! Figures against peers, in one run, as ratios.
fn main() {}
