//! What users and sessions may do: their policies, parsed once until they change.

use std::sync::Arc;

use edgeseal_core::{
    AccountId,
    account::Account,
    identity::{RoleName, UserName},
    policy::{AttachedPolicy, Document, Policies, Principal},
};
use edgeseal_store::{Catalog, Fault, Revision};
use quick_cache::{Weighter, sync::Cache};

/// Identities whose rights are remembered, about.
const IDENTITIES: usize = 4096;
/// Octets of policies that are remembered in all; parsed, they take a few times as many.
const POLICY_BYTES: u64 = 16 << 20;

/// A user or a role with its policies, as of one change of rights in its account.
#[derive(Debug)]
pub struct IdentityPolicies {
    account: Account,
    id: String,
    policies: Vec<(String, Document)>,
    revision: Revision,
}

/// What a user or a session may do.
#[derive(Clone, Debug)]
pub struct EffectivePolicies {
    /// Policies of the user or of the role.
    pub identity: Arc<IdentityPolicies>,
    /// What the session is narrowed down to.
    pub session: Option<Document>,
}

/// Rights of those who called lately.
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
    /// A user with what it may do now; `None` if there is no such user.
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
        let power = EffectivePolicies {
            identity: rights,
            session: None,
        };
        Ok(Some((principal, power)))
    }

    /// The session of a role with what it may do now, but for its own policy; `None` if there is no
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
        let power = EffectivePolicies {
            identity: rights,
            session: None,
        };
        Ok(Some((principal, power)))
    }

    /// Identities that are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// One read tells whether what is remembered still holds: whatever it depends on writes
    /// [`edgeseal_store::Key::rights`].
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
        // What is read here may be newer than `at`; then `at` is out of date, and so is what is
        // remembered for it.
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
    /// Decides by means of these policies.
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

    /// Whether any of these policies asks for tags of what is acted upon.
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
