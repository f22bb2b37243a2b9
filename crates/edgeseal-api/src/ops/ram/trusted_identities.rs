//! The users and roles that a trust policy names, resolved when the policy is written.

use edgeseal_core::{
    identity::{IdentityKind, IdentityName, RoleName, TrustedIdentity, UserName},
    policy::{IdentityArn, TrustDocument},
};
use edgeseal_store::{Catalog, Fault};

/// The named users and roles that exist, in any account, each with its id. Those that do not exist
/// are matched by name alone.
pub(super) async fn resolve(catalog: &Catalog, trust: &str) -> Result<Vec<TrustedIdentity>, Fault> {
    let trust = TrustDocument::parse(trust).map_err(Fault::of("read a trust policy"))?;
    let mut found: Vec<TrustedIdentity> = Vec::new();
    for identity in trust.identities() {
        let name = identity.to_string();
        if found.iter().any(|one| one.name == name) {
            continue;
        }
        if let Some(id) = id(catalog, &identity).await? {
            found.push(TrustedIdentity { name, id });
        }
    }
    Ok(found)
}

async fn id(catalog: &Catalog, identity: &IdentityArn) -> Result<Option<String>, Fault> {
    match identity.kind {
        IdentityKind::User => id_of::<UserName>(catalog, identity).await,
        IdentityKind::Role => id_of::<RoleName>(catalog, identity).await,
    }
}

async fn id_of<N: IdentityName>(
    catalog: &Catalog,
    identity: &IdentityArn,
) -> Result<Option<String>, Fault> {
    match N::parse(&identity.name) {
        Ok(name) => {
            let found = catalog.identity(&identity.account, &name).await?;
            Ok(found.map(|identity| identity.id))
        }
        Err(_) => Ok(None),
    }
}
