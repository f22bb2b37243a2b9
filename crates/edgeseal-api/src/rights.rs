//! What users and sessions may do: their policies, parsed once until they change.

use std::sync::Arc;

use edgeseal_core::{
    AccountId,
    account::Account,
    identity::{RoleName, UserName},
    policy::{Attached, Document, Policies, Principal},
};
use edgeseal_store::{Catalog, Fault, Revision};
use quick_cache::{Weighter, sync::Cache};

/// Identities whose rights are remembered, about.
const IDENTITIES: usize = 4096;
/// Octets of policies that are remembered in all; parsed, they take a few times as many.
const POLICY_BYTES: u64 = 16 << 20;

/// A user or a role with its policies, as of one change of rights in its account.
#[derive(Debug)]
pub struct Rights {
    owner: Account,
    id: String,
    policies: Vec<(String, Document)>,
    at: Revision,
}

/// What a user or a session may do.
#[derive(Clone, Debug)]
pub struct Power {
    /// Policies of the user or of the role.
    pub rights: Arc<Rights>,
    /// What the session is narrowed down to.
    pub session: Option<Document>,
}

/// Rights of those who called lately.
pub struct KnownRights(Cache<(AccountId, Who), Arc<Rights>, ByLength>);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Who {
    User(UserName),
    Role(RoleName),
}

#[derive(Clone)]
struct ByLength;

impl Default for KnownRights {
    fn default() -> Self {
        Self(Cache::with_weighter(IDENTITIES, POLICY_BYTES, ByLength))
    }
}

impl KnownRights {
    /// A user with what it may do now; `None` if there is no such user.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn user(
        &self,
        catalog: &Catalog,
        account: &AccountId,
        name: &UserName,
    ) -> Result<Option<(Principal, Power)>, Fault> {
        let who = (account.clone(), Who::User(name.clone()));
        let Some(rights) = self.rights(catalog, who).await? else {
            return Ok(None);
        };
        let principal = Principal::User {
            account: rights.owner.clone(),
            name: name.to_string(),
            id: rights.id.clone(),
        };
        let power = Power {
            rights,
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
    ) -> Result<Option<(Principal, Power)>, Fault> {
        let who = (account.clone(), Who::Role(name.clone()));
        let Some(rights) = self.rights(catalog, who).await? else {
            return Ok(None);
        };
        let principal = Principal::Role {
            account: rights.owner.clone(),
            role: name.to_string(),
            id: rights.id.clone(),
            session: session.to_owned(),
        };
        let power = Power {
            rights,
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
    async fn rights(
        &self,
        catalog: &Catalog,
        who: (AccountId, Who),
    ) -> Result<Option<Arc<Rights>>, Fault> {
        if let Some(known) = self.0.get(&who)
            && catalog.rights_changed(&who.0).await? == known.at
        {
            return Ok(Some(known));
        }
        let (account, identity, at) = match &who.1 {
            Who::User(name) => {
                let standing = catalog.user_standing(&who.0, name).await?;
                let identity = standing.identity.map(|user| (user.id, user.policies));
                (standing.account, identity, standing.rights)
            }
            Who::Role(name) => {
                let standing = catalog.role_standing(&who.0, name).await?;
                let identity = standing.identity.map(|role| (role.id, role.policies));
                (standing.account, identity, standing.rights)
            }
        };
        let (Some(owner), Some((id, attachments))) = (account, identity) else {
            return Ok(None);
        };
        // What is read here may be newer than `at`; then `at` is out of date, and so is what is
        // remembered for it.
        let texts = catalog.policy_texts(&who.0, &attachments).await?;
        let policies = attachments.iter().zip(texts).map(|(attachment, text)| {
            let document =
                Document::parse_stored(&text).map_err(Fault::of("read a stored policy"))?;
            Ok((attachment.policy.name.to_string(), document))
        });
        let rights = Arc::new(Rights {
            owner,
            id,
            policies: policies.collect::<Result<_, Fault>>()?,
            at,
        });
        self.0.insert(who, Arc::clone(&rights));
        Ok(Some(rights))
    }
}

impl Rights {
    /// The policy of this name.
    #[must_use]
    pub fn document(&self, name: &str) -> Option<&Document> {
        let mut policies = self.policies.iter();
        policies
            .find(|(one, _)| one == name)
            .map(|(_, document)| document)
    }
}

impl Power {
    /// Decides by means of these policies.
    pub fn judge<T>(&self, decide: impl FnOnce(&Policies<'_>) -> T) -> T {
        let policies = self.rights.policies.iter();
        let attached: Vec<Attached<'_>> = policies
            .map(|(name, document)| Attached { name, document })
            .collect();
        decide(&Policies {
            identity: &attached,
            session: self.session.as_ref(),
        })
    }

    /// Whether any of these policies asks for tags of what is acted upon.
    #[must_use]
    pub fn reads_tags(&self) -> bool {
        let policies = self.rights.policies.iter();
        let documents = policies.map(|(_, document)| document);
        documents.chain(&self.session).any(Document::reads_tags)
    }
}

impl Weighter<(AccountId, Who), Arc<Rights>> for ByLength {
    fn weight(&self, _: &(AccountId, Who), rights: &Arc<Rights>) -> u64 {
        let lengths = rights.policies.iter();
        let lengths = lengths.map(|(name, document)| name.len() + document.text().len());
        lengths.sum::<usize>() as u64 + 100
    }
}
