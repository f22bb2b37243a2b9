//! `DeleteCdnDomain`: a domain is gone, online or not. Its certificates and its history stay.

use edgeseal_core::{
    Pattern,
    domain::{Environment, Held},
};
use edgeseal_store::{catalog::ChangeError, record::Leaves};

use super::named_domain::{self, NoDomain};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Nothing, Operation, Trouble, refused_or},
    request::Params,
};

/// The operation.
pub struct DeleteCdnDomain;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] NoDomain),
    /// The operator holds it. Deleted and added again it would be free.
    #[error("{0}; until the operator lets it go, it cannot be deleted")]
    Held(#[from] Held),
    /// The store did not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for DeleteCdnDomain {
    type Params = Pattern;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
        Code::OperationDenied,
    ];

    fn parse(params: &Params) -> Result<Pattern, Error> {
        Ok(named_domain::name(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: Pattern,
    ) -> Result<Done<Nothing>, Error> {
        let (name, deed) = (&name, &call.deed);
        let deleted = context.catalog.transact(deed, |mut draft| async move {
            let found = named_domain::find_in(&mut draft, call.account(), name).await;
            let domain = found.map_err(|why| ChangeError::Refused(Error::from(why)))?;
            domain
                .mode
                .allows_changes()
                .map_err(|held| ChangeError::Refused(held.into()))?;
            let leaves = draft.leaves(&domain, Environment::Production).await?;
            draft.add_history(&domain, None, (leaves, Leaves::default()), deed)?;
            draft.delete_domain(&domain).await?;
            Ok((draft, ()))
        });
        let committed = deleted.await.map_err(refused_or::<Error, Error>)?;
        Ok(Done::served(committed.revision, Environment::Production))
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Domain(why) => why.code(),
            Self::Held(_) => Code::OperationDenied,
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(why) => why.detail(),
            Self::Held(_) => Some(self.to_string()),
            Self::Trouble(trouble) => trouble.detail(),
        }
    }
}
