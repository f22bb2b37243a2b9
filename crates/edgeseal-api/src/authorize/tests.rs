//! Authorization decisions over whole calls.

mod batches;
mod denials;
mod denies;
mod evaluation_cost;
mod operator;
mod reasons;
mod tags;
