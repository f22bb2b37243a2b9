//! `ListTagResources`: the tags of roles and policies, which have none here. Creating one with tags
//! is refused; tools that read the tags of what they created get an empty list.

use edgeseal_core::identity::{PolicyKind, PolicyName, PolicyRef, RoleName};
use serde::Serialize;

use super::{
    error::Error,
    identity,
    parameters::{self, InvalidParameter},
    policy::AnyPolicy,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Input, Operation, Success},
    request::ParamMap,
};

/// `ListTagResources`.
pub struct ListTagResources;

/// Most names of one call.
const NAMES_MAX: usize = 50;

/// The resources whose tags are listed.
pub enum Params {
    /// These roles; all if empty.
    Roles(Vec<RoleName>),
    /// These policies; all if empty.
    Policies(Vec<PolicyName>),
}

/// No tags.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    tag_resources: [(); 0],
}

impl Operation for ListTagResources {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let kind = parameters::required(params, "ResourceType", Code::MissingResourceType)?;
        let names = names(params)?;
        let bad = |name: &str| {
            InvalidParameter::value("ResourceNames", name, "names", Code::ResourceNamesFormat)
        };
        match kind {
            "role" => {
                let names = names
                    .iter()
                    .map(|name| RoleName::parse(name).map_err(|_| bad(name)));
                Ok(Params::Roles(names.collect::<Result<_, _>>()?))
            }
            "policy" => {
                let names = names
                    .iter()
                    .map(|name| PolicyName::parse(name).map_err(|_| bad(name)));
                Ok(Params::Policies(names.collect::<Result<_, _>>()?))
            }
            other => {
                let expected = "role or policy";
                let code = Code::InvalidResourceType;
                Err(InvalidParameter::value("ResourceType", other, expected, code).into())
            }
        }
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Reply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        match params {
            Params::Roles(names) => {
                for name in names {
                    identity::find(catalog, account, &name).await?;
                }
            }
            Params::Policies(names) => {
                for name in names {
                    let policy = PolicyRef::new(PolicyKind::Custom, name);
                    AnyPolicy::find(catalog, account, &policy).await?;
                }
            }
        }
        Ok(Success::read(Reply { tag_resources: [] }))
    }
}

/// `ResourceNames`, a JSON list of names.
fn names(params: &ParamMap) -> Result<Vec<String>, Error> {
    let Some(given) = params.get_non_empty("ResourceNames") else {
        return Ok(Vec::new());
    };
    let names: Option<Vec<String>> = serde_json::from_str(given).ok();
    let names = names.filter(|names| names.len() <= NAMES_MAX);
    names.ok_or_else(|| {
        let expected = "a JSON list of at most 50 names";
        InvalidParameter::value("ResourceNames", given, expected, Code::ResourceNamesFormat).into()
    })
}
