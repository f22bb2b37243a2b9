//! `ExplainDecision`: whether an identity has a permission, and which statement decides it.

use std::net::IpAddr;

use edgeseal_core::{
    DomainPattern,
    identity::{IdentityKind, IdentityRef, RoleName, UserName},
    policy::{self, Decision, Layer, Principal, Reason, Resource, Scope, Verdict},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    actions::ACTIONS,
    authorize::{self, Authorized, domain_resource},
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    policy_cache::EffectivePolicies,
    sanitize::sanitize,
};

/// `ExplainDecision`.
pub struct ExplainDecision;

/// The parameters.
pub struct Params {
    permission: String,
    resource: String,
    /// Whose; `None` for the caller's own.
    identity: Option<IdentityRef>,
    source_ip: Option<IpAddr>,
}

/// The decision.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    /// `Allowed`, `ExplicitDeny` or `ImplicitDeny`.
    decision: &'static str,
    /// The reason as a sentence.
    reason: String,
    /// The ARN of the identity.
    principal: String,
    /// The permission.
    permission: String,
    /// The full name of the resource.
    resource: String,
    /// The kind of the policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_type: Option<&'static str>,
    /// The policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_name: Option<String>,
    /// The number of the statement that decided, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement_number: Option<usize>,
    /// The statement as written, except for white space.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<String>,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No permission.
    #[error("name the permission in Permission, such as cdn:SetCdnDomainSSLCertificate")]
    NoPermission,
    /// No resource.
    #[error(
        "name in Resource a domain, or a full name such as acs:cdn:*:1234567890123456:domain/example.com"
    )]
    NoResource,
    /// Not an IP address.
    #[error("SourceIp is {given:?}; give one IPv4 or IPv6 address")]
    SourceIp {
        /// The value given.
        given: String,
    },
    /// There is no such user or role.
    #[error("there is no {} {:?} in your account", .0.kind, .0.name)]
    NoIdentity(IdentityRef),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for ExplainDecision {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let permission = params
            .get_non_empty("Permission")
            .ok_or(Error::NoPermission)?;
        let resource = params.get_non_empty("Resource").ok_or(Error::NoResource)?;
        let source_ip = params.get_non_empty("SourceIp").map(|given| {
            given.parse().map_err(|_| Error::SourceIp {
                given: sanitize(given),
            })
        });
        let named = |kind, parameter| {
            let name = params.get_non_empty(parameter)?.to_owned();
            Some(IdentityRef { kind, name })
        };
        let user = named(IdentityKind::User, "UserName");
        Ok(Params {
            permission: permission.to_owned(),
            resource: resource.to_owned(),
            identity: user.or_else(|| named(IdentityKind::Role, "RoleName")),
            source_ip: source_ip.transpose()?,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        query: Params,
    ) -> Result<Success<Reply>, Error> {
        let (principal, policies) = find(context, call, query.identity.as_ref()).await?;
        let reads_tags = policies.as_ref().is_some_and(EffectivePolicies::reads_tags);
        let resource = resource(context, call, &query, reads_tags).await?;
        let mut circumstances = call.policy_context();
        circumstances.source_ip = query.source_ip.or(circumstances.source_ip);
        let known = ACTIONS.iter();
        let mut known = known.filter(|action| action.permission == query.permission);
        let account = resource.arn().rsplit_once(":account/");
        let account = account.map_or("", |(_, account)| account);
        let scope = known.next().map_or(Scope::OwnAccount, |action| {
            authorize::scope(action, &principal, account)
        });
        let arn = resource.arn().to_owned();
        let asked = authorize::PolicyQuery {
            scope,
            action: query.permission.clone(),
            resources: vec![resource],
            context: circumstances,
        };
        let judged = authorize::evaluate(context, &principal, policies.as_ref(), asked).await;
        let (decision, _) = judged?;
        let decided = (scope, &decision);
        let reply = Reply::new(&principal, policies.as_ref(), decided, query, arn);
        Ok(Success::read(reply))
    }
}

async fn find(
    context: &Context,
    call: &Authorized,
    identity: Option<&IdentityRef>,
) -> Result<(Principal, Option<EffectivePolicies>), Error> {
    let (cache, catalog, account) = (&context.policy_cache, &context.catalog, call.account());
    let Some(IdentityRef { kind, name }) = identity else {
        return Ok((call.principal().clone(), call.policies().cloned()));
    };
    let found = match kind {
        IdentityKind::User => match UserName::parse(name) {
            Ok(name) => cache.user(catalog, account, &name).await,
            Err(_) => Ok(None),
        },
        IdentityKind::Role => match RoleName::parse(name) {
            Ok(name) => cache.role(catalog, account, &name, "explained").await,
            Err(_) => Ok(None),
        },
    };
    let found = found.map_err(StoreError::from)?;
    let (principal, policies) = found.ok_or_else(|| {
        Error::NoIdentity(IdentityRef {
            kind: *kind,
            name: sanitize(name),
        })
    })?;
    Ok((principal, Some(policies)))
}

/// The resource: a full name, `*`, or a domain of the caller's account.
async fn resource(
    context: &Context,
    call: &Authorized,
    query: &Params,
    reads_tags: bool,
) -> Result<Resource, Error> {
    let given = &query.resource;
    let permission = &query.permission;
    match DomainPattern::parse(given) {
        Ok(name) if !given.contains(':') => {
            Ok(domain_resource(context, permission, call.account(), &name, reads_tags).await?)
        }
        _ => Ok(Resource::new(given.as_str())),
    }
}

impl Reply {
    fn new(
        principal: &Principal,
        policies: Option<&EffectivePolicies>,
        (scope, decision): (Scope, &Decision),
        query: Params,
        resource: String,
    ) -> Self {
        let (layer, policy_name, statement) = match &decision.reason {
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
            .zip(policies)
            .and_then(|(layer, policies)| match layer {
                Layer::Session => policies.session.as_ref(),
                Layer::Identity => policies.identity.document(policy_name.as_deref()?),
                Layer::Trust => None,
            })
            .map(policy::Document::text);
        let reason = match (principal, decision.verdict) {
            (Principal::Account(_), Verdict::Allowed) => {
                "the key of an account may do everything in the account".to_owned()
            }
            _ => authorize::denial_reason(principal, scope, decision),
        };
        Self {
            decision: match decision.verdict {
                Verdict::Allowed => "Allowed",
                Verdict::ExplicitDeny => "ExplicitDeny",
                Verdict::ImplicitDeny => "ImplicitDeny",
            },
            reason,
            principal: principal.arn().to_string(),
            permission: query.permission,
            resource,
            policy_type: layer.map(authorize::policy_type),
            policy_name,
            statement_number: statement.map(|at| at + 1),
            statement: text.zip(statement).and_then(|(text, at)| nth(text, at)),
        }
    }
}

/// The statement with this index in a policy. A policy with one statement may hold it without a
/// list.
fn nth(text: &str, at: usize) -> Option<String> {
    let mut document: Value = serde_json::from_str(text).ok()?;
    let statement = match document["Statement"].take() {
        Value::Array(mut list) if at < list.len() => list.swap_remove(at),
        Value::Array(_) => return None,
        one => one,
    };
    Some(statement.to_string())
}

api_error!(Error {
    NoPermission => MissingPermission,
    NoResource => MissingResource,
    SourceIp => InvalidSourceIp,
    NoIdentity(IdentityRef { kind: IdentityKind::User, .. }) => UserNotFound,
    NoIdentity(IdentityRef { kind: IdentityKind::Role, .. }) => RoleNotFound,
    Store(StoreError),
});
