//! The change feed: list, then watch; list again after a compaction; never a gap.
//!
//! A follower applies each [`Event`] in the order in which it comes, by these rules, and is then
//! never wrong for longer than it takes to catch up:
//!
//! 1. [`Event::ListBegins`]: remember that nothing is listed yet. Keep serving what is held.
//! 2. [`Event::Listed`]: each entry replaces what is held under its key, *whatever revision that
//!    has* (the store may have been put back to an older state).
//! 3. [`Event::ListEnds`]: drop what is held and was not listed since `ListBegins`.
//! 4. [`Event::Changes`]: each item replaces (or, without a value, drops) what is held under its
//!    key, unless what is held was changed by that commit or a later one.
//!
//! What is guaranteed:
//! - The first event after [`Feed::start`] is `ListBegins`. After it come `Listed` events only, then
//!   `ListEnds` — or `ListBegins` again, if the listing must be started over. A key is listed at
//!   most once in between, and keys come in byte order within each prefix.
//! - `Changes` come only after a `ListEnds`, or after [`Feed::resume`]. Each stretch begins where
//!   the last one (or the listing) ended, its items are in the order of their commits, and no
//!   commit is split over two.
//! - Once the `Changes` that go `through` R are applied, each key is held as R left it or as a later
//!   commit did. When R is the newest commit, the follower holds exactly the state of the store.
//! - The revision in `ListEnds` and each `through` may be kept, once all before is, and given to
//!   [`Feed::resume`] after a restart. None in between: a listing that was cut short starts over.
//!
//! What is not: that every intermediate value is shown; that a change is not repeated (after a
//! listing, some are); that an entry that expires is reported.

use std::time::Duration;

use crate::{Changes, ChangesError, Entry, Fault, Key, Page, Revision, SharedStore};

/// What a follower is told. The rules for applying it are those of the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A listing of everything begins.
    ListBegins,
    /// Some of it, a page at a time.
    Listed(Vec<Entry>),
    /// It is complete: what was not listed is not there.
    ListEnds {
        /// Every commit up to here is in what was listed. What follows continues from here.
        revision: Revision,
        /// How many entries were listed.
        entries: u64,
    },
    /// What changed since.
    Changes(Changes),
}

/// One follower's place in the change log of a store.
pub struct Feed {
    store: SharedStore,
    prefixes: Vec<String>,
    position: Position,
    page: usize,
    /// Failures in a row.
    failures: u32,
}

enum Position {
    /// A listing is to begin.
    Start,
    Listing {
        /// Index of the prefix that is being listed.
        prefix: usize,
        after: Option<Key>,
        /// Of the first page: changes from here make the pages one whole.
        since: Option<Revision>,
        entries: u64,
    },
    Following {
        after: Revision,
    },
}

/// Entries in a page and, about, changes in a stretch: 1 MB or so.
const PAGE: usize = 1000;

impl Feed {
    /// A feed of all keys that start with one of `prefixes` (at least one), from nothing: everything
    /// is listed, then followed.
    #[must_use]
    pub fn start<P: Into<String>>(
        store: SharedStore,
        prefixes: impl IntoIterator<Item = P>,
    ) -> Self {
        Self::at(Position::Start, store, prefixes)
    }

    /// As [`start`](Self::start), for a follower that holds the state of `after`, a revision that a
    /// feed of the same prefixes gave it.
    #[must_use]
    pub fn resume<P: Into<String>>(
        store: SharedStore,
        prefixes: impl IntoIterator<Item = P>,
        after: Revision,
    ) -> Self {
        Self::at(Position::Following { after }, store, prefixes)
    }

    fn at<P: Into<String>>(
        place: Position,
        store: SharedStore,
        prefixes: impl IntoIterator<Item = P>,
    ) -> Self {
        let mut prefixes: Vec<String> = prefixes.into_iter().map(Into::into).collect();
        prefixes.sort_unstable();
        // Sorted, a prefix comes right before those that it covers; a key is then listed once.
        prefixes.dedup_by(|later, kept| later.starts_with(kept.as_str()));
        debug_assert!(!prefixes.is_empty(), "a feed of nothing");
        Self {
            store,
            prefixes,
            position: place,
            page: PAGE,
            failures: 0,
        }
    }

    /// With pages of another size, to see how they join.
    #[cfg(test)]
    pub(crate) const fn with_page(mut self, page: usize) -> Self {
        self.page = page;
        self
    }

    /// The next event; waits until there is one. While the store fails it tries again for ever,
    /// after 50 ms, then 1 s, doubling up to 30 s, and logs each failure.
    ///
    /// Nothing is lost if the future is dropped before it is ready.
    pub async fn next(&mut self) -> Event {
        loop {
            match self.step().await {
                Ok(event) => {
                    if self.failures > 0 {
                        tracing::info!(failures = self.failures, "the store answers again");
                    }
                    self.failures = 0;
                    if let Some(event) = event {
                        return event;
                    }
                }
                Err(fault) => self.back_off(&fault).await,
            }
        }
    }

    /// One request to the store at most; the place moves only when it was answered.
    async fn step(&mut self) -> Result<Option<Event>, Fault> {
        match &mut self.position {
            Position::Start => {
                self.position = Position::Listing {
                    prefix: 0,
                    after: None,
                    since: None,
                    entries: 0,
                };
                Ok(Some(Event::ListBegins))
            }
            Position::Listing { prefix, after, .. } => {
                let Some(prefix) = self.prefixes.get(*prefix) else {
                    return Ok(Some(self.end_listing()));
                };
                let page = self.store.list(prefix, after.as_ref(), self.page).await?;
                Ok(self.take_page(page))
            }
            Position::Following { after } => {
                let prefixes: Vec<&str> = self.prefixes.iter().map(String::as_str).collect();
                match self.store.changes(*after, &prefixes, self.page).await {
                    Ok(changes) => {
                        *after = changes.through;
                        Ok(Some(Event::Changes(changes)))
                    }
                    Err(ChangesError::Compacted { oldest }) => {
                        tracing::warn!(
                            store.revision = after.0,
                            oldest = oldest.0,
                            "the change log does not go back so far: listing everything"
                        );
                        self.position = Position::Start;
                        Ok(None)
                    }
                    Err(ChangesError::Fault(fault)) => Err(fault),
                }
            }
        }
    }

    fn take_page(&mut self, page: Page) -> Option<Event> {
        let Position::Listing {
            prefix,
            after,
            since,
            entries,
        } = &mut self.position
        else {
            return None;
        };
        if since.is_some_and(|since| page.revision < since) {
            tracing::warn!("the store went back while it was listed: listing again");
            self.position = Position::Start;
            return None;
        }
        since.get_or_insert(page.revision);
        *entries += page.entries.len() as u64;
        if page.has_more {
            *after = page.entries.last().map(|entry| entry.key.clone());
        } else {
            *prefix += 1;
            *after = None;
        }
        (!page.entries.is_empty()).then_some(Event::Listed(page.entries))
    }

    fn end_listing(&mut self) -> Event {
        let (since, entries) = match self.position {
            Position::Listing { since, entries, .. } => (since, entries),
            Position::Start | Position::Following { .. } => (None, 0),
        };
        let revision = since.unwrap_or_default();
        self.position = Position::Following { after: revision };
        Event::ListEnds { revision, entries }
    }

    async fn back_off(&mut self, fault: &Fault) {
        let delay = backoff_delay(self.failures);
        self.failures = self.failures.saturating_add(1);
        tracing::warn!(
            error = fault as &(dyn std::error::Error + 'static),
            failures = self.failures,
            delay_ms = delay.as_millis() as u64,
            "the store failed; trying again"
        );
        tokio::time::sleep(delay).await;
    }
}

/// How long to wait after this many failures before the present one.
fn backoff_delay(failures: u32) -> Duration {
    match failures {
        0 => Duration::from_millis(50),
        1..=5 => Duration::from_secs(1 << (failures - 1)),
        _ => Duration::from_secs(30),
    }
}

#[cfg(test)]
mod tests;
