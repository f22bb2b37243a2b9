//! The state of managed certificates follows the domain.

use edgeseal_core::{
    Secret,
    domain::{Domain, Environment},
    managed_certificate::{KeyType, ManagedCertificate, OrderRequest},
};

use super::*;
use crate::lease::{LeaseName, candidates};

fn state(domain: &Domain, environment: Environment) -> ManagedCertificate {
    let request = OrderRequest {
        at: NOW,
        access_key: "LTAI".to_owned(),
        action: "Set".to_owned(),
        request_id: format!("request-{environment:?}"),
    };
    let of = (domain.name.clone(), domain.id);
    ManagedCertificate::requested(of, domain.account.clone(), environment, request)
}

async fn change_managed(
    catalog: &Catalog,
    before: &Domain,
    after: &Domain,
    put: &[ManagedCertificate],
) {
    let audit = audit_context();
    let changed = catalog.transact(&audit, async |mut draft| {
        for managed in put {
            draft.put_managed_certificate(managed)?;
        }
        draft.change_domain(before, after).await?;
        Ok::<_, Never>((draft, ()))
    });
    changed.await.unwrap();
    let keys = [(KeyType::P256, Secret::new(b"a key".to_vec()))];
    for managed in put {
        let of = (&managed.domain, managed.environment, managed.domain_id);
        let stored = catalog.update_managed_certificate(of, &keys, |_| {});
        assert!(stored.await.unwrap().is_some());
        // Under a lease, and not after its term.
        let [mut process, mut other] = candidates(catalog.store(), LeaseName::Orders);
        let term = process.attempt().await.unwrap();
        let done = catalog.go_on_with_order(of, &[], |_| {}, term).await;
        assert!(done.unwrap().is_some());
        process.release().await.unwrap();
        assert!(other.attempt().await.unwrap().is_some());
        let refused = catalog.go_on_with_order(of, &[], |_| {}, term).await;
        assert!(refused.is_err());
        other.release().await.unwrap();
    }
}

#[tokio::test]
async fn a_published_order_is_managed_in_production() {
    use Environment::{Production, Staging};
    let catalog = catalog();
    let row = upload(&catalog, 7, "one").await;
    let plain = domain("a.example.com", Some(&row));
    add(&catalog, &plain).await;
    let staged_row = upload(&catalog, 8, "two").await;
    let mut both = plain.clone();
    both.manage(Production, NOW);
    let mut staged = both.clone();
    let bound = domain("a.example.com", Some(&staged_row))
        .production
        .unwrap();
    staged.bind_managed(bound, Staging, NOW);
    let states = [state(&plain, Production), state(&plain, Staging)];
    change_managed(&catalog, &plain, &staged, &states).await;
    for state in &states {
        let key = catalog.order_key(state, KeyType::P256).await.unwrap();
        assert_eq!(key.unwrap().expose(), b"a key");
    }

    let mut published = staged.clone();
    published.publish_staging(NOW).unwrap();
    change_managed(&catalog, &staged, &published, &[]).await;
    let name = &plain.name;
    let found = catalog.managed_certificate(name, Production).await.unwrap();
    let found = found.unwrap();
    assert_eq!(found.environment, Production);
    assert_eq!(found.requested.request_id, "request-Staging");
    assert_eq!(
        catalog.managed_certificate(name, Staging).await.unwrap(),
        None
    );

    // The orders in progress were for another environment.
    for state in &states {
        let key = catalog.order_key(state, KeyType::P256).await.unwrap();
        assert!(key.is_none());
    }

    let mut off = published.clone();
    off.disable_https(Production, NOW);
    change_managed(&catalog, &published, &off, &[]).await;
    assert_eq!(
        catalog.managed_certificate(name, Production).await.unwrap(),
        None
    );
}
