//! `SetDomainMode`: locks or unlocks the certificate of a domain.

use edgeseal_core::{
    DomainPattern,
    domain::{DomainMode, Environment},
};

use edgeseal_store::catalog::ChangeError;

use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error, from_change_error},
    operation::{EmptyReply, Input, Operation, Success},
    ops::cdn::domain_lookup::{self, DomainError},
    sanitize::sanitize,
};

/// `SetDomainMode`.
pub struct SetDomainMode;

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// No mode.
    #[error("set Mode to normal, safe or protected")]
    NoMode,
    /// No such mode.
    #[error("Mode is {given:?}; use normal, safe or protected")]
    Mode {
        /// The value given.
        given: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for SetDomainMode {
    type Params = (DomainPattern, DomainMode);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(DomainPattern, DomainMode), Error> {
        let name = domain_lookup::parse_name(params)?;
        let mode = match params.get_non_empty("Mode").ok_or(Error::NoMode)? {
            "normal" => DomainMode::Normal,
            "safe" => DomainMode::Safe,
            "protected" => DomainMode::Protected,
            other => {
                return Err(Error::Mode {
                    given: sanitize(other),
                });
            }
        };
        Ok((name, mode))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, mode): (DomainPattern, DomainMode),
    ) -> Result<Success<EmptyReply>, Error> {
        let (name, audit) = (&name, &call.audit);
        let set = context.catalog.transact(audit, |mut draft| async move {
            let Some(before) = draft.domain(name).await? else {
                let not_found = DomainError::NotFound(name.clone());
                return Err(ChangeError::Refused(Error::from(not_found)));
            };
            let mut after = before.clone();
            after.mode = mode;
            after.modified = audit.now;
            draft
                .change_domain_with_history(audit, Environment::Production, &before, &after)
                .await?;
            draft.note(format!(
                "mode {}, before {}",
                mode_name(mode),
                mode_name(before.mode)
            ));
            draft.also_record_in(&before.account);
            Ok((draft, ()))
        });
        let committed = set.await.map_err(from_change_error::<Error, Error>)?;
        Ok(Success::changed(committed.revision))
    }
}

const fn mode_name(mode: DomainMode) -> &'static str {
    match mode {
        DomainMode::Normal => "normal",
        DomainMode::Safe => "safe",
        DomainMode::Protected => "protected",
    }
}

api_error!(Error {
    Domain(DomainError),
    NoMode => MissingMode,
    Mode => InvalidMode,
    Store(StoreError),
});
