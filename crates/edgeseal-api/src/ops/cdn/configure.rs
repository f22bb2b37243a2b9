//! Changes of settings: what all operations on configuration functions do.

use edgeseal_core::{
    DomainPattern,
    delivery::Setting,
    domain::{Domain, DomainState, Environment},
};
use edgeseal_store::{
    Revision,
    catalog::{ChangeError, Draft},
};
use serde::Serialize;

use super::{
    domain_list_error::DomainListError,
    domain_lookup::{self, DomainError},
    functions::{self, Function, InvalidFunctions},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{ApiError, StoreError, from_change_error},
};

/// Why settings are not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are no such domains.
    #[error(transparent)]
    Domains(#[from] DomainListError),
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The domain is stopped.
    #[error("{name} is stopped; start it first")]
    Stopped {
        /// The domain.
        name: DomainPattern,
    },
    /// No such functions.
    #[error(transparent)]
    Functions(#[from] InvalidFunctions),
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
    Store(#[from] StoreError),
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
    names: &[DomainPattern],
    functions: &[Function],
    environment: Environment,
) -> Result<(Revision, Vec<Configured>), Error> {
    let mut ids = Vec::with_capacity(names.len() * functions.len());
    for _ in 0..names.len() * functions.len() {
        let id = context.catalog.new_setting_id().await;
        ids.push(id.map_err(StoreError::from)?);
    }
    let ids = &ids;
    let changed = context
        .catalog
        .transact(&call.audit, |mut draft| async move {
            let mut ids = ids.iter().copied();
            let mut configured = Vec::new();
            for name in names {
                let before = find_started(&mut draft, call, name).await?;
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
    let committed = changed.await.map_err(from_change_error::<Error, Error>)?;
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
    names: &[DomainPattern],
    gone: impl Fn(&Setting) -> bool + Send + Sync,
    environment: Environment,
) -> Result<Revision, Error> {
    let matches = &gone;
    let changed = context
        .catalog
        .transact(&call.audit, |mut draft| async move {
            for name in names {
                let before = domain_lookup::find_in(&mut draft, call.account(), name)
                    .await
                    .map_err(|why| ChangeError::Refused(Error::from(why)))?;
                let (mut settings, mut staged) =
                    (before.settings.clone(), before.staged_settings.clone());
                match environment {
                    Environment::Production => settings.retain(|setting| !matches(setting)),
                    Environment::Staging => staged.retain(|setting| !matches(setting)),
                }
                let change = (settings, staged);
                write(context, &mut draft, call, environment, &before, change).await?;
            }
            Ok((draft, ()))
        });
    let committed = changed.await.map_err(from_change_error::<Error, Error>)?;
    Ok(committed.revision)
}

async fn find_started(
    draft: &mut Draft,
    call: &Authorized,
    name: &DomainPattern,
) -> Result<Domain, ChangeError<Error>> {
    let found = domain_lookup::find_in(draft, call.account(), name).await;
    let domain = found.map_err(|why| ChangeError::Refused(Error::from(why)))?;
    if matches!(domain.state, DomainState::Offline | DomainState::Stopping) {
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
    staged.extend(functions::staged_redirect_off(&settings, &staged, new_id));
    let mut after = before.clone();
    after
        .configure(settings, staged, functions::derive, call.now())
        .map_err(|why| ChangeError::Refused(Error::from(why)))?;
    domain_lookup::write_change(draft, &call.audit, environment, before, &after).await?;
    Ok(())
}

impl ApiError for Error {
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
            Self::Store(trouble) => trouble.code(),
        }
    }

    fn wire_code(&self) -> String {
        match self {
            Self::Functions(why) => why.wire_code(),
            other => other.code().row().wire_code.to_owned(),
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
            Self::Store(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
