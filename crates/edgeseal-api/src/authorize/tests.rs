//! Decisions over whole calls.

mod batches;
mod denials;
mod denies;
mod operator;
