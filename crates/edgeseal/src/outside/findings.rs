//! Domains whose visitors find something wrong.

use std::sync::{Arc, Mutex, PoisonError};

use edgeseal_core::{
    DomainPattern,
    outside::{Observation, Selection},
};
use edgeseal_store::{Catalog, EntryFilter, Fault, key::OBSERVATIONS, record::decode};

use super::is_served;

/// At most `limit` of the domains, with what was found.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub(crate) async fn findings(
    catalog: &Catalog,
    selection: &Selection,
    limit: usize,
) -> Result<Vec<(DomainPattern, Observation)>, Fault> {
    let names = Arc::new(Mutex::new(Vec::new()));
    let collected = Arc::clone(&names);
    let visit: EntryFilter = Arc::new(move |key: &str, value: &[u8]| {
        let mut names = collected.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wrong = |found: Observation| found.verdict.is_wrong();
        if names.len() < limit && decode::<Observation>(value).is_ok_and(is_wrong) {
            let name = key.strip_prefix(OBSERVATIONS).map(DomainPattern::parse);
            names.extend(name.and_then(Result::ok));
        }
        false
    });
    let reading = catalog.store().select(OBSERVATIONS, visit, 0, 0);
    reading.await?;
    let names = std::mem::take(&mut *names.lock().unwrap_or_else(PoisonError::into_inner));
    let mut found = Vec::new();
    for name in names {
        let finding = finding(catalog, selection, &name).await?;
        found.extend(finding.map(|finding| (name, finding)));
    }
    Ok(found)
}

/// What visitors of a domain find, if that is wrong, and the domain is still served and looked at.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub(crate) async fn finding(
    catalog: &Catalog,
    selection: &Selection,
    name: &DomainPattern,
) -> Result<Option<Observation>, Fault> {
    match catalog.domain(name).await? {
        Some(domain) if is_served(&domain) && selection.includes(name) => {
            let found = catalog.observation(&domain).await?;
            Ok(found.filter(|found| found.verdict.is_wrong()))
        }
        _ => Ok(None),
    }
}
