//! `DeleteSpecificConfig`, `DeleteSpecificStagingConfig` and `BatchDeleteCdnDomainConfig`: settings
//! are gone, by number or by function.

use edgeseal_core::{Pattern, domain::Environment};

use super::{
    configure::{self, Error},
    functions, named_domain,
    named_domains::NoDomains,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    operation::{BatchOperation, Done, Nothing, Operation},
    request::Params,
};

/// The operation that takes numbers.
pub struct DeleteSpecificConfig;

/// The same for the staging edges.
pub struct DeleteSpecificStagingConfig;

/// The operation that takes functions.
pub struct BatchDeleteCdnDomainConfig;

const SPECIFIC: &[Code] = &[
    Code::MissingDomainName,
    Code::DomainNameMalformed,
    Code::DomainNotFound,
    Code::MissingConfigId,
    Code::InvalidConfigId,
];

impl Operation for DeleteSpecificConfig {
    type Params = (Pattern, Vec<i64>);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = SPECIFIC;

    fn parse(params: &Params) -> Result<(Pattern, Vec<i64>), Error> {
        Ok((named_domain::name(params)?, ids(params)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, ids): (Pattern, Vec<i64>),
    ) -> Result<Done<Nothing>, Error> {
        delete(context, call, &name, &ids, Environment::Production).await
    }
}

impl Operation for DeleteSpecificStagingConfig {
    type Params = (Pattern, Vec<i64>);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = SPECIFIC;

    fn parse(params: &Params) -> Result<(Pattern, Vec<i64>), Error> {
        Ok((named_domain::name(params)?, ids(params)?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, ids): (Pattern, Vec<i64>),
    ) -> Result<Done<Nothing>, Error> {
        delete(context, call, &name, &ids, Environment::Staging).await
    }
}

impl BatchOperation for BatchDeleteCdnDomainConfig {
    type Params = (Vec<Pattern>, Vec<String>);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainNames,
        Code::DomainNameOverLimit,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
        Code::MissingFunctionNames,
        Code::InvalidFunctions,
        Code::FunctionNotSupported,
    ];

    fn parse(domains: &DomainList, params: &Params) -> Result<(Vec<Pattern>, Vec<String>), Error> {
        let names = domains.names().map_err(NoDomains::from)?;
        let functions = functions::names(params.given("FunctionNames").unwrap_or_default())?;
        if functions.is_empty() {
            return Err(Error::NoFunctionNames);
        }
        Ok((names, functions))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (names, functions): (Vec<Pattern>, Vec<String>),
    ) -> Result<Done<Nothing>, Error> {
        let environment = Environment::Production;
        let removed = configure::remove(
            context,
            call,
            &names,
            |setting| functions.contains(&setting.name),
            environment,
        );
        Ok(Done::served(removed.await?, environment))
    }
}

fn ids(params: &Params) -> Result<Vec<i64>, Error> {
    let given = params.given("ConfigId").ok_or(Error::NoConfigId)?;
    let refused = || Error::ConfigId {
        given: given.chars().take(80).collect(),
    };
    let ids = given.split(',').map(|id| id.trim().parse());
    let ids = ids
        .collect::<Result<Vec<i64>, _>>()
        .map_err(|_| refused())?;
    // A domain has no more settings than that.
    if ids.len() > functions::SETTINGS_MAX {
        return Err(refused());
    }
    Ok(ids)
}

async fn delete(
    context: &Context,
    call: &Authorized,
    name: &Pattern,
    ids: &[i64],
    environment: Environment,
) -> Result<Done<Nothing>, Error> {
    let removed = configure::remove(
        context,
        call,
        std::slice::from_ref(name),
        |setting| ids.contains(&setting.id),
        environment,
    );
    Ok(Done::served(removed.await?, environment))
}
