use std::sync::Arc;

use edgeseal_testing::{
    dns::DnsServer,
    origin::{dead_port, origin, saying},
};
use http::{Response, StatusCode, header};
use http_body_util::Full;

use super::{
    caa::{CaaRecord, CaaRequest, check},
    reach::{Answer, Location, judge},
    *,
};

const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

fn response() -> KeyAuthorization {
    let text = format!("{TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI");
    KeyAuthorization::parse(&text).unwrap()
}

fn host(name: &str) -> DomainName {
    DomainName::parse(name).unwrap()
}

fn domain(name: &str) -> DomainPattern {
    DomainPattern::parse(name).unwrap()
}

/// What the records `FLAGS TAG VALUE` of example.com say to an issuer; empty: it may issue.
fn says(records: &[&str], request: &CaaRequest<'_>) -> String {
    let record = |text: &&str| {
        let mut parts = text.splitn(3, ' ');
        CaaRecord {
            is_critical: parts.next() == Some("128"),
            tag: parts.next().unwrap().to_owned(),
            value: parts.next().unwrap_or_default().to_owned(),
        }
    };
    let records: Vec<CaaRecord> = records.iter().map(record).collect();
    let checked = check("example.com", &records, request);
    checked.err().map(|it| it.to_string()).unwrap_or_default()
}

#[test]
fn caa_records_allow_issuers() {
    let identities = ["letsencrypt.org".to_owned(), "le.example".to_owned()];
    let request = CaaRequest {
        identities: &identities,
        is_wildcard: false,
        account: Some("https://acme.example/acct/1"),
        methods: &["http-01"],
    };
    let wildcard = CaaRequest {
        is_wildcard: true,
        methods: &["dns-01"],
        ..request
    };
    let new = CaaRequest {
        account: None,
        ..request
    };
    let other = "CAA of example.com allows only pki.goog to issue, not letsencrypt.org";
    let nobody = "CAA of example.com allows nobody to issue";
    for (records, request, said) in [
        (&["0 issue letsencrypt.org"][..], request, ""),
        (&["0 issue LE.example"], request, ""),
        (
            &["0 issue pki.goog", "0 issue letsencrypt.org"],
            request,
            "",
        ),
        (&["0 iodef mailto:ops@example.com"], request, ""),
        (&["0 issue pki.goog"], request, other),
        (&["0 issue ;"], request, nobody),
        (&["0 issue"], request, nobody),
        (&["0 issue %%%%%"], request, nobody),
        (&["0 issue letsencrypt.org; broken"], request, nobody),
        // RFC 8659 §4.3: issuewild decides about wildcards, and only about them.
        (
            &["0 issue letsencrypt.org", "0 issuewild pki.goog"],
            request,
            "",
        ),
        (
            &["0 issue letsencrypt.org", "0 issuewild pki.goog"],
            wildcard,
            other,
        ),
        (
            &["0 issue pki.goog", "0 issuewild letsencrypt.org"],
            wildcard,
            "",
        ),
        (&["0 issuewild ;"], wildcard, nobody),
        (&["0 issuewild ;"], request, ""),
        (&["0 issue pki.goog"], wildcard, other),
        // RFC 8657.
        (
            &["0 issue letsencrypt.org; accounturi=https://acme.example/acct/1"],
            request,
            "",
        ),
        (
            &["0 issue letsencrypt.org; accounturi=https://acme.example/acct/2"],
            new,
            "",
        ),
        (
            &["0 issue letsencrypt.org;accounturi=https://acme.example/acct/2"],
            request,
            "CAA of example.com allows letsencrypt.org to issue for the account \
             https://acme.example/acct/2 only",
        ),
        (
            &["0 issue letsencrypt.org; validationmethods=dns-01,http-01"],
            request,
            "",
        ),
        (
            &["0 issue letsencrypt.org; validationmethods=dns-01"],
            request,
            "CAA of example.com allows letsencrypt.org to validate by dns-01 only",
        ),
        (
            &["128 issue letsencrypt.org", "128 iodef mailto:a@b"],
            request,
            "",
        ),
        (
            &["0 issue letsencrypt.org", "128 tbs unknown"],
            request,
            "CAA of example.com has the critical property \"tbs\", which forbids to issue",
        ),
    ] {
        assert_eq!(says(records, &request), said, "{records:?}");
    }
}

/// Checks names at a DNS server, and pages at a port.
fn preflight(dns: &DnsServer, http_port: u16) -> Preflight {
    Preflight::new(PreflightSettings {
        resolver: Some(dns.address),
        http_port,
        https_port: 443,
        timeout: Duration::from_secs(20),
    })
}

#[tokio::test]
async fn caa_records_of_the_nearest_ancestor_apply() {
    let dns = DnsServer::start().await;
    dns.add_caa("example.com", false, "issue", "pki.goog").await;
    dns.add_caa("b.example.com", false, "issue", "letsencrypt.org")
        .await;
    dns.add_cname("c.example.com", "b.example.com").await;
    let identities = ["letsencrypt.org".to_owned()];
    let preflight = preflight(&dns, 80);
    let checked = async |name: &str| {
        let request = PreflightRequest {
            domain: &domain(name),
            identities: &identities,
            account: None,
            methods: &["http-01"],
        };
        let checked = preflight.check_name(&request).await;
        checked.err().map(|it| it.to_string()).unwrap_or_default()
    };
    let other = "CAA of example.com allows only pki.goog to issue, not letsencrypt.org";
    assert_eq!(checked("www.a.example.com").await, other);
    assert_eq!(checked("*.example.com").await, other);
    for allowed in [
        "b.example.com",
        "*.b.example.com",
        "c.example.com",
        "www.example.org",
    ] {
        assert_eq!(checked(allowed).await, "", "{allowed}");
    }
    let private = "a.internal ends with no public suffix, and the issuer is a public authority";
    assert_eq!(checked("a.internal").await, private);
    assert!(checked("*.co.uk").await.contains("below a public suffix"));
}

/// An issuer without names in CAA records is not a public one: nothing is looked up for it.
#[tokio::test]
async fn an_internal_authority_may_issue_for_private_names() {
    let dns = DnsServer::start().await;
    dns.add_caa("a.internal", false, "issue", ";").await;
    let request = PreflightRequest {
        domain: &domain("a.internal"),
        identities: &[],
        account: None,
        methods: &[],
    };
    preflight(&dns, 80).check_name(&request).await.unwrap();
}

/// What is said of a host at loopback whose server listens on `port`.
async fn said_of(port: u16) -> String {
    let dns = DnsServer::start().await;
    dns.add_address("a.example.com", [127, 0, 0, 1]).await;
    dns.add_address("b.example.com", [127, 0, 0, 1]).await;
    let checked = preflight(&dns, port)
        .check_token(&host("a.example.com"), &response())
        .await;
    let said = checked.err().map(|it| it.to_string()).unwrap_or_default();
    said.replace(&port.to_string(), "PORT")
}

#[tokio::test]
async fn the_token_is_read_at_the_address_of_the_name() {
    let page: &'static str = response().as_str().to_owned().leak();
    assert_eq!(said_of(saying(page).await).await, "");
    assert_eq!(
        said_of(saying("Welcome to nginx!\n").await).await,
        "a.example.com:PORT at 127.0.0.1 answers another page instead of the token: \
         another server"
    );
    let missing = origin(async |_| {
        let mut response = Response::new(Full::new(bytes::Bytes::new()));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    });
    assert_eq!(
        said_of(missing.await).await,
        "a.example.com:PORT at 127.0.0.1 answers 404 for the token: another server"
    );
    let dead = said_of(dead_port().await).await;
    let begin = "a.example.com:PORT at 127.0.0.1 cannot be reached: ";
    assert!(
        dead.starts_with(begin) && dead.contains("acme_preflight"),
        "{dead}"
    );

    let dns = DnsServer::start().await;
    let nowhere = preflight(&dns, 80)
        .check_token(&host("a.example.com"), &response())
        .await;
    let nowhere = nowhere.unwrap_err().to_string();
    assert_eq!(nowhere, "a.example.com has no address record");
}

/// A server that redirects everything but `/end` to the location, which may contain `PATH`.
async fn redirecting(location: &'static str) -> u16 {
    let page = Arc::new(response().as_str().to_owned());
    origin(move |request: http::Request<_>| {
        let page = Arc::clone(&page);
        async move {
            let path = request.uri().path();
            let mut response = Response::new(Full::new(bytes::Bytes::from(page.to_string())));
            if path != "/end" {
                let location = location.replace("PATH", path).parse().unwrap();
                *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
                response.headers_mut().insert(header::LOCATION, location);
            }
            response
        }
    })
    .await
}

#[tokio::test]
async fn redirects_are_followed_as_authorities_do() {
    for followed in [
        "/end",
        "http://b.example.com/end",
        "http://a.example.com:80/end",
    ] {
        assert_eq!(said_of(redirecting(followed).await).await, "", "{followed}");
    }
    for (location, why) in [
        ("PATH", "there are more than 10 redirects"),
        ("ftp://a.example.com/", "it is neither http nor https"),
        ("http://a.example.com:8081/end", "the ports 80 and 443 only"),
        ("http://127.0.0.1/end", "its host is not a domain name"),
        ("http://c.example.com/end", "it has no address record"),
    ] {
        let said = said_of(redirecting(location).await).await;
        assert!(
            said.contains("redirects the token to") && said.contains(why),
            "{said}"
        );
    }
}

#[test]
fn a_redirect_may_lead_to_https() {
    let location = Location {
        is_tls: false,
        host: host("a.example.com"),
        path: "/".to_owned(),
    };
    let next = location
        .follow("https://b.example.com/x?y", (80, 443))
        .unwrap();
    assert!(next.is_tls);
    assert_eq!(
        (next.host.as_str(), next.path.as_str()),
        ("b.example.com", "/x?y")
    );
    assert!(next.follow("relative", (80, 443)).is_err());
}

#[test]
fn each_address_must_answer_unless_there_is_no_route() {
    let [old, new] = ["192.0.2.1", "2001:db8::1"].map(|it| it.parse::<IpAddr>().unwrap());
    let name = host("a.example.com");
    let judged = |answers: Vec<(IpAddr, Answer)>| judge(&name, 80, answers);
    assert!(judged(vec![(old, Answer::Token), (new, Answer::NoRoute)]).is_ok());
    assert!(judged(Vec::new()).is_ok());
    let one_is_stale = judged(vec![(new, Answer::Token), (old, Answer::Status(404))]);
    let said = one_is_stale.unwrap_err().to_string();
    assert!(said.contains("at 192.0.2.1 answers 404"), "{said}");
}
