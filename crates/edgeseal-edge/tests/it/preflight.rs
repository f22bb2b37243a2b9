//! What the check before an order finds when a web server before the edge redirects the token to
//! https.

use std::time::Duration;

use edgeseal_acme::preflight::{Preflight, PreflightSettings};
use edgeseal_core::DomainName;
use edgeseal_testing::{
    dns::DnsServer,
    origin::{origin, saying, tls_origin},
    pki::TestCertificate,
};
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;

use crate::{
    challenges::{Challenging as _, TOKEN, authorization, pending},
    harness::{Harness, served},
};

/// A web server that redirects each request to the same path at `base`.
async fn redirecting(base: String) -> u16 {
    origin(move |request: Request<_>| {
        let location = format!("{base}{}", request.uri().path());
        async move {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
            let location = location.parse().unwrap();
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
    })
    .await
}

/// What stops an order for a.com, whose port 80 redirects to `host` at the port of https; empty:
/// the token is found.
async fn said_of(host: &str, https_port: u16) -> String {
    let dns = DnsServer::start().await;
    for name in ["a.com", "b.com"] {
        dns.add_address(name, [127, 0, 0, 1]).await;
    }
    let http_port = redirecting(format!("https://{host}:{https_port}")).await;
    let preflight = Preflight::new(PreflightSettings {
        resolver: Some(dns.address),
        http_port,
        https_port,
        timeout: Duration::from_secs(20),
    });
    let name = DomainName::parse("a.com").unwrap();
    let checked = preflight.check_token(&name, &authorization(TOKEN)).await;
    let said = checked.err().map(|it| it.to_string()).unwrap_or_default();
    said.replace(&http_port.to_string(), "PORT")
}

#[tokio::test]
async fn the_token_is_found_where_a_redirect_to_https_ends() {
    const OTHER_PAGE: &str =
        "a.com:PORT at 127.0.0.1 answers another page instead of the token: another server";
    let world = Harness::new();
    let edge = world.edge().await;
    let welcome = saying("Welcome!").await;
    for name in ["a.com", "b.com"] {
        // Authorities accept any certificate there: the host may wait for its first one.
        let certificate = TestCertificate::self_signed(name);
        served(&edge, world.serve(name, &certificate, welcome).await).await;
    }
    let https = edge.https_addr().port();
    assert_eq!(said_of("a.com", https).await, OTHER_PAGE);
    world.publish(&pending("a.com", TOKEN)).await;
    assert_eq!(said_of("a.com", https).await, "");
    // At the edge, but for another host; and at another server.
    assert_eq!(said_of("b.com", https).await, OTHER_PAGE);
    let elsewhere = tls_origin(&TestCertificate::self_signed("a.com"), &["http/1.1"]).await;
    assert_eq!(said_of("a.com", elsewhere).await, OTHER_PAGE);
    let said = said_of("c.com", https).await;
    assert!(said.contains("it has no address record"), "{said}");
}
