//! What a call acts upon, in the names that policies have for it: the permission page of each
//! product says which.

mod certificates;

use edgeseal_core::{
    AccountId, Pattern,
    policy::{Principal, Resource},
};

use crate::{
    actions::{Target, twin},
    authenticate::Caller,
    context::Context,
    domain_list::DomainList,
    operation::Trouble,
    request::Params,
};

/// Bytes of a domain name at most (RFC 1035 section 2.3.4, as text).
const NAME_MAX: usize = 253;

/// Everything that a call acts upon, with tags if a policy of the caller asks for them.
pub(super) async fn of(
    context: &Context,
    caller: &Caller,
    domains: &DomainList,
) -> Result<Vec<Resource>, Trouble> {
    let names = domains.given();
    let reads_tags = caller
        .power
        .as_ref()
        .is_some_and(|power| power.reads_tags());
    if names.len() == 0 {
        let others = others(caller);
        return match reads_tags {
            true => certificates::with_tags(context, caller, others).await,
            false => Ok(others),
        };
    }
    let mut resources = Vec::with_capacity(names.len());
    for given in names {
        // A name that is none stands as it was given, as far as a name could go: a later step
        // refuses it.
        let Ok(name) = Pattern::parse(given) else {
            let given = &given[..given.floor_char_boundary(NAME_MAX)];
            resources.push(in_cdn(caller, &format!("domain/{given}")));
            continue;
        };
        let account = caller.principal.account();
        let permission = caller.action.permission;
        resources.push(domain(context, permission, account, &name, reads_tags).await?);
    }
    Ok(resources)
}

/// A domain of an account that somebody wants `permission` for, with its tags if they are asked for
/// and it is the account's.
pub(crate) async fn domain(
    context: &Context,
    permission: &str,
    account: &AccountId,
    name: &Pattern,
    reads_tags: bool,
) -> Result<Resource, Trouble> {
    let resource = of_service(permission, account, &format!("domain/{name}"));
    if reads_tags
        && let Some(domain) = context.catalog.domain(name).await?
        && domain.account == *account
    {
        return Ok(tagged(resource, &domain.tags));
    }
    Ok(resource)
}

/// The same with tags.
pub(super) fn tagged(resource: Resource, tags: &[(String, String)]) -> Resource {
    let tags = tags.iter();
    tags.fold(resource, |resource, (key, value)| {
        resource.with_tag(key, value)
    })
}

/// What else there is than domains.
fn others(caller: &Caller) -> Vec<Resource> {
    let account = caller.principal.account();
    let params = &caller.request.params;
    let user = || {
        let name = params.given("UserName");
        let name = name.unwrap_or_else(|| own_name(caller));
        Resource::new(format!("acs:ram:*:{account}:user/{name}"))
    };
    let role = || {
        let name = params.given("RoleName").unwrap_or("*");
        Resource::new(format!("acs:ram:*:{account}:role/{name}"))
    };
    match caller.action.target {
        Target::Domain | Target::EachDomain | Target::EachUrl | Target::Domains => {
            vec![in_cdn(caller, "domain/*")]
        }
        Target::Service => vec![in_cdn(caller, "*")],
        Target::Centre | Target::Everything => vec![centre(caller.action.permission, account)],
        Target::Edgeseal => vec![Resource::new(format!("acs:edgeseal:*:{account}:*"))],
        Target::Account => {
            let named = named_account(caller);
            vec![Resource::new(format!(
                "acs:edgeseal:*:{account}:account/{named}"
            ))]
        }
        Target::Accounts => vec![Resource::new(format!("acs:edgeseal:*:{account}:account/*"))],
        Target::User => vec![user()],
        Target::RenamedUser => {
            let new_name = params.given("NewUserName");
            let new_name =
                new_name.map(|name| Resource::new(format!("acs:ram:*:{account}:user/{name}")));
            [user()].into_iter().chain(new_name).collect()
        }
        Target::Role => vec![role()],
        Target::Policy => vec![policy(caller, params)],
        Target::UserAndPolicy => vec![user(), policy(caller, params)],
        Target::RoleAndPolicy => vec![role(), policy(caller, params)],
        Target::AssumedRole => {
            vec![Resource::new(
                params.get(caller.action.named_by).unwrap_or_default(),
            )]
        }
    }
}

fn policy(caller: &Caller, params: &Params) -> Resource {
    let name = params.given("PolicyName").unwrap_or("*");
    match params.get("PolicyType") {
        Some("System") => Resource::new(format!("acs:ram:*:system:policy/{name}")),
        _ => {
            let account = caller.principal.account();
            Resource::new(format!("acs:ram:*:{account}:policy/{name}"))
        }
    }
}

/// Of whom a call is that names nobody: of the caller, if an action takes that; else of all.
fn own_name(caller: &Caller) -> &str {
    match &caller.principal {
        Principal::User { name, .. } if !caller.action.named_by.is_empty() => name,
        _ => "*",
    }
}

/// Nothing in particular of a service: policies name it `*`. A `Deny` of something in the service is
/// taken to mean this too.
pub(super) fn centre(permission: &str, account: &AccountId) -> Resource {
    let service = service(permission);
    Resource::new("*").within(format!("acs:{service}:*:{account}:*"))
}

/// All of Edgeseal. A `Deny` of something in it is taken to mean this too.
pub(super) fn edgeseal(account: &AccountId) -> Resource {
    let arn = format!("acs:edgeseal:*:{account}:*");
    Resource::new(arn.as_str()).within(arn)
}

/// The account that an operator's call is about.
pub(super) fn named_account(caller: &Caller) -> &str {
    let own = caller.principal.account().as_str();
    caller.request.params.given("AccountId").unwrap_or(own)
}

/// Something of the caller's in the CDN.
fn in_cdn(caller: &Caller, name: &str) -> Resource {
    of_service(caller.action.permission, caller.principal.account(), name)
}

/// Something of an account in the service of a permission. CDN and DCDN have the same domains: what
/// is denied under the name of one is denied under both.
fn of_service(permission: &str, account: &AccountId, name: &str) -> Resource {
    let arn = |service| format!("acs:{service}:*:{account}:{name}");
    let service = service(permission);
    let other = match service {
        "cdn" => "dcdn",
        // Edgeseal's own actions on domains act on those of the CDN.
        "dcdn" | "edgeseal" => "cdn",
        _ => return Resource::new(arn(service)),
    };
    let action = twin(permission).unwrap_or(permission);
    Resource::new(arn(service)).known_as(action, arn(other))
}

/// The service that a permission belongs to.
pub(super) fn service(permission: &str) -> &str {
    permission
        .split_once(':')
        .map_or("*", |(service, _)| service)
}
