//! `SetDomainMode`: the operator holds the certificate of a domain, or lets it go.

use edgeseal_core::{
    Pattern,
    domain::{Environment, Mode},
};

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Nothing, Operation, Trouble, shown},
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
        let set = named_domain::change(
            context,
            &call.deed,
            None,
            &name,
            Environment::Production,
            |domain, now| {
                domain.mode = mode;
                domain.modified = now;
                Ok::<(), Error>(())
            },
        );
        Ok(Done::changed(set.await?))
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
