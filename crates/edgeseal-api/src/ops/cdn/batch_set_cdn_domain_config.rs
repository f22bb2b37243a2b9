//! `BatchSetCdnDomainConfig` sets functions of up to 50 domains, all or none;
//! `SetCdnDomainStagingConfig` sets them for one domain on the staging edges only.

use edgeseal_core::{DomainPattern, domain::Environment};
use serde::Serialize;

use super::{
    configure::{self, Configured, Error},
    domain_list_error::DomainListError,
    domain_lookup,
    functions::{self, Function},
};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
};

/// `BatchSetCdnDomainConfig`.
pub struct BatchSetCdnDomainConfig;

/// `SetCdnDomainStagingConfig`.
pub struct SetCdnDomainStagingConfig;

/// The settings.
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

/// The settings: a list without a wrapper.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StagedReply {
    domain_config_list: Vec<Configured>,
}

impl Operation for BatchSetCdnDomainConfig {
    type Params = (Vec<DomainPattern>, Vec<Function>);
    type Reply = Reply;
    type Error = Error;

    fn parse(
        Input { params, domains }: Input<'_>,
    ) -> Result<(Vec<DomainPattern>, Vec<Function>), Error> {
        let names = domains.names().map_err(DomainListError::from)?;
        Ok((names, functions::parse(params.get_non_empty("Functions"))?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (names, functions): (Vec<DomainPattern>, Vec<Function>),
    ) -> Result<Success<Reply>, Error> {
        let environment = Environment::Production;
        let set = configure::set(context, call, &names, &functions, environment);
        let (revision, domain_config_model) = set.await?;
        let domain_config_list = List {
            domain_config_model,
        };
        let reply = Reply { domain_config_list };
        Ok(Success::changed_with(reply, revision, Some(environment)))
    }
}

impl Operation for SetCdnDomainStagingConfig {
    type Params = (DomainPattern, Vec<Function>);
    type Reply = StagedReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(DomainPattern, Vec<Function>), Error> {
        let name = domain_lookup::parse_name(params)?;
        Ok((name, functions::parse(params.get_non_empty("Functions"))?))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, functions): (DomainPattern, Vec<Function>),
    ) -> Result<Success<StagedReply>, Error> {
        let (names, environment) = (std::slice::from_ref(&name), Environment::Staging);
        let set = configure::set(context, call, names, &functions, environment);
        let (revision, domain_config_list) = set.await?;
        let reply = StagedReply { domain_config_list };
        Ok(Success::changed_with(reply, revision, Some(environment)))
    }
}
