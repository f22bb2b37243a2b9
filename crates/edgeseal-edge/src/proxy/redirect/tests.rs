use std::sync::Arc;

use edgeseal_core::delivery::{DeliveryConfig, Hsts};
use edgeseal_store::Revision;

use super::*;
use crate::served_domain::{Certificates, Chain, Https, Material, ServedDomain, SharedMaterial};

const PORTS: ListenPorts = ListenPorts {
    https: 8443,
    http: Some(8080),
};

fn routed(redirect: Redirect, authority: &'static str) -> Routed {
    let digest = edgeseal_core::certificate::Digest::of(b"leaf");
    let material = Material::new(digest, b"leaf", Arc::new(Chain::default()), b"key");
    let entry = ServedDomain {
        domain_id: 1,
        online: true,
        https: Https::On(Certificates::single(SharedMaterial::new(material))),
        origins: Arc::default(),
        delivery: DeliveryConfig {
            redirect: Some(redirect),
            ..DeliveryConfig::default()
        },
        revision: Revision(1),
    };
    let authority = authority.parse().unwrap();
    Routed { entry, authority }
}

fn request(method: Method, uri: &str) -> Request<()> {
    let request = Request::builder().method(method).uri(uri);
    request.body(()).unwrap()
}

fn location(routed: &Routed, uri: &str, secure: bool, ports: ListenPorts) -> Option<String> {
    let redirection = redirection(routed, &request(Method::GET, uri), secure, ports)?;
    Some(redirection.location.to_str().unwrap().to_owned())
}

#[test]
fn the_port_is_the_one_that_a_client_needs() {
    use Redirect::{ToHttp, ToHttps};
    let ports = |https, http| ListenPorts {
        https,
        http: Some(http),
    };
    let table = [
        // The edge on the default ports.
        (ToHttps, ports(443, 80), "a.com", "https://a.com/"),
        (ToHttps, ports(443, 80), "a.com:80", "https://a.com/"),
        (ToHttps, ports(443, 80), "a.com:", "https://a.com/"),
        (ToHttp, ports(443, 80), "a.com", "http://a.com/"),
        (ToHttp, ports(443, 80), "a.com:443", "http://a.com/"),
        // On other ports, reached directly.
        (ToHttps, PORTS, "a.com:8080", "https://a.com:8443/"),
        (ToHttp, PORTS, "a.com:8443", "http://a.com:8080/"),
        (ToHttps, ports(8443, 80), "a.com", "https://a.com:8443/"),
        (ToHttps, ports(443, 8080), "a.com:8080", "https://a.com/"),
        // Something in front maps the default ports, or others.
        (ToHttps, PORTS, "a.com", "https://a.com/"),
        (ToHttp, PORTS, "a.com", "http://a.com/"),
        (ToHttps, PORTS, "a.com:80", "https://a.com/"),
        (ToHttps, PORTS, "a.com:9080", "https://a.com/"),
        // The name as it was asked for.
        (ToHttps, PORTS, "X.a.com.:8080", "https://X.a.com.:8443/"),
    ];
    for (redirect, ports, authority, expected) in table {
        let secure = redirect == ToHttp;
        let got = location(&routed(redirect, authority), "/", secure, ports);
        assert_eq!(
            got.as_deref(),
            Some(expected),
            "{redirect:?} {ports:?} {authority}"
        );
    }
}

#[test]
fn path_and_query_are_as_sent() {
    let table = [
        ("/a/../b//c?x=%2F&y=a+b?", "/a/../b//c?x=%2F&y=a+b?"),
        ("//evil.com/", "//evil.com/"),
        ("http://a.com", "/"),
        ("http://a.com?q", "/?q"),
        ("/?", "/?"),
        ("/{\"a\"}?q={b}", "/{\"a\"}?q={b}"),
        ("/\u{fc}?\u{e9}", "/%C3%BC?%C3%A9"),
        (
            "/.well-known/acme-challenges/x",
            "/.well-known/acme-challenges/x",
        ),
        (
            "/x/.well-known/acme-challenge/y",
            "/x/.well-known/acme-challenge/y",
        ),
    ];
    let routed = routed(Redirect::ToHttps, "a.com");
    for (uri, expected) in table {
        let got = location(&routed, uri, false, PORTS);
        assert_eq!(got, Some(format!("https://a.com{expected}")), "{uri}");
    }
}

#[test]
fn redirects_preserve_the_method() {
    let routed = routed(Redirect::ToHttps, "a.com");
    for (method, status) in [
        (Method::GET, 301),
        (Method::HEAD, 301),
        (Method::POST, 308),
        (Method::PUT, 308),
        (Method::OPTIONS, 308),
    ] {
        let got = redirection(&routed, &request(method.clone(), "/"), false, PORTS);
        assert_eq!(got.unwrap().status.as_u16(), status, "{method}");
    }
    let asterisk = request(Method::OPTIONS, "*");
    assert_eq!(redirection(&routed, &asterisk, false, PORTS), None);
}

#[test]
fn no_redirect_leads_nowhere_or_loops() {
    let to_https = || routed(Redirect::ToHttps, "a.com");
    let to_http = || routed(Redirect::ToHttp, "a.com");
    let redirected = |routed: &Routed, secure| location(routed, "/", secure, PORTS).is_some();
    assert!(redirected(&to_https(), false) && !redirected(&to_https(), true));
    assert!(redirected(&to_http(), true) && !redirected(&to_http(), false));

    let mut unset = to_https();
    unset.entry.delivery.redirect = None;
    assert!(!redirected(&unset, false) && !redirected(&unset, true));

    let mut off = to_https();
    off.entry.https = Https::Off;
    assert!(!redirected(&off, false));

    let challenge = "/.well-known/acme-challenge/token";
    assert_eq!(location(&to_https(), challenge, false, PORTS), None);
    assert_eq!(location(&to_http(), challenge, true, PORTS), None);

    let no_http = ListenPorts {
        http: None,
        ..PORTS
    };
    assert_eq!(location(&to_http(), "/", true, no_http), None);

    for (max_age_s, expected) in [(31_536_000, false), (1, false), (0, true)] {
        let mut strict = to_http();
        strict.entry.delivery.hsts = Some(Hsts {
            max_age_s,
            include_subdomains: false,
        });
        assert_eq!(redirected(&strict, true), expected, "{max_age_s}");
        // While HTTPS is off, HSTS is not sent, and a request that still arrives over HTTPS is
        // redirected.
        strict.entry.https = Https::Off;
        assert!(redirected(&strict, true));
    }
}
