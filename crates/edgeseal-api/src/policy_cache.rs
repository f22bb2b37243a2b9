//! The policies of users and sessions, parsed once and cached until they change.

use std::sync::Arc;

use edgeseal_core::{
    AccountId,
    account::Account,
    identity::{IdentityName, IdentityRef, RoleName, UserName},
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
pub struct PolicyCache(Cache<(AccountId, IdentityRef), Arc<IdentityPolicies>, PolicyWeighter>);

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
        let found = self.load(catalog, account, name).await?;
        Ok(found.map(|policies| {
            let principal = Principal::User {
                account: policies.account.clone(),
                name: name.to_string(),
                id: policies.id.clone(),
            };
            (principal, EffectivePolicies::without_session(policies))
        }))
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
        let found = self.load(catalog, account, name).await?;
        Ok(found.map(|policies| {
            let principal = Principal::Role {
                account: policies.account.clone(),
                role: name.to_string(),
                id: policies.id.clone(),
                session: session.to_owned(),
            };
            (principal, EffectivePolicies::without_session(policies))
        }))
    }

    /// The number of cached identities.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// One read shows whether the cached policies are current: every change that they depend on
    /// also writes [`edgeseal_store::Key::permissions_revision`].
    async fn load<N: IdentityName>(
        &self,
        catalog: &Catalog,
        account: &AccountId,
        name: &N,
    ) -> Result<Option<Arc<IdentityPolicies>>, Fault> {
        let key = (account.clone(), name.identity_ref());
        if let Some(known) = self.0.get(&key)
            && catalog.permissions_revision(account).await? == known.revision
        {
            return Ok(Some(known));
        }
        let snapshot = catalog.identity_snapshot(account, name).await?;
        let (Some(owner), Some(identity)) = (snapshot.account, snapshot.identity) else {
            return Ok(None);
        };
        // The policies read here may be newer than the revision; then the cached entry counts as
        // outdated and is loaded again on next use.
        let attached = &identity.policies;
        let texts = catalog.policy_documents(account, attached).await?;
        let policies = attached.iter().zip(texts).map(|(attachment, text)| {
            let document =
                Document::parse_stored(&text).map_err(Fault::of("read a stored policy"))?;
            Ok((attachment.policy.name.to_string(), document))
        });
        let loaded = Arc::new(IdentityPolicies {
            account: owner,
            id: identity.id,
            policies: policies.collect::<Result<_, Fault>>()?,
            revision: snapshot.permissions_revision,
        });
        self.0.insert(key, Arc::clone(&loaded));
        Ok(Some(loaded))
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
    const fn without_session(identity: Arc<IdentityPolicies>) -> Self {
        Self {
            identity,
            session: None,
        }
    }

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

impl Weighter<(AccountId, IdentityRef), Arc<IdentityPolicies>> for PolicyWeighter {
    fn weight(&self, _: &(AccountId, IdentityRef), cached: &Arc<IdentityPolicies>) -> u64 {
        let lengths = cached.policies.iter();
        let lengths = lengths.map(|(name, document)| name.len() + document.text().len());
        lengths.sum::<usize>() as u64 + 100
    }
}
