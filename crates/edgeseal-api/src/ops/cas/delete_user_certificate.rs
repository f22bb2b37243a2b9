//! `DeleteUserCertificate`: a certificate and its key are gone.
//!
//! One that a domain has bound stays. In Version 2020-04-07 that is a refusal, unless the operator
//! has chosen otherwise. In 2018-07-13 the tools in use delete the bound certificate first and
//! upload the next one under its name: there it leaves the centre, its name is free, the domain
//! keeps it until it has another, and with that it is gone.

use edgeseal_core::certificate::CertificateId;
use edgeseal_store::{Revision, catalog::ChangeError};

use crate::{
    authorize::Authorized,
    code::Code,
    context::{BoundCertificate, Context},
    operation::{Done, Failure, Nothing, Operation, Trouble, refused_or},
    ops::named_certificate::{self, By, NoCertificate},
    request::Params,
};

/// The operation.
pub struct DeleteUserCertificate;

/// The operation of 2018.
pub struct DeleteUserCertificate2018;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such certificate.
    #[error(transparent)]
    Certificate(#[from] NoCertificate),
    /// A domain has it bound.
    #[error(
        "{domain} has the certificate bound, also if HTTPS is off; bind another one there first"
    )]
    InUse {
        /// The domain.
        domain: String,
    },
    /// What every operation can meet.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

const CODES: &[Code] = &[
    Code::MissingCertId,
    Code::InvalidCertId,
    Code::NotInCertificateCentre,
    Code::CertificateInUse,
];

impl Operation for DeleteUserCertificate {
    type Params = CertificateId;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = CODES;

    fn parse(params: &Params) -> Result<CertificateId, Error> {
        Ok(named_certificate::number(params, By::CertId)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        id: CertificateId,
    ) -> Result<Done<Nothing>, Error> {
        Ok(Done::changed(
            delete(context, call, id, context.settings.bound_certificate).await?,
        ))
    }
}

impl Operation for DeleteUserCertificate2018 {
    type Params = CertificateId;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = CODES;

    fn parse(params: &Params) -> Result<CertificateId, Error> {
        Ok(named_certificate::number(params, By::CertId)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        id: CertificateId,
    ) -> Result<Done<Nothing>, Error> {
        Ok(Done::changed(
            delete(context, call, id, BoundCertificate::Release).await?,
        ))
    }
}

async fn delete(
    context: &Context,
    call: &Authorized,
    id: CertificateId,
    bound: BoundCertificate,
) -> Result<Revision, Error> {
    let deleted = context
        .catalog
        .transact(&call.deed, |mut draft| async move {
            let found = draft.certificate(id).await?;
            let own = found.filter(|found| found.account == *call.account() && !found.removed);
            let Some(certificate) = own else {
                let why = NoCertificate::NotInCentre {
                    which: format!("with the number {id}"),
                };
                return Err(ChangeError::Refused(Error::Certificate(why)));
            };
            match draft.user_of_certificate(id).await? {
                None => draft.delete_certificate(&certificate).await?,
                Some(_) if bound == BoundCertificate::Release => {
                    draft.hide_certificate(&certificate).await?
                }
                Some(domain) => return Err(ChangeError::Refused(Error::InUse { domain })),
            }
            Ok((draft, ()))
        });
    let committed = deleted.await.map_err(refused_or::<Error, Error>)?;
    Ok(committed.revision)
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Certificate(why) => why.code(),
            Self::InUse { .. } => Code::CertificateInUse,
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Certificate(why) => why.detail(),
            Self::InUse { .. } => Some(self.to_string()),
            Self::Trouble(trouble) => trouble.detail(),
        }
    }
}
