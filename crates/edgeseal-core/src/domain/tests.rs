use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

fn domain() -> Domain {
    Domain {
        id: 1,
        name: Pattern::parse("example.com").unwrap(),
        account: AccountId::from_random(1),
        state: State::Online,
        mode: Mode::Normal,
        service: Service::Web,
        coverage: Coverage::Domestic,
        origins: Vec::new(),
        description: String::new(),
        resource_group: String::new(),
        tags: Vec::new(),
        created: NOW,
        modified: NOW,
        production: None,
        staging: None,
        settings: Vec::new(),
        staged_settings: Vec::new(),
        delivery: Delivery::default(),
        staged_delivery: None,
    }
}

fn binding(certificate: CertificateId) -> Binding {
    Binding {
        enabled: true,
        certificate,
        material: Digest([7; 32]),
        covers: true,
        updated: NOW,
    }
}

#[test]
fn mode_is_looked_at_before_state() {
    use Held::{NotOnline, Protected, Safe, Stopped};
    for (mode, state, expected) in [
        (Mode::Normal, State::Online, Ok(())),
        (Mode::Normal, State::Offline, Err(Stopped)),
        (Mode::Normal, State::Stopping, Err(Stopped)),
        (
            Mode::Normal,
            State::Configuring,
            Err(NotOnline {
                state: State::Configuring,
            }),
        ),
        (
            Mode::Normal,
            State::Checking,
            Err(NotOnline {
                state: State::Checking,
            }),
        ),
        (
            Mode::Normal,
            State::CheckFailed,
            Err(NotOnline {
                state: State::CheckFailed,
            }),
        ),
        (
            Mode::Normal,
            State::ConfigureFailed,
            Err(NotOnline {
                state: State::ConfigureFailed,
            }),
        ),
        (
            Mode::Normal,
            State::Deleting,
            Err(NotOnline {
                state: State::Deleting,
            }),
        ),
        (Mode::Safe, State::Offline, Err(Safe)),
        (Mode::Protected, State::Offline, Err(Protected)),
        (Mode::Safe, State::Online, Err(Safe)),
    ] {
        let mut domain = domain();
        domain.mode = mode;
        domain.state = state;
        assert_eq!(
            domain.may_change_certificate(),
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
fn off_remembers_what_was_bound() {
    let mut domain = domain();
    domain.switch_off(Environment::Production, NOW);
    assert_eq!(domain.production, None);
    domain.bind(binding(1), Environment::Production, NOW);
    domain.switch_off(Environment::Production, NOW.plus_ms(1));
    let off = domain.production.clone().unwrap();
    assert_eq!(
        (off.enabled, off.certificate, off.updated),
        (false, 1, NOW.plus_ms(1))
    );
    domain.switch_off(Environment::Production, NOW.plus_ms(2));
    assert_eq!(
        domain.production.unwrap().updated,
        NOW.plus_ms(1),
        "off twice keeps the first time"
    );
}

#[test]
fn off_for_staging_leaves_production_on() {
    let mut domain = domain();
    domain.bind(binding(1), Environment::Production, NOW);
    domain.switch_off(Environment::Staging, NOW);
    assert!(domain.binding(Environment::Production).unwrap().enabled);
    assert!(!domain.binding(Environment::Staging).unwrap().enabled);
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
        several: false,
        parent: None,
    }
}

/// HTTP/2 is off as soon as a setting says so.
fn derive(settings: &[Setting]) -> Result<Delivery, String> {
    let mut delivery = Delivery::default();
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
fn staged_settings_stand_in_for_those_of_their_name() {
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
fn where_several_may_stand_a_staged_one_stands_beside() {
    let mut domain = domain();
    let header = |id| Setting {
        several: true,
        ..setting(id, "header", "on")
    };
    domain
        .configure(vec![header(1)], vec![header(2)], derive, NOW)
        .expect("legal");
    domain.publish_staging(NOW).unwrap();
    assert_eq!(domain.settings, [header(1), header(2)]);
}
