//! `DeleteCdnDomain`: deletes a domain, online or not. Its certificates and its history are kept.

use edgeseal_core::{
    DomainPattern,
    domain::{CertificateLocked, Environment},
};
use edgeseal_store::{catalog::ChangeError, record::ServedLeaves};

use super::domain_lookup::{self, DomainError};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error, from_change_error},
    operation::{EmptyReply, Input, Operation, Success},
};

/// `DeleteCdnDomain`.
pub struct DeleteCdnDomain;

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The operator has locked it: deleting and adding it again would unlock it.
    #[error("{0}; it cannot be deleted until the operator unlocks it")]
    Locked(#[from] CertificateLocked),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for DeleteCdnDomain {
    type Params = DomainPattern;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<DomainPattern, Error> {
        Ok(domain_lookup::parse_name(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: DomainPattern,
    ) -> Result<Success<EmptyReply>, Error> {
        let (name, audit) = (&name, &call.audit);
        let deleted = context.catalog.transact(audit, |mut draft| async move {
            let found = domain_lookup::find_in(&mut draft, call.account(), name).await;
            let domain = found.map_err(|error| ChangeError::Refused(Error::from(error)))?;
            domain
                .mode
                .check_unlocked()
                .map_err(|held| ChangeError::Refused(held.into()))?;
            let leaves = draft.leaves(&domain, Environment::Production).await?;
            draft.add_history(&domain, None, (leaves, ServedLeaves::default()), audit)?;
            draft.delete_domain(&domain).await?;
            Ok((draft, ()))
        });
        let committed = deleted.await.map_err(from_change_error::<Error, Error>)?;
        Ok(Success::served(committed.revision, Environment::Production))
    }
}

api_error!(Error {
    Domain(DomainError),
    Locked => OperationDenied,
    Store(StoreError),
});
