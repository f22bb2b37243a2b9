//! The resources of a call, as policies name them: the permission page of each product defines the
//! names.

mod certificates;

use edgeseal_core::{
    AccountId, DomainPattern,
    policy::{Principal, Resource},
};

use crate::{
    actions::{ResourceKind, equivalent_permission},
    authenticate::Caller,
    context::Context,
    domain_list::DomainList,
    error::StoreError,
    request::ParamMap,
};

/// Longest domain name in bytes (RFC 1035 section 2.3.4, as text).
const NAME_MAX: usize = 253;

/// All resources of a call, with tags if a policy of the caller reads them.
pub(super) async fn resolve(
    context: &Context,
    caller: &Caller,
    domains: &DomainList,
) -> Result<Vec<Resource>, StoreError> {
    let names = domains.raw_names();
    let reads_tags = caller
        .policies
        .as_ref()
        .is_some_and(|policies| policies.reads_tags());
    if names.len() == 0 {
        let others = non_domain_resources(caller);
        return match reads_tags {
            true => certificates::with_tags(context, caller, others).await,
            false => Ok(others),
        };
    }
    let mut resources = Vec::with_capacity(names.len());
    for given in names {
        // An invalid name is used as given, up to the longest valid length; a later step refuses
        // it.
        let Ok(name) = DomainPattern::parse(given) else {
            let given = &given[..given.floor_char_boundary(NAME_MAX)];
            resources.push(cdn_resource(caller, &format!("domain/{given}")));
            continue;
        };
        let account = caller.principal.account_id();
        let permission = caller.action.permission;
        resources.push(domain_resource(context, permission, account, &name, reads_tags).await?);
    }
    Ok(resources)
}

/// A domain as a resource for `permission`, with its tags if they are read and the domain belongs
/// to the account.
pub(crate) async fn domain_resource(
    context: &Context,
    permission: &str,
    account: &AccountId,
    name: &DomainPattern,
    reads_tags: bool,
) -> Result<Resource, StoreError> {
    let resource = service_resource(permission, account, &format!("domain/{name}"));
    if reads_tags
        && let Some(domain) = context.catalog.domain(name).await?
        && domain.account == *account
    {
        return Ok(tagged(resource, &domain.tags));
    }
    Ok(resource)
}

/// Adds tags to a resource.
pub(super) fn tagged(resource: Resource, tags: &[(String, String)]) -> Resource {
    let tags = tags.iter();
    tags.fold(resource, |resource, (key, value)| {
        resource.with_tag(key, value)
    })
}

/// The resources of a call that names no domain.
fn non_domain_resources(caller: &Caller) -> Vec<Resource> {
    let account = caller.principal.account_id();
    let params = &caller.request.params;
    let user = || {
        let name = params.get_non_empty("UserName");
        let name = name.unwrap_or_else(|| default_user_name(caller));
        Resource::new(format!("acs:ram:*:{account}:user/{name}"))
    };
    let role = || {
        let name = params.get_non_empty("RoleName").unwrap_or("*");
        Resource::new(format!("acs:ram:*:{account}:role/{name}"))
    };
    match caller.action.resource {
        ResourceKind::Domain
        | ResourceKind::EachDomain
        | ResourceKind::EachUrl
        | ResourceKind::AllDomains => {
            vec![cdn_resource(caller, "domain/*")]
        }
        ResourceKind::Service => vec![cdn_resource(caller, "*")],
        ResourceKind::Cas | ResourceKind::Unnamed => {
            vec![unnamed_resource(caller.action.permission, account)]
        }
        ResourceKind::Edgeseal => vec![Resource::new(format!("acs:edgeseal:*:{account}:*"))],
        ResourceKind::Account => {
            let named = named_account(caller);
            vec![Resource::new(format!(
                "acs:edgeseal:*:{account}:account/{named}"
            ))]
        }
        ResourceKind::AllAccounts => {
            vec![Resource::new(format!("acs:edgeseal:*:{account}:account/*"))]
        }
        ResourceKind::User => vec![user()],
        ResourceKind::RenamedUser => {
            let new_name = params.get_non_empty("NewUserName");
            let new_name =
                new_name.map(|name| Resource::new(format!("acs:ram:*:{account}:user/{name}")));
            [user()].into_iter().chain(new_name).collect()
        }
        ResourceKind::Role => vec![role()],
        ResourceKind::Policy => vec![policy(caller, params)],
        ResourceKind::UserAndPolicy => vec![user(), policy(caller, params)],
        ResourceKind::RoleAndPolicy => vec![role(), policy(caller, params)],
        ResourceKind::AssumedRole => {
            vec![Resource::new(
                params.get(caller.action.resource_param).unwrap_or_default(),
            )]
        }
    }
}

fn policy(caller: &Caller, params: &ParamMap) -> Resource {
    let name = params.get_non_empty("PolicyName").unwrap_or("*");
    match params.get("PolicyType") {
        Some("System") => Resource::new(format!("acs:ram:*:system:policy/{name}")),
        _ => {
            let account = caller.principal.account_id();
            Resource::new(format!("acs:ram:*:{account}:policy/{name}"))
        }
    }
}

/// The user of a call that names none: the caller, if the action defaults to it; else all.
fn default_user_name(caller: &Caller) -> &str {
    match &caller.principal {
        Principal::User { name, .. } if !caller.action.resource_param.is_empty() => name,
        _ => "*",
    }
}

/// No particular resource of a service: policies name it `*`. A `Deny` of anything in the service
/// applies to it too.
pub(super) fn unnamed_resource(permission: &str, account: &AccountId) -> Resource {
    let service = service(permission);
    Resource::new("*").within(format!("acs:{service}:*:{account}:*"))
}

/// All of Edgeseal. A `Deny` of anything in it applies too.
pub(super) fn edgeseal_resource(account: &AccountId) -> Resource {
    let arn = format!("acs:edgeseal:*:{account}:*");
    Resource::new(arn.as_str()).within(arn)
}

/// The account that an operator's call concerns.
pub(super) fn named_account(caller: &Caller) -> &str {
    let own = caller.principal.account_id().as_str();
    caller
        .request
        .params
        .get_non_empty("AccountId")
        .unwrap_or(own)
}

/// A resource of the caller's in the CDN.
fn cdn_resource(caller: &Caller, name: &str) -> Resource {
    service_resource(
        caller.action.permission,
        caller.principal.account_id(),
        name,
    )
}

/// A resource of an account in the service of a permission. CDN and DCDN share their domains: a
/// `Deny` under one name applies to both.
fn service_resource(permission: &str, account: &AccountId, name: &str) -> Resource {
    let arn = |service| format!("acs:{service}:*:{account}:{name}");
    let service = service(permission);
    let other = match service {
        "cdn" => "dcdn",
        // Edgeseal's own actions on domains act on CDN domains.
        "dcdn" | "edgeseal" => "cdn",
        _ => return Resource::new(arn(service)),
    };
    let action = equivalent_permission(permission).unwrap_or(permission);
    Resource::new(arn(service)).with_alias(action, arn(other))
}

/// The service that a permission belongs to.
pub(super) fn service(permission: &str) -> &str {
    permission
        .split_once(':')
        .map_or("*", |(service, _)| service)
}
