use edgeseal_core::delivery::{
    HeaderChange, Hsts, Redirect, ResponseHeader, ResponseHeaders, TlsVersions,
};

use super::*;
use crate::{code::Code, error::ApiError as _};

fn setting(name: &str, arguments: &[(&str, &str)]) -> Setting {
    let arguments = arguments
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Setting {
        id: 1,
        name: name.to_owned(),
        arguments,
        repeatable: false,
        parent: None,
    }
}

fn one(name: &str, argument: &str, value: &str) -> Function {
    Function {
        name: name.to_owned(),
        arguments: vec![(argument.to_owned(), value.to_owned())],
        id: None,
        parent: None,
    }
}

#[test]
fn what_follows_from_settings() {
    let default = DeliveryConfig::default;
    let hsts = |max_age_s, include_subdomains| DeliveryConfig {
        hsts: Some(Hsts {
            max_age_s,
            include_subdomains,
        }),
        ..default()
    };
    let tls = |tls| DeliveryConfig { tls, ..default() };
    for (name, arguments, delivery) in [
        ("https_option", &[("http2", "on")][..], default()),
        (
            "https_option",
            &[("http2", "OFF"), ("ocsp_stapling", "on")],
            DeliveryConfig {
                http2: false,
                ..default()
            },
        ),
        (
            "https_force",
            &[("enable", "on")],
            DeliveryConfig {
                redirect: Some(Redirect::ToHttps),
                ..default()
            },
        ),
        ("https_force", &[("enable", "off")], default()),
        (
            "http_force",
            &[("enable", "on")],
            DeliveryConfig {
                redirect: Some(Redirect::ToHttp),
                ..default()
            },
        ),
        (
            "https_tls_version",
            &[("tls10", "on"), ("tls12", "on"), ("tls13", "off")],
            tls(TlsVersions::Only12),
        ),
        (
            "https_tls_version",
            &[("tls12", "off")],
            tls(TlsVersions::Only13),
        ),
        ("https_tls_version", &[], default()),
        ("HSTS", &[("enabled", "on")], hsts(5_184_000, false)),
        (
            "HSTS",
            &[
                ("enabled", "on"),
                ("https_hsts_max_age", "60"),
                ("https_hsts_include_subdomains", "on"),
            ],
            hsts(60, true),
        ),
        (
            "HSTS",
            &[("enabled", "off"), ("https_hsts_max_age", "60")],
            default(),
        ),
        ("set_req_header", &[("enable", "perhaps")], default()),
    ] {
        assert_eq!(derive(&[setting(name, arguments)]), Ok(delivery), "{name}");
    }
}

#[test]
fn response_headers_are_changed_in_the_order_of_the_settings() {
    let header = |arguments: &[(&str, &str)]| setting("set_resp_header", arguments);
    let settings = [
        header(&[("key", "X-A"), ("value", " 1 ")]),
        header(&[("key", "x-a"), ("value", "2"), ("duplicate", "on")]),
        header(&[("key", "expires"), ("value", "null")]),
        header(&[("key", "etag"), ("header_operation_type", "delete")]),
        header(&[("key", "x-b"), ("header_operation_type", "rewrite")]),
    ];
    let change = |name: &str, change| ResponseHeader {
        name: name.to_owned(),
        change,
    };
    let expected = ResponseHeaders::from(vec![
        change("x-a", HeaderChange::Set("1".to_owned())),
        change("x-a", HeaderChange::Append("2".to_owned())),
        change("expires", HeaderChange::Remove),
        change("etag", HeaderChange::Remove),
    ]);
    assert_eq!(derive(&settings).unwrap().response_headers, expected);
}

#[test]
fn unsupported_arguments_are_refused() {
    for (name, arguments) in [
        ("https_option", &[("http2", "yes")][..]),
        ("https_force", &[("enable", "1")]),
        ("https_tls_version", &[("tls11", "maybe")]),
        ("https_tls_version", &[("tls12", "off"), ("tls13", "off")]),
        ("HSTS", &[("enabled", "on"), ("https_hsts_max_age", "-1")]),
        ("set_resp_header", &[("value", "x")]),
        ("set_resp_header", &[("key", "x-a")]),
        ("set_resp_header", &[("key", "x a"), ("value", "x")]),
        ("set_resp_header", &[("key", "x-a"), ("value", "x\ny: z")]),
        ("set_resp_header", &[("key", "x-a"), ("value", "\u{e9}")]),
        ("set_resp_header", &[("key", "x-a"), ("value", " ")]),
        (
            "set_resp_header",
            &[("key", "Content-Length"), ("value", "0")],
        ),
        (
            "set_resp_header",
            &[("key", "Strict-Transport-Security"), ("value", "null")],
        ),
    ] {
        let stored = setting(name, arguments);
        let function = Function {
            name: stored.name.clone(),
            arguments: stored.arguments.clone(),
            id: None,
            parent: None,
        };
        let refused = set(&mut Vec::new(), &function, 1).expect_err(name);
        assert_eq!(refused.code(), Code::InvalidArgValue, "{name}");
        // Stored before the edge supported the function.
        assert_eq!(effect(&stored), Effect::None, "{name}");
        let others = [stored, setting("https_option", &[("http2", "off")])];
        assert!(!derive(&others).unwrap().http2, "{name}");
    }
}

#[test]
fn spellings_of_clients() {
    let expected = vec![Function {
        name: "https_option".to_owned(),
        arguments: vec![("http2".to_owned(), "on".to_owned())],
        id: Some(7),
        parent: None,
    }];
    for text in [
        r#"[{"functionName":"https_option","functionArgs":[{"argName":"http2","argValue":"on"}],"configId":7}]"#,
        r#"[{"functionName":"https_option","functionArgs":[{"argName":"http2","argValue":true}],"configId":"7","parentId":""}]"#,
        r#"{"FunctionName":"https_option","FunctionArgs":[{"ArgName":"http2","ArgValue":"on"}],"ConfigId":7,"ParentId":"-1"}"#,
    ] {
        assert_eq!(parse(Some(text)).as_ref(), Ok(&expected), "{text}");
    }
    for (text, code) in [
        ("", Code::InvalidFunctions),
        ("[]", Code::MissingFunctions),
        ("[1]", Code::InvalidFunctions),
        (r#"[{"functionArgs":[]}]"#, Code::InvalidFunctions),
        (r#"[{"functionName":"a b"}]"#, Code::FunctionNotSupported),
        (
            r#"[{"functionName":"a","functionArgs":{}}]"#,
            Code::InvalidFunctions,
        ),
        (
            r#"[{"functionName":"a","functionArgs":[{"argValue":"x"}]}]"#,
            Code::InvalidFunctions,
        ),
        (
            r#"[{"functionName":"a","configId":"x"}]"#,
            Code::InvalidFunctions,
        ),
    ] {
        assert_eq!(parse(Some(text)).unwrap_err().code(), code, "{text}");
    }
    let name = parse(Some(r#"[{"functionName":"a b"}]"#)).unwrap_err();
    assert_eq!(name.wire_code(), "Invalidab.ValueNotSupported");
    assert_eq!(name.message(), "FunctionName [a b] is not supported.");
}

#[test]
fn a_function_is_replaced_unless_it_stands_several_times() {
    let mut settings = Vec::new();
    assert_eq!(set(&mut settings, &one("HSTS", "enabled", "on"), 1), Ok(1));
    assert_eq!(set(&mut settings, &one("HSTS", "enabled", "off"), 2), Ok(1));
    assert_eq!(settings.len(), 1);
    for id in [3, 4] {
        let header = one("set_req_header", "key", "x");
        assert_eq!(set(&mut settings, &header, id), Ok(id));
    }
    let update = Function {
        id: Some(3),
        ..one("set_req_header", "key", "y")
    };
    assert_eq!(set(&mut settings, &update, 9), Ok(3));
    let values: Vec<&str> = settings.iter().map(|s| s.arguments[0].1.as_str()).collect();
    assert_eq!(values, ["off", "y", "x"]);
    let missing = Function {
        id: Some(8),
        ..one("set_req_header", "key", "y")
    };
    assert!(matches!(
        set(&mut settings, &missing, 9),
        Err(InvalidFunctions::NoSetting { id: 8, .. })
    ));
}

#[test]
fn one_redirect_ends_the_other() {
    let mut settings = Vec::new();
    for function in redirect(Some(Redirect::ToHttps)) {
        set(&mut settings, &function, 1).unwrap();
    }
    assert_eq!(derive(&settings).unwrap().redirect, Some(Redirect::ToHttps));
    set(&mut settings, &one("http_force", "enable", "on"), 3).unwrap();
    assert_eq!(derive(&settings).unwrap().redirect, Some(Redirect::ToHttp));
    assert_eq!(settings[0].arguments[0].1, "off");
    for function in redirect(None) {
        set(&mut settings, &function, 4).unwrap();
    }
    assert_eq!(derive(&settings).unwrap().redirect, None);
}

#[test]
fn a_staged_redirect_ends_the_other_one_of_production() {
    let production = [setting("https_force", &[("enable", "on")])];
    let staged = [setting("http_force", &[("enable", "on")])];
    let end = staged_redirect_off(&production, &staged, 9).expect("missing");
    assert_eq!((end.id, end.name.as_str()), (9, "https_force"));
    let both = [staged[0].clone(), end];
    assert_eq!(staged_redirect_off(&production, &both, 10), None);
    assert_eq!(staged_redirect_off(&[], &staged, 10), None);
}

#[test]
fn effects() {
    for (name, arguments, expected) in [
        ("https_force", &[("enable", "on")][..], Effect::Edge),
        ("https_option", &[("http2", "off")], Effect::Edge),
        ("https_option", &[("ocsp_stapling", "on")], Effect::Part),
        ("https_option", &[("ocsp_stapling", "off")], Effect::Edge),
        ("https_tls_version", &[("tls10", "on")], Effect::Part),
        ("https_tls_version", &[("tls10", "off")], Effect::Edge),
        ("set_req_header", &[], Effect::None),
        (
            "set_resp_header",
            &[("key", "x-a"), ("value", "1")],
            Effect::Edge,
        ),
        (
            "set_resp_header",
            &[
                ("key", "x-a"),
                ("value", "1"),
                ("access_origin_control", "on"),
            ],
            Effect::Part,
        ),
        ("set_resp_header", &[("key", "x-a")], Effect::None),
        (
            "set_resp_header",
            &[("header_operation_type", "modify")],
            Effect::None,
        ),
    ] {
        assert_eq!(effect(&setting(name, arguments)), expected, "{name}");
    }
    let conditional = Setting {
        parent: Some(7),
        ..setting("https_force", &[("enable", "on")])
    };
    assert_eq!(effect(&conditional), Effect::None);
    assert_eq!(derive(&[conditional]), Ok(DeliveryConfig::default()));
}

#[test]
fn what_a_domain_may_have_is_bounded() {
    let big = one("set_req_header", "key", &"x".repeat(10_000));
    let mut settings = Vec::new();
    let refused = (1..100).find_map(|id| set(&mut settings, &big, id).err());
    assert!(matches!(refused, Some(InvalidFunctions::TooLong { .. })));
    let header = |value: &str| setting("set_resp_header", &[("key", "x-a"), ("value", value)]);
    let headers = [header(&"x".repeat(4000)), header(&"x".repeat(90))];
    assert_eq!(derive(&headers).map(|_| ()), Ok(()));
    let headers = [header(&"x".repeat(4000)), header(&"x".repeat(91))];
    let too_long = Err(InvalidFunctions::HeadersTooLong { bytes: 4097 });
    assert_eq!(derive(&headers), too_long);
    let many = format!("[{}]", vec![r#"{"functionName":"a"}"#; 101].join(","));
    assert!(matches!(
        parse(Some(&many)),
        Err(InvalidFunctions::TooMany { count: 101 })
    ));
}

/// The edge dials the domain's sources and sends their host; both are checked when they are set. No
/// function changes them, however it is spelled, because no derived setting has room for a name or
/// an address.
#[test]
fn no_function_names_an_origin() {
    const HOST: &str = "169.254.169.254";
    let spelt = [
        ("set_req_host_header", "domain_name"),
        ("advanced_origin", "origin"),
        ("back_to_origin_url_rewrite", "target_url"),
        ("back_to_origin_argument_rewrite", "save_list"),
        ("back_to_origin_tcp_option", "host"),
        ("origin_request_header", "header_value"),
        ("set_req_header", "value"),
        ("host_redirect", "rewrite_url"),
        ("https_origin_sni", "https_origin_sni"),
        ("origin_sni", "origin_sni"),
        ("origin_dns_host", "ali_origin_dns_host"),
        ("ali_origin_host", "host"),
        ("forward_scheme", "scheme_origin"),
        ("dynamic", "origin"),
        ("l2_oss_key", "private_oss_auth"),
        ("follow302", "follow302"),
    ];
    for (name, argument) in spelt {
        for value in [
            HOST,
            "http://169.254.169.254/latest",
            "127.0.0.1:8080",
            "on",
        ] {
            let arguments = [(argument, value), ("enabled", "on"), ("enable", "on")];
            let one = setting(name, &arguments);
            assert_eq!(effect(&one), Effect::None, "{name}");
            assert_eq!(derive(&[one]), Ok(DeliveryConfig::default()), "{name}");
        }
    }
    for SupportedFunction { name, .. } in &SUPPORTED {
        let arguments = [
            ("enable", "on"),
            ("enabled", "on"),
            ("tls12", "on"),
            ("host", HOST),
            ("domain_name", HOST),
            ("key", "x-a"),
            ("value", "x"),
        ];
        let derived = derive(&[setting(name, &arguments)]).unwrap();
        // A new setting that the edge applies must be considered here.
        let DeliveryConfig {
            http2: _,
            tls: TlsVersions::Both | TlsVersions::Only12 | TlsVersions::Only13,
            redirect: None | Some(Redirect::ToHttps | Redirect::ToHttp),
            hsts:
                None
                | Some(Hsts {
                    max_age_s: _,
                    include_subdomains: _,
                }),
            // These affect responses only.
            response_headers: _,
        } = derived;
        assert!(!format!("{derived:?}").contains(HOST), "{name}");
    }
}
