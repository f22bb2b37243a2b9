//! What a decision costs, counted as it is made.

use std::cell::Cell;

/// Steps that a decision takes at most. A step is a few nanoseconds: a glob that is seen not to match
/// is one, a search for a text is one for each four octets that it looks through.
///
/// Twenty policies of a hundred resources each, compared with fifty domains, are 100,000 comparisons;
/// most end with their first step.
pub const STEPS_MAX: u32 = 1_000_000;

/// What is left of them. Once a cost does not fit, nothing is left.
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

    /// Takes `cost`, unless there is less: then whatever is being compared must end, and what it came
    /// to counts for nothing.
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

    /// How many are left.
    #[cfg(test)]
    pub(super) const fn remaining(&self) -> u32 {
        self.remaining.get()
    }

    /// Whether a cost did not fit.
    pub(super) const fn is_exhausted(&self) -> bool {
        self.exhausted.get()
    }
}
