//! Admission as a whole: what is refused and as what, what is accepted and as what.

mod accepted;
mod arbitrary;
mod paths;
mod pki;
mod refused_chains;
mod refused_keys;
mod refused_paths;
mod sentences;
mod signatures;
mod texts;

use super::*;
