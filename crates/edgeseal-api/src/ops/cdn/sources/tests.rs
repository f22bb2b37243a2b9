use proptest::prelude::*;

use super::*;

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
            r#"[{"content":"1.1.1.1","type":"ipaddr","priority":"25"}]"#,
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
