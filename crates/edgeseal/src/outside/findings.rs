//! Domains whose visitors find something wrong.

use edgeseal_core::{
    DomainPattern,
    domain::Domain,
    outside::{Observation, Selection},
};
use edgeseal_store::{Catalog, Fault, Key, Pages, key::OBSERVATIONS, record::decode};

use super::{BATCH, is_served};
use crate::alarms::fair_share::FairShare;

/// At most `limit` of the domains that `wanted` includes, with what was found, and how many others
/// there are. Each account has its share, the first by name.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub(crate) async fn findings(
    catalog: &Catalog,
    selection: &Selection,
    limit: usize,
    wanted: impl Fn(&Observation) -> bool,
) -> Result<(Vec<(DomainPattern, Observation)>, u64), Fault> {
    let mut share = FairShare::new(limit);
    let mut pages = Pages::new(&**catalog.store(), OBSERVATIONS, BATCH);
    while let Some(page) = pages.next().await? {
        let wrong = page.iter().filter_map(|entry| {
            let found = decode::<Observation>(&entry.value).ok()?;
            let name = entry.key.as_str().strip_prefix(OBSERVATIONS)?;
            let name = DomainPattern::parse(name).ok()?;
            (found.verdict.is_wrong() && wanted(&found)).then_some((name, found))
        });
        for (domain, found) in valid(catalog, selection, wrong.collect()).await? {
            let account = domain.account.to_string();
            share.add(&account, domain.name.clone(), (domain.name, found));
        }
    }
    let left_out = share.left_out();
    Ok((share.into_values().collect(), left_out))
}

/// Those of the observations whose domain is still served and checked.
async fn valid(
    catalog: &Catalog,
    selection: &Selection,
    wrong: Vec<(DomainPattern, Observation)>,
) -> Result<Vec<(Domain, Observation)>, Fault> {
    let keys: Vec<Key> = wrong.iter().map(|(name, _)| Key::domain(name)).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let domains = catalog.store().get_many(&keys).await?.into_iter();
    let valid = domains.zip(wrong).filter_map(|(entry, (_, found))| {
        // A domain whose record cannot be decoded is in quarantine.
        let domain: Domain = decode(&entry?.value).ok()?;
        let is_checked = is_served(&domain) && selection.includes(&domain.name);
        (is_checked && domain.id == found.domain_id).then_some((domain, found))
    });
    Ok(valid.collect())
}

/// What visitors of these domains find, where that is wrong, and the domain is still served and
/// checked.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub(crate) async fn findings_of(
    catalog: &Catalog,
    selection: &Selection,
    names: &[DomainPattern],
) -> Result<Vec<(DomainPattern, Observation)>, Fault> {
    let mut found = Vec::new();
    for names in names.chunks(BATCH) {
        let keys: Vec<Key> = names.iter().map(Key::observation).collect();
        let entries = catalog.store().get_many(&keys).await?.into_iter();
        let wrong = entries.zip(names).filter_map(|(entry, name)| {
            let found: Observation = decode(&entry?.value).ok()?;
            found.verdict.is_wrong().then_some((name.clone(), found))
        });
        let valid = valid(catalog, selection, wrong.collect()).await?;
        found.extend(
            valid
                .into_iter()
                .map(|(domain, found)| (domain.name, found)),
        );
    }
    Ok(found)
}
