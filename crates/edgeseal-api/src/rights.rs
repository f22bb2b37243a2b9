//! What users and sessions may do: their policies, parsed once until they change.

use std::sync::Arc;

use edgeseal_core::{
    AccountId,
    identity::{Attachment, RoleName, UserName},
    policy::{Attached, Document, Policies, Principal},
};
use edgeseal_store::{Catalog, Fault, Revision};
use quick_cache::{Weighter, sync::Cache};

/// Identities whose rights are remembered, about.
const IDENTITIES: usize = 4096;
/// Octets of policies that are remembered in all; parsed, they take a few times as many.
const POLICY_BYTES: u64 = 16 << 20;

/// The policies of a user or a role, as of one change of them.
#[derive(Debug)]
pub struct Rights {
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
        let standing = catalog.user_standing(account, name).await?;
        let (Some(owner), Some(user)) = (standing.account, standing.identity) else {
            return Ok(None);
        };
        let who = (account.clone(), Who::User(name.clone()));
        let rights = self.rights(catalog, who, &user.policies, standing.rights);
        let power = Power {
            rights: rights.await?,
            session: None,
        };
        let principal = Principal::User {
            account: owner,
            name: name.to_string(),
            id: user.id,
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
        let standing = catalog.role_standing(account, name).await?;
        let (Some(owner), Some(role)) = (standing.account, standing.identity) else {
            return Ok(None);
        };
        let who = (account.clone(), Who::Role(name.clone()));
        let rights = self.rights(catalog, who, &role.policies, standing.rights);
        let power = Power {
            rights: rights.await?,
            session: None,
        };
        let principal = Principal::Role {
            account: owner,
            role: name.to_string(),
            id: role.id,
            session: session.to_owned(),
        };
        Ok(Some((principal, power)))
    }

    async fn rights(
        &self,
        catalog: &Catalog,
        who: (AccountId, Who),
        attachments: &[Attachment],
        at: Revision,
    ) -> Result<Arc<Rights>, Fault> {
        if let Some(known) = self.0.get(&who).filter(|known| known.at == at) {
            return Ok(known);
        }
        // What is read here may be newer than `at`; then `at` is out of date, and so is what is
        // remembered for it.
        let texts = catalog.policy_texts(&who.0, attachments).await?;
        let policies = attachments.iter().zip(texts).map(|(attachment, text)| {
            let document = Document::parse(&text).map_err(Fault::of("read a stored policy"))?;
            Ok((attachment.policy.name.to_string(), document))
        });
        let policies = policies.collect::<Result<_, Fault>>()?;
        let rights = Arc::new(Rights { policies, at });
        self.0.insert(who, Arc::clone(&rights));
        Ok(rights)
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
