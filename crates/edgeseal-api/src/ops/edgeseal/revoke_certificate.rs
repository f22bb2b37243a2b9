//! `RevokeCertificate` and `DescribeRevocations`: revokes certificates that were ordered.

use edgeseal_core::{
    DomainPattern,
    acme::RetryState,
    certificate::CertificateId,
    domain::{Domain, Environment},
    revocation::{Revocation, RevocationReason, RevocationState, is_served},
};
use edgeseal_store::{
    Catalog, Fault,
    catalog::{ChangeError, Draft},
    record::{CertificateRecord, CertificateSource},
};
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error, from_change_error},
    operation::{Input, Operation, Success},
    ops::{
        cdn::domain_lookup::{self, DomainError},
        certificate_lookup::{self, CertificateError, CertificateParam},
    },
    sanitize::sanitize,
};

/// Most domains that serve a certificate of which each is named.
const DOMAINS_MAX: usize = 1000;

/// `RevokeCertificate`.
pub struct RevokeCertificate;

/// `DescribeRevocations`.
pub struct DescribeRevocations;

/// What is asked for.
pub struct Params {
    name: DomainPattern,
    /// One certificate of the domain; `None`: all that it has bound and that were ordered.
    certificate: Option<CertificateId>,
    reason: RevocationReason,
    /// Do not wait until it is replaced.
    immediately: bool,
}

/// The revocations.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    revocations: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    cert_id: CertificateId,
    domain_name: String,
    /// `Pending`, `Revoked` or `Failed`.
    state: &'static str,
    reason: &'static str,
    /// Whether it waits until no edge serves the certificate.
    after_replacement: bool,
    requested: String,
    /// The domains that have it bound now.
    served_by: Vec<String>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    failure: String,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// There is no such certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Not a reason.
    #[error(
        "Reason is {given:?}; use keyCompromise, superseded, cessationOfOperation or unspecified"
    )]
    Reason {
        /// The value given.
        given: String,
    },
    /// It was uploaded.
    #[error(
        "certificate {id} was uploaded, so Edgeseal has no account at its issuer; revoke it where \
         it was ordered"
    )]
    Uploaded {
        /// The certificate.
        id: CertificateId,
    },
    /// The domain has none.
    #[error("{domain} has no certificate bound that Edgeseal has ordered")]
    NoneOrdered {
        /// The domain.
        domain: String,
    },
    /// Nothing is ordered here.
    #[error("no issuer is configured, so no authority can be asked; see [[acme]]")]
    NoIssuer,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for RevokeCertificate {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let name = domain_lookup::parse_name(params)?;
        let by = CertificateParam::CertId;
        let certificate = params.get_non_empty("CertId");
        let certificate = certificate.map(|_| certificate_lookup::parse_id(params, by));
        let given = params.get_non_empty("Reason").unwrap_or("unspecified");
        let reason = RevocationReason::parse(given);
        let given = || sanitize(given);
        Ok(Params {
            name,
            certificate: certificate.transpose()?,
            reason: reason.ok_or_else(|| Error::Reason { given: given() })?,
            immediately: params.get_non_empty("Immediately") == Some("true"),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Reply>, Error> {
        let is_operator = call.is_operator(context).await?;
        let owner = (!is_operator).then(|| call.account());
        let (catalog, params) = (&context.catalog, &params);
        let requested = catalog.transact(&call.audit, |mut draft| async move {
            let domain = domain_lookup::find_of_in(&mut draft, owner, &params.name).await;
            let domain = domain.map_err(|error| ChangeError::Refused(error.into()))?;
            let rows = certificates(&mut draft, &domain, params).await?;
            if !context.settings.orders.has_issuers {
                return Err(ChangeError::Refused(Error::NoIssuer));
            }
            let mut requested = Vec::new();
            for row in rows {
                // Read beside the transaction: who binds it later is looked at before it is revoked.
                let users = catalog
                    .domains_using_certificate(row.id, DOMAINS_MAX)
                    .await?;
                let served_by = users.into_iter().filter(|user| is_served(user, row.id));
                let served_by = served_by.map(|user| user.name).collect();
                let revocation = request(&mut draft, call, params, (&row, served_by)).await?;
                draft.put_revocation(&revocation)?;
                draft.note(described(&revocation));
                requested.push(revocation);
            }
            draft.also_record_in(&domain.account);
            Ok((draft, requested))
        });
        let committed = requested.await.map_err(from_change_error::<Error, Error>)?;
        let reply = Reply::of(catalog, committed.value).await?;
        Ok(Success::changed_with(reply, committed.revision, None))
    }
}

/// The certificates that are to be revoked.
async fn certificates(
    draft: &mut Draft,
    domain: &Domain,
    params: &Params,
) -> Result<Vec<CertificateRecord>, ChangeError<Error>> {
    let environments = [Environment::Production, Environment::Staging];
    let bindings = environments.map(|environment| domain.binding(environment));
    let bindings = bindings.into_iter().flatten();
    let mut ids: Vec<_> = bindings.flat_map(|it| it.certificates()).collect();
    ids.sort_unstable_by_key(|(id, _)| *id);
    ids.dedup_by_key(|(id, _)| *id);
    let bound: Vec<CertificateId> = ids.into_iter().map(|(id, _)| id).collect();
    let wanted = params
        .certificate
        .map_or_else(|| bound.clone(), |id| vec![id]);
    let mut ordered = Vec::new();
    let mut uploaded = None;
    for id in wanted {
        let row = draft.certificate(id).await?;
        let row = row.filter(|row| {
            let is_of_domain =
                bound.contains(&id) || row.uploaded_for.as_ref() == Some(&domain.name);
            row.account == domain.account && is_of_domain
        });
        let Some(row) = row else {
            let which = format!("with the number {id} of {}", domain.name);
            let not_found = CertificateError::NotFound { which };
            return Err(ChangeError::Refused(not_found.into()));
        };
        if row.source == CertificateSource::Issued && row.uploaded_for.is_some() {
            ordered.push(row);
        } else {
            uploaded = Some(id);
        }
    }
    match uploaded {
        _ if !ordered.is_empty() => Ok(ordered),
        Some(id) => Err(ChangeError::Refused(Error::Uploaded { id })),
        None => Err(ChangeError::Refused(Error::NoneOrdered {
            domain: domain.name.to_string(),
        })),
    }
}

/// The revocation of a certificate. Asked again, one that failed starts anew, and one that waits
/// for the replacement may wait no more. A compromise that is told later counts from then on, also
/// if the certificate is revoked already: its key must not be used again.
async fn request(
    draft: &mut Draft,
    call: &Authorized,
    params: &Params,
    (row, served_by): (&CertificateRecord, Vec<DomainPattern>),
) -> Result<Revocation, ChangeError<Error>> {
    let id = row.id;
    let ordered_for = row.uploaded_for.as_ref().unwrap_or(&params.name);
    let known = draft.revocation(ordered_for, id).await?;
    if let Some(mut known) = known.filter(|it| it.state != RevocationState::Failed) {
        let is_pending = known.state == RevocationState::Pending;
        if params.reason == RevocationReason::KeyCompromise && known.reason != params.reason {
            known.reason = params.reason;
            known.requested_at = call.now();
            known.after_replacement = is_pending;
        }
        known.after_replacement &= !params.immediately;
        return Ok(known);
    }
    let mut issuer = String::new();
    for environment in [Environment::Production, Environment::Staging] {
        let managed = draft.managed_certificate(ordered_for, environment).await?;
        let issued = managed.and_then(|managed| managed.issued);
        let issued = issued.filter(|it| it.certificate == id || it.companion == Some(id));
        issuer = issued.map_or(issuer, |issued| issued.issuer);
    }
    let gone = || Fault::new("read the certificate that is to be revoked");
    let material = draft.material(&row.material).await?.ok_or_else(gone)?;
    Ok(Revocation {
        certificate: id,
        domain: ordered_for.clone(),
        account: row.account.clone(),
        issuer,
        reason: params.reason,
        leaf: material.leaf.to_vec(),
        not_after: row.info.not_after,
        after_replacement: params.reason == RevocationReason::KeyCompromise && !params.immediately,
        served_by,
        requested_at: call.now(),
        state: RevocationState::Pending,
        failure: String::new(),
        retry: RetryState::default(),
    })
}

/// How a request is described in the audit log.
fn described(revocation: &Revocation) -> String {
    let when = if revocation.after_replacement {
        ", after its replacement"
    } else {
        ""
    };
    let (id, reason) = (revocation.certificate, revocation.reason.as_str());
    format!("certificate {id}: {reason}{when}")
}

impl Operation for DescribeRevocations {
    type Params = DomainPattern;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<DomainPattern, Error> {
        Ok(domain_lookup::parse_name(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: DomainPattern,
    ) -> Result<Success<Reply>, Error> {
        let catalog = &context.catalog;
        let mut found = catalog
            .revocations_of(&name)
            .await
            .map_err(StoreError::from)?;
        if !call.is_operator(context).await? {
            domain_lookup::find(catalog, call.account(), &name).await?;
            // The domain may have had another owner.
            found.retain(|revocation| revocation.account == *call.account());
        }
        Ok(Success::read(Reply::of(catalog, found).await?))
    }
}

impl Reply {
    async fn of(catalog: &Catalog, revocations: Vec<Revocation>) -> Result<Self, StoreError> {
        let mut rows = Vec::with_capacity(revocations.len());
        for revocation in revocations {
            let id = revocation.certificate;
            let users = catalog.domains_using_certificate(id, DOMAINS_MAX).await?;
            let users = users.into_iter().filter(|user| is_served(user, id));
            rows.push(Row {
                cert_id: id,
                domain_name: revocation.domain.to_string(),
                state: revocation.state.as_str(),
                reason: revocation.reason.as_str(),
                after_replacement: revocation.after_replacement,
                requested: revocation.requested_at.to_string(),
                served_by: users.map(|user| user.name.to_string()).collect(),
                failure: revocation.failure,
            });
        }
        Ok(Self { revocations: rows })
    }
}

api_error!(Error {
    Domain(DomainError),
    Certificate(CertificateError),
    Reason => InvalidRevocationReason,
    Uploaded => RevocationOfUpload,
    NoneOrdered => NothingToRevoke,
    NoIssuer => IssuerNotConfigured,
    Store(StoreError),
});

#[cfg(test)]
mod tests;
