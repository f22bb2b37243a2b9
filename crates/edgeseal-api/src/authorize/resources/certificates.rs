//! The certificates that a call acts on. Policies cannot name them, but conditions see their tags.

use edgeseal_core::policy::Resource;
use edgeseal_store::record::CertificateRecord;

use super::tagged;
use crate::{
    authenticate::Caller,
    context::Context,
    error::StoreError,
    ops::{
        cas::deployment,
        certificate_lookup::{self, CertificateParam},
    },
};

/// Adds the tags of the certificates that the call names: it returns, for each certificate, a copy
/// of `resources` with its tags. If the call names no certificate of the account, `resources` is
/// returned unchanged.
///
/// Only the parameter that the action reads counts: the action does not act on what other
/// parameters name.
pub(super) async fn with_tags(
    context: &Context,
    caller: &Caller,
    resources: Vec<Resource>,
) -> Result<Vec<Resource>, StoreError> {
    let certificates = named(context, caller).await?;
    if certificates.is_empty() {
        return Ok(resources);
    }
    let each = certificates.iter().flat_map(|certificate| {
        let resources = resources.iter().cloned();
        resources.map(|resource| tagged(resource, &certificate.tags))
    });
    Ok(each.collect())
}

/// The certificates of the caller's account that the call names, or those of the job that it names.
async fn named(context: &Context, caller: &Caller) -> Result<Vec<CertificateRecord>, StoreError> {
    let (catalog, account) = (&context.catalog, caller.principal.account_id());
    let params = &caller.request.params;
    let number = |by| {
        certificate_lookup::parse_id(params, by)
            .into_iter()
            .collect()
    };
    let ids: Vec<i64> = match caller.action.resource_param {
        "CertId" => number(CertificateParam::CertId),
        "CertificateId" => number(CertificateParam::CertificateId),
        "CertName" => {
            let found = match certificate_lookup::parse_name(params) {
                Ok(name) => catalog.certificate_by_name(account, &name).await?,
                Err(_) => None,
            };
            return Ok(found.into_iter().collect());
        }
        "JobId" => deployment::certificates_of_job(catalog, account, params).await?,
        _ if caller.action.name == deployment::CREATE => deployment::certificates_wanted(params),
        _ => Vec::new(),
    };
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(certificate_lookup::find(catalog, account, id).await?);
    }
    Ok(found)
}
