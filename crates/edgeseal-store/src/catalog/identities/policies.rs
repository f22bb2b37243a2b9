//! Custom policies and their versions.

use edgeseal_core::{
    AccountId,
    identity::{
        Attachment, IdentityName as _, POLICIES_MAX, POLICY_VERSIONS_MAX, Policy, PolicyKind,
        PolicyName, PolicyRef, PolicyVersion,
    },
    policy::system,
};

use super::{Changed, IdentityError, decoded, refused};
use crate::{
    Fault, Key,
    catalog::{AuditContext, Catalog, ChangeError, Draft},
    key,
};

impl Catalog {
    /// A custom policy of an account.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn policy(
        &self,
        account: &AccountId,
        name: &PolicyName,
    ) -> Result<Option<Policy>, Fault> {
        self.read(&Key::policy(account, name)).await
    }

    /// All custom policies of an account, in byte order of their names.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn policies(&self, account: &AccountId) -> Result<Vec<Policy>, Fault> {
        self.read_all(&key::policies(account)).await
    }

    /// The documents of these policies.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed or a policy is missing: a decision must not be based on a
    /// part of an identity's policies.
    pub async fn policy_documents(
        &self,
        account: &AccountId,
        attachments: &[Attachment],
    ) -> Result<Vec<String>, Fault> {
        let custom = attachments
            .iter()
            .filter(|one| one.policy.kind == PolicyKind::Custom);
        let keys: Vec<Key> = custom
            .map(|one| Key::policy(account, &one.policy.name))
            .collect();
        let mut entries = self.store.get_many(&keys).await?.into_iter();
        let mut texts = Vec::with_capacity(attachments.len());
        for attachment in attachments {
            let text = match attachment.policy.kind {
                PolicyKind::System => system::find(attachment.policy.name.as_str())
                    .map(|policy| policy.document().text().to_owned()),
                PolicyKind::Custom => decoded::<Policy>(entries.next().flatten())?
                    .map(|policy| policy.text().to_owned()),
            };
            texts.push(text.ok_or(Fault::new("read policies: one that is attached is gone"))?);
        }
        Ok(texts)
    }

    /// Creates a policy.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn create_policy(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        policy: &Policy,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let key = Key::policy(account, &policy.name);
            if draft.has(&key).await? || system::find(policy.name.as_str()).is_some() {
                return refused(IdentityError::PolicyExists(custom(&policy.name)));
            }
            draft.touch_account(account).await?;
            if self.count(&key::policies(account)).await? >= POLICIES_MAX {
                return refused(IdentityError::TooManyPolicies { max: POLICIES_MAX });
            }
            draft.put(key, policy)?;
            Ok((draft, ()))
        })
        .await
    }

    /// Adds a version to a policy, as the default one if `as_default`. With `drop_oldest`, the
    /// oldest non-default version is deleted if there are too many.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn create_policy_version(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &PolicyName,
        text: &str,
        as_default: bool,
        drop_oldest: bool,
    ) -> Changed<PolicyVersion> {
        self.change_policy(audit, account, name, |policy, now| {
            if policy.versions.len() >= POLICY_VERSIONS_MAX {
                let default = policy.default_version;
                let oldest = policy.versions.iter();
                let oldest = oldest.map(|one| one.number).find(|one| *one != default);
                match oldest.filter(|_| drop_oldest) {
                    Some(oldest) => policy.versions.retain(|one| one.number != oldest),
                    None => {
                        return Err(IdentityError::TooManyVersions {
                            policy: custom(name),
                            max: POLICY_VERSIONS_MAX,
                        });
                    }
                }
            }
            let version = PolicyVersion {
                number: policy.next_version,
                text: text.to_owned(),
                created: now,
            };
            policy.next_version = policy.next_version.saturating_add(1);
            if as_default {
                policy.default_version = version.number;
            }
            policy.versions.push(version.clone());
            Ok(version)
        })
        .await
    }

    /// Makes a version the default.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn set_default_policy_version(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &PolicyName,
        version: u32,
    ) -> Changed<()> {
        self.change_policy(audit, account, name, |policy, _| {
            if policy.version(version).is_none() {
                return Err(no_version(name, version));
            }
            policy.default_version = version;
            Ok(())
        })
        .await
    }

    /// Deletes a version that is not the default.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn delete_policy_version(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &PolicyName,
        version: u32,
    ) -> Changed<()> {
        self.change_policy(audit, account, name, |policy, _| {
            if policy.version(version).is_none() {
                return Err(no_version(name, version));
            }
            if policy.default_version == version {
                return Err(IdentityError::DefaultVersion {
                    policy: custom(name),
                    version,
                });
            }
            policy.versions.retain(|one| one.number != version);
            Ok(())
        })
        .await
    }

    /// Changes the description of a policy.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn set_policy_description(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &PolicyName,
        description: &str,
    ) -> Changed<Policy> {
        self.change_policy(audit, account, name, |policy, now| {
            description.clone_into(&mut policy.description);
            policy.updated = now;
            Ok(policy.clone())
        })
        .await
    }

    /// Deletes a policy that is attached to nothing; it may have other versions than the default
    /// only if `with_versions`.
    ///
    /// # Errors
    /// [`IdentityError`], or the failure of the store.
    pub async fn delete_policy(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &PolicyName,
        with_versions: bool,
    ) -> Changed<()> {
        self.transact(audit, |mut draft| async move {
            let reference = custom(name);
            let (key, policy) = draft.policy(account, name).await?;
            // Attaching rewrites the policy, so a concurrent attachment conflicts.
            let holders = self.policy_holders(account, &reference).await?;
            let user = holders.users.first().map(|(name, _)| name.identity_ref());
            let role = holders.roles.first().map(|(name, _)| name.identity_ref());
            if let Some(identity) = user.or(role) {
                return refused(IdentityError::PolicyAttached {
                    policy: reference,
                    identity,
                });
            }
            if policy.versions.len() > 1 && !with_versions {
                return refused(IdentityError::PolicyHasVersions {
                    policy: reference,
                    versions: policy.versions.len(),
                });
            }
            draft.delete(key);
            Ok((draft, ()))
        })
        .await
    }

    async fn change_policy<T: Send>(
        &self,
        audit: &AuditContext,
        account: &AccountId,
        name: &PolicyName,
        change: impl Fn(&mut Policy, edgeseal_core::Timestamp) -> Result<T, IdentityError> + Send + Sync,
    ) -> Changed<T> {
        let change = &change;
        self.transact(audit, |mut draft| async move {
            let (key, mut policy) = draft.policy(account, name).await?;
            let value = change(&mut policy, draft.now).map_err(ChangeError::Refused)?;
            policy.updated = draft.now;
            draft.put(key, &policy)?;
            draft.bump_permissions_revision(account);
            Ok((draft, value))
        })
        .await
    }
}

impl Draft {
    /// A policy that must exist.
    pub(super) async fn policy(
        &mut self,
        account: &AccountId,
        name: &PolicyName,
    ) -> Result<(Key, Policy), ChangeError<IdentityError>> {
        let key = Key::policy(account, name);
        match self.get::<Policy>(&key).await? {
            Some(policy) => Ok((key, policy)),
            None => refused(IdentityError::NoPolicy(custom(name))),
        }
    }
}

fn custom(name: &PolicyName) -> PolicyRef {
    PolicyRef::new(PolicyKind::Custom, name.clone())
}

fn no_version(name: &PolicyName, version: u32) -> IdentityError {
    IdentityError::NoVersion {
        policy: custom(name),
        version,
    }
}
