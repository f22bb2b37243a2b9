//! Changes of settings: what all operations on configuration functions do.

use edgeseal_core::{
    Pattern,
    delivery::Setting,
    domain::{Domain, Environment, State},
};
use edgeseal_store::{
    Revision,
    catalog::{ChangeError, Draft},
};
use serde::Serialize;

use super::{
    functions::{self, BadFunctions, Function},
    named_domain::{self, NoDomain},
    named_domains::NoDomains,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Failure, Trouble, refused_or},
};

/// Why settings are not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are no such domains.
    #[error(transparent)]
    Domains(#[from] NoDomains),
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] NoDomain),
    /// The domain is stopped.
    #[error("{name} is stopped; start it first")]
    Stopped {
        /// The domain.
        name: Pattern,
    },
    /// No such functions.
    #[error(transparent)]
    Functions(#[from] BadFunctions),
    /// No functions are named.
    #[error("name the functions in FunctionNames, separated by commas")]
    NoFunctionNames,
    /// No setting is named.
    #[error("name the setting in ConfigId")]
    NoConfigId,
    /// Not numbers of settings.
    #[error("ConfigId is {given:?}; it must be numbers, separated by commas")]
    ConfigId {
        /// What was given.
        given: String,
    },
    /// No redirect is named, or none that there is.
    #[error("RedirectType is {given:?}; use Off, Http or Https")]
    RedirectType {
        /// What was given; empty if nothing was.
        given: String,
    },
    /// The store did not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// A setting that was made or changed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Configured {
    config_id: i64,
    domain_name: String,
    function_name: String,
}

/// Sets functions of all of these domains, or of none.
///
/// # Errors
/// [`Error`].
pub(super) async fn set(
    context: &Context,
    call: &Authorized,
    names: &[Pattern],
    functions: &[Function],
    environment: Environment,
) -> Result<(Revision, Vec<Configured>), Error> {
    let mut ids = Vec::with_capacity(names.len() * functions.len());
    for _ in 0..names.len() * functions.len() {
        let id = context.catalog.new_setting_id().await;
        ids.push(id.map_err(Trouble::from)?);
    }
    let ids = &ids;
    let changed = context
        .catalog
        .transact(&call.deed, |mut draft| async move {
            let mut ids = ids.iter().copied();
            let mut configured = Vec::new();
            for name in names {
                let before = online(&mut draft, call, name).await?;
                let (mut settings, mut staged) =
                    (before.settings.clone(), before.staged_settings.clone());
                let changed = match environment {
                    Environment::Production => &mut settings,
                    Environment::Staging => &mut staged,
                };
                for (function, new_id) in functions.iter().zip(ids.by_ref()) {
                    let set = functions::set(changed, function, new_id);
                    configured.push(Configured {
                        config_id: set.map_err(|why| ChangeError::Refused(why.into()))?,
                        domain_name: name.to_string(),
                        function_name: function.name.clone(),
                    });
                }
                let change = (settings, staged);
                write(context, &mut draft, call, environment, &before, change).await?;
            }
            Ok((draft, configured))
        });
    let committed = changed.await.map_err(refused_or::<Error, Error>)?;
    Ok((committed.revision, committed.value))
}

/// Removes the settings that `gone` takes from all of these domains, or from none. That there is
/// none to remove is no error: afterwards there is none.
///
/// # Errors
/// [`Error`].
pub(super) async fn remove(
    context: &Context,
    call: &Authorized,
    names: &[Pattern],
    gone: impl Fn(&Setting) -> bool + Send + Sync,
    environment: Environment,
) -> Result<Revision, Error> {
    let gone = &gone;
    let changed = context
        .catalog
        .transact(&call.deed, |mut draft| async move {
            for name in names {
                let before = named_domain::find_in(&mut draft, call.account(), name)
                    .await
                    .map_err(|why| ChangeError::Refused(Error::from(why)))?;
                let (mut settings, mut staged) =
                    (before.settings.clone(), before.staged_settings.clone());
                match environment {
                    Environment::Production => settings.retain(|setting| !gone(setting)),
                    Environment::Staging => staged.retain(|setting| !gone(setting)),
                }
                let change = (settings, staged);
                write(context, &mut draft, call, environment, &before, change).await?;
            }
            Ok((draft, ()))
        });
    let committed = changed.await.map_err(refused_or::<Error, Error>)?;
    Ok(committed.revision)
}

async fn online(
    draft: &mut Draft,
    call: &Authorized,
    name: &Pattern,
) -> Result<Domain, ChangeError<Error>> {
    let found = named_domain::find_in(draft, call.account(), name).await;
    let domain = found.map_err(|why| ChangeError::Refused(Error::from(why)))?;
    if matches!(domain.state, State::Offline | State::Stopping) {
        let name = name.clone();
        return Err(ChangeError::Refused(Error::Stopped { name }));
    }
    Ok(domain)
}

async fn write(
    context: &Context,
    draft: &mut Draft,
    call: &Authorized,
    environment: Environment,
    before: &Domain,
    (settings, mut staged): (Vec<Setting>, Vec<Setting>),
) -> Result<(), ChangeError<Error>> {
    if settings == before.settings && staged == before.staged_settings {
        return Ok(());
    }
    let new_id = context.catalog.new_setting_id().await?;
    staged.extend(functions::missing_end_of_redirect(
        &settings, &staged, new_id,
    ));
    let mut after = before.clone();
    after
        .configure(settings, staged, functions::derive, call.now())
        .map_err(|why| ChangeError::Refused(Error::from(why)))?;
    named_domain::write_change(draft, &call.deed, environment, before, &after).await?;
    Ok(())
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Domains(why) => why.code(),
            Self::Domain(why) => why.code(),
            Self::Stopped { .. } => Code::DomainOffline,
            Self::Functions(why) => why.code(),
            Self::NoFunctionNames => Code::MissingFunctionNames,
            Self::NoConfigId => Code::MissingConfigId,
            Self::ConfigId { .. } => Code::InvalidConfigId,
            Self::RedirectType { given } if given.is_empty() => Code::MissingRedirectType,
            Self::RedirectType { .. } => Code::InvalidRedirectType,
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn wire(&self) -> String {
        match self {
            Self::Functions(why) => why.wire(),
            other => other.code().row().wire.to_owned(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Functions(why) => why.message(),
            other => other.code().row().message.to_owned(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domains(why) => why.detail(),
            Self::Domain(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
