//! Domains whose visitors find something wrong.

use std::sync::{Arc, Mutex, PoisonError};

use edgeseal_core::{
    DomainPattern,
    outside::{Observation, Selection},
};
use edgeseal_store::{Catalog, EntryFilter, Fault, key::OBSERVATIONS, record::decode};

use super::is_served;

/// At most `limit` of the domains, with what was found, and how many others there are.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub(crate) async fn findings(
    catalog: &Catalog,
    selection: &Selection,
    limit: usize,
) -> Result<(Vec<(DomainPattern, Observation)>, usize), Fault> {
    let names = Arc::new(Mutex::new((Vec::new(), 0)));
    let collected = Arc::clone(&names);
    let visit: EntryFilter = Arc::new(move |key: &str, value: &[u8]| {
        let is_wrong = |found: Observation| found.verdict.is_wrong();
        if decode::<Observation>(value).is_ok_and(is_wrong) {
            let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
            let (names, others) = &mut *collected;
            let name = key.strip_prefix(OBSERVATIONS).map(DomainPattern::parse);
            match name {
                Some(Ok(name)) if names.len() < limit => names.push(name),
                _ => *others += 1,
            }
        }
        false
    });
    let reading = catalog.store().select(OBSERVATIONS, visit, 0, 0);
    reading.await?;
    let (names, others) =
        std::mem::take(&mut *names.lock().unwrap_or_else(PoisonError::into_inner));
    let mut found = Vec::new();
    for name in names {
        let finding = finding(catalog, selection, &name).await?;
        found.extend(finding.map(|finding| (name, finding)));
    }
    Ok((found, others))
}

/// What visitors of a domain find, if that is wrong, and the domain is still served and checked.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub(crate) async fn finding(
    catalog: &Catalog,
    selection: &Selection,
    name: &DomainPattern,
) -> Result<Option<Observation>, Fault> {
    let found = async {
        match catalog.domain(name).await? {
            Some(domain) if is_served(&domain) && selection.includes(name) => {
                catalog.observation(&domain).await
            }
            _ => Ok(None),
        }
    };
    match found.await {
        // A domain whose record cannot be decoded is in quarantine.
        Err(fault) if fault.is_undecodable() => Ok(None),
        found => Ok(found?.filter(|found| found.verdict.is_wrong())),
    }
}
