//! How often each intermediate is used: with its last use it is deleted.
//!
//! Authorities issue thousands of certificates under one intermediate, so each use is counted and not
//! recorded: a renewal adds one as often as it removes one, and then writes nothing.

use edgeseal_core::certificate::Digest;

use super::{Draft, counts::CounterDelta};
use crate::{Fault, Key, parse_counter};

impl Draft {
    /// Counts the uses of intermediates that the change adds and removes, and deletes those that nothing
    /// uses any more.
    pub(super) async fn settle_issuers(&mut self) -> Result<(), Fault> {
        for (issuer, by) in std::mem::take(&mut self.issuer_deltas) {
            if by != 0 {
                self.settle_issuer(&issuer, by).await?;
            }
        }
        Ok(())
    }

    async fn settle_issuer(&mut self, issuer: &Digest, by: i64) -> Result<(), Fault> {
        let (stored, count) = (Key::issuer(issuer), Key::issuer_count(issuer));
        if self.writes(&stored) {
            self.put_bytes(count, by.max(0).to_string().into());
            return Ok(());
        }
        if by < 0 {
            // Not part of the commit's expectations: the counter changes with every upload.
            let entry = self.catalog.store.get(&count).await?;
            let Some(uses) = entry.and_then(|entry| parse_counter(&entry.value)) else {
                // The doctor reports it.
                return Ok(());
            };
            // If two changes remove the last two uses at once, each leaves one, and the intermediate
            // stays until its next use ends.
            if uses.saturating_add_signed(by) == 0 {
                return self.remove_last_uses(issuer, by).await;
            }
        }
        let at_most = u64::MAX;
        self.counter_deltas
            .insert(count, CounterDelta { by, at_most });
        Ok(())
    }

    /// Expects the counter unchanged: an upload that adds a use makes the commit conflict, and one that
    /// comes after the deletion finds the intermediate gone.
    async fn remove_last_uses(&mut self, issuer: &Digest, by: i64) -> Result<(), Fault> {
        let count = Key::issuer_count(issuer);
        let uses = self.get_bytes(&count).await?;
        let uses = uses.and_then(|uses| parse_counter(&uses)).unwrap_or(0);
        match uses.saturating_add_signed(by) {
            0 => {
                self.delete(count);
                self.delete(Key::issuer(issuer));
            }
            left => self.put_bytes(count, left.to_string().into()),
        }
        Ok(())
    }
}
