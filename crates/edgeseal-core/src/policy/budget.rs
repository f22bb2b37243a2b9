//! The cost of a decision, counted during evaluation.

use std::cell::Cell;

/// Most steps of a decision. A step takes a few nanoseconds: a glob rejected early is one, a
/// substring search is one for each four bytes searched.
///
/// Twenty policies of a hundred resources each, for fifty domains, are 100,000 comparisons; most
/// end after one step.
pub const STEPS_MAX: u32 = 1_000_000;

/// The remaining steps. Once a cost exceeds them, none remain.
#[derive(Debug)]
pub(super) struct StepBudget {
    remaining: Cell<u32>,
    exhausted: Cell<bool>,
}

impl StepBudget {
    pub(super) const fn new(most: u32) -> Self {
        Self {
            remaining: Cell::new(most),
            exhausted: Cell::new(false),
        }
    }

    /// Takes `cost` if that many steps remain. If not, the current comparison must end and its
    /// result is ignored.
    pub(super) fn spend(&self, cost: usize) -> bool {
        let left = u32::try_from(cost)
            .ok()
            .and_then(|cost| self.remaining.get().checked_sub(cost));
        self.remaining.set(left.unwrap_or_default());
        if left.is_none() {
            self.exhausted.set(true);
        }
        left.is_some()
    }

    /// The remaining steps.
    #[cfg(test)]
    pub(super) const fn remaining(&self) -> u32 {
        self.remaining.get()
    }

    /// Whether a cost exceeded the remaining steps.
    pub(super) const fn is_exhausted(&self) -> bool {
        self.exhausted.get()
    }
}
