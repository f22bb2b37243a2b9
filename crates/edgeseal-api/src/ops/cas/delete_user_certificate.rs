//! `DeleteUserCertificate`: deletes a certificate and its key.
//!
//! A bound certificate is kept. In version 2020-04-07 the call is refused, unless the operator has
//! configured otherwise. In 2018-07-13 existing tools delete the bound certificate first and upload
//! the next one under its name: there the call removes the certificate from CAS and frees its name,
//! and the certificate is deleted once the domain has another.

use edgeseal_core::certificate::CertificateId;
use edgeseal_store::{Revision, catalog::ChangeError};

use crate::{
    authorize::Authorized,
    context::{BoundCertificatePolicy, Context},
    error::{StoreError, api_error, from_change_error},
    operation::{EmptyReply, Input, Operation, Success},
    ops::certificate_lookup::{self, CertificateError, CertificateParam},
};

/// `DeleteUserCertificate`.
pub struct DeleteUserCertificate;

/// `DeleteUserCertificate` of version 2018-07-13.
pub struct DeleteUserCertificate2018;

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A domain uses it.
    #[error(
        "the certificate is bound to {domain}, also if HTTPS is off; bind another one there first"
    )]
    InUse {
        /// The domain.
        domain: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for DeleteUserCertificate {
    type Params = CertificateId;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<CertificateId, Error> {
        Ok(certificate_lookup::parse_id(
            params,
            CertificateParam::CertId,
        )?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        id: CertificateId,
    ) -> Result<Success<EmptyReply>, Error> {
        Ok(Success::changed(
            delete(context, call, id, context.settings.delete_bound_certificate).await?,
        ))
    }
}

impl Operation for DeleteUserCertificate2018 {
    type Params = CertificateId;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<CertificateId, Error> {
        Ok(certificate_lookup::parse_id(
            params,
            CertificateParam::CertId,
        )?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        id: CertificateId,
    ) -> Result<Success<EmptyReply>, Error> {
        Ok(Success::changed(
            delete(context, call, id, BoundCertificatePolicy::Release).await?,
        ))
    }
}

async fn delete(
    context: &Context,
    call: &Authorized,
    id: CertificateId,
    bound: BoundCertificatePolicy,
) -> Result<Revision, Error> {
    let deleted = context
        .catalog
        .transact(&call.audit, |mut draft| async move {
            let certificate =
                certificate_lookup::find_in_cas_for_change(&mut draft, call.account(), id).await?;
            match draft.domain_using_certificate(id).await? {
                None => draft.delete_certificate(&certificate).await?,
                Some(_) if bound == BoundCertificatePolicy::Release => {
                    draft.hide_certificate(&certificate).await?
                }
                Some(domain) => return Err(ChangeError::Refused(Error::InUse { domain })),
            }
            Ok((draft, ()))
        });
    let committed = deleted.await.map_err(from_change_error::<Error, Error>)?;
    Ok(committed.revision)
}

api_error!(Error {
    Certificate(CertificateError),
    InUse => CertificateInUse,
    Store(StoreError),
});
