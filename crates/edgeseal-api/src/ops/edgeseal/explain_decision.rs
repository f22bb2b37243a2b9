//! `ExplainDecision`: what would be decided about somebody, and by which statement.

use std::net::IpAddr;

use edgeseal_core::{
    Pattern,
    identity::{RoleName, UserName},
    policy::{self, Decision, Layer, Principal, Reason, Resource, Sphere, Verdict},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    actions::ACTIONS,
    authorize::{self, Authorized, domain_resource},
    code::Code,
    context::Context,
    operation::{Done, Failure, Operation, Trouble, shown},
    request::Params,
    rights::Power,
};

/// The operation.
pub struct ExplainDecision;

/// The question.
pub struct Question {
    permission: String,
    resource: String,
    who: Who,
    source_ip: Option<IpAddr>,
}

/// About whom.
enum Who {
    Caller,
    User(String),
    Role(String),
}

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    /// `Allowed`, `ExplicitDeny` or `ImplicitDeny`.
    decision: &'static str,
    /// The reason in a sentence.
    reason: String,
    /// Who was asked about.
    principal: String,
    /// What was asked.
    permission: String,
    /// On what, in full.
    resource: String,
    /// The kind of the policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_type: Option<&'static str>,
    /// The policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_name: Option<String>,
    /// Which of its statements, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement_number: Option<usize>,
    /// The statement, as it was written, but for spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<String>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No permission is named.
    #[error("name the permission in Permission, such as cdn:SetCdnDomainSSLCertificate")]
    NoPermission,
    /// Nothing is named that it would act upon.
    #[error(
        "name in Resource a domain, or a full name such as acs:cdn:*:1234567890123456:domain/example.com"
    )]
    NoResource,
    /// Not an address.
    #[error("SourceIp is {given:?}; give one IPv4 or IPv6 address")]
    SourceIp {
        /// What was given.
        given: String,
    },
    /// There is no such user.
    #[error("there is no user {name:?} in your account")]
    NoUser {
        /// What was given.
        name: String,
    },
    /// There is no such role.
    #[error("there is no role {name:?} in your account")]
    NoRole {
        /// What was given.
        name: String,
    },
    /// The store failed.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for ExplainDecision {
    type Params = Question;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingPermission,
        Code::MissingResource,
        Code::InvalidSourceIp,
        Code::UserNotFound,
        Code::RoleNotFound,
    ];

    fn parse(params: &Params) -> Result<Question, Error> {
        let permission = params.given("Permission").ok_or(Error::NoPermission)?;
        let resource = params.given("Resource").ok_or(Error::NoResource)?;
        let source_ip = params.given("SourceIp").map(|given| {
            given.parse().map_err(|_| Error::SourceIp {
                given: shown(given),
            })
        });
        let who = match (params.given("UserName"), params.given("RoleName")) {
            (Some(user), _) => Who::User(user.to_owned()),
            (None, Some(role)) => Who::Role(role.to_owned()),
            (None, None) => Who::Caller,
        };
        Ok(Question {
            permission: permission.to_owned(),
            resource: resource.to_owned(),
            who,
            source_ip: source_ip.transpose()?,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        question: Question,
    ) -> Result<Done<Reply>, Error> {
        let (principal, power) = find(context, call, &question.who).await?;
        let reads_tags = power.as_ref().is_some_and(Power::reads_tags);
        let resource = resource(context, call, &question, reads_tags).await?;
        let mut circumstances = call.circumstances();
        circumstances.source_ip = question.source_ip.or(circumstances.source_ip);
        let known = ACTIONS.iter();
        let mut known = known.filter(|action| action.permission == question.permission);
        let account = resource.arn().rsplit_once(":account/");
        let account = account.map_or("", |(_, account)| account);
        let sphere = known.next().map_or(Sphere::OwnAccount, |action| {
            authorize::sphere(action, &principal, account)
        });
        let arn = resource.arn().to_owned();
        let asked = authorize::Question {
            sphere,
            action: question.permission.clone(),
            resources: vec![resource],
            circumstances,
        };
        let judged = authorize::judge(context, &principal, power.as_ref(), asked).await;
        let (decision, _) = judged?;
        let decided = (sphere, &decision);
        let reply = Reply::new(&principal, power.as_ref(), decided, question, arn);
        Ok(Done::read(reply))
    }
}

async fn find(
    context: &Context,
    call: &Authorized,
    who: &Who,
) -> Result<(Principal, Option<Power>), Error> {
    let (rights, catalog, account) = (&context.rights, &context.catalog, call.account());
    let found = match who {
        Who::Caller => return Ok((call.principal().clone(), call.power().cloned())),
        Who::User(given) => match UserName::parse(given) {
            Ok(name) => rights.user(catalog, account, &name).await,
            Err(_) => Ok(None),
        },
        Who::Role(given) => match RoleName::parse(given) {
            Ok(name) => rights.role(catalog, account, &name, "explained").await,
            Err(_) => Ok(None),
        },
    };
    let found = found.map_err(Trouble::from)?;
    let (principal, power) = found.ok_or_else(|| match who {
        Who::Role(given) => Error::NoRole { name: shown(given) },
        Who::User(given) => Error::NoUser { name: shown(given) },
        Who::Caller => Error::NoUser {
            name: String::new(),
        },
    })?;
    Ok((principal, Some(power)))
}

/// The thing asked about: a full name, `*`, or a domain of the caller's account.
async fn resource(
    context: &Context,
    call: &Authorized,
    question: &Question,
    reads_tags: bool,
) -> Result<Resource, Error> {
    let given = &question.resource;
    let permission = &question.permission;
    match Pattern::parse(given) {
        Ok(name) if !given.contains(':') => {
            Ok(domain_resource(context, permission, call.account(), &name, reads_tags).await?)
        }
        _ => Ok(Resource::new(given.as_str())),
    }
}

impl Reply {
    fn new(
        principal: &Principal,
        power: Option<&Power>,
        (sphere, decision): (Sphere, &Decision),
        question: Question,
        resource: String,
    ) -> Self {
        let (layer, policy_name, statement) = match &decision.by {
            Some(Reason::Statement {
                layer,
                policy,
                statement,
                ..
            }) => (Some(*layer), policy.clone(), Some(*statement)),
            Some(Reason::NoAllow { layer, .. }) => (Some(*layer), None, None),
            Some(Reason::TooManySteps { .. }) | None => (None, None, None),
        };
        let text = layer
            .zip(power)
            .and_then(|(layer, power)| match layer {
                Layer::Session => power.session.as_ref(),
                Layer::Identity => power.rights.document(policy_name.as_deref()?),
                Layer::Trust => None,
            })
            .map(policy::Document::text);
        let reason = match (principal, decision.verdict) {
            (Principal::Account(_), Verdict::Allowed) => {
                "the key of an account may do everything in its account".to_owned()
            }
            _ => authorize::reason(principal, sphere, decision),
        };
        Self {
            decision: match decision.verdict {
                Verdict::Allowed => "Allowed",
                Verdict::ExplicitDeny => "ExplicitDeny",
                Verdict::ImplicitDeny => "ImplicitDeny",
            },
            reason,
            principal: principal.arn().to_string(),
            permission: question.permission,
            resource,
            policy_type: layer.map(authorize::policy_type),
            policy_name,
            statement_number: statement.map(|at| at + 1),
            statement: text.zip(statement).and_then(|(text, at)| nth(text, at)),
        }
    }
}

/// The statement of this index of a policy: a policy with one may hold it without a list.
fn nth(text: &str, at: usize) -> Option<String> {
    let mut document: Value = serde_json::from_str(text).ok()?;
    let statement = match document["Statement"].take() {
        Value::Array(mut list) if at < list.len() => list.swap_remove(at),
        Value::Array(_) => return None,
        one => one,
    };
    Some(statement.to_string())
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::NoPermission => Code::MissingPermission,
            Self::NoResource => Code::MissingResource,
            Self::SourceIp { .. } => Code::InvalidSourceIp,
            Self::NoUser { .. } => Code::UserNotFound,
            Self::NoRole { .. } => Code::RoleNotFound,
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
