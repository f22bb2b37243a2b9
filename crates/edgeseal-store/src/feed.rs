//! The change feed: list, then watch; list again after a compaction; never a gap.
//!
//! A follower that applies each [`Event`] in order, by these rules, is never wrong for longer than
//! it takes to catch up:
//!
//! 1. [`Event::ListBegins`]: mark everything held as not listed yet, and keep serving it.
//! 2. [`Event::Listed`]: each entry replaces what is held under its key, *whatever revision that
//!    has* (the store may have been restored to an older state).
//! 3. [`Event::ListEnds`]: drop what is held and was not listed since `ListBegins`.
//! 4. [`Event::Changes`]: each item replaces (or, without a value, drops) what is held under its
//!    key, unless that was changed by the same commit or a later one.
//!
//! Guarantees:
//! - After [`Feed::start`] the first event is `ListBegins`. Only `Listed` events follow it, then
//!   `ListEnds`, or `ListBegins` again if the listing must start over. Within a listing a key is
//!   listed at most once, and keys come in byte order within each prefix.
//! - `Changes` come only after a `ListEnds`, or after [`Feed::resume`]. Each batch begins where the
//!   last one (or the listing) ended, its items are in commit order, and no commit is split over
//!   two batches.
//! - Once the `Changes` that go `through` R are applied, each key is held as of R or a later
//!   commit. When R is the newest commit, the follower holds exactly the state of the store.
//! - The revision in `ListEnds` and each `through` may be stored, once everything before is, and
//!   passed to [`Feed::resume`] after a restart. No other revision may: an interrupted listing
//!   starts over.
//!
//! Not guaranteed: that every intermediate value is delivered; that a change is delivered once
//! (after a listing, some are repeated); that the expiry of an entry is reported.

use std::{pin::Pin, sync::Arc, time::Duration};

use edgeseal_core::Backoff;
use tokio::{sync::Mutex, time::timeout};

use crate::{Changes, ChangesError, Entry, Fault, Key, Page, Revision, SharedSource};

/// Delays of retries while the store fails.
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(30));

/// How long a store may say nothing before it is asked again: one that does not wake its followers
/// delays a change by this much at most.
pub(crate) const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// An event for a follower. The [module](self) has the rules for applying it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A listing of everything begins.
    ListBegins,
    /// One page of the listing.
    Listed(Vec<Entry>),
    /// The listing is complete: what was not listed does not exist.
    ListEnds {
        /// Every commit up to here is in the listing. Changes continue from here.
        revision: Revision,
        /// How many entries were listed.
        entries: u64,
    },
    /// A batch of changes.
    Changes(Changes),
}

/// A follower's position in the change feed of a store.
pub struct Feed {
    source: SharedSource,
    prefixes: Vec<String>,
    position: Position,
    page: usize,
    /// The request under way. It outlives a future of [`next`](Self::next) that is dropped: begun anew
    /// each time, one that takes longer than its caller waits would never end. The mutex is never
    /// locked; with it a feed can be shared.
    request: Option<Mutex<Request>>,
    /// Consecutive failures.
    failures: u32,
}

type Request = Pin<Box<dyn Future<Output = Response> + Send>>;

enum Response {
    Page(Result<Page, Fault>),
    Changes(Result<Changes, ChangesError>),
    /// The store said nothing for [`ASK_AGAIN_AFTER`].
    Silence,
}

enum Position {
    /// A listing must begin.
    Start,
    Listing {
        /// Index of the prefix that is being listed.
        prefix: usize,
        after: Option<Key>,
        /// Revision of the first page: the changes after it make the pages consistent.
        since: Option<Revision>,
        entries: u64,
    },
    Following {
        after: Revision,
    },
}

/// Entries in a page and, approximately, changes in a batch: about 1 MB.
const PAGE: usize = 1000;

impl Feed {
    /// A feed of all keys that start with one of `prefixes` (at least one): a full listing, then
    /// changes.
    #[must_use]
    pub fn start<P: Into<String>>(
        source: SharedSource,
        prefixes: impl IntoIterator<Item = P>,
    ) -> Self {
        Self::at(Position::Start, source, prefixes)
    }

    /// As [`start`](Self::start), for a follower that holds the state at `after`, a revision that
    /// it got from a feed of the same prefixes.
    #[must_use]
    pub fn resume<P: Into<String>>(
        source: SharedSource,
        prefixes: impl IntoIterator<Item = P>,
        after: Revision,
    ) -> Self {
        Self::at(Position::Following { after }, source, prefixes)
    }

    fn at<P: Into<String>>(
        place: Position,
        source: SharedSource,
        prefixes: impl IntoIterator<Item = P>,
    ) -> Self {
        let mut prefixes: Vec<String> = prefixes.into_iter().map(Into::into).collect();
        prefixes.sort_unstable();
        // Sorted, a prefix comes right before those that it covers, so each key is listed once.
        prefixes.dedup_by(|later, kept| later.starts_with(kept.as_str()));
        debug_assert!(!prefixes.is_empty(), "a feed of nothing");
        Self {
            source,
            prefixes,
            position: place,
            page: PAGE,
            request: None,
            failures: 0,
        }
    }

    /// With another page size, to test how pages join.
    #[cfg(test)]
    pub(crate) const fn with_page(mut self, page: usize) -> Self {
        self.page = page;
        self
    }

    /// The next event; waits until there is one. While the store fails, it retries indefinitely,
    /// after 50 ms, then 1 s, doubling up to 30 s, and logs each failure.
    ///
    /// Cancel-safe: nothing is lost if the future is dropped, not even the request under way.
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

    /// Sends at most one request to the store; the position moves only after a successful response.
    async fn step(&mut self) -> Result<Option<Event>, Fault> {
        if let Position::Start = self.position {
            self.position = Position::Listing {
                prefix: 0,
                after: None,
                since: None,
                entries: 0,
            };
            return Ok(Some(Event::ListBegins));
        }
        if self.request.is_none() {
            self.request = self.next_request().map(Mutex::new);
        }
        let Some(request) = &mut self.request else {
            return Ok(Some(self.end_listing()));
        };
        let response = request.get_mut().await;
        self.request = None;
        match response {
            Response::Page(page) => Ok(self.take_page(page?)),
            Response::Changes(changes) => self.take_changes(changes),
            Response::Silence => Ok(None),
        }
    }

    /// `None` at the end of a listing.
    fn next_request(&self) -> Option<Request> {
        let (source, limit) = (Arc::clone(&self.source), self.page);
        match &self.position {
            Position::Start => None,
            Position::Listing { prefix, after, .. } => {
                let (prefix, after) = (self.prefixes.get(*prefix)?.clone(), after.clone());
                Some(Box::pin(async move {
                    Response::Page(source.list(&prefix, after.as_ref(), limit).await)
                }))
            }
            Position::Following { after } => {
                let (prefixes, after) = (self.prefixes.clone(), *after);
                Some(Box::pin(async move {
                    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
                    let changes = source.changes(after, &prefixes, limit);
                    match timeout(ASK_AGAIN_AFTER, changes).await {
                        Ok(changes) => Response::Changes(changes),
                        Err(_) => Response::Silence,
                    }
                }))
            }
        }
    }

    fn take_changes(
        &mut self,
        changes: Result<Changes, ChangesError>,
    ) -> Result<Option<Event>, Fault> {
        match changes {
            Ok(changes) => {
                self.position = Position::Following {
                    after: changes.through,
                };
                Ok(Some(Event::Changes(changes)))
            }
            Err(ChangesError::Compacted { oldest }) => {
                if let Position::Following { after } = self.position {
                    tracing::warn!(
                        store.revision = after.0,
                        oldest = oldest.0,
                        "the change feed does not go back so far: listing everything"
                    );
                }
                self.position = Position::Start;
                Ok(None)
            }
            Err(ChangesError::Fault(fault)) => Err(fault),
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
        let delay = BACKOFF.delay(self.failures);
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

#[cfg(test)]
mod tests;
