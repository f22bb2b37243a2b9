//! What domain records say about their account.

use edgeseal_core::{account::Account, private_origins::OriginPermission};

use super::*;

/// More than one page.
const DOMAINS: usize = 205;

async fn permissions(catalog: &Catalog, names: &[DomainPattern]) -> Vec<OriginPermission> {
    let mut found = Vec::new();
    for name in names {
        let domain: Domain = catalog.domain(name).await.unwrap().unwrap();
        found.push(domain.origin_permission);
    }
    found.dedup();
    found
}

#[tokio::test]
async fn all_domains_say_what_their_account_may_and_others_are_left_alone() {
    let catalog = catalog();
    let mut names = [Vec::new(), Vec::new()];
    let accounts = [("1000000000000001", false), ("2000000000000002", true)];
    for ((id, root), names) in accounts.into_iter().zip(&mut names) {
        let id = AccountId::parse(id).unwrap();
        let account = Account {
            id: id.clone(),
            name: id.to_string(),
            root,
            created: NOW,
            private_origins: None,
            quotas: Default::default(),
        };
        let key = NewAccessKey::generate(id.clone(), None, NOW);
        catalog
            .create_account(&audit_context(), &account, &key)
            .await
            .unwrap();
        for number in 0..DOMAINS {
            let mut one = domain(&format!("d{number}.of-{id}.example"), None);
            one.account = id.clone();
            let added = &one;
            let audit = audit_context();
            let added = catalog.transact(&audit, |mut draft| async move {
                draft.add_domain(added, Quota::Unlimited).await?;
                Ok::<_, ChangeError<OverQuota>>((draft, ()))
            });
            added.await.unwrap();
            names.push(one.name);
        }
    }
    // As an earlier release left them.
    assert_eq!(
        permissions(&catalog, &names[0]).await,
        [OriginPermission::Unknown]
    );
    catalog.migrate_origin_permissions(NOW).await.unwrap();
    assert_eq!(
        permissions(&catalog, &names[0]).await,
        [OriginPermission::Tenant]
    );
    assert_eq!(
        permissions(&catalog, &names[1]).await,
        [OriginPermission::Root]
    );

    let tenant = AccountId::parse(accounts[0].0).unwrap();
    for (chosen, permission) in [
        (PrivateOriginsOverride::Allowed, OriginPermission::Allowed),
        (PrivateOriginsOverride::Refused, OriginPermission::Refused),
        (PrivateOriginsOverride::Inherit, OriginPermission::Tenant),
    ] {
        let audit = audit_context();
        let update = AccountUpdate {
            private_origins: Some(chosen),
            quotas: Vec::new(),
        };
        let set = catalog.update_account(&audit, &tenant, &update);
        set.await.unwrap();
        assert_eq!(permissions(&catalog, &names[0]).await, [permission]);
        assert_eq!(
            permissions(&catalog, &names[1]).await,
            [OriginPermission::Root]
        );
    }
    let nobody = AccountId::parse("3000000000000003").unwrap();
    let nothing = AccountUpdate::default();
    let refused = catalog
        .update_account(&audit_context(), &nobody, &nothing)
        .await;
    assert!(matches!(
        refused,
        Err(ChangeError::Refused(AccountError::NoAccount { .. }))
    ));
}
