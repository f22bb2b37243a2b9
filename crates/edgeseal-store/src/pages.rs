//! Pages of listings: their size, and iteration over them.

use crate::{Entry, Fault, Key, Revision, Source};

/// The most entries of one page.
///
/// An engine returns no more, whatever limit it is given, and says that more follow. At 1 KB a
/// record that is 1 MB; a page of the largest records, of certificates with their chains, takes some
/// 50 MB.
pub const PAGE_MAX: usize = 1000;

/// The limit that an engine applies: `limit`, at most [`PAGE_MAX`].
pub(crate) const fn page_limit(limit: usize) -> usize {
    if limit < PAGE_MAX { limit } else { PAGE_MAX }
}

/// All entries under a prefix, page by page, in byte order of the keys. Several pages are not one
/// snapshot; see [`Source`].
pub struct Pages<'a, S: ?Sized> {
    source: &'a S,
    prefix: &'a str,
    size: usize,
    after: Option<Key>,
    is_finished: bool,
    revision: Option<Revision>,
}

impl<'a, S: Source + ?Sized> Pages<'a, S> {
    /// Pages of at most `size` entries.
    pub const fn new(source: &'a S, prefix: &'a str, size: usize) -> Self {
        Self {
            source,
            prefix,
            size,
            after: None,
            is_finished: false,
            revision: None,
        }
    }

    /// The next page, which may be empty; `None` after the last one.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed; a further call reads the same page again.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, Fault> {
        if self.is_finished {
            return Ok(None);
        }
        let page = self
            .source
            .list(self.prefix, self.after.as_ref(), self.size);
        let page = page.await?;
        self.is_finished = !page.has_more;
        self.revision.get_or_insert(page.revision);
        self.after = page.entries.last().map(|entry| entry.key.clone());
        Ok(Some(page.entries))
    }

    /// All entries of the pages that are left. They are in memory at once: only for prefixes under
    /// which a limit keeps the entries few, such as the users of an account.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn collect(&mut self) -> Result<Vec<Entry>, Fault> {
        let mut all = Vec::new();
        while let Some(entries) = self.next().await? {
            all.extend(entries);
        }
        Ok(all)
    }

    /// The newest commit that the first page can show; zero before it. The changes after it make the
    /// pages consistent.
    pub fn revision(&self) -> Revision {
        self.revision.unwrap_or_default()
    }
}
