//! Which users and roles a trust policy names, at the time when it is written.

use edgeseal_core::{
    identity::{IdentityKind, IdentityName, RoleName, TrustedIdentity, UserName},
    policy::{IdentityArn, TrustDocument},
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
