//! Listings beyond pages in the order of the keys.

use std::collections::VecDeque;

use async_trait::async_trait;

use crate::{Entry, Fault, Filter, Key, Listing, PAGE_MAX, Page, Pages, Source, page_limit};

/// Listings from the end, by offset, with a total and with a filter: what the control plane shows.
///
/// The defaults read page by page, so their results are no snapshot; engines that can do better
/// override them. Every `limit` counts as at most [`PAGE_MAX`].
#[async_trait]
pub trait Lists: Source {
    /// As [`list`](Source::list), in reverse: entries before `before` (or, without it, from the end),
    /// the last one first.
    ///
    /// This default reads all of them; engines that can scan backwards override it.
    async fn list_reverse(
        &self,
        prefix: &str,
        before: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Fault> {
        let limit = page_limit(limit);
        let mut last = VecDeque::new();
        let mut has_more = false;
        let mut pages = Pages::new(self, prefix, PAGE_MAX);
        'pages: while let Some(entries) = pages.next().await? {
            for entry in entries {
                if before.is_some_and(|before| entry.key >= *before) {
                    break 'pages;
                }
                last.push_front(entry);
                if last.len() > limit {
                    last.truncate(limit);
                    has_more = true;
                }
            }
        }
        Ok(Page {
            entries: last.into(),
            has_more,
            revision: pages.revision(),
        })
    }

    /// The current values of several keys, in their order and in one snapshot, and for each of the
    /// prefixes at most `limit` entries, which are no older.
    ///
    /// Engines for which a read is a round trip override this default and make one of it.
    async fn get_and_list(
        &self,
        keys: &[Key],
        prefixes: &[String],
        limit: usize,
    ) -> Result<(Vec<Option<Entry>>, Vec<Page>), Fault> {
        let entries = self.get_many(keys).await?;
        let mut pages = Vec::with_capacity(prefixes.len());
        for prefix in prefixes {
            pages.push(self.list(prefix, None, limit).await?);
        }
        Ok((entries, pages))
    }

    /// At most `limit` entries whose keys start with `prefix`, after the first `skip` ones, and the
    /// total count.
    ///
    /// Engines that can count override this default and return one snapshot; the default reads all
    /// entries, page by page.
    async fn window(
        &self,
        prefix: &str,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        listing_of(self, prefix, |_| true, (skip, limit)).await
    }

    /// As [`window`](Self::window), of the entries that match. Reads all entries; keeps only those
    /// that it returns.
    async fn select(
        &self,
        prefix: &str,
        filter: &Filter,
        skip: usize,
        limit: usize,
    ) -> Result<Listing<Entry>, Fault> {
        let wanted =
            |entry: &Entry| filter.matches(&entry.key.as_str()[prefix.len()..], &entry.value);
        listing_of(self, prefix, wanted, (skip, limit)).await
    }
}

/// Reads page by page what is `wanted`.
async fn listing_of<S: Lists + ?Sized>(
    source: &S,
    prefix: &str,
    wanted: impl Fn(&Entry) -> bool + Send,
    (skip, limit): (usize, usize),
) -> Result<Listing<Entry>, Fault> {
    let limit = page_limit(limit);
    let mut listing = Listing::default();
    let mut pages = Pages::new(source, prefix, PAGE_MAX);
    while let Some(entries) = pages.next().await? {
        for entry in entries.into_iter().filter(&wanted) {
            listing.add(skip, limit, || Ok::<_, Fault>(entry))?;
        }
    }
    Ok(listing)
}
