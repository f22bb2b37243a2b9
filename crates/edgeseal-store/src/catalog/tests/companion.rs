//! Two certificates of one domain.

use edgeseal_core::domain::{Companion, Environment};

use super::*;
use crate::consistency;

fn with_companion(first: &CertificateRecord, second: &CertificateRecord) -> Domain {
    let mut domain = domain("a.example.com", Some(first));
    domain.production.as_mut().unwrap().companion = Some(Companion {
        certificate: second.id,
        material: second.material,
        key: second.info.key,
        covers: true,
        updated: NOW,
    });
    domain
}

/// A certificate of this content with an RSA key that expires `ms` after [`NOW`].
async fn upload_rsa(catalog: &Catalog, id: i64, content: &str, ms: i64) -> CertificateRecord {
    let mut certificate = certificate(content);
    certificate.info.key = KeyAlgorithm::Rsa;
    certificate.info.chain_not_after = NOW.plus_ms(ms);
    certificate.info.sha256 = content.to_owned();
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

async fn assert_consistent(catalog: &Catalog) {
    let found = consistency::check(catalog.store().as_ref()).await.unwrap();
    let of_domains = |finding: &&consistency::Finding| {
        let key = finding.key.as_str();
        !key.starts_with("material/") && !finding.what.starts_with("account/")
    };
    let findings: Vec<_> = found.findings.iter().filter(of_domains).collect();
    assert!(findings.is_empty(), "{findings:?}");
}

#[tokio::test]
async fn a_companion_is_in_use_until_the_domain_has_others() {
    let catalog = catalog();
    let first = upload(&catalog, 1, "a").await;
    let second = upload_rsa(&catalog, 2, "b", 1000).await;
    let third = upload(&catalog, 3, "c").await;
    let alone = domain("a.example.com", Some(&first));
    add(&catalog, &alone).await;
    let both = with_companion(&first, &second);
    change(&catalog, &alone, &both).await;
    assert_consistent(&catalog).await;
    for row in [&first, &second] {
        assert_eq!(
            delete(&catalog, row).await.as_deref(),
            Some("a.example.com")
        );
    }

    let mut off = both.clone();
    off.disable_https(Environment::Production, NOW);
    change(&catalog, &both, &off).await;
    assert_consistent(&catalog).await;
    let user = delete(&catalog, &second).await;
    assert_eq!(user.as_deref(), Some("a.example.com"), "remembered");

    let replaced = domain("a.example.com", Some(&third));
    change(&catalog, &off, &replaced).await;
    assert_consistent(&catalog).await;
    for row in [&first, &second] {
        assert_eq!(delete(&catalog, row).await, None);
        assert!(catalog.material(&row.material).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_hidden_companion_goes_with_its_binding() {
    let catalog = catalog();
    let first = upload(&catalog, 1, "a").await;
    let second = upload_rsa(&catalog, 2, "b", 1000).await;
    let both = with_companion(&first, &second);
    add(&catalog, &both).await;
    let (audit, hidden) = (&audit_context(), &second);
    let hiding = catalog.transact(audit, |mut draft| async move {
        draft.hide_certificate(hidden).await?;
        Ok::<_, Never>((draft, ()))
    });
    hiding.await.unwrap();
    assert_consistent(&catalog).await;
    change(&catalog, &both, &domain("a.example.com", Some(&first))).await;
    assert_eq!(catalog.certificate(2).await.unwrap(), None);
    assert!(catalog.material(&second.material).await.unwrap().is_none());
    assert!(catalog.material(&first.material).await.unwrap().is_some());
    assert_consistent(&catalog).await;
}

#[tokio::test]
async fn the_earlier_end_of_two_chains_counts() {
    for (ms, expected) in [(500, (1, 0)), (2000, (0, 1))] {
        let catalog = catalog();
        let first = upload(&catalog, 1, "a").await; // expires after 1000 ms
        let second = upload_rsa(&catalog, 2, "b", ms).await;
        let both = with_companion(&first, &second);
        add(&catalog, &both).await;
        let (now, soon) = (NOW.plus_ms(501), NOW.plus_ms(1500));
        let ending = catalog.count_expiring(&account(), now, soon).await.unwrap();
        assert_eq!(ending, expected, "{ms}");
        assert_consistent(&catalog).await;
    }
}

#[tokio::test]
async fn audit_and_history_name_both_leaves() {
    let catalog = catalog();
    let first = upload_rsa(&catalog, 1, "first", 1000).await;
    let second = upload_rsa(&catalog, 2, "second", 1000).await;
    let alone = domain("a.example.com", Some(&first));
    add(&catalog, &alone).await;
    let both = with_companion(&first, &second);
    let audit = &AuditContext {
        request_id: "adds".to_owned(),
        ..audit_context()
    };
    let (before, after) = (&alone, &both);
    let changed = catalog.transact(audit, |mut draft| async move {
        let environment = Environment::Production;
        let leaves = (
            draft.leaves(before, environment).await?,
            draft.leaves(after, environment).await?,
        );
        draft.add_history(after, Some(environment), leaves, audit)?;
        draft.change_domain(before, after).await?;
        Ok::<_, Never>((draft, ()))
    });
    changed.await.unwrap();

    let history = catalog.history(&both.name).await.unwrap();
    let (_, entry) = history.first().unwrap();
    let of = |text: &Option<String>| text.clone().unwrap_or_default();
    assert_eq!(
        (of(&entry.before), of(&entry.after)),
        ("first".into(), "first".into())
    );
    assert_eq!(entry.before_companion, None);
    assert_eq!(entry.after_companion.as_deref(), Some("second"));
    assert_eq!((entry.certificate, entry.companion), (Some(1), Some(2)));

    let newest = AuditQuery {
        from: None,
        until: None,
        newest_first: true,
        after: None,
    };
    let audit = catalog.audit(&account(), newest, 1).await.unwrap();
    let audit = audit.records[0].1.clone().unwrap();
    assert_eq!(audit.request_id, "adds");
    let [change] = &audit.bindings[..] else {
        panic!("{:?}", audit.bindings);
    };
    assert_eq!(
        (of(&change.before), of(&change.after)),
        ("first".into(), "first".into())
    );
    assert_eq!(change.before_companion, None);
    assert_eq!(change.after_companion.as_deref(), Some("second"));
}

#[tokio::test]
async fn the_doctor_sees_a_companion_that_is_wrong() {
    let catalog = catalog();
    let first = upload(&catalog, 1, "a").await;
    let second = upload_rsa(&catalog, 2, "b", 1000).await;
    add(&catalog, &with_companion(&first, &second)).await;
    let of_domain = async |domain: &Domain| -> Vec<String> {
        let put = crate::Write::Put {
            key: Key::domain(&domain.name),
            value: record::encode(domain).unwrap(),
            expires: None,
        };
        let txn = Txn {
            write: vec![put],
            ..Txn::default()
        };
        catalog.store().commit(txn).await.unwrap();
        let found = consistency::check(catalog.store().as_ref()).await.unwrap();
        let findings = found.findings.into_iter();
        let findings = findings.filter(|one| one.key == Key::domain(&domain.name));
        findings.map(|one| one.what).collect()
    };
    type Corrupt = fn(&mut Companion);
    let spoilt: [(Corrupt, &str); 3] = [
        (
            |it| it.certificate = 9,
            "certificate 9, which it has bound, is not there",
        ),
        (
            |it| it.key = KeyAlgorithm::Ecdsa,
            "has a key of RSA, beside one of ECDSA",
        ),
        (
            |it| it.material = edgeseal_core::certificate::Digest([9; 32]),
            "it serves other material than that of certificate 2",
        ),
    ];
    for (spoil, expected) in spoilt {
        let mut domain = with_companion(&first, &second);
        let binding = domain.production.as_mut().unwrap();
        spoil(binding.companion.as_mut().unwrap());
        let found = of_domain(&domain).await;
        assert!(
            found.iter().any(|what| what.contains(expected)),
            "{found:?}"
        );
    }
    let found = of_domain(&with_companion(&first, &second)).await;
    assert!(
        found.iter().all(|what| what.starts_with("account/")),
        "{found:?}"
    );
}
