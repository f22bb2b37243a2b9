//! Kinds of requests and responses over HTTP/1.1 and HTTP/2: forwarded unchanged.

use bytes::Bytes;
use edgeseal_testing::{
    http::HttpConnection,
    origin::{origin, saying},
    pki::TestCertificate,
    raw::exchange,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

/// Responds by the path.
async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let response = Response::builder().header("x-method", request.method().as_str());
    let (status, field, body): (u16, (&str, String), &str) = match path.as_str() {
        "/part" => {
            assert_eq!(request.headers()["range"], "bytes=2-4");
            (206, ("content-range", "bytes 2-4/10".to_owned()), "234")
        }
        "/same" => (304, ("etag", "\"tag\"".to_owned()), ""),
        "/none" => (204, ("x-none", "1".to_owned()), ""),
        "/reset" => (205, ("content-length", "0".to_owned()), ""),
        "/large" => (200, ("x-large", "v".repeat(12_000)), "large"),
        "*" => (200, ("allow", "GET".to_owned()), ""),
        _ => (200, ("x-path", path.clone()), "hello"),
    };
    let response = response.status(status).header(field.0, field.1);
    response.body(Full::from(body)).unwrap()
}

struct Case {
    method: Method,
    path: &'static str,
    field: Option<(&'static str, String)>,
    status: u16,
    has: (&'static str, String),
    body: &'static str,
}

fn case(
    method: Method,
    path: &'static str,
    status: u16,
    has: (&'static str, &str),
    body: &'static str,
) -> Case {
    Case {
        method,
        path,
        field: None,
        status,
        has: (has.0, has.1.to_owned()),
        body,
    }
}

fn table() -> Vec<Case> {
    let large = "v".repeat(12_000);
    vec![
        Case {
            field: Some(("range", "bytes=2-4".to_owned())),
            ..case(
                Method::GET,
                "/part",
                206,
                ("content-range", "bytes 2-4/10"),
                "234",
            )
        },
        Case {
            field: Some(("if-none-match", "\"tag\"".to_owned())),
            ..case(Method::GET, "/same", 304, ("etag", "\"tag\""), "")
        },
        case(Method::HEAD, "/head", 200, ("content-length", "5"), ""),
        case(Method::DELETE, "/none", 204, ("x-none", "1"), ""),
        case(Method::POST, "/reset", 205, ("content-length", "0"), ""),
        Case {
            field: Some(("x-large", large.clone())),
            ..case(Method::GET, "/large", 200, ("x-large", &large), "large")
        },
        case(
            Method::OPTIONS,
            "/options",
            200,
            ("x-method", "OPTIONS"),
            "hello",
        ),
        case(Method::PATCH, "/patch", 200, ("x-method", "PATCH"), "hello"),
        case(
            Method::from_bytes(b"PROPFIND").unwrap(),
            "/dav",
            200,
            ("x-method", "PROPFIND"),
            "hello",
        ),
        case(
            Method::TRACE,
            "/trace",
            405,
            ("cache-control", "no-store"),
            "<",
        ),
    ]
}

#[tokio::test]
async fn each_kind_is_the_same_over_both_versions() {
    let world = Harness::new();
    let port = origin(answer).await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world.edge().await;
    for http2 in [false, true] {
        let mut http = if http2 {
            HttpConnection::h2(edge.https_addr(), "a.com").await
        } else {
            HttpConnection::h1(edge.https_addr(), "a.com").await
        };
        for case in table() {
            let context = format!("{} {} over HTTP/2: {http2}", case.method, case.path);
            let uri = if http2 {
                format!("https://a.com{}", case.path)
            } else {
                case.path.to_owned()
            };
            let mut request = Request::builder().method(&case.method).uri(uri);
            if !http2 {
                request = request.header("host", "a.com");
            }
            if let Some((name, value)) = &case.field {
                request = request.header(*name, value);
            }
            let request = request.body(Full::default()).unwrap();
            let response = timeout(TIMEOUT, http.send(request)).await.unwrap().unwrap();
            assert_eq!(response.status().as_u16(), case.status, "{context}");
            let got = response
                .headers()
                .get(case.has.0)
                .unwrap_or_else(|| panic!("{context}"));
            assert_eq!(got.to_str().unwrap(), case.has.1, "{context}");
            let body = timeout(TIMEOUT, response.into_body().collect());
            let body = body.await.unwrap().unwrap().to_bytes();
            if case.body == "<" {
                assert!(body.starts_with(b"<"), "{context}");
            } else {
                assert_eq!(body, case.body, "{context}");
            }
        }
    }
}

#[tokio::test]
async fn connect_is_refused_over_http2_too() {
    let world = Harness::new();
    let port = saying("hello").await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world.edge().await;
    let mut http = HttpConnection::h2(edge.https_addr(), "a.com").await;
    let request = Request::connect("a.com:443").body(Full::default()).unwrap();
    let response = timeout(TIMEOUT, http.send(request)).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_asterisk_of_options_passes() {
    let world = Harness::new();
    let port = origin(answer).await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world.edge().await;
    let request = "OPTIONS * HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n";
    let answer = exchange(edge.http_addr().unwrap(), request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("allow: GET\r\n"), "{answer}");
}
