//! `BatchSetCdnDomainConfig`: functions of up to 50 domains are set, all or none; and
//! `SetCdnDomainStagingConfig`, for one domain on the staging edges only.

use edgeseal_core::{Pattern, domain::Environment};
use serde::Serialize;

use super::{
    configure::{self, Configured, Error},
    functions::{self, Function},
    named_domain,
    named_domains::NoDomains,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    operation::{BatchOperation, Done, Operation},
    request::Params,
};

/// The operation for many domains.
pub struct BatchSetCdnDomainConfig;

/// The operation for the staging edges.
pub struct SetCdnDomainStagingConfig;

/// What was set.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    domain_config_list: List,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    domain_config_model: Vec<Configured>,
}

/// What was set: a list without a wrapper.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StagedReply {
    domain_config_list: Vec<Configured>,
}

impl BatchOperation for BatchSetCdnDomainConfig {
    type Params = (Vec<Pattern>, Vec<Function>);
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainNames,
        Code::DomainNameOverLimit,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
        Code::DomainOffline,
        Code::MissingFunctions,
        Code::InvalidFunctions,
        Code::FunctionNotSupported,
        Code::InvalidArgValue,
    ];

    fn parse(
        domains: &DomainList,
        params: &Params,
    ) -> Result<(Vec<Pattern>, Vec<Function>), Error> {
        let names = domains.names().map_err(NoDomains::from)?;
        Ok((names, functions::parse(params.given("Functions"))?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (names, functions): (Vec<Pattern>, Vec<Function>),
    ) -> Result<Done<Reply>, Error> {
        let environment = Environment::Production;
        let set = configure::set(context, call, &names, &functions, environment);
        let (revision, domain_config_model) = set.await?;
        let domain_config_list = List {
            domain_config_model,
        };
        let reply = Reply { domain_config_list };
        Ok(Done::with(reply, revision, Some(environment)))
    }
}

impl Operation for SetCdnDomainStagingConfig {
    type Params = (Pattern, Vec<Function>);
    type Reply = StagedReply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
        Code::DomainOffline,
        Code::MissingFunctions,
        Code::InvalidFunctions,
        Code::FunctionNotSupported,
        Code::InvalidArgValue,
    ];

    fn parse(params: &Params) -> Result<(Pattern, Vec<Function>), Error> {
        let name = named_domain::name(params)?;
        Ok((name, functions::parse(params.given("Functions"))?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, functions): (Pattern, Vec<Function>),
    ) -> Result<Done<StagedReply>, Error> {
        let (names, environment) = (std::slice::from_ref(&name), Environment::Staging);
        let set = configure::set(context, call, names, &functions, environment);
        let (revision, domain_config_list) = set.await?;
        let reply = StagedReply { domain_config_list };
        Ok(Done::with(reply, revision, Some(environment)))
    }
}
