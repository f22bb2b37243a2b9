//! The policies of users and sessions, parsed once and cached until they change.

use std::sync::Arc;

use edgeseal_core::{
    AccountId,
    account::Account,
    identity::{RoleName, UserName},
    policy::{AttachedPolicy, Document, Policies, Principal},
};
use edgeseal_store::{Catalog, Fault, Revision};
use quick_cache::{Weighter, sync::Cache};

/// Approximate number of cached identities.
const IDENTITIES: usize = 4096;
/// Bytes of cached policies in total; parsed, they take a few times as many.
const POLICY_BYTES: u64 = 16 << 20;

/// The policies of a user or a role, as of one revision of the account's permissions.
#[derive(Debug)]
pub struct IdentityPolicies {
    account: Account,
    id: String,
    policies: Vec<(String, Document)>,
    revision: Revision,
}

/// The policies that apply to a user or a session.
#[derive(Clone, Debug)]
pub struct EffectivePolicies {
    /// Policies of the user or of the role.
    pub identity: Arc<IdentityPolicies>,
    /// The policy that narrows the session.
    pub session: Option<Document>,
}

/// Policies of recent callers.
pub struct PolicyCache(Cache<(AccountId, IdentityKey), Arc<IdentityPolicies>, PolicyWeighter>);

#[derive(Clone, PartialEq, Eq, Hash)]
enum IdentityKey {
    User(UserName),
    Role(RoleName),
}

#[derive(Clone)]
struct PolicyWeighter;

impl Default for PolicyCache {
    fn default() -> Self {
        Self(Cache::with_weighter(
            IDENTITIES,
            POLICY_BYTES,
            PolicyWeighter,
        ))
    }
}

impl PolicyCache {
    /// A user with its current policies; `None` if there is no such user.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn user(
        &self,
        catalog: &Catalog,
        account: &AccountId,
        name: &UserName,
    ) -> Result<Option<(Principal, EffectivePolicies)>, Fault> {
        let who = (account.clone(), IdentityKey::User(name.clone()));
        let Some(rights) = self.load(catalog, who).await? else {
            return Ok(None);
        };
        let principal = Principal::User {
            account: rights.account.clone(),
            name: name.to_string(),
            id: rights.id.clone(),
        };
        let policies = EffectivePolicies {
            identity: rights,
            session: None,
        };
        Ok(Some((principal, policies)))
    }

    /// The current policies of a role's session, without the session policy; `None` if there is no
    /// such role.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn role(
        &self,
        catalog: &Catalog,
        account: &AccountId,
        name: &RoleName,
        session: &str,
    ) -> Result<Option<(Principal, EffectivePolicies)>, Fault> {
        let who = (account.clone(), IdentityKey::Role(name.clone()));
        let Some(rights) = self.load(catalog, who).await? else {
            return Ok(None);
        };
        let principal = Principal::Role {
            account: rights.account.clone(),
            role: name.to_string(),
            id: rights.id.clone(),
            session: session.to_owned(),
        };
        let policies = EffectivePolicies {
            identity: rights,
            session: None,
        };
        Ok(Some((principal, policies)))
    }

    /// The number of cached identities.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// One read tells whether the cached policies are current: everything they depend on writes
    /// [`edgeseal_store::Key::permissions_revision`].
    async fn load(
        &self,
        catalog: &Catalog,
        who: (AccountId, IdentityKey),
    ) -> Result<Option<Arc<IdentityPolicies>>, Fault> {
        if let Some(known) = self.0.get(&who)
            && catalog.permissions_revision(&who.0).await? == known.revision
        {
            return Ok(Some(known));
        }
        let (account, identity, at) = match &who.1 {
            IdentityKey::User(name) => {
                let standing = catalog.user_snapshot(&who.0, name).await?;
                let identity = standing.identity.map(|user| (user.id, user.policies));
                (standing.account, identity, standing.permissions_revision)
            }
            IdentityKey::Role(name) => {
                let standing = catalog.role_snapshot(&who.0, name).await?;
                let identity = standing.identity.map(|role| (role.id, role.policies));
                (standing.account, identity, standing.permissions_revision)
            }
        };
        let (Some(owner), Some((id, attachments))) = (account, identity) else {
            return Ok(None);
        };
        // What is read here may be newer than the revision; then the cached entry is outdated and
        // loaded again on next use.
        let texts = catalog.policy_documents(&who.0, &attachments).await?;
        let policies = attachments.iter().zip(texts).map(|(attachment, text)| {
            let document =
                Document::parse_stored(&text).map_err(Fault::of("read a stored policy"))?;
            Ok((attachment.policy.name.to_string(), document))
        });
        let rights = Arc::new(IdentityPolicies {
            account: owner,
            id,
            policies: policies.collect::<Result<_, Fault>>()?,
            revision: at,
        });
        self.0.insert(who, Arc::clone(&rights));
        Ok(Some(rights))
    }
}

impl IdentityPolicies {
    /// The policy of this name.
    #[must_use]
    pub fn document(&self, name: &str) -> Option<&Document> {
        let mut policies = self.policies.iter();
        policies
            .find(|(one, _)| one == name)
            .map(|(_, document)| document)
    }
}

impl EffectivePolicies {
    /// Evaluates these policies.
    pub fn evaluate<T>(&self, decide: impl FnOnce(&Policies<'_>) -> T) -> T {
        let policies = self.identity.policies.iter();
        let attached: Vec<AttachedPolicy<'_>> = policies
            .map(|(name, document)| AttachedPolicy { name, document })
            .collect();
        decide(&Policies {
            identity: &attached,
            session: self.session.as_ref(),
        })
    }

    /// Whether any of these policies has a condition on resource tags.
    #[must_use]
    pub fn reads_tags(&self) -> bool {
        let policies = self.identity.policies.iter();
        let documents = policies.map(|(_, document)| document);
        documents.chain(&self.session).any(Document::reads_tags)
    }
}

impl Weighter<(AccountId, IdentityKey), Arc<IdentityPolicies>> for PolicyWeighter {
    fn weight(&self, _: &(AccountId, IdentityKey), rights: &Arc<IdentityPolicies>) -> u64 {
        let lengths = rights.policies.iter();
        let lengths = lengths.map(|(name, document)| name.len() + document.text().len());
        lengths.sum::<usize>() as u64 + 100
    }
}
