//! Decisions over whole calls.

mod batches;
