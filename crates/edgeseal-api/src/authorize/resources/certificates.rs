//! Certificates that a call acts upon. Policies have no names for them, but conditions see their tags.

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

/// What a call acts upon that names certificates: for each of them the same in policies, with its
/// tags. Of a call that names none that is the account's, it is what it was.
///
/// The parameter is the one that the action reads: what it passes over says nothing about what it
/// acts upon.
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

/// The certificates of the caller's account that the call names, or that the job has which it names.
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
