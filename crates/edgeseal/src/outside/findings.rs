//! Domains whose visitors find something wrong.

use std::sync::{Arc, Mutex, PoisonError};

use edgeseal_core::{
    DomainPattern,
    outside::{Observation, Verdict},
};
use edgeseal_store::{Catalog, EntryFilter, Fault, key::OBSERVATIONS, record::decode};

/// At most `limit` of the domains, with what was found.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub(crate) async fn findings(
    catalog: &Catalog,
    limit: usize,
) -> Result<Vec<(DomainPattern, Observation)>, Fault> {
    let names = Arc::new(Mutex::new(Vec::new()));
    let collected = Arc::clone(&names);
    let visit: EntryFilter = Arc::new(move |key: &str, value: &[u8]| {
        let mut names = collected.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < limit && decode::<Observation>(value).is_ok_and(|it| is_wrong(&it)) {
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
        let finding = finding(catalog, &name).await?;
        found.extend(finding.map(|finding| (name, finding)));
    }
    Ok(found)
}

/// What visitors of a domain find, if that is wrong and the domain still has HTTPS.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub(crate) async fn finding(
    catalog: &Catalog,
    name: &DomainPattern,
) -> Result<Option<Observation>, Fault> {
    match catalog.domain(name).await? {
        Some(domain) if domain.is_https_on() => {
            let found = catalog.observation(&domain).await?;
            Ok(found.filter(is_wrong))
        }
        _ => Ok(None),
    }
}

/// That a certificate expires is known without a look from outside.
fn is_wrong(found: &Observation) -> bool {
    !matches!(found.verdict, Verdict::Ok | Verdict::Expiring)
}
