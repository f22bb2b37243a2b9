//! Policies of either type: lookup and response views.

use edgeseal_core::{
    AccountId, Timestamp,
    identity::{Attachment, Policy, PolicyKind, PolicyName, PolicyRef, PolicyVersion},
    policy::{
        Document,
        system::{self, SystemPolicy},
    },
};
use edgeseal_store::{Catalog, catalog::IdentityError};
use serde::Serialize;

use super::{
    error::Error,
    parameters::{self, InvalidParameter},
};
use crate::{code::Code, error::StoreError, request::ParamMap};

/// Creation date of the system policies: that of the version of Edgeseal's own actions.
const SYSTEM_SINCE: Timestamp = Timestamp::from_unix_seconds(1_796_083_200); // 2026-12-01T00:00:00Z

/// A policy of either type.
pub(super) enum AnyPolicy {
    System(PolicyName, &'static SystemPolicy),
    Custom(Box<Policy>),
}

/// A policy in a response; actions differ in the dates and counts that they return.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyView {
    policy_name: String,
    policy_type: &'static str,
    description: String,
    default_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_document: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    create_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attach_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment_count: Option<usize>,
}

/// A policy version in a response.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyVersionView {
    version_id: String,
    is_default_version: bool,
    policy_document: String,
    create_date: String,
}

/// Policies in a response.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    policy: Vec<PolicyView>,
}

/// A policy attached to a user or a role.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttachedPolicies {
    policies: List,
}

impl AnyPolicy {
    /// All system policies.
    pub(super) fn system() -> impl Iterator<Item = Self> {
        system::SYSTEM_POLICIES.iter().filter_map(|policy| {
            let name = PolicyName::parse(policy.name).ok()?;
            Some(Self::System(name, policy))
        })
    }

    /// The policy of this type and name.
    pub(super) async fn find(
        catalog: &Catalog,
        account: &AccountId,
        reference: &PolicyRef,
    ) -> Result<Self, Error> {
        let found = match reference.kind {
            PolicyKind::System => {
                let system = system::find(reference.name.as_str());
                system.map(|policy| Self::System(reference.name.clone(), policy))
            }
            PolicyKind::Custom => {
                let own = catalog.policy(account, &reference.name).await;
                own.map_err(StoreError::from)?
                    .map(Box::new)
                    .map(Self::Custom)
            }
        };
        found.ok_or_else(|| IdentityError::NoPolicy(reference.clone()).into())
    }

    pub(super) const fn kind(&self) -> PolicyKind {
        match self {
            Self::System(..) => PolicyKind::System,
            Self::Custom(_) => PolicyKind::Custom,
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::System(name, _) => name.as_str(),
            Self::Custom(policy) => policy.name.as_str(),
        }
    }

    pub(super) fn reference(&self) -> PolicyRef {
        match self {
            Self::System(name, _) => PolicyRef::new(PolicyKind::System, name.clone()),
            Self::Custom(own) => PolicyRef::new(PolicyKind::Custom, own.name.clone()),
        }
    }

    /// The sort key in lists of both types.
    pub(super) fn sort_key(&self) -> String {
        format!("{}/{}", type_name(self.kind()), self.name())
    }

    /// Its versions, oldest first.
    pub(super) fn versions(&self) -> Vec<PolicyVersionView> {
        match self {
            Self::System(_, policy) => vec![PolicyVersionView {
                version_id: version_id(1),
                is_default_version: true,
                policy_document: policy.document().text().to_owned(),
                create_date: SYSTEM_SINCE.to_string(),
            }],
            Self::Custom(policy) => {
                let versions = policy.versions.iter();
                versions
                    .map(|one| PolicyVersionView::of(one, policy.default_version))
                    .collect()
            }
        }
    }

    /// One of its versions.
    pub(super) fn version(&self, number: u32) -> Option<PolicyVersionView> {
        let id = version_id(number);
        self.versions().into_iter().find(|one| one.version_id == id)
    }

    /// Its default version.
    pub(super) fn default_version(&self) -> Option<PolicyVersionView> {
        self.versions()
            .into_iter()
            .find(|one| one.is_default_version)
    }

    /// The view in `GetPolicy`: with the number of users and roles that have it.
    pub(super) fn detail(&self, attachments: usize) -> PolicyView {
        let default = self.default_version();
        PolicyView {
            policy_document: default.map(|version| version.policy_document),
            ..self.summary(attachments)
        }
    }

    /// The view in lists, with the number of users and roles that have it.
    pub(super) fn summary(&self, attachments: usize) -> PolicyView {
        PolicyView {
            attachment_count: Some(attachments),
            ..self.view()
        }
    }

    /// The view after a change.
    pub(super) fn view(&self) -> PolicyView {
        let (default, description, created, updated) = match self {
            Self::System(_, policy) => (1, policy.description, SYSTEM_SINCE, SYSTEM_SINCE),
            Self::Custom(own) => (
                own.default_version,
                &*own.description,
                own.created,
                own.updated,
            ),
        };
        PolicyView {
            policy_name: self.name().to_owned(),
            policy_type: type_name(self.kind()),
            description: description.to_owned(),
            default_version: version_id(default),
            policy_document: None,
            create_date: Some(created.to_string()),
            update_date: Some(updated.to_string()),
            attach_date: None,
            attachment_count: None,
        }
    }
}

impl PolicyView {
    /// The view after its creation.
    pub(super) fn created(policy: Policy) -> Self {
        Self {
            update_date: None,
            ..AnyPolicy::Custom(Box::new(policy)).view()
        }
    }

    /// The view among the policies of a user or role.
    fn attached(policy: &AnyPolicy, at: Timestamp) -> Self {
        Self {
            create_date: None,
            update_date: None,
            attach_date: Some(at.to_string()),
            ..policy.view()
        }
    }
}

impl PolicyVersionView {
    pub(super) fn of(version: &PolicyVersion, default: u32) -> Self {
        Self {
            version_id: version_id(version.number),
            is_default_version: version.number == default,
            policy_document: version.text.clone(),
            create_date: version.created.to_string(),
        }
    }
}

impl List {
    pub(super) const fn of(policy: Vec<PolicyView>) -> Self {
        Self { policy }
    }
}

impl AttachedPolicies {
    /// The policies attached to a user or role. A policy that was deleted concurrently is left out.
    pub(super) async fn of(
        catalog: &Catalog,
        account: &AccountId,
        attachments: &[Attachment],
    ) -> Result<Self, Error> {
        let mut policy = Vec::with_capacity(attachments.len());
        for attachment in attachments {
            match AnyPolicy::find(catalog, account, &attachment.policy).await {
                Ok(found) => policy.push(PolicyView::attached(&found, attachment.at)),
                Err(Error::Identity(IdentityError::NoPolicy(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            policies: List { policy },
        })
    }
}

/// The document of a custom policy, as written.
pub(super) fn text(params: &ParamMap) -> Result<String, InvalidParameter> {
    const NAME: &str = "PolicyDocument";
    let text = parameters::required(params, NAME, Code::MissingPolicyDocument)?;
    parameters::document(text, NAME, Code::PolicyDocumentLength, Document::parse)
}

/// RAM's name of a policy type.
pub(super) const fn type_name(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::System => "System",
        PolicyKind::Custom => "Custom",
    }
}

fn version_id(number: u32) -> String {
    format!("v{number}")
}
