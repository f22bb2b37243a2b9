//! Decisions over whole calls.

mod batches;
mod costs;
mod denials;
mod denies;
mod operator;
mod reasons;
mod tags;
