//! `DeleteSpecificConfig`, `DeleteSpecificStagingConfig` and `BatchDeleteCdnDomainConfig`: delete
//! settings, by config id or by function.

use edgeseal_core::{DomainPattern, delivery::Setting, domain::Environment};

use super::{
    configure::{self, Error},
    domain_list_error::DomainListError,
    domain_lookup, functions,
};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{EmptyReply, Input, Operation, Success},
    request::ParamMap,
    sanitize::sanitize_to,
};

/// `DeleteSpecificConfig`: by config id.
pub type DeleteSpecificConfig = DeleteSettings<false>;

/// `DeleteSpecificStagingConfig`: by config id, on the staging edges.
pub type DeleteSpecificStagingConfig = DeleteSettings<true>;

/// Deletes settings by config id.
pub struct DeleteSettings<const STAGING: bool>;

/// `BatchDeleteCdnDomainConfig`: by function.
pub struct BatchDeleteCdnDomainConfig;

impl<const STAGING: bool> Operation for DeleteSettings<STAGING> {
    type Params = (DomainPattern, Vec<i64>);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(DomainPattern, Vec<i64>), Error> {
        Ok((domain_lookup::parse_name(params)?, ids(params)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, ids): (DomainPattern, Vec<i64>),
    ) -> Result<Success<EmptyReply>, Error> {
        let environment = if STAGING {
            Environment::Staging
        } else {
            Environment::Production
        };
        let names = std::slice::from_ref(&name);
        let is_named = |setting: &Setting| ids.contains(&setting.id);
        let removed = configure::remove(context, call, names, is_named, environment);
        Ok(Success::served(removed.await?, environment))
    }
}

impl Operation for BatchDeleteCdnDomainConfig {
    type Params = (Vec<DomainPattern>, Vec<String>);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(
        Input { params, domains }: Input<'_>,
    ) -> Result<(Vec<DomainPattern>, Vec<String>), Error> {
        let names = domains.names().map_err(DomainListError::from)?;
        let functions =
            functions::names(params.get_non_empty("FunctionNames").unwrap_or_default())?;
        if functions.is_empty() {
            return Err(Error::NoFunctionNames);
        }
        Ok((names, functions))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (names, functions): (Vec<DomainPattern>, Vec<String>),
    ) -> Result<Success<EmptyReply>, Error> {
        let environment = Environment::Production;
        let removed = configure::remove(
            context,
            call,
            &names,
            |setting| functions.contains(&setting.name),
            environment,
        );
        Ok(Success::served(removed.await?, environment))
    }
}

fn ids(params: &ParamMap) -> Result<Vec<i64>, Error> {
    let given = params.get_non_empty("ConfigId").ok_or(Error::NoConfigId)?;
    let refused = || Error::ConfigId {
        given: sanitize_to(given, 80),
    };
    let ids = given.split(',').map(|id| id.trim().parse());
    let ids = ids
        .collect::<Result<Vec<i64>, _>>()
        .map_err(|_| refused())?;
    // No domain has more settings than that.
    if ids.len() > functions::SETTINGS_MAX {
        return Err(refused());
    }
    Ok(ids)
}
