use super::*;
use crate::certificate::{CertificateId, Digest, KeyAlgorithm};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

fn domain() -> Domain {
    Domain {
        id: 1,
        name: DomainPattern::parse("example.com").unwrap(),
        account: AccountId::from_random(1),
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
        production: None,
        staging: None,
        settings: Vec::new(),
        staged_settings: Vec::new(),
        delivery: DeliveryConfig::default(),
        staged_delivery: None,
        managed: Vec::new(),
    }
}

fn binding(certificate: CertificateId) -> Binding {
    Binding {
        enabled: true,
        certificate,
        material: Digest([7; 32]),
        covers: true,
        updated: NOW,
        companion: None,
    }
}

fn companion(certificate: CertificateId, key: KeyAlgorithm) -> Companion {
    Companion {
        certificate,
        material: Digest([8; 32]),
        key,
        covers: true,
        updated: NOW,
    }
}

#[test]
fn mode_is_looked_at_before_state() {
    use CertificateLocked::{NotOnline, Protected, Safe, Stopped};
    for (mode, state, expected) in [
        (DomainMode::Normal, DomainState::Online, Ok(())),
        (DomainMode::Normal, DomainState::Offline, Err(Stopped)),
        (DomainMode::Normal, DomainState::Stopping, Err(Stopped)),
        (
            DomainMode::Normal,
            DomainState::Configuring,
            Err(NotOnline {
                state: DomainState::Configuring,
            }),
        ),
        (
            DomainMode::Normal,
            DomainState::Checking,
            Err(NotOnline {
                state: DomainState::Checking,
            }),
        ),
        (
            DomainMode::Normal,
            DomainState::CheckFailed,
            Err(NotOnline {
                state: DomainState::CheckFailed,
            }),
        ),
        (
            DomainMode::Normal,
            DomainState::ConfigureFailed,
            Err(NotOnline {
                state: DomainState::ConfigureFailed,
            }),
        ),
        (
            DomainMode::Normal,
            DomainState::Deleting,
            Err(NotOnline {
                state: DomainState::Deleting,
            }),
        ),
        (DomainMode::Safe, DomainState::Offline, Err(Safe)),
        (DomainMode::Protected, DomainState::Offline, Err(Protected)),
        (DomainMode::Safe, DomainState::Online, Err(Safe)),
    ] {
        let mut domain = domain();
        domain.mode = mode;
        domain.state = state;
        assert_eq!(
            domain.check_certificate_change(),
            expected,
            "{mode:?} {state:?}"
        );
    }
}

#[test]
fn staging_is_seen_by_staging_edges_only() {
    let mut domain = domain();
    domain.bind(binding(1), Environment::Production, NOW);
    domain.bind(binding(2), Environment::Staging, NOW);
    assert_eq!(
        domain.binding(Environment::Production).unwrap().certificate,
        1
    );
    assert_eq!(domain.binding(Environment::Staging).unwrap().certificate, 2);

    let mut published = domain.clone();
    published.publish_staging(NOW).unwrap();
    assert_eq!(
        published
            .binding(Environment::Production)
            .unwrap()
            .certificate,
        2
    );
    assert_eq!(published.publish_staging(NOW), Err(NothingStaged));

    domain.roll_back_staging(NOW).unwrap();
    assert_eq!(domain.binding(Environment::Staging).unwrap().certificate, 1);
    assert_eq!(domain.roll_back_staging(NOW), Err(NothingStaged));
}

#[test]
fn a_production_binding_leaves_nothing_old_behind() {
    let mut domain = domain();
    domain.bind(binding(1), Environment::Staging, NOW);
    assert_eq!(domain.binding(Environment::Production), None);
    domain.bind(binding(2), Environment::Production, NOW);
    assert_eq!(domain.binding(Environment::Staging).unwrap().certificate, 2);
}

#[test]
fn disabled_https_keeps_the_binding() {
    let mut domain = domain();
    domain.disable_https(Environment::Production, NOW);
    assert_eq!(domain.production, None);
    domain.bind(binding(1), Environment::Production, NOW);
    domain.disable_https(Environment::Production, NOW.plus_ms(1));
    let off = domain.production.clone().unwrap();
    assert_eq!(
        (off.enabled, off.certificate, off.updated),
        (false, 1, NOW.plus_ms(1))
    );
    domain.disable_https(Environment::Production, NOW.plus_ms(2));
    assert_eq!(
        domain.production.unwrap().updated,
        NOW.plus_ms(1),
        "switching off twice keeps the first time"
    );
}

#[test]
fn off_for_staging_leaves_production_on() {
    let mut domain = domain();
    domain.bind(binding(1), Environment::Production, NOW);
    domain.disable_https(Environment::Staging, NOW);
    assert!(domain.binding(Environment::Production).unwrap().enabled);
    assert!(!domain.binding(Environment::Staging).unwrap().enabled);
}

#[test]
fn management_ends_with_what_replaces_the_certificate() {
    use Environment::{Production, Staging};
    let plain = domain();
    let managed = |in_staging: bool| {
        let mut domain = domain();
        domain.bind_managed(binding(1), Production, NOW);
        if in_staging {
            domain.bind_managed(binding(2), Staging, NOW);
        }
        domain
    };
    let check = |domain: &Domain, expected: &[Environment], what: &str| {
        let found: Vec<_> = [Production, Staging]
            .into_iter()
            .filter(|environment| domain.is_managed(*environment))
            .collect();
        assert_eq!(found, expected, "{what}");
    };
    let mut domain = managed(true);
    check(&domain, &[Production, Staging], "both");
    domain.bind_managed(binding(3), Production, NOW);
    check(&domain, &[Production], "a renewal discards what is staged");

    let mut domain = managed(true);
    domain.bind(binding(3), Staging, NOW);
    check(&domain, &[Production], "an upload for staging");
    domain.publish_staging(NOW).unwrap();
    check(&domain, &[], "a published upload");

    let mut domain = managed(false);
    domain.bind(binding(3), Production, NOW);
    check(&domain, &[], "an upload");

    let mut domain = managed(true);
    domain.disable_https(Production, NOW);
    check(&domain, &[], "off");

    let mut domain = managed(true);
    domain.roll_back_staging(NOW).unwrap();
    check(&domain, &[Production], "a rollback");

    let mut domain = plain;
    domain.bind(binding(1), Production, NOW);
    domain.bind_managed(binding(2), Staging, NOW);
    domain.publish_staging(NOW).unwrap();
    check(&domain, &[Production], "a published order");
}

#[test]
fn stored_shape_round_trips() {
    let mut domain = domain();
    domain.bind(binding(1), Environment::Production, NOW);
    let json = serde_json::to_string(&domain).unwrap();
    assert_eq!(serde_json::from_str::<Domain>(&json).unwrap(), domain);
}

fn setting(id: i64, name: &str, value: &str) -> Setting {
    Setting {
        id,
        name: name.to_owned(),
        arguments: vec![("value".to_owned(), value.to_owned())],
        repeatable: false,
        parent: None,
    }
}

/// HTTP/2 is off if any setting says so.
fn derive(settings: &[Setting]) -> Result<DeliveryConfig, String> {
    let mut delivery = DeliveryConfig::default();
    for setting in settings {
        match setting.arguments[0].1.as_str() {
            "off" => delivery.http2 = false,
            "bad" => return Err(setting.name.clone()),
            _ => {}
        }
    }
    Ok(delivery)
}

#[test]
fn staged_settings_replace_those_of_their_name() {
    let mut domain = domain();
    let production = vec![setting(1, "http2", "on"), setting(2, "other", "on")];
    let staged = vec![setting(3, "http2", "off")];
    domain
        .configure(production, staged, derive, NOW)
        .expect("legal");
    assert!(domain.delivery(Environment::Production).http2);
    assert!(!domain.delivery(Environment::Staging).http2);

    let mut published = domain.clone();
    published.publish_staging(NOW).unwrap();
    assert!(!published.delivery(Environment::Production).http2);
    assert_eq!(
        published.settings,
        [setting(2, "other", "on"), setting(3, "http2", "off")]
    );
    assert!(published.staged_settings.is_empty());

    domain.roll_back_staging(NOW).unwrap();
    assert!(domain.delivery(Environment::Staging).http2);
    assert!(domain.staged_settings.is_empty());
    assert_eq!(domain.roll_back_staging(NOW), Err(NothingStaged));
}

#[test]
fn refused_settings_change_nothing() {
    let mut domain = domain();
    let before = domain.clone();
    for (production, staged) in [
        (vec![setting(1, "a", "bad")], Vec::new()),
        (vec![setting(1, "a", "on")], vec![setting(2, "a", "bad")]),
    ] {
        let refused = domain.configure(production, staged, derive, NOW);
        assert_eq!(refused, Err("a".to_owned()));
        assert_eq!(domain, before);
    }
}

#[test]
fn staged_repeatable_settings_are_added() {
    let mut domain = domain();
    let header = |id| Setting {
        repeatable: true,
        ..setting(id, "header", "on")
    };
    domain
        .configure(vec![header(1)], vec![header(2)], derive, NOW)
        .expect("legal");
    domain.publish_staging(NOW).unwrap();
    assert_eq!(domain.settings, [header(1), header(2)]);
}

#[test]
fn a_companion_has_a_key_of_the_other_kind() {
    use CompanionError::{SameKey, UnsupportedPair};
    use KeyAlgorithm::{Ecdsa, Ed25519, Rsa};
    let no_pair = |first, beside| {
        Err(UnsupportedPair {
            primary: first,
            companion: beside,
        })
    };
    for (first, beside, expected) in [
        (Rsa, Ecdsa, Ok(())),
        (Ecdsa, Rsa, Ok(())),
        (Rsa, Rsa, Err(SameKey { key: Rsa })),
        (Ecdsa, Ecdsa, Err(SameKey { key: Ecdsa })),
        (Ed25519, Ed25519, Err(SameKey { key: Ed25519 })),
        (Rsa, Ed25519, no_pair(Rsa, Ed25519)),
        (Ed25519, Ecdsa, no_pair(Ed25519, Ecdsa)),
    ] {
        let mut domain = domain();
        domain.bind(binding(1), Environment::Production, NOW);
        let before = domain.clone();
        let second = companion(2, beside);
        let later = NOW.plus_ms(1);
        let bound = domain.bind_companion(second.clone(), first, Environment::Production, later);
        assert_eq!(bound, expected, "{first} {beside}");
        if expected.is_ok() {
            let production = domain.production.as_ref().unwrap();
            assert_eq!(production.certificate, 1);
            assert_eq!(production.companion, Some(second));
            assert_eq!(
                production.updated, NOW,
                "the first certificate is unchanged"
            );
            assert_eq!(domain.modified, later);
        } else {
            assert_eq!(domain, before);
        }
    }
}

#[test]
fn a_companion_needs_a_first_one_that_is_served() {
    use KeyAlgorithm::{Ecdsa, Rsa};
    for environment in [Environment::Production, Environment::Staging] {
        let second = || companion(2, Ecdsa);
        let mut domain = domain();
        let bound = domain.bind_companion(second(), Rsa, environment, NOW);
        assert_eq!(bound, Err(CompanionError::NothingBound));
        domain.bind(binding(1), environment, NOW);
        domain.disable_https(environment, NOW);
        let bound = domain.bind_companion(second(), Rsa, environment, NOW);
        assert_eq!(bound, Err(CompanionError::HttpsOff));
    }
}

#[test]
fn a_binding_replaces_both_certificates_and_a_companion_one() {
    use KeyAlgorithm::Ecdsa;
    let ids = |domain: &Domain, environment| -> Vec<CertificateId> {
        let bound = domain.binding(environment).unwrap();
        bound.certificates().map(|(id, _)| id).collect()
    };
    let (production, staging) = (Environment::Production, Environment::Staging);
    let mut domain = domain();
    let add = |domain: &mut Domain, id, environment| {
        let second = companion(id, Ecdsa);
        domain.bind_companion(second, KeyAlgorithm::Rsa, environment, NOW)
    };
    domain.bind(binding(1), production, NOW);
    add(&mut domain, 2, production).unwrap();
    add(&mut domain, 3, production).unwrap();
    assert_eq!(ids(&domain, production), [1, 3]);

    // In staging it joins the certificate served there, and production is unchanged.
    add(&mut domain, 4, staging).unwrap();
    assert_eq!(ids(&domain, staging), [1, 4]);
    assert_eq!(ids(&domain, production), [1, 3]);
    domain.publish_staging(NOW).unwrap();
    assert_eq!(ids(&domain, production), [1, 4]);

    domain.bind(binding(5), staging, NOW);
    assert_eq!(ids(&domain, staging), [5]);
    domain.roll_back_staging(NOW).unwrap();
    assert_eq!(ids(&domain, staging), [1, 4]);

    domain.disable_https(production, NOW);
    assert!(!domain.is_https_on());
    assert_eq!(ids(&domain, production), [1, 4], "remembered, not served");
    domain.bind(binding(6), production, NOW);
    assert_eq!(ids(&domain, production), [6]);
}

#[test]
fn bindings_without_a_companion_keep_their_stored_form() {
    let old = r#"{"enabled":true,"certificate":1,"material":"MATERIAL","covers":true,"updated":5}"#;
    let mut written = serde_json::to_value(binding(1)).unwrap();
    assert!(written.get("companion").is_none());
    let mut old: serde_json::Value = serde_json::from_str(old).unwrap();
    old["material"] = written["material"].take();
    old["updated"] = written["updated"].take();
    let read: Binding = serde_json::from_value(old).unwrap();
    assert_eq!(read, binding(1));
}
