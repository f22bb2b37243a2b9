//! Iterates over a listing page by page.

use crate::{Entry, Fault, Key, Revision, Source};

/// All entries under a prefix, page by page, in byte order of the keys. Several pages are not one
/// snapshot; see [`Source`].
pub struct Pages<'a, S: ?Sized> {
    source: &'a S,
    prefix: &'a str,
    size: usize,
    after: Option<Key>,
    is_finished: bool,
    revision: Revision,
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
            revision: Revision(0),
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
        self.revision = page.revision;
        self.after = page.entries.last().map(|entry| entry.key.clone());
        Ok(Some(page.entries))
    }

    /// The newest commit that the last page can show.
    pub(crate) const fn revision(&self) -> Revision {
        self.revision
    }
}
