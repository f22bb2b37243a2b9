//! What a call acts upon, in the names that policies have for it: the permission page of each
//! product says which.

use edgeseal_core::{
    AccountId, Pattern,
    policy::{Principal, Resource},
};

use crate::{
    actions::Target, authenticate::Caller, context::Context, domain_list::DomainList,
    operation::Trouble, request::Params,
};

/// Everything that a call acts upon, with tags if a policy of the caller asks for them.
pub(super) async fn of(
    context: &Context,
    caller: &Caller,
    domains: &DomainList,
) -> Result<Vec<Resource>, Trouble> {
    let names = domains.given();
    if names.len() == 0 {
        return Ok(others(caller));
    }
    let reads_tags = caller
        .power
        .as_ref()
        .is_some_and(|power| power.reads_tags());
    let mut resources = Vec::with_capacity(names.len());
    for given in names {
        // A name that is none stands as it was given: a later step refuses it.
        let Ok(name) = Pattern::parse(given) else {
            let arn = format!("{}{given}", domain_prefix(caller));
            resources.push(Resource::new(arn));
            continue;
        };
        let account = caller.principal.account();
        resources.push(domain(context, service(caller), account, &name, reads_tags).await?);
    }
    Ok(resources)
}

/// A domain of an account, with its tags if they are asked for and it is the account's.
pub(crate) async fn domain(
    context: &Context,
    service: &str,
    account: &AccountId,
    name: &Pattern,
    reads_tags: bool,
) -> Result<Resource, Trouble> {
    let mut resource = Resource::domain(service, account, name);
    if reads_tags
        && let Some(domain) = context.catalog.domain(name).await?
        && domain.account == *account
    {
        for (key, value) in domain.tags {
            resource = resource.with_tag(key, value);
        }
    }
    Ok(resource)
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
        Target::Domain | Target::EachDomain | Target::Domains => {
            vec![Resource::new(format!("{}*", domain_prefix(caller)))]
        }
        Target::Service => vec![Resource::new(format!(
            "acs:{}:*:{account}:*",
            service(caller)
        ))],
        Target::Centre | Target::Everything => vec![Resource::new("*")],
        Target::Edgeseal => vec![Resource::new(format!("acs:edgeseal:*:{account}:*"))],
        Target::User => vec![user()],
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

fn domain_prefix(caller: &Caller) -> String {
    let account = caller.principal.account();
    format!("acs:{}:*:{account}:domain/", service(caller))
}

/// The service that an action belongs to in policies.
fn service(caller: &Caller) -> &'static str {
    let permission = caller.action.permission;
    permission
        .split_once(':')
        .map_or("*", |(service, _)| service)
}
