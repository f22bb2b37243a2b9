use edgeseal_core::identity::{RoleName, RoleProfile};

use super::*;

const ROLE: &str = "acs:ram::1234567890123456:role/r";

fn params(change: &[(&str, &str)]) -> ParamMap {
    let mut all = vec![("RoleArn", ROLE), ("RoleSessionName", "ci")];
    all.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
    all.extend(change);
    all.into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn role(max_session_s: u32) -> Role {
    let now = Timestamp::from_unix_seconds(1);
    Role::new(
        "300000000000000001".to_owned(),
        RoleName::parse("r").unwrap(),
        RoleProfile {
            description: String::new(),
            trust_policy: String::new(),
            trusted_identities: Vec::new(),
            max_session_s,
        },
        now,
    )
}

#[test]
fn what_is_asked_for() {
    let long = "n".repeat(65);
    let role = |given: &str| InvalidSession::Role {
        given: given.to_owned(),
    };
    let name = |given: &str| InvalidSession::Name {
        given: sanitize(given),
    };
    let duration = |given: &str| InvalidSession::Duration {
        given: given.to_owned(),
        max: 43_200,
        reason: "to any role",
    };
    for (param, value, reason) in [
        ("RoleArn", "", InvalidSession::NoRole),
        ("RoleArn", "r", role("r")),
        ("RoleSessionName", "", InvalidSession::NoName),
        ("RoleSessionName", "n", name("n")),
        ("RoleSessionName", &long, name(&long)),
        ("RoleSessionName", "a b", name("a b")),
        ("RoleSessionName", "a/b", name("a/b")),
        ("RoleSessionName", "übung", name("übung")),
        ("DurationSeconds", "899", duration("899")),
        ("DurationSeconds", "43201", duration("43201")),
        ("DurationSeconds", "-1", duration("-1")),
        ("DurationSeconds", "1h", duration("1h")),
        ("DurationSeconds", "99999999999", duration("99999999999")),
    ] {
        let asked = SessionParams::parse(&params(&[(param, value)]));
        assert_eq!(asked, Err(reason), "{param}={value}");
    }
    for (param, value) in [
        ("RoleSessionName", "a.b@c-d_E9"),
        ("DurationSeconds", "900"),
        ("DurationSeconds", "43200"),
    ] {
        assert!(
            SessionParams::parse(&params(&[(param, value)])).is_ok(),
            "{value}"
        );
    }
}

#[test]
fn policies_of_sessions() {
    let policy =
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"cdn:*","Resource":"*"}]}"#;
    let padded = |length: usize| format!("{policy}{}", " ".repeat(length - policy.len()));
    let of = |policy: &str| {
        SessionParams::parse(&params(&[("Policy", policy)])).map(|asked| asked.policy)
    };
    assert_eq!(of(policy), Ok(Some(policy.to_owned())));
    assert_eq!(of(""), Ok(None));
    assert!(of(&padded(2048)).is_ok());
    let characters = 2049;
    assert_eq!(
        of(&padded(2049)),
        Err(InvalidSession::PolicySize { characters })
    );
    for text in [
        "{}",
        "cdn:*",
        r#"{"Version":"1","Statement":[{"Effect":"Perhaps"}]}"#,
    ] {
        let refused = of(text);
        assert!(matches!(refused, Err(InvalidSession::Policy(_))), "{text}");
    }
}

#[test]
fn how_long_a_session_lasts() {
    for (asked, max, chained, lasts) in [
        (None, 3600, false, Ok(3600)),
        (None, 43_200, false, Ok(3600)),
        (None, 900, false, Ok(900)),
        (Some("43200"), 43_200, false, Ok(43_200)),
        (Some("3601"), 3600, false, Err(3600)),
        (None, 43_200, true, Ok(3600)),
        (Some("3600"), 43_200, true, Ok(3600)),
        (Some("3601"), 43_200, true, Err(3600)),
        (Some("1801"), 1800, true, Err(1800)),
    ] {
        let given: Vec<_> = asked.map(|s| ("DurationSeconds", s)).into_iter().collect();
        let session = SessionParams::parse(&params(&given)).unwrap();
        let lasted = session
            .duration(&role(max), chained)
            .map_err(|reason| match reason {
                InvalidSession::Duration { max, .. } => max,
                other => panic!("{other}"),
            });
        assert_eq!(lasted, lasts, "{asked:?} of {max}, chained: {chained}");
    }
}
