//! The audit and the history in memory.

use std::{collections::BTreeMap, ops::Bound};

use crate::{
    HISTORY_MAX, Log, LogPage, LogRange, LogRow, LogWrite, Revision, logs::AFTER_ALL_NAMES,
};

/// The rows of both logs.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryLogs {
    rows: BTreeMap<Place, LogRow>,
    /// Audit records by revision.
    audit: BTreeMap<Revision, Place>,
}

/// Log, scope and name.
type Place = (Log, String, String);

impl MemoryLogs {
    /// Applies a write whose row gets this revision.
    pub(super) fn apply(&mut self, write: &LogWrite, revision: Revision) {
        let (log, scope, name) = write.place();
        let place = (log, scope.to_owned(), name.to_owned());
        let LogWrite::Append { value, .. } = write else {
            self.remove(&place);
            return;
        };
        if log == Log::Audit && self.rows.contains_key(&place) {
            return;
        }
        if log == Log::Audit {
            self.audit.insert(revision, place.clone());
        }
        let row = LogRow {
            scope: scope.to_owned(),
            name: name.to_owned(),
            revision,
            value: value.clone(),
        };
        self.rows.insert(place, row);
        if log == Log::History {
            self.trim(scope);
        }
    }

    fn trim(&mut self, scope: &str) {
        let rows = self.scope(Log::History, scope, "", None);
        let names: Vec<String> = rows.map(|row| row.name.clone()).collect();
        let surplus = names.len().saturating_sub(HISTORY_MAX);
        for name in names.into_iter().take(surplus) {
            self.remove(&(Log::History, scope.to_owned(), name));
        }
    }

    fn remove(&mut self, place: &Place) {
        if let Some(row) = self.rows.remove(place)
            && place.0 == Log::Audit
        {
            self.audit.remove(&row.revision);
        }
    }

    fn scope<'a>(
        &'a self,
        log: Log,
        scope: &str,
        after: &str,
        before: Option<&str>,
    ) -> impl DoubleEndedIterator<Item = &'a LogRow> {
        let before = before.unwrap_or(AFTER_ALL_NAMES);
        let place = |name: &str| (log, scope.to_owned(), name.to_owned());
        let range = (after < before).then(|| {
            let ends = (
                Bound::Excluded(place(after)),
                Bound::Excluded(place(before)),
            );
            self.rows.range(ends).map(|(_, row)| row)
        });
        range.into_iter().flatten()
    }

    pub(super) fn read(&self, range: LogRange<'_>, limit: usize, head: Revision) -> LogPage {
        let rows = self.scope(range.log, range.scope, range.after, range.before);
        if range.newest_first {
            page(rows.rev(), limit, head)
        } else {
            page(rows, limit, head)
        }
    }

    pub(super) fn get(&self, log: Log, scope: &str, names: &[String]) -> Vec<Option<LogRow>> {
        let places = names
            .iter()
            .map(|name| (log, scope.to_owned(), name.clone()));
        places.map(|place| self.rows.get(&place).cloned()).collect()
    }

    pub(super) fn audit_since(&self, after: Revision, limit: usize, head: Revision) -> LogPage {
        let newer = self.audit.range((Bound::Excluded(after), Bound::Unbounded));
        page(
            newer.filter_map(|(_, place)| self.rows.get(place)),
            limit,
            head,
        )
    }

    pub(super) fn scopes(&self, log: Log, after: &str, limit: usize) -> Vec<String> {
        let mut scopes: Vec<String> = Vec::new();
        for (of, scope, _) in self.rows.keys() {
            if *of == log && scope.as_str() > after && scopes.last() != Some(scope) {
                scopes.push(scope.clone());
            }
        }
        scopes.truncate(limit);
        scopes
    }
}

fn page<'a>(mut rows: impl Iterator<Item = &'a LogRow>, limit: usize, head: Revision) -> LogPage {
    LogPage {
        rows: rows.by_ref().take(limit).cloned().collect(),
        has_more: rows.next().is_some(),
        revision: head,
    }
}
