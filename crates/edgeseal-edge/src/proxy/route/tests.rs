use edgeseal_core::{DomainPattern, delivery::DeliveryConfig};
use edgeseal_store::Revision;

use super::*;
use crate::served_domain::Https;

fn index() -> Index<ServedDomain> {
    let index = Index::new();
    for (domain, name, online) in [
        (1, "a.com", true),
        (2, "*.a.com", true),
        (3, "own.a.com", true),
        (4, "stopped.com", false),
    ] {
        let entry = ServedDomain {
            domain_id: domain,
            online,
            https: Https::Off,
            origins: std::sync::Arc::default(),
            delivery: DeliveryConfig::default(),
            revision: Revision(1),
        };
        index.put(&DomainPattern::parse(name).unwrap(), entry);
    }
    index
}

fn get(uri: &str, version: Version, hosts: &[&str]) -> Request<()> {
    let mut request = Request::builder().uri(uri).version(version);
    for host in hosts {
        request = request.header(header::HOST, *host);
    }
    request.body(()).unwrap()
}

#[test]
fn hosts_of_plain_requests() {
    let (h1, h2) = (Version::HTTP_11, Version::HTTP_2);
    let table = [
        (get("/", h1, &["a.com"]), Ok("a.com")),
        (get("/", h1, &["A.com:8080"]), Ok("A.com:8080")),
        (get("/", h1, &["x.a.com."]), Ok("x.a.com.")),
        (get("http://a.com/", h1, &["ignored.com"]), Ok("a.com")),
        (get("https://a.com/", h2, &[]), Ok("a.com")),
        (get("https://a.com/", h2, &["a.com"]), Ok("a.com")),
        (
            get("https://a.com/", h2, &["x.a.com"]),
            Err(RouteError::Malformed),
        ),
        (get("/", h1, &[]), Err(RouteError::Malformed)),
        (
            get("/", h1, &["a.com", "a.com"]),
            Err(RouteError::Malformed),
        ),
        (get("/", h1, &["a.com, b.com"]), Err(RouteError::Malformed)),
        (get("/", h1, &["user@a.com"]), Err(RouteError::Malformed)),
        (get("/", h1, &["a.com:x"]), Err(RouteError::Malformed)),
        (get("/", h1, &["a.com:+80"]), Err(RouteError::Malformed)),
        (get("/", h1, &["a.com:-0"]), Err(RouteError::Malformed)),
        (get("/", h1, &["a.com:65536"]), Err(RouteError::Malformed)),
        (get("/", h1, &["a.com:00080"]), Ok("a.com:00080")),
        (get("/", h1, &[""]), Err(RouteError::Malformed)),
        (
            get("/", h1, &["127.0.0.1:80"]),
            Err(RouteError::UnknownHost),
        ),
        (get("/", h1, &["[::1]:80"]), Err(RouteError::UnknownHost)),
        (get("/", h1, &["b.com"]), Err(RouteError::UnknownHost)),
        (get("/", h1, &["y.x.a.com"]), Err(RouteError::UnknownHost)),
        (get("/", h1, &["stopped.com"]), Err(RouteError::Stopped)),
    ];
    let index = index();
    for (request, expected) in table {
        let got = route(&index, &request, None).map(|routed| routed.authority.to_string());
        assert_eq!(got.as_deref(), expected.as_ref().copied(), "{request:?}");
    }
}

#[test]
fn a_certificate_serves_its_domain_only() {
    use crate::index::Match::{Exact, Wildcard};
    let misdirected = Some(RouteError::Misdirected);
    let table = [
        (("a.com", Exact, 1), "a.com", None),
        (("a.com", Exact, 1), "x.a.com", misdirected),
        (("x.a.com", Wildcard, 2), "x.a.com", None),
        (("x.a.com", Wildcard, 2), "y.a.com", None),
        (("x.a.com", Wildcard, 2), "own.a.com", misdirected),
        // The exact domain was added after the handshake.
        (("own.a.com", Wildcard, 2), "own.a.com", misdirected),
        // The domain was deleted since, and another one of its name was added.
        (("a.com", Exact, 9), "a.com", misdirected),
        (("x.a.com", Wildcard, 9), "y.a.com", misdirected),
        (("stopped.com", Exact, 9), "stopped.com", misdirected),
        (("a.com", Exact, 1), "unknown.com", misdirected),
        (
            ("stopped.com", Exact, 4),
            "stopped.com",
            Some(RouteError::Stopped),
        ),
    ];
    let index = index();
    for ((name, found, domain), host, expected) in table {
        let certified = MatchedDomain {
            host: Host::parse(name).unwrap(),
            found,
            domain_id: domain,
        };
        let request = get("/", Version::HTTP_11, &[host]);
        let got = route(&index, &request, Some(&certified)).err();
        assert_eq!(got, expected, "{name} {found:?} {domain} {host}");
    }
}

#[test]
fn the_asterisk_is_for_options_only() {
    for (method, expected) in [
        (Method::OPTIONS, None),
        (Method::GET, Some(RouteError::Malformed)),
        (Method::POST, Some(RouteError::Malformed)),
    ] {
        let mut request = get("*", Version::HTTP_11, &["a.com"]);
        *request.method_mut() = method.clone();
        let got = route(&index(), &request, None).err();
        assert_eq!(got, expected, "{method}");
    }
}

#[test]
fn methods_that_are_not_forwarded() {
    for method in [Method::CONNECT, Method::TRACE] {
        let mut request = get("/", Version::HTTP_11, &["a.com"]);
        *request.method_mut() = method;
        let got = route(&index(), &request, None).err();
        assert_eq!(got, Some(RouteError::Method));
    }
}
