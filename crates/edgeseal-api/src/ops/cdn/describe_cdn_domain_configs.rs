//! `DescribeCdnDomainConfigs`: the settings of a domain; `DescribeCdnDomainStagingConfig`: its
//! staged settings.

use edgeseal_core::{DomainPattern, delivery::Setting};
use serde::Serialize;

use super::{
    configure::Error,
    domain_lookup,
    functions::{self, Effect, effect},
};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
    request::ParamMap,
};

/// `DescribeCdnDomainConfigs`.
pub struct DescribeCdnDomainConfigs;

/// `DescribeCdnDomainStagingConfig`.
pub struct DescribeCdnDomainStagingConfig;

/// The parameters.
pub struct Params {
    name: DomainPattern,
    /// All functions if empty.
    functions: Vec<String>,
    id: Option<String>,
}

/// The settings, in the wrappers that the SDKs expect.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    domain_configs: Configs,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Configs {
    domain_config: Vec<Row<Arguments>>,
}

/// The staged settings: lists without wrappers.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StagedReply {
    domain_name: String,
    domain_configs: Vec<Row<Vec<Argument>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row<A> {
    /// A string here, but a number in the actions that set it.
    config_id: String,
    function_name: String,
    parent_id: String,
    status: &'static str,
    /// An addition of Edgeseal; see [`effect`].
    effect: Effect,
    function_args: A,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Arguments {
    function_arg: Vec<Argument>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Argument {
    arg_name: String,
    arg_value: String,
}

impl Operation for DescribeCdnDomainConfigs {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        Params::parse(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Reply>, Error> {
        let found = domain_lookup::find(&context.catalog, call.account(), &params.name);
        let domain = found.await?;
        let settings = domain.settings.iter().filter(|one| params.matches(one));
        let rows = settings.map(|setting| {
            Row::of(
                setting,
                Arguments {
                    function_arg: arguments(setting),
                },
            )
        });
        Ok(Success::read(Reply {
            domain_configs: Configs {
                domain_config: rows.collect(),
            },
        }))
    }
}

impl Operation for DescribeCdnDomainStagingConfig {
    type Params = Params;
    type Reply = StagedReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let params = Params::parse(params)?;
        if params.functions.is_empty() {
            return Err(Error::NoFunctionNames);
        }
        Ok(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<StagedReply>, Error> {
        let found = domain_lookup::find(&context.catalog, call.account(), &params.name);
        let domain = found.await?;
        let settings = domain
            .staged_settings
            .iter()
            .filter(|one| params.matches(one));
        Ok(Success::read(StagedReply {
            domain_name: domain.name.to_string(),
            domain_configs: settings
                .map(|setting| Row::of(setting, arguments(setting)))
                .collect(),
        }))
    }
}

impl Params {
    fn parse(params: &ParamMap) -> Result<Self, Error> {
        Ok(Self {
            name: domain_lookup::parse_name(params)?,
            functions: functions::names(params.get_non_empty("FunctionNames").unwrap_or_default())?,
            id: params.get_non_empty("ConfigId").map(str::to_owned),
        })
    }

    fn matches(&self, setting: &Setting) -> bool {
        (self.functions.is_empty() || self.functions.contains(&setting.name))
            && self
                .id
                .as_ref()
                .is_none_or(|id| *id == setting.id.to_string())
    }
}

impl<A> Row<A> {
    fn of(setting: &Setting, function_args: A) -> Self {
        let parent = setting.parent.map(|parent| parent.to_string());
        Self {
            config_id: setting.id.to_string(),
            function_name: setting.name.clone(),
            parent_id: parent.unwrap_or_default(),
            status: "success",
            effect: effect(setting),
            function_args,
        }
    }
}

fn arguments(setting: &Setting) -> Vec<Argument> {
    setting
        .arguments
        .iter()
        .map(|(name, value)| Argument {
            arg_name: name.clone(),
            arg_value: value.clone(),
        })
        .collect()
}
