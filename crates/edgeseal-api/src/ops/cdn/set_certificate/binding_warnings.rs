//! Warnings about a change of a domain's certificates.

use edgeseal_core::{
    Timestamp,
    certificate::{CertificateId, KeyAlgorithm},
    domain::{Binding, Domain, Environment},
};
use edgeseal_store::{Fault, catalog::Draft, record::CertificateRecord};

use crate::warning::{Warning, WarningKind};

/// Warnings about newly bound certificates: that a certificate does not cover the domain, and those
/// of the certificate itself at `now`.
pub(in crate::ops::cdn) async fn new_binding_warnings(
    draft: &mut Draft,
    (before, after): (&Domain, &Domain),
    environment: Environment,
    now: Timestamp,
) -> Result<Vec<Warning>, Fault> {
    let had = ids(before, environment);
    let mut warnings = Vec::new();
    for id in ids(after, environment) {
        if had.contains(&id) || !is_served(after, environment) {
            continue;
        }
        if let Some(new) = draft.certificate(id).await? {
            warnings.extend(new.info.warnings(now).iter().map(Warning::from));
            warnings.extend(mismatch(after, &new));
        }
    }
    Ok(warnings)
}

/// The warning that a certificate does not cover the domain.
pub(super) fn mismatch(domain: &Domain, certificate: &CertificateRecord) -> Option<Warning> {
    let name = domain.name.to_san();
    let covers = certificate.info.covers(&domain.name);
    (!covers).then(|| {
        Warning::new(
            WarningKind::NameMismatch,
            format!("does not cover {name}: a mismatch"),
        )
    })
}

/// Warns if a replaced certificate would have expired later (the caller may be deploying an old one
/// by mistake), if clients that support only the replaced key type can no longer connect, and if
/// more than one certificate is replaced.
pub(in crate::ops::cdn) async fn replaced_binding_warnings(
    draft: &mut Draft,
    (before, after): (&Domain, &Domain),
    environment: Environment,
) -> Result<Vec<Warning>, Fault> {
    let (had, has) = (ids(before, environment), ids(after, environment));
    let mut new = Vec::new();
    let mut kinds = Vec::new();
    for id in &has {
        let Some(certificate) = draft.certificate(*id).await? else {
            continue;
        };
        kinds.push(certificate.info.key);
        if !had.contains(id) {
            new.push(certificate);
        }
    }
    let mut warnings = Vec::new();
    // Nothing is replaced, or nothing is served.
    if new.is_empty() || !is_served(after, environment) {
        return Ok(warnings);
    }
    let name = after.name.to_san();
    let goes = had.iter().filter(|id| !has.contains(id));
    for (number, id) in goes.enumerate() {
        if number > 0 {
            let detail = format!("{name}: takes the place of certificate {id} as well");
            warnings.push(Warning::new(WarningKind::ReplacesCompanion, detail));
        }
        let Some(old) = draft.certificate(*id).await? else {
            continue;
        };
        let old = old.info;
        let ends = new.iter().map(|new| new.info.not_after).min();
        if let Some(ends) = ends.filter(|ends| *ends < old.not_after) {
            let detail = format!(
                "{name}: expires at {ends}, before the certificate that it replaces ({})",
                old.not_after
            );
            warnings.push(Warning::new(WarningKind::ExpiresEarlier, detail));
        }
        if !kinds.contains(&old.key) {
            warnings.push(key_changed(&name, old.key, &kinds));
        }
    }
    Ok(warnings)
}

fn key_changed(name: &str, had: KeyAlgorithm, has: &[KeyAlgorithm]) -> Warning {
    let has: Vec<String> = has.iter().map(ToString::to_string).collect();
    let detail = format!(
        "{name}: the key is {} now and no longer {had}: clients that know only {had} cannot connect",
        has.join(" and ")
    );
    Warning::new(WarningKind::KeyTypeChanged, detail)
}

fn is_served(domain: &Domain, environment: Environment) -> bool {
    let bound = domain.binding(environment);
    bound.is_some_and(|bound| bound.enabled)
}

fn ids(domain: &Domain, environment: Environment) -> Vec<CertificateId> {
    let bound = domain.binding(environment).into_iter();
    let ids = bound.flat_map(Binding::certificates).map(|(id, _)| id);
    ids.collect()
}
