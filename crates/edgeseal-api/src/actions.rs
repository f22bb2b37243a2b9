//! Which operations there are: one row each, with all that the steps before it need to know.

use std::{collections::HashMap, sync::LazyLock};

use edgeseal_core::{policy::Scope, rate::RateLimit};

use crate::{
    code::Code,
    operation::{ApiError, Handler},
    request::Request,
};

mod equivalents;
mod table;

pub use equivalents::equivalent_permission;
pub use table::ACTIONS;

use table::CDN;

/// One action of one version.
pub struct Action {
    /// Its version.
    pub version: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Calls allowed to an account.
    pub rate_limit: RateLimit,
    /// Whether it changes anything.
    pub access: Access,
    /// What a policy calls it.
    pub permission: &'static str,
    /// What it acts upon, for the permission.
    pub resource: ResourceKind,
    /// The parameter that names what it acts upon; empty if none does. `NAME.N` is the list `NAME.1`,
    /// `NAME.2` and so on.
    pub resource_param: &'static str,
    /// Whose things it acts upon.
    pub scope: Scope,
    /// Every code that it can answer of its own.
    pub codes: &'static [Code],
    /// Does it.
    pub handler: Handler,
}

/// Whether an action changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It reads.
    Read,
    /// It changes; its nonce is stored with the change.
    Write,
}

/// What an action acts upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    /// The domain that is named.
    Domain,
    /// Each of the domains that are named, separated by commas or numbered from 1; all of the
    /// account if none is. Its operation is a [`crate::operation::BatchOperation`].
    EachDomain,
    /// Each of the domains of addresses, one a line. Its operation is a
    /// [`crate::operation::BatchOperation`].
    EachUrl,
    /// All domains of the account.
    AllDomains,
    /// The CDN as a whole.
    Service,
    /// The certificate centre: policies name it `*`.
    Cas,
    /// Nothing in particular: policies name it `*`.
    Unnamed,
    /// Edgeseal itself.
    Edgeseal,
    /// The account that is named by `AccountId`; the caller's own if none is.
    Account,
    /// All accounts.
    AllAccounts,
    /// The user that is named: the caller if none is, or all if the action names none.
    User,
    /// A user as above, and the name that it is to have.
    RenamedUser,
    /// The role that is named; all if none is.
    Role,
    /// The policy that is named by `PolicyName` and `PolicyType`; all if none is.
    Policy,
    /// A user as above, and a policy that it is to have or not to have.
    UserAndPolicy,
    /// A role as above, and a policy that it is to have or not to have.
    RoleAndPolicy,
    /// The role whose full name is given.
    AssumedRole,
}

/// Why a request names no action that can be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownAction {
    /// No name.
    #[error("no action is named")]
    NoAction,
    /// No version.
    #[error("no version is named")]
    NoVersion,
    /// No such version.
    #[error("version {version:?} is none that Edgeseal knows; the CDN's is {CDN}")]
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
    /// The cloud has it, Edgeseal does not.
    #[error("{action} of version {version} is known, but not implemented by Edgeseal")]
    NotImplemented {
        /// The action.
        action: String,
        /// The version.
        version: String,
    },
}

/// The action that a request names.
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
    let short = |text: &str| text.chars().take(80).collect::<String>();
    let (action, version) = (short(action), short(version));
    match CLOUD_ACTIONS.get(version.as_str()) {
        None => Err(UnknownAction::Version { version }),
        Some(names) if names.contains(&action.as_str()) => {
            Err(UnknownAction::NotImplemented { action, version })
        }
        Some(_) => Err(UnknownAction::Action { action, version }),
    }
}

/// What the cloud has: names by version, from `spec/actions.tsv`.
static CLOUD_ACTIONS: LazyLock<HashMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    let mut known: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in include_str!("../../../spec/actions.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip(1)
    {
        let mut columns = line.split('\t').skip(1);
        if let (Some(version), Some(action)) = (columns.next(), columns.next()) {
            known.entry(version).or_default().push(action);
        }
    }
    known
});

impl ApiError for UnknownAction {
    fn code(&self) -> Code {
        match self {
            Self::NoAction => Code::MissingAction,
            Self::NoVersion => Code::MissingVersion,
            Self::Version { .. } => Code::InvalidVersion,
            Self::Action { .. } => Code::ActionNotFound,
            Self::NotImplemented { .. } => Code::ActionNotImplemented,
        }
    }

    fn detail(&self) -> Option<String> {
        Some(self.to_string())
    }
}

#[cfg(test)]
mod tests;
