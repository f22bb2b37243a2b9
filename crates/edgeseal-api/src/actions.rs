//! Step 2 of a call: the table of actions, one row each, with everything that the steps before the
//! operation need.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use edgeseal_core::{policy::Scope, rate::RateLimit};

use crate::{
    code::{Code, CodeSpec},
    error::{ApiError as _, api_error},
    operation::{Handler, Operation},
    request::Request,
    sanitize::sanitize_to,
};

mod equivalents;
pub(crate) mod table;

pub use equivalents::equivalent_permission;
pub use table::ACTIONS;

use table::CDN;
pub(crate) use table::{action, actions};

/// One action of one version.
pub struct Action {
    /// Its version.
    pub version: &'static str,
    /// The name of the action.
    pub name: &'static str,
    /// Rate limit of an account.
    pub rate_limit: RateLimit,
    /// Whether it reads or writes.
    pub access: Access,
    /// The permission that policies name.
    pub permission: &'static str,
    /// The kind of resource that it acts on.
    pub resource: ResourceKind,
    /// The parameter that names the resource; empty if none does. `NAME.N` is the list `NAME.1`,
    /// `NAME.2` and so on.
    pub resource_param: &'static str,
    /// The scope that policies are evaluated in.
    pub scope: Scope,
    /// Lists every code that the errors of the operation can have. Some belong to other actions
    /// with the same errors.
    pub error_codes: fn() -> Vec<Code>,
    /// Whether `DryRun` makes it change nothing.
    pub has_dry_run: bool,
    /// Runs the operation.
    pub handler: Handler,
}

/// Whether an action writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads.
    Read,
    /// Changes something; its nonce is stored with the change.
    Write,
}

/// The resource that an action acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    /// The named domain.
    Domain,
    /// Each named domain, separated by commas or indexed from 1; all domains of the account if none
    /// is named.
    EachDomain,
    /// The domain of each URL, one per line.
    EachUrl,
    /// All domains of the account.
    AllDomains,
    /// The CDN as a whole.
    Service,
    /// CAS: policies name it `*`.
    Cas,
    /// No particular resource: policies name it `*`.
    Unnamed,
    /// Edgeseal itself.
    Edgeseal,
    /// The account named by `AccountId`; the caller's own if none is.
    Account,
    /// All accounts.
    AllAccounts,
    /// The named user: the caller if none is named, or all if the action has no such parameter.
    User,
    /// A user as above, and its new name.
    RenamedUser,
    /// The named role; all if none is.
    Role,
    /// The policy named by `PolicyName` and `PolicyType`; all if none is.
    Policy,
    /// A user as above, and a policy to attach or detach.
    UserAndPolicy,
    /// A role as above, and a policy to attach or detach.
    RoleAndPolicy,
    /// The role given by its ARN.
    AssumedRole,
}

/// Why a request names no callable action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownAction {
    /// No name.
    #[error("no action is named")]
    NoAction,
    /// No version.
    #[error("no version is named")]
    NoVersion,
    /// No such version.
    #[error("Edgeseal does not know version {version:?}; the CDN's is {CDN}")]
    Version {
        /// The version.
        version: String,
    },
    /// No such action in the version.
    #[error("there is no action {action:?} in version {version}")]
    Action {
        /// The action.
        action: String,
        /// The version.
        version: String,
    },
    /// The cloud has the action, but Edgeseal does not implement it.
    #[error("{action} of version {version} is known, but not implemented by Edgeseal")]
    NotImplemented {
        /// The action.
        action: String,
        /// The version.
        version: String,
    },
}

/// Finds the action that a request names.
///
/// # Errors
/// [`UnknownAction`], in the order of its variants.
pub fn find(request: &Request) -> Result<&'static Action, UnknownAction> {
    let action = request
        .common_param("x-acs-action", "Action")
        .ok_or(UnknownAction::NoAction)?;
    let version = request
        .common_param("x-acs-version", "Version")
        .ok_or(UnknownAction::NoVersion)?;
    if let Some(found) = ACTIONS
        .iter()
        .find(|row| row.name == action && row.version == version)
    {
        return Ok(found);
    }
    let short = |text: &str| sanitize_to(text, 80);
    let (action, version) = (short(action), short(version));
    match KNOWN_ACTIONS.get(version.as_str()) {
        None => Err(UnknownAction::Version { version }),
        Some(names) if names.contains_key(action.as_str()) => {
            Err(UnknownAction::NotImplemented { action, version })
        }
        Some(_) => Err(UnknownAction::Action { action, version }),
    }
}

/// The rows of `spec/actions.tsv`: rate, access and permission, by version and name.
static KNOWN_ACTIONS: LazyLock<HashMap<&'static str, HashMap<&'static str, KnownAction>>> =
    LazyLock::new(|| {
        let mut known: HashMap<_, HashMap<_, _>> = HashMap::new();
        for row in rows(include_str!("../../../spec/actions.tsv")) {
            if let [_, version, name, calls, _, access, permission, _] = row[..] {
                let action = KnownAction {
                    // Only actions that are not implemented have no rate.
                    rate_limit: RateLimit::per_second(calls.parse().unwrap_or(0)),
                    access: match access {
                        "read" => Access::Read,
                        _ => Access::Write,
                    },
                    permission,
                };
                known.entry(version).or_default().insert(name, action);
            }
        }
        known
    });

struct KnownAction {
    rate_limit: RateLimit,
    access: Access,
    permission: &'static str,
}

/// The rows of `spec/errors.tsv` (status, code and message), each with an action that returns it.
static LISTED_ERRORS: LazyLock<HashSet<(&'static str, CodeSpec)>> = LazyLock::new(|| {
    let rows = rows(include_str!("../../../spec/errors.tsv"));
    let rows = rows.filter_map(|row| match row[..] {
        [status, wire_code, message, by, _] => {
            let status = status.parse().ok()?;
            let spec = CodeSpec {
                status,
                wire_code,
                message,
            };
            Some(by.split(',').map(move |action| (action, spec)))
        }
        _ => None,
    });
    rows.flatten().collect()
});

/// The rows of a table of `spec/`.
fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.skip(1).map(|line| line.split('\t').collect())
}

/// Every code that the errors of an operation can have.
pub(crate) fn error_codes<Call: 'static, Op: Operation<Call>>() -> Vec<Code> {
    Op::Error::codes()
}

impl Action {
    /// An action on no particular resource, with its rate, access and permission from
    /// `spec/actions.tsv`.
    pub(crate) fn new(
        (version, name): (&'static str, &'static str),
        error_codes: fn() -> Vec<Code>,
        handler: Handler,
    ) -> Self {
        let known = KNOWN_ACTIONS
            .get(version)
            .and_then(|names| names.get(name))
            .expect("a test finds each action in spec/actions.tsv");
        Self {
            version,
            name,
            rate_limit: known.rate_limit,
            access: known.access,
            permission: known.permission,
            resource: ResourceKind::Unnamed,
            resource_param: "",
            scope: Scope::Caller,
            error_codes,
            has_dry_run: false,
            handler,
        }
    }

    /// Whether `spec/errors.tsv` lists `code` for the action or for every call. Where products have
    /// actions of the same name, it uses the name of the permission.
    pub(crate) fn is_listed_for(&self, code: Code) -> bool {
        let mut names = [self.name, self.permission, "gateway"].into_iter();
        names.any(|name| LISTED_ERRORS.contains(&(name, code.spec())))
    }
}

api_error!(UnknownAction {
    NoAction => MissingAction,
    NoVersion => MissingVersion,
    Version => InvalidVersion,
    Action => ActionNotFound,
    NotImplemented => ActionNotImplemented,
});

#[cfg(test)]
mod tests;
