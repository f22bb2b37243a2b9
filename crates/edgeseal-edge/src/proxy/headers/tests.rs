use edgeseal_core::delivery::ResponseHeader;

use super::*;

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn forwarded(fields: &[(&'static str, &'static str)], version: Version) -> HeaderMap {
    let mut headers = map(fields);
    let peer = "192.0.2.7:4711".parse().unwrap();
    prepare_request_headers(&mut headers, version, "a.com:8443", peer, true).unwrap();
    headers
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter();
    lines.map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn hop_by_hop_headers_are_removed_and_others_kept() {
    let headers = forwarded(
        &[
            ("connection", "close, X-One ,x-two"),
            ("connection", "keep-alive"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("forwarded", "for=192.0.2.1"),
            ("x-real-ip", "192.0.2.1"),
            ("x-forwarded-port", "1"),
            ("accept", "*/*"),
            ("authorization", "Bearer x"),
        ],
        Version::HTTP_11,
    );
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = [
        "accept",
        "ali-cdn-real-ip",
        "ali-cdn-real-port",
        "authorization",
        "host",
        "via",
        "x-client-scheme",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-three",
    ];
    assert_eq!(names, expected);
}

#[test]
fn each_hop_by_hop_header_is_removed_alone() {
    for name in [
        "keep-alive",
        "proxy-connection",
        "http2-settings",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "forwarded",
        "x-real-ip",
        "x-forwarded-port",
    ] {
        let headers = forwarded(
            &[("accept", "*/*"), (name, "x"), (name, "y")],
            Version::HTTP_2,
        );
        assert!(!headers.contains_key(name), "{name}");
        assert!(headers.contains_key("accept"), "{name}");
    }
    for name in ["keep-alive", "proxy-authenticate", "trailer", "upgrade"] {
        let mut headers = map(&[("accept", "*/*"), (name, "x"), (name, "y")]);
        prepare_response_headers(&mut headers, Version::HTTP_11, false, false).unwrap();
        assert!(!headers.contains_key(name), "{name}");
        assert!(headers.contains_key("accept"), "{name}");
    }
}

#[test]
fn connection_cannot_name_protected_headers() {
    let headers = forwarded(
        &[
            ("connection", "authorization, host"),
            ("authorization", "x"),
        ],
        Version::HTTP_11,
    );
    assert_eq!(lines(&headers, "authorization"), ["x"]);
    assert_eq!(lines(&headers, "host"), ["a.com:8443"]);
}

#[test]
fn the_origin_learns_the_client_address() {
    let headers = forwarded(
        &[
            ("x-forwarded-for", "203.0.113.1"),
            ("x-forwarded-for", "203.0.113.2, 203.0.113.3"),
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-host", "evil.com"),
            ("via", "1.1 other"),
            ("ali-cdn-real-ip", "203.0.113.1"),
            ("ali-cdn-real-ip", "203.0.113.2"),
            ("ali-cdn-real-port", "1"),
            ("x-client-scheme", "http"),
        ],
        Version::HTTP_2,
    );
    assert_eq!(
        lines(&headers, "x-forwarded-for"),
        ["203.0.113.1, 203.0.113.2, 203.0.113.3, 192.0.2.7"]
    );
    assert_eq!(lines(&headers, "x-forwarded-proto"), ["https"]);
    assert_eq!(lines(&headers, "x-forwarded-host"), ["a.com:8443"]);
    assert_eq!(lines(&headers, "host"), ["a.com:8443"]);
    assert_eq!(lines(&headers, "via"), ["1.1 other", "2 edgeseal"]);
    assert_eq!(lines(&headers, "ali-cdn-real-ip"), ["192.0.2.7"]);
    assert_eq!(lines(&headers, "ali-cdn-real-port"), ["4711"]);
    assert_eq!(lines(&headers, "x-client-scheme"), ["https"]);
}

#[test]
fn cookie_crumbs_become_one_cookie() {
    let headers = forwarded(&[("cookie", "a=1"), ("cookie", "b=2")], Version::HTTP_2);
    assert_eq!(lines(&headers, "cookie"), ["a=1; b=2"]);
}

#[test]
fn a_request_loop_is_stopped() {
    let mut headers = map(&[("via", "1.1 other, 1.1 edgeseal")]);
    let peer = "192.0.2.7:4711".parse().unwrap();
    let mut pass = || prepare_request_headers(&mut headers, Version::HTTP_11, "a.com", peer, false);
    for _ in 1..PASSES_MAX {
        assert_eq!(pass(), Ok(()));
    }
    assert_eq!(pass(), Err(RequestHeaderError::Loop));
}

#[test]
fn lengths() {
    let table = [
        (Some("5"), Some(5), Some("5")),
        (Some("5"), None, None), // chunked beside a length
        (None, Some(7), Some("7")),
        (None, Some(0), None),
        (Some("0"), Some(0), Some("0")),
        (None, None, None),
    ];
    for (stated, exact, expected) in table {
        let mut headers = HeaderMap::new();
        if let Some(length) = stated {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        set_length(&mut headers, exact);
        let got = headers.get(header::CONTENT_LENGTH);
        assert_eq!(got.map(|value| value.to_str().unwrap()), expected);
    }
}

#[test]
fn only_a_switch_keeps_the_upgrade() {
    let fields = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("x", "1"),
    ];
    let mut switching = map(&fields);
    prepare_response_headers(&mut switching, Version::HTTP_11, true, false).unwrap();
    assert_eq!(lines(&switching, "upgrade"), ["websocket"]);
    assert_eq!(lines(&switching, "connection"), ["upgrade"]);
    let mut ordinary = map(&fields);
    prepare_response_headers(&mut ordinary, Version::HTTP_11, false, false).unwrap();
    assert!(!ordinary.contains_key("upgrade") && !ordinary.contains_key("connection"));
    assert_eq!(lines(&ordinary, "x"), ["1"]);
}

#[test]
fn hsts_is_the_owners_and_never_sent_over_plaintext() {
    const ORIGIN: &str = "max-age=1; preload";
    let hsts = |max_age_s, include_subdomains| {
        Some(Hsts {
            max_age_s,
            include_subdomains,
        })
    };
    let table = [
        (true, None, vec![], vec![]),
        (true, None, vec![ORIGIN], vec![ORIGIN]),
        (true, hsts(0, false), vec![ORIGIN], vec!["max-age=0"]),
        (
            true,
            hsts(u32::MAX, true),
            vec![ORIGIN, "max-age=2"],
            vec!["max-age=4294967295; includeSubDomains"],
        ),
        (false, None, vec![ORIGIN], vec![]),
        (false, hsts(60, true), vec![], vec![]),
        (false, hsts(60, true), vec![ORIGIN], vec![]),
    ];
    for (secure, hsts, origin, expected) in table {
        let fields: Vec<_> = origin
            .into_iter()
            .map(|value| ("strict-transport-security", value))
            .collect();
        let mut headers = map(&fields);
        set_hsts(&mut headers, hsts, secure);
        let got = lines(&headers, "strict-transport-security");
        assert_eq!(got, expected, "{secure} {hsts:?} {fields:?}");
    }
}

#[test]
fn look_alikes_of_edge_headers_are_removed() {
    let the_edges = HOP_BY_HOP.into_iter().chain(SET_BY_EDGE);
    let the_edges = the_edges.map(|name| name.as_str().to_owned());
    let stripped = STRIPPED.into_iter().chain(["x-forwarded-ssl"]);
    for name in the_edges.chain(stripped.map(str::to_owned)) {
        for other in ["_", ".", "!", "~"] {
            let forged = name.replace('-', other);
            if forged == name {
                continue;
            }
            let mut headers = map(&[("x-one", "1"), ("x_two", "2"), ("x.three", "3")]);
            let forged: HeaderName = forged.parse().unwrap();
            headers.append(&forged, HeaderValue::from_static("203.0.113.9"));
            headers.append(&forged, HeaderValue::from_static("203.0.113.10"));
            let peer = "192.0.2.7:4711".parse().unwrap();
            prepare_request_headers(&mut headers, Version::HTTP_11, "a.com", peer, true).unwrap();
            assert!(!headers.contains_key(&forged), "{forged}");
            for other in ["x-one", "x_two", "x.three"] {
                assert!(headers.contains_key(other), "{other} beside {forged}");
            }
        }
    }
}

#[test]
fn transfer_codings() {
    use RequestHeaderError::{Malformed, UnsupportedTransferCoding};
    let table: [(&[&'static str], Result<(), RequestHeaderError>); 12] = [
        (&[], Ok(())),
        (&["chunked"], Ok(())),
        (&["Chunked"], Ok(())),
        (&["chunked, chunked"], Err(Malformed)),
        (&["chunked", "chunked"], Err(Malformed)),
        (&[",chunked"], Err(Malformed)),
        (&["chunked,"], Err(Malformed)),
        (&["", "chunked"], Err(Malformed)),
        (&[""], Err(Malformed)),
        (&["gzip, chunked"], Err(UnsupportedTransferCoding)),
        (&["gzip", "chunked"], Err(UnsupportedTransferCoding)),
        (&["identity"], Err(UnsupportedTransferCoding)),
    ];
    for (lines, expected) in table {
        let fields: Vec<_> = lines
            .iter()
            .map(|one| ("transfer-encoding", *one))
            .collect();
        let mut headers = map(&fields);
        let peer = "192.0.2.7:4711".parse().unwrap();
        let got = prepare_request_headers(&mut headers, Version::HTTP_11, "a.com", peer, true);
        assert_eq!(got, expected, "{lines:?}");
        let mut headers = map(&fields);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("5"));
        let got = prepare_response_headers(&mut headers, Version::HTTP_11, false, false);
        assert_eq!(got.is_ok(), expected.is_ok(), "{lines:?}");
        if got.is_ok() {
            let framed = headers.contains_key(header::CONTENT_LENGTH);
            assert_eq!(framed, lines.is_empty(), "{lines:?}");
        }
    }
}

/// Headers that others than the edge use for the client's address, its scheme, its host and its
/// target.
#[test]
fn proxy_headers_are_removed_and_client_headers_kept() {
    assert!(STRIPPED.is_sorted(), "it is searched");
    let more = [
        "x-forwarded",
        "x-forwarded-ssl",
        "x-forwarded-scheme",
        "x-forwarded-protocol",
        "x-forwarded-server",
        "x-forwarded-prefix",
        "x-forwarded-client-cert",
        "x-forwarded-user",
    ];
    let own = [
        "x-http-method-override",
        "x-requested-with",
        "x-request-id",
        "x-forward",
        "forwarded-by-hand",
        "origin",
        "referer",
        "traceparent",
    ];
    for name in STRIPPED.into_iter().chain(more) {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let mut fields = vec![(name, "203.0.113.9"), (name, "203.0.113.10")];
            fields.extend(own.map(|name| (name, "1")));
            let headers = forwarded(&fields, version);
            assert!(!headers.contains_key(name), "{name}");
            for name in own {
                assert_eq!(lines(&headers, name), ["1"], "{name}");
            }
        }
    }
}

#[test]
fn response_headers_are_changed_in_order() {
    let change = |name: &str, change| ResponseHeader {
        name: name.to_owned(),
        change,
    };
    let changes = ResponseHeaders::from(vec![
        change("x-a", HeaderChange::Set("1".to_owned())),
        change("x-a", HeaderChange::Append("2".to_owned())),
        change("x-b", HeaderChange::Append("3".to_owned())),
        change("x-c", HeaderChange::Remove),
        // Checked where they are set; here they must do no harm.
        change("x d", HeaderChange::Set("4".to_owned())),
        change("x-e", HeaderChange::Set("5\r\nx-f: 6".to_owned())),
    ]);
    let mut headers = map(&[("x-a", "0"), ("x-b", "0"), ("x-c", "0")]);
    change_response_headers(&mut headers, &changes);
    let expected = map(&[("x-a", "1"), ("x-a", "2"), ("x-b", "0"), ("x-b", "3")]);
    assert_eq!(headers, expected);
}
