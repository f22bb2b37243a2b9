//! Changes to settings, shared by all operations on configuration functions.

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
    context::Context,
    error::{StoreError, api_error, from_change_error},
};

/// Errors of changing settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The domain list is invalid.
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
    /// Invalid functions.
    #[error(transparent)]
    Functions(#[from] InvalidFunctions),
    /// No function is named.
    #[error("name the functions in FunctionNames, separated by commas")]
    NoFunctionNames,
    /// No config id is given.
    #[error("name the setting in ConfigId")]
    NoConfigId,
    /// Not config ids.
    #[error("ConfigId is {given:?}; it must be numbers, separated by commas")]
    ConfigId {
        /// The value given.
        given: String,
    },
    /// No redirect is given, or an unknown one.
    #[error("RedirectType is {given:?}; use Off, Http or Https")]
    RedirectType {
        /// The value given; empty if none.
        given: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A setting that was added or changed.
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
                        config_id: set.map_err(|error| ChangeError::Refused(error.into()))?,
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

/// Removes the settings that `matches` selects from all of these domains, or from none. It is not
/// an error if no setting matches.
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
                    .map_err(|error| ChangeError::Refused(Error::from(error)))?;
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
    let domain = found.map_err(|error| ChangeError::Refused(Error::from(error)))?;
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
        .map_err(|error| ChangeError::Refused(Error::from(error)))?;
    draft
        .change_domain_with_history(&call.audit, environment, before, &after)
        .await?;
    Ok(())
}

api_error!(Error {
    Domains(DomainListError),
    Domain(DomainError),
    Stopped => DomainOffline,
    Functions(InvalidFunctions),
    NoFunctionNames => MissingFunctionNames,
    NoConfigId => MissingConfigId,
    ConfigId => InvalidConfigId,
    RedirectType { given } if given.is_empty() => MissingRedirectType,
    RedirectType => InvalidRedirectType,
    Store(StoreError),
});
