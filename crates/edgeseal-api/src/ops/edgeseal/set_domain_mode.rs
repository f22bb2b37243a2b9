//! `SetDomainMode`: the operator holds the certificate of a domain, or lets it go.

use edgeseal_core::{
    Pattern,
    domain::{Environment, Mode},
};

use edgeseal_store::catalog::ChangeError;

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Nothing, Operation, Trouble, refused_or, shown},
    ops::cdn::named_domain::{self, NoDomain},
    request::Params,
};

/// The operation.
pub struct SetDomainMode;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] NoDomain),
    /// No mode.
    #[error("say in Mode what the domain is to be: normal, safe or protected")]
    NoMode,
    /// No such mode.
    #[error("Mode is {given:?}; use normal, safe or protected")]
    Mode {
        /// What was given.
        given: String,
    },
    /// The store did not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for SetDomainMode {
    type Params = (Pattern, Mode);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
        Code::MissingMode,
        Code::InvalidMode,
    ];

    fn parse(params: &Params) -> Result<(Pattern, Mode), Error> {
        let name = named_domain::name(params)?;
        let mode = match params.given("Mode").ok_or(Error::NoMode)? {
            "normal" => Mode::Normal,
            "safe" => Mode::Safe,
            "protected" => Mode::Protected,
            other => {
                return Err(Error::Mode {
                    given: shown(other),
                });
            }
        };
        Ok((name, mode))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, mode): (Pattern, Mode),
    ) -> Result<Done<Nothing>, Error> {
        let (name, deed) = (&name, &call.deed);
        let set = context.catalog.transact(deed, |mut draft| async move {
            let Some(before) = draft.domain(name).await? else {
                let not_found = NoDomain::NotFound(name.clone());
                return Err(ChangeError::Refused(Error::from(not_found)));
            };
            let mut after = before.clone();
            after.mode = mode;
            after.modified = deed.now;
            named_domain::write_change(&mut draft, deed, Environment::Production, &before, &after)
                .await?;
            draft.note(format!("mode {}, before {}", word(mode), word(before.mode)));
            draft.record_in(&before.account);
            Ok((draft, ()))
        });
        let committed = set.await.map_err(refused_or::<Error, Error>)?;
        Ok(Done::changed(committed.revision))
    }
}

const fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Normal => "normal",
        Mode::Safe => "safe",
        Mode::Protected => "protected",
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Domain(why) => why.code(),
            Self::NoMode => Code::MissingMode,
            Self::Mode { .. } => Code::InvalidMode,
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
