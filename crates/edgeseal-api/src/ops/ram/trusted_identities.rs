//! Which users and roles a trust policy names, at the time when it is written.

use edgeseal_core::{
    identity::{RoleName, TrustedIdentity, UserName},
    policy::{IdentityName, TrustDocument},
};
use edgeseal_store::{Catalog, Fault};

/// Those of them that there are, of whichever account, each with its number. Of the others the name
/// alone decides.
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

async fn id(catalog: &Catalog, identity: &IdentityName) -> Result<Option<String>, Fault> {
    match identity {
        IdentityName::User { account, name } => match UserName::parse(name) {
            Ok(name) => Ok(catalog.user(account, &name).await?.map(|user| user.id)),
            Err(_) => Ok(None),
        },
        IdentityName::Role { account, name } => match RoleName::parse(name) {
            Ok(name) => Ok(catalog.role(account, &name).await?.map(|role| role.id)),
            Err(_) => Ok(None),
        },
    }
}
