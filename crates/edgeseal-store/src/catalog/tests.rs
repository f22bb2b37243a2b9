//! What happens to removed certificates, and what listings show.

mod alarms;
mod assume_absent;
mod challenges;
mod companion;
mod counts;
mod deployments;
mod earlier_data;
mod managed;
mod origin_permissions;
mod races;
mod release;
mod summaries;
mod superseded;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use edgeseal_core::{
    AccountId, DomainPattern, Secret,
    certificate::{Certificate, CertificateInfo, KeyAlgorithm, OriginalPem, Subject},
    delivery::DeliveryConfig,
    domain::{Binding, Coverage, Domain, DomainMode, DomainState, ServiceType},
    quota::{OverQuota, Quota},
};

use super::*;
use crate::{
    filter::{DomainCondition, DomainFilter, TextMatch},
    memory::MemoryStore,
    record::{CertificateRecord, CertificateSource},
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

fn catalog() -> Catalog {
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    Catalog::new(Arc::new(MemoryStore::new()), keyring)
}

fn account() -> AccountId {
    AccountId::from_random(7)
}

fn audit_context() -> AuditContext {
    static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    AuditContext {
        account: account(),
        principal: format!("acs:ram::{}:root", account()),
        access_key: "key".to_owned(),
        source: "::1".to_owned(),
        action: "Test".to_owned(),
        resource: String::new(),
        request_id: NUMBER.fetch_add(1, Ordering::Relaxed).to_string(),
        nonce: None,
        now: NOW,
    }
}

fn certificate(content: &str) -> Certificate {
    let name = DomainPattern::parse(&format!("{content}.example.com")).unwrap();
    Certificate {
        leaf: content.as_bytes().to_vec(),
        intermediates: vec![b"issuer".to_vec()],
        key: Secret::new(b"key".to_vec()),
        info: CertificateInfo {
            common_name: name.to_string(),
            subject: Subject::default(),
            names: vec![name],
            issuer: "issuer".to_owned(),
            issuer_organization: String::new(),
            serial: "01".to_owned(),
            not_before: NOW,
            not_after: NOW.plus_ms(1000),
            chain_not_after: NOW.plus_ms(1000),
            sha256: String::new(),
            sha1: String::new(),
            key: KeyAlgorithm::Ecdsa,
            key_bits: 256,
            missing_issuer: None,
        },
        warnings: Vec::new(),
        original_pem: OriginalPem::default(),
    }
}

fn row(id: i64, certificate: &Certificate) -> CertificateRecord {
    CertificateRecord {
        id,
        account: account(),
        name: format!("name-{id}"),
        source: CertificateSource::Cas,
        region: "home".to_owned(),
        uploaded_for: None,
        material: certificate.digest(),
        has_key: true,
        revoked: false,
        removed: false,
        resource_group: String::new(),
        tags: Vec::new(),
        info: certificate.info.clone(),
        created: NOW,
    }
}

fn domain(name: &str, bound: Option<&CertificateRecord>) -> Domain {
    Domain {
        id: 1,
        name: DomainPattern::parse(name).unwrap(),
        account: account(),
        state: DomainState::Online,
        mode: DomainMode::Normal,
        service: ServiceType::Web,
        coverage: Coverage::Domestic,
        origins: Vec::new(),
        origin_permission: Default::default(),
        description: String::new(),
        resource_group: String::new(),
        tags: Vec::new(),
        created: NOW,
        modified: NOW,
        production: bound.map(|row| Binding {
            enabled: true,
            certificate: row.id,
            material: row.material,
            covers: true,
            updated: NOW,
            companion: None,
        }),
        staging: None,
        settings: Vec::new(),
        staged_settings: Vec::new(),
        delivery: DeliveryConfig::default(),
        staged_delivery: None,
        managed: Vec::new(),
    }
}

/// The error of a change that no rule rejects.
type Never = ChangeError<OverQuota>;

async fn upload(catalog: &Catalog, id: i64, content: &str) -> CertificateRecord {
    let certificate = certificate(content);
    let row = row(id, &certificate);
    let (certificate, written) = (&certificate, &row);
    let audit = &audit_context();
    let added = catalog.transact(audit, |mut draft| async move {
        draft
            .add_certificate(written, certificate, Quota::Unlimited)
            .await?;
        Ok::<_, Never>((draft, ()))
    });
    added.await.unwrap();
    row
}

async fn add(catalog: &Catalog, domain: &Domain) {
    let audit = &audit_context();
    let added = catalog.transact(audit, |mut draft| async move {
        draft.add_domain(domain, Quota::Unlimited).await?;
        Ok::<_, Never>((draft, ()))
    });
    added.await.unwrap();
}

async fn change(catalog: &Catalog, before: &Domain, after: &Domain) {
    let audit = &audit_context();
    let changed = catalog.transact(audit, |mut draft| async move {
        draft.change_domain(before, after).await?;
        Ok::<_, Never>((draft, ()))
    });
    changed.await.unwrap();
}

/// Deletes a certificate unless a domain has it bound; returns that domain.
async fn delete(catalog: &Catalog, row: &CertificateRecord) -> Option<String> {
    let audit = &audit_context();
    let deleted = catalog.transact(audit, |mut draft| async move {
        let user = draft.domain_using_certificate(row.id).await?;
        if user.is_none() {
            draft.delete_certificate(row).await?;
        }
        Ok::<_, Never>((draft, user))
    });
    deleted.await.unwrap().value
}

/// The keys in the store that belong to certificates.
async fn certificate_keys(catalog: &Catalog) -> Vec<String> {
    let all = catalog.entries("").await.unwrap();
    let keys = all.iter().map(|entry| entry.key.to_string());
    let kinds = ["cert", "material", "accountcert"];
    keys.filter(|key| kinds.iter().any(|kind| key.starts_with(kind)))
        .collect()
}

#[tokio::test]
async fn the_key_goes_with_the_last_certificate_of_its_content() {
    let catalog = catalog();
    let first = upload(&catalog, 1, "a").await;
    let second = upload(&catalog, 2, "a").await;
    assert_eq!(delete(&catalog, &first).await, None);
    assert!(catalog.material(&first.material).await.unwrap().is_some());
    let left = catalog.certificate_by_name(&account(), "name-2").await;
    assert_eq!(left.unwrap(), Some(second.clone()));
    let audit = &audit_context();
    let of_content = catalog.transact(audit, |mut draft| {
        let material = second.material;
        async move {
            let found = draft.certificate_by_content(&account(), &material).await?;
            Ok::<_, Never>((draft, found))
        }
    });
    assert_eq!(of_content.await.unwrap().value, Some(second.clone()));
    assert_eq!(delete(&catalog, &second).await, None);
    assert_eq!(certificate_keys(&catalog).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_bound_certificate_is_in_use_until_its_last_domain_has_another() {
    let catalog = catalog();
    let (old, new) = (
        upload(&catalog, 1, "a").await,
        upload(&catalog, 2, "b").await,
    );
    let (one, two) = (
        domain("a.example.com", Some(&old)),
        domain("b.example.com", Some(&old)),
    );
    add(&catalog, &one).await;
    add(&catalog, &two).await;
    let users = catalog.domains_using_certificate(1, 10).await.unwrap();
    assert_eq!(users, [one.clone(), two.clone()]);
    assert!(catalog.is_certificate_used(1).await.unwrap());
    assert!(!catalog.is_certificate_used(2).await.unwrap());
    change(&catalog, &one, &domain("a.example.com", Some(&new))).await;
    assert_eq!(
        delete(&catalog, &old).await.as_deref(),
        Some("b.example.com")
    );
    change(&catalog, &two, &domain("b.example.com", Some(&new))).await;
    assert_eq!(delete(&catalog, &old).await, None);
}

#[tokio::test]
async fn a_hidden_certificate_goes_with_its_last_binding() {
    let catalog = catalog();
    let (old, new) = (
        upload(&catalog, 1, "a").await,
        upload(&catalog, 2, "b").await,
    );
    let bound = domain("a.example.com", Some(&old));
    add(&catalog, &bound).await;
    let audit = &audit_context();
    let hidden = catalog.transact(audit, |mut draft| {
        let old = old.clone();
        async move {
            draft.hide_certificate(&old).await?;
            Ok::<_, Never>((draft, ()))
        }
    });
    hidden.await.unwrap();
    let span = Pagination {
        offset: 0,
        limit: 10,
    };
    let listed = catalog.certificates(&account(), None, span).await.unwrap();
    assert_eq!((listed.total, &listed.items[..]), (1, &[2][..]));
    assert!(
        catalog
            .certificate_by_name(&account(), "name-1")
            .await
            .unwrap()
            .is_none()
    );
    assert!(catalog.certificate(1).await.unwrap().unwrap().removed);

    change(&catalog, &bound, &domain("a.example.com", Some(&new))).await;
    assert_eq!(catalog.certificate(1).await.unwrap(), None);
    assert!(catalog.material(&old.material).await.unwrap().is_none());
    let used = certificate_keys(&catalog).await;
    assert!(
        used.iter().all(|key| !key.starts_with("certuse/1/")),
        "{used:?}"
    );
}

#[tokio::test]
async fn listings_count_all_and_show_a_part() {
    let catalog = catalog();
    let row = upload(&catalog, 1, "a").await;
    let names: Vec<String> = (0..25).map(|n| format!("d{n:02}.example.com")).collect();
    for (number, name) in names.iter().enumerate() {
        let mut domain = domain(name, (number % 2 == 0).then_some(&row));
        if number % 5 == 0 {
            domain.state = DomainState::Offline;
        }
        add(&catalog, &domain).await;
    }
    let span = Pagination::of_page(2, 10);
    let page = catalog.domains(&account(), span).await.unwrap();
    let shown: Vec<String> = page.items.iter().map(|one| one.name.to_string()).collect();
    assert_eq!((page.total, shown.as_slice()), (25, &names[10..20]));

    let second_page = Pagination::of_page(2, 10);
    let of = DomainFilter::of;
    let https = catalog
        .domains_where(&account(), of(DomainCondition::Https), second_page)
        .await
        .unwrap();
    assert_eq!((https.total, https.items.len()), (13, 3));
    let offline = of(DomainCondition::State(DomainState::Offline));
    let page = catalog
        .domains_where(&account(), offline, Pagination::of_page(1, 3))
        .await
        .unwrap();
    assert_eq!((page.total, page.items.len()), (5, 3));
    for (name, total) in [
        (TextMatch::Equals("d07.example.com".to_owned()), 1),
        (TextMatch::Equals("d07".to_owned()), 0),
        (TextMatch::StartsWith("d1".to_owned()), 10),
    ] {
        let filter = DomainFilter {
            name: Some(name),
            conditions: Vec::new(),
        };
        let found = catalog.domains_where(&account(), filter, second_page).await;
        assert_eq!(found.unwrap().total, total);
    }
    let (end, later) = (NOW.plus_ms(1000), NOW.plus_ms(2000));
    assert_eq!(
        catalog.count_expiring(&account(), NOW, end).await.unwrap(),
        (0, 0)
    );
    assert_eq!(
        catalog
            .count_expiring(&account(), NOW, later)
            .await
            .unwrap(),
        (0, 13)
    );
    assert_eq!(
        catalog
            .count_expiring(&account(), later, later)
            .await
            .unwrap(),
        (13, 0)
    );
    let other = AccountId::from_random(8);
    assert_eq!(catalog.domains(&other, span).await.unwrap().total, 0);
}

#[tokio::test]
async fn deleted_domains_are_remembered_until_they_come_back() {
    let catalog = &catalog();
    let row = &upload(catalog, 1, "a").await;
    let domain = &domain("a.example.com", Some(row));
    add(catalog, domain).await;
    let audit = &audit_context();
    let deleted = catalog.transact(audit, |mut draft| async move {
        draft.delete_domain(domain).await?;
        Ok::<_, Never>((draft, ()))
    });
    deleted.await.unwrap();
    let span = Pagination {
        offset: 0,
        limit: 10,
    };
    let gone = catalog.deleted_domains(&account(), span).await.unwrap();
    assert_eq!((gone.total, &gone.items[0].0), (1, &domain.name));
    assert_eq!(delete(catalog, row).await, None, "no domain has it bound");
    add(
        catalog,
        &Domain {
            production: None,
            ..domain.clone()
        },
    )
    .await;
    assert_eq!(
        catalog
            .deleted_domains(&account(), span)
            .await
            .unwrap()
            .total,
        0
    );
}

/// A batch releases a hidden certificate from all of its domains: it is removed with them.
#[tokio::test]
async fn one_change_may_take_a_hidden_certificate_from_all() {
    let catalog = &catalog();
    let (old, new) = (
        &upload(catalog, 1, "a").await,
        &upload(catalog, 2, "b").await,
    );
    let domains: Vec<Domain> = (0..50)
        .map(|n| domain(&format!("d{n}.example.com"), Some(old)))
        .collect();
    for domain in &domains {
        add(catalog, domain).await;
    }
    let audit = &audit_context();
    let hidden = catalog.transact(audit, |mut draft| async move {
        draft.hide_certificate(old).await?;
        Ok::<_, Never>((draft, ()))
    });
    hidden.await.unwrap();
    let (domains, again) = (&domains, &audit_context());
    let changed = catalog.transact(again, |mut draft| async move {
        for before in domains {
            let mut after = before.clone();
            after.production = domain("x.example.com", Some(new)).production;
            draft.change_domain(before, &after).await?;
        }
        Ok::<_, Never>((draft, ()))
    });
    changed.await.unwrap();
    assert_eq!(catalog.certificate(1).await.unwrap(), None);
    assert!(catalog.material(&old.material).await.unwrap().is_none());
}
