//! Whether the history of each domain reads, is no longer than it may be, and is that of a domain.

use std::collections::HashSet;

use edgeseal_core::{DomainPattern, Timestamp};

use super::Finding;
use crate::{
    Fault, HISTORY_MAX, Key, Log, LogRange, LogRow, Pages, Revision, Store,
    catalog::DELETED_DOMAIN_TTL_MS,
    key,
    logs::row_name,
    record::{self, HistoryRecord},
};

/// What was checked of the history, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryReport {
    /// Domains that have one.
    pub domains: u64,
    /// Changes checked.
    pub changes: u64,
    /// What is wrong, in the order of the domains. The key is `history/DOMAIN/CHANGE`.
    pub findings: Vec<Finding>,
}

/// Domains read at once.
const PAGE: usize = 500;
/// How far the clocks of those who wrote and of this machine may be apart, amply.
const CLOCK_DIFFERENCE_MAX_MS: i64 = 24 * 60 * 60 * 1000;

/// Checks the changes of all domains, also of those that were deleted.
///
/// # Errors
/// A [`Fault`] if the store cannot be read; a change that cannot be decoded is a [`Finding`].
pub async fn check_history(store: &dyn Store, now: Timestamp) -> Result<HistoryReport, Fault> {
    let deleted = deleted_domains(store).await?;
    let mut report = HistoryReport::default();
    let mut after = String::new();
    loop {
        let scopes = store.log_scopes(Log::History, &after, PAGE).await?;
        let Some(last) = scopes.last() else {
            return Ok(report);
        };
        after.clone_from(last);
        for scope in &scopes {
            check_domain(store, scope, (&deleted, now), &mut report).await?;
        }
    }
}

async fn check_domain(
    store: &dyn Store,
    scope: &str,
    (deleted, now): (&HashSet<String>, Timestamp),
    report: &mut HistoryReport,
) -> Result<(), Fault> {
    let all = LogRange {
        log: Log::History,
        scope,
        after: "",
        before: None,
        newest_first: true,
    };
    let page = store.read_log(all, HISTORY_MAX + 1).await?;
    report.domains += 1;
    report.changes += page.rows.len() as u64;
    if page.rows.len() > HISTORY_MAX {
        let what = format!("it has more than the {HISTORY_MAX} changes that are kept");
        report.find(scope, None, what);
    }
    let newest = page.rows.first();
    let newest = newest.and_then(|row| record::decode::<HistoryRecord>(&row.value).ok());
    let kept_ms = DELETED_DOMAIN_TTL_MS - CLOCK_DIFFERENCE_MAX_MS;
    let is_recent = newest.is_some_and(|change| now.since_ms(change.at) < kept_ms);
    match DomainPattern::parse(scope) {
        Ok(name) if name.to_string() == scope => {
            // That it was deleted is remembered for a while; after that nothing is known of it.
            let is_known = !is_recent || deleted.contains(scope);
            if !is_known && store.get(&Key::domain(&name)).await?.is_none() {
                let what = "its domain is not there, and was not deleted".to_owned();
                report.find(scope, None, what);
            }
        }
        _ => report.find(scope, None, "it is not of a domain".to_owned()),
    }
    for row in &page.rows {
        if let Some(what) = problem(row, page.revision) {
            report.find(scope, Some(&row.name), what);
        }
    }
    Ok(())
}

/// What is wrong with a change in a store whose newest commit is `head`.
fn problem(row: &LogRow, head: Revision) -> Option<String> {
    let Ok(change) = record::decode::<HistoryRecord>(&row.value) else {
        return Some("it does not read".to_owned());
    };
    let own_name = row_name(change.at, &change.request_id);
    if !row.name.starts_with(&own_name) {
        return Some(format!("it is the change {own_name}"));
    }
    let revision = row.revision;
    (revision > head).then(|| format!("it is of revision {}, after the last one", revision.0))
}

/// The names that are remembered as deleted, of all accounts.
async fn deleted_domains(store: &dyn Store) -> Result<HashSet<String>, Fault> {
    let mut names = HashSet::new();
    let mut pages = Pages::new(store, key::DELETED_DOMAINS, PAGE);
    while let Some(entries) = pages.next().await? {
        let tails = entries.iter().filter_map(|entry| super::tail(&entry.key));
        names.extend(tails.map(str::to_owned));
    }
    Ok(names)
}

impl HistoryReport {
    fn find(&mut self, domain: &str, change: Option<&str>, what: String) {
        let key = match change {
            Some(change) => format!("history/{domain}/{change}"),
            None => format!("history/{domain}"),
        };
        let key = Key::from_stored(&key);
        self.findings.push(Finding { key, what });
    }
}

#[cfg(test)]
mod tests;
