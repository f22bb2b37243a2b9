use proptest::prelude::*;

use super::*;
use crate::{code::Code, error::ApiError as _};

#[test]
fn every_spelling_that_clients_send() {
    let expected = Origin {
        address: "1.1.1.1".to_owned(),
        kind: OriginKind::Ipaddr,
        port: 80,
        priority: 20,
        weight: 10,
    };
    for text in [
        r#"[{"content":"1.1.1.1","type":"ipaddr","priority":"20","port":80,"weight":"10"}]"#,
        r#"[{"Content":"1.1.1.1","Type":"ipaddr","Priority":20,"Port":"80","Weight":10}]"#,
        r#"[{"content":" 1.1.1.1 ","type":"IPADDR"}]"#,
        r#"{"content":"1.1.1.1","type":"ipaddr","port":null,"weight":""}"#,
    ] {
        assert_eq!(parse(text), Ok(vec![expected.clone()]), "{text}");
    }
}

#[test]
fn host_names() {
    for (given, canonical) in [
        ("Origin.Example.com", "origin.example.com"),
        ("origin", "origin"),
        (
            "b.oss-cn-hangzhou.aliyuncs.com",
            "b.oss-cn-hangzhou.aliyuncs.com",
        ),
    ] {
        let text = format!(r#"[{{"content":"{given}","type":"domain","port":443}}]"#);
        assert_eq!(parse(&text).unwrap()[0].address, canonical);
    }
}

#[test]
fn refused() {
    let many = format!(
        "[{}]",
        vec![r#"{"content":"1.1.1.1","type":"ipaddr"}"#; 21].join(",")
    );
    for (text, code) in [
        ("", Code::InvalidSources),
        ("[", Code::InvalidSources),
        ("1", Code::InvalidSources),
        ("[1]", Code::InvalidSources),
        ("[]", Code::MissingSources),
        (r#"[{"content":"1.1.1.1"}]"#, Code::InvalidSourceType),
        (
            r#"[{"content":"1.1.1.1","type":"ftp"}]"#,
            Code::InvalidSourceType,
        ),
        (r#"[{"type":"ipaddr"}]"#, Code::InvalidSources),
        (
            r#"[{"content":"example.com","type":"ipaddr"}]"#,
            Code::InvalidSources,
        ),
        (
            r#"[{"content":"http://a.com/","type":"domain"}]"#,
            Code::InvalidSources,
        ),
        (
            r#"[{"content":"1.1.1.1","type":"domain"}]"#,
            Code::InvalidSources,
        ),
        (
            r#"[{"content":"1.1.1.1","type":"ipaddr","port":0}]"#,
            Code::InvalidSources,
        ),
        (
            r#"[{"content":"1.1.1.1","type":"ipaddr","port":65536}]"#,
            Code::InvalidSources,
        ),
        (
            r#"[{"content":"1.1.1.1","type":"ipaddr","port":-1}]"#,
            Code::InvalidSources,
        ),
        (
            r#"[{"content":"1.1.1.1","type":"ipaddr","priority":"101"}]"#,
            Code::InvalidSources,
        ),
        (
            r#"[{"content":"1.1.1.1","type":"ipaddr","weight":"101"}]"#,
            Code::InvalidSources,
        ),
        (many.as_str(), Code::TooManySources),
    ] {
        let refused = parse(text).expect_err(text);
        assert_eq!(refused.code(), code, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }
}

#[test]
fn forbidden_origins() {
    let listeners = ["127.0.0.1:7081".parse().unwrap()];
    let check = |text: &str, private: bool| {
        let origins = parse(text).unwrap();
        check(&origins, private, &listeners, |_| false).err()
    };
    // With private addresses allowed, and without.
    let table = [
        ("192.0.2.1", "80", true, false),
        ("8.8.8.8", "80", true, true),
        ("10.0.0.1", "80", true, false),
        ("127.0.0.1", "80", true, false),
        ("127.0.0.1", "7081", false, false),
        ("::ffff:127.0.0.1", "7081", false, false),
        ("169.254.169.254", "80", false, false),
        ("100.100.100.200", "80", false, false),
        ("0.0.0.0", "80", false, false),
        ("::", "80", false, false),
        ("224.0.0.1", "80", false, false),
        ("255.255.255.255", "80", false, false),
        ("fe80::1", "80", false, false),
    ];
    for (address, port, private, public) in table {
        let origin = format!(r#"{{"content":"{address}","type":"ipaddr","port":"{port}"}}"#);
        assert_eq!(check(&origin, true).is_none(), private, "{address}:{port}");
        assert_eq!(check(&origin, false).is_none(), public, "{address}:{port}");
    }
    // By any name and of any kind.
    for name in [
        "localhost",
        "LOCALHOST",
        "a.localhost",
        "localhost.localdomain",
        "ip6-localhost",
    ] {
        let origin = format!(r#"{{"content":"{name}","type":"domain"}}"#);
        let found = check(&origin, true);
        assert!(
            matches!(found, Some(InvalidSources::Localhost { .. })),
            "{name}: {found:?}"
        );
    }
    let good = r#"{"content":"8.8.8.8","type":"ipaddr"}"#;
    let bad = r#"{"content":"169.254.169.254","type":"ipaddr"}"#;
    let told = check(&format!("[{good},{bad}]"), true).unwrap().to_string();
    assert!(
        told.starts_with("origin 2: 169.254.169.254 cannot be an origin: "),
        "{told}"
    );
    for name in ["origin.example.com", "mylocalhost.example", "backend"] {
        let origin = format!(r#"{{"content":"{name}","type":"domain"}}"#);
        assert_eq!(check(&origin, false), None, "{name}");
    }
}
