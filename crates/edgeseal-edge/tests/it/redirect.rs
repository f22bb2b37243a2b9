//! Redirects between the schemes, and HSTS.

use bytes::Bytes;
use edgeseal_core::{
    delivery::{DeliveryConfig, Hsts, Redirect},
    domain::{Domain, DomainState},
};
use edgeseal_edge::Edge;
use edgeseal_testing::{
    http::HttpConnection,
    origin::{dead_port, origin, saying},
    pki::TestCertificate,
    raw::{exchange, get_text},
};
use http::{Method, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::harness::{DomainBuilder as _, Harness, domain, served};

fn redirecting(redirect: Redirect) -> DeliveryConfig {
    DeliveryConfig {
        redirect: Some(redirect),
        ..DeliveryConfig::default()
    }
}

fn strict(max_age_s: u32) -> DeliveryConfig {
    DeliveryConfig {
        hsts: Some(Hsts {
            max_age_s,
            include_subdomains: false,
        }),
        ..DeliveryConfig::default()
    }
}

async fn apply(world: &Harness, edge: &Edge, domain: &Domain) {
    served(edge, world.put(domain).await).await;
}

fn field<'a>(response: &'a Response<Incoming>, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

fn line<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name))
}

#[tokio::test]
async fn plain_requests_are_sent_to_https_while_it_is_on() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("*.a.com");
    let bound = domain("*.a.com")
        .bound(&certificate)
        .with_origin(saying("hello").await)
        .delivered(redirecting(Redirect::ToHttps));
    world.put_all(&bound, &certificate).await;
    let edge = world.edge().await;
    let (http, https) = (edge.http_addr().unwrap(), edge.https_addr().port());
    let own = format!("x.a.com:{}", http.port());
    let direct = format!("https://x.a.com:{https}");
    let table = [
        ("GET", own.as_str(), "/b/c?q=1", "301", direct.as_str()),
        ("HEAD", &own, "/", "301", &direct),
        ("POST", &own, "/form", "308", &direct),
        ("DELETE", &own, "/", "308", &direct),
        ("GET", "x.a.com", "/", "301", "https://x.a.com"),
        ("GET", "x.a.com:80", "/", "301", "https://x.a.com"),
    ];
    for (method, host, path, status, base) in table {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        let answer = exchange(http, &request).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{request}{answer}");
        let location = format!("{base}{path}");
        assert_eq!(line(&answer, "location: "), Some(&*location), "{answer}");
        assert!(!answer.contains("strict-transport-security"), "{answer}");
    }
    // Requests over HTTPS are not redirected.
    let mut h2 = HttpConnection::h2(edge.https_addr(), "x.a.com").await;
    assert_eq!(h2.get("x.a.com", "/").await, (200, "hello".to_owned()));
    let challenge = "/.well-known/acme-challenge/token";
    let (status, answer) = get_text(http, "x.a.com", challenge).await;
    assert!(status == 200 && answer.ends_with("hello"), "{answer}");
    let (status, answer) = get_text(http, "y.x.a.com", "/").await;
    assert_eq!(status, 404, "a host that is not served: {answer}");

    apply(&world, &edge, &bound.clone().off()).await;
    let (status, answer) = get_text(http, &own, "/").await;
    assert!(status == 200 && answer.ends_with("hello"), "{answer}");
    apply(&world, &edge, &bound).await;
    assert_eq!(get_text(http, &own, "/").await.0, 301);
    apply(&world, &edge, &bound.in_state(DomainState::Offline)).await;
    assert_eq!(get_text(http, &own, "/").await.0, 403);
}

#[tokio::test]
async fn requests_over_https_are_sent_to_http() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    let bound = domain("a.com")
        .bound(&certificate)
        .with_origin(saying("hello").await);
    world.put_all(&bound, &certificate).await;
    let edge = world.edge().await;
    let own = format!("a.com:{}", edge.https_addr().port());
    let direct = format!("http://a.com:{}", edge.http_addr().unwrap().port());
    let mut open = [
        HttpConnection::h1(edge.https_addr(), "a.com").await,
        HttpConnection::h2(edge.https_addr(), "a.com").await,
    ];
    for http in &mut open {
        assert_eq!(http.get(&own, "/").await.0, 200);
    }
    let to_http = bound.clone().delivered(redirecting(Redirect::ToHttp));
    apply(&world, &edge, &to_http).await;
    // The next request on an open connection.
    for http in &mut open {
        let answer = http.ask(Method::GET, &own, "/b?q=1").await;
        assert_eq!(answer.status(), 301);
        let location = format!("{direct}/b?q=1");
        assert_eq!(field(&answer, "location"), Some(&*location));
        assert_eq!(field(&answer, "cache-control"), Some("no-store"));
        let answer = http.ask(Method::PUT, "a.com", "/").await;
        assert_eq!(answer.status(), 308);
        assert_eq!(field(&answer, "location"), Some("http://a.com/"));
        let challenge = "/.well-known/acme-challenge/token";
        assert_eq!(http.get(&own, challenge).await.0, 200);
    }
    let over_plain = get_text(edge.http_addr().unwrap(), "a.com", "/").await;
    assert_eq!(over_plain.0, 200);

    // With HSTS a browser would return, again and again.
    let mut circle = redirecting(Redirect::ToHttp);
    circle.hsts = strict(60).hsts;
    apply(&world, &edge, &bound.clone().delivered(circle)).await;
    for http in &mut open {
        let answer = http.ask(Method::GET, "a.com", "/").await;
        assert_eq!(answer.status(), 200);
        let hsts = field(&answer, "strict-transport-security");
        assert_eq!(hsts, Some("max-age=60"));
    }
    apply(&world, &edge, &bound).await;
    for http in &mut open {
        assert_eq!(http.get(&own, "/").await.0, 200);
    }
}

#[tokio::test]
async fn an_edge_without_plain_http_does_not_redirect_there() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    let bound = domain("a.com")
        .bound(&certificate)
        .with_origin(saying("hello").await)
        .delivered(redirecting(Redirect::ToHttp));
    world.put_all(&bound, &certificate).await;
    let edge = world.edge_with(|options| options.http = None).await;
    let mut http = HttpConnection::h1(edge.https_addr(), "a.com").await;
    assert_eq!(http.get("a.com", "/").await, (200, "hello".to_owned()));
}

#[tokio::test]
async fn hsts_is_sent_over_https_only() {
    let world = Harness::new();
    let certificate = TestCertificate::self_signed("a.com");
    let announcing = origin(|_| async {
        Response::builder()
            .header("strict-transport-security", "max-age=1; preload")
            .body(Full::new(Bytes::from_static(b"hello")))
            .unwrap()
    })
    .await;
    let bound = || domain("a.com").bound(&certificate).with_origin(announcing);
    world.put_all(&bound(), &certificate).await;
    let edge = world.edge().await;
    let plain_address = edge.http_addr().unwrap();
    let mut open = [
        HttpConnection::h1(edge.https_addr(), "a.com").await,
        HttpConnection::h2(edge.https_addr(), "a.com").await,
    ];
    let dead = domain("a.com")
        .bound(&certificate)
        .with_origin(dead_port().await);
    let subdomains = DeliveryConfig {
        hsts: Some(Hsts {
            max_age_s: 31_536_000,
            include_subdomains: true,
        }),
        ..DeliveryConfig::default()
    };
    let table = [
        ("the origin's", bound(), 200, Some("max-age=1; preload")),
        (
            "the owner's",
            bound().delivered(strict(60)),
            200,
            Some("max-age=60"),
        ),
        (
            "taken back",
            bound().delivered(strict(0)),
            200,
            Some("max-age=0"),
        ),
        (
            "with subdomains",
            bound().delivered(subdomains),
            200,
            Some("max-age=31536000; includeSubDomains"),
        ),
        (
            "on the edge's page",
            dead.clone().delivered(strict(60)),
            502,
            Some("max-age=60"),
        ),
        (
            "on a page, unset",
            dead.delivered(DeliveryConfig::default()),
            502,
            None,
        ),
        (
            "HTTPS off",
            bound().delivered(strict(60)).off(),
            200,
            Some("max-age=1; preload"),
        ),
    ];
    for (what, domain, status, expected) in table {
        apply(&world, &edge, &domain).await;
        for http in &mut open {
            let answer = http.ask(Method::GET, "a.com", "/").await;
            assert_eq!(answer.status(), status, "{what}");
            let all = answer.headers().get_all("strict-transport-security");
            let all: Vec<_> = all.iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(all, Vec::from_iter(expected), "{what}");
            // A response for an unknown domain sends no HSTS header of this one.
            let elsewhere = http.ask(Method::GET, "b.com", "/").await;
            assert_eq!(elsewhere.status(), 421, "{what}");
            assert_eq!(field(&elsewhere, "strict-transport-security"), None);
        }
        let (got, answer) = get_text(plain_address, "a.com", "/").await;
        assert_eq!(got, status, "{what}");
        assert!(!answer.contains("strict-transport-security"), "{answer}");
    }
}
