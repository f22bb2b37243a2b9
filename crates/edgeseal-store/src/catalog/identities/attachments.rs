//! Which policies are attached to users and roles.

use edgeseal_core::{
    AccountId, Timestamp,
    identity::{
        ATTACHED_POLICIES_MAX, Attachment, IdentityName, PolicyKind, PolicyRef, RoleName, UserName,
    },
    policy::system,
};

use super::{Changed, IdentityError, refused};
use crate::{
    Entry, Fault, Key,
    catalog::{AuditContext, Catalog, ChangeError, Draft},
    key,
    record::{self, TimestampRecord},
};

/// What a policy is attached to, each with the time of the attachment, in byte order of the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyHolders {
    /// The users.
    pub users: Vec<(UserName, Timestamp)>,
    /// The roles.
    pub roles: Vec<(RoleName, Timestamp)>,
}

impl Catalog {
    /// The users and roles of an account that a policy is attached to: at most those of the
    /// account, 1000 of each.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn policy_holders(
        &self,
        account: &AccountId,
        policy: &PolicyRef,
    ) -> Result<PolicyHolders, Fault> {
        let prefix = key::with_policy(account, policy);
        let entries = self.entries(&prefix).await?;
        Ok(PolicyHolders {
            users: holders(&entries, &prefix)?,
            roles: holders(&entries, &prefix)?,
        })
    }

    /// The number of users and roles of an account that a policy is attached to.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn policy_attachments(
        &self,
        account: &AccountId,
        policy: &PolicyRef,
    ) -> Result<usize, Fault> {
        self.count(&key::with_policy(account, policy)).await
    }

    /// Attaches a policy to a user or role.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn attach_policy<N: IdentityName>(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &N,
        policy: &PolicyRef,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let (key, mut identity) = draft.identity(account, name).await?;
            draft.touch_policy(account, policy).await?;
            if has(&identity.policies, policy) {
                return refused(IdentityError::HasPolicy {
                    identity: name.identity_ref(),
                    policy: policy.clone(),
                });
            }
            if is_full(&identity.policies, policy) {
                return refused(IdentityError::TooManyAttached {
                    identity: name.identity_ref(),
                    max: ATTACHED_POLICIES_MAX,
                });
            }
            identity.policies.push(Attachment {
                policy: policy.clone(),
                at: draft.now,
            });
            draft.note(policy.to_string());
            let since = TimestampRecord { at: draft.now };
            draft.put(Key::identity_with_policy(account, policy, name), &since)?;
            draft.put(key, &identity)?;
            draft.bump_permissions_revision(account);
            Ok((draft, ()))
        })
        .await
    }

    /// Detaches a policy from a user or role.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn detach_policy<N: IdentityName>(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &N,
        policy: &PolicyRef,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let (key, mut identity) = draft.identity(account, name).await?;
            draft.touch_policy(account, policy).await?;
            if !has(&identity.policies, policy) {
                return refused(IdentityError::LacksPolicy {
                    identity: name.identity_ref(),
                    policy: policy.clone(),
                });
            }
            identity.policies.retain(|one| one.policy != *policy);
            draft.note(policy.to_string());
            draft.delete(Key::identity_with_policy(account, policy, name));
            draft.put(key, &identity)?;
            draft.bump_permissions_revision(account);
            Ok((draft, ()))
        })
        .await
    }
}

impl Draft {
    /// Reads a policy that must exist, and rewrites it if it is a custom one, so that a concurrent
    /// deletion and attachment conflict.
    async fn touch_policy(
        &mut self,
        account: &AccountId,
        policy: &PolicyRef,
    ) -> Result<(), ChangeError<IdentityError>> {
        match policy.kind {
            PolicyKind::System => match system::find(policy.name.as_str()) {
                Some(_) => Ok(()),
                None => refused(IdentityError::NoPolicy(policy.clone())),
            },
            PolicyKind::Custom => {
                let (key, own) = self.policy(account, &policy.name).await?;
                Ok(self.put(key, &own)?)
            }
        }
    }
}

/// The holders of one kind among entries under `prefix`.
fn holders<'a, N: IdentityName>(
    entries: &'a [Entry],
    prefix: &str,
) -> Result<Vec<(N, Timestamp)>, Fault> {
    let prefix = format!("{prefix}{}/", N::KIND);
    let named = |entry: &'a Entry| Some((entry.key.as_str().strip_prefix(&prefix)?, &entry.value));
    let named = entries.iter().filter_map(named);
    let decoded = named.map(|(name, value)| {
        let name = N::parse(name).map_err(Fault::of("read who has a policy"))?;
        Ok((name, record::decode::<TimestampRecord>(value)?.at))
    });
    decoded.collect()
}

fn has(attachments: &[Attachment], policy: &PolicyRef) -> bool {
    attachments.iter().any(|one| one.policy == *policy)
}

fn is_full(attachments: &[Attachment], policy: &PolicyRef) -> bool {
    let of_kind = attachments.iter().map(|one| one.policy.kind);
    of_kind.filter(|kind| *kind == policy.kind).count() >= ATTACHED_POLICIES_MAX
}
