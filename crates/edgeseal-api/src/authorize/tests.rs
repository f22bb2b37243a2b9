//! Decisions over whole calls.

mod batches;
mod denies;
mod operator;
