use ::http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn raw(method: &str, path: &str, query: &str) -> RawRequest {
    RawRequest {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: HeaderMap::new(),
        body: Some(Bytes::new()),
        source: IpAddr::from([127, 0, 0, 1]),
        secure: false,
        id: "ID".to_owned(),
    }
}

fn refused(raw: RawRequest) -> MalformedRequest {
    Request::parse(raw).err().expect("the request was accepted")
}

#[test]
fn wire_forms_decode_alike() {
    // Python, Node and PHP each encode the same value in their own way.
    for encoded in [
        "N=my+cert%2A~%27%28",
        "N=my%20cert*~'(",
        "N=my+cert*%7E%27%28",
    ] {
        assert_eq!(
            ParamMap::decode(encoded.as_bytes()).unwrap().get("N"),
            Some("my cert*~'("),
            "{encoded}"
        );
    }
}

#[test]
fn empty_values_and_lone_names() {
    let params = ParamMap::decode(b"A=&B&&C=x=y").unwrap();
    assert_eq!(
        params.iter().collect::<Vec<_>>(),
        [("A", ""), ("B", ""), ("C", "x=y")]
    );
    assert_eq!(params.get_non_empty("A"), None);
}

#[test]
fn malformed_parameters() {
    for (encoded, error) in [
        ("A=%", MalformedRequest::Percent { position: 1 }),
        ("A=1&B=%4", MalformedRequest::Percent { position: 2 }),
        ("A=%zz", MalformedRequest::Percent { position: 1 }),
        ("%=1", MalformedRequest::Percent { position: 1 }),
        ("A=%ff", MalformedRequest::Utf8 { position: 1 }),
        (
            "A=1&A=2",
            MalformedRequest::DuplicateParam {
                name: "A".to_owned(),
            },
        ),
        (
            "A=1&%41=2",
            MalformedRequest::DuplicateParam {
                name: "A".to_owned(),
            },
        ),
    ] {
        assert_eq!(
            ParamMap::decode(encoded.as_bytes()).err(),
            Some(error),
            "{encoded}"
        );
    }
}

#[test]
fn the_order_of_what_is_looked_at() {
    let long = "x".repeat(HEAD_MAX);
    let mut request = raw("PUT", "/path", &format!("A=%&{long}"));
    request.body = None;
    assert_eq!(
        refused(request),
        MalformedRequest::Method {
            method: "PUT".to_owned()
        }
    );
    let mut request = raw("GET", "/path", &format!("A=%&{long}"));
    request.body = None;
    assert_eq!(refused(request), MalformedRequest::Path);
    let mut request = raw("GET", "/", &format!("A=%&{long}"));
    request.body = None;
    assert!(matches!(
        refused(request),
        MalformedRequest::HeadTooLong { .. }
    ));
    let mut request = raw("GET", "/", "A=%");
    request.body = None;
    assert_eq!(refused(request), MalformedRequest::BodyTooLong);
    assert_eq!(
        refused(raw("GET", "/", "A=%")),
        MalformedRequest::Percent { position: 1 }
    );
}

#[test]
fn query_and_form_are_one() {
    let mut request = raw("POST", "/", "A=1");
    request.headers.insert(
        "content-type",
        HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"),
    );
    request.body = Some(Bytes::from_static(b"B=2"));
    let parsed = Request::parse(request).ok().unwrap();
    assert_eq!(
        parsed.params.iter().collect::<Vec<_>>(),
        [("A", "1"), ("B", "2")]
    );
    assert_eq!(parsed.query.iter().collect::<Vec<_>>(), [("A", "1")]);

    let mut request = raw("POST", "/", "A=1");
    request.headers.insert(
        "content-type",
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    request.body = Some(Bytes::from_static(b"A=2"));
    assert_eq!(
        refused(request),
        MalformedRequest::DuplicateParam {
            name: "A".to_owned()
        }
    );

    let mut request = raw("POST", "/", "A=1");
    request
        .headers
        .insert("content-type", HeaderValue::from_static("application/json"));
    request.body = Some(Bytes::from_static(b"{\"B\":%}"));
    assert_eq!(refused(request), MalformedRequest::UnsupportedContentType);
    let mut request = raw("POST", "/", "A=1");
    request.body = Some(Bytes::from_static(b"B=2"));
    assert_eq!(
        refused(request),
        MalformedRequest::UnsupportedContentType,
        "without Content-Type"
    );
    let mut request = raw("POST", "/", "A=1");
    request
        .headers
        .insert("content-type", HeaderValue::from_static("application/json"));
    let parsed = Request::parse(request).ok().unwrap();
    assert_eq!(
        parsed.params.get("A"),
        Some("1"),
        "an empty body holds nothing"
    );
}

#[test]
fn formats() {
    for (query, format) in [
        ("", Format::Xml),
        ("Format=", Format::Xml),
        ("Format=xml", Format::Xml),
        ("Format=JSON", Format::Json),
        ("Format=json", Format::Json),
        ("Format=None", Format::Json),
    ] {
        assert_eq!(
            Request::parse(raw("GET", "/", query))
                .ok()
                .unwrap()
                .format(),
            format,
            "{query}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_decode_without_panic(encoded in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = ParamMap::decode(&encoded);
    }

    #[test]
    fn what_is_encoded_decodes(pairs in prop::collection::btree_map("\\PC{1,20}", "\\PC{0,40}", 0..8)) {
        let encoded: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", crate::canonical::encode(name), crate::canonical::encode(value)))
            .collect();
        let params = ParamMap::decode(encoded.join("&").as_bytes()).unwrap();
        let decoded: Vec<(String, String)> = params.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        prop_assert_eq!(decoded, pairs.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn parameters_are_bounded() {
    let many = |count: usize| {
        let pairs: Vec<String> = (0..count).map(|n| format!("p{n}=")).collect();
        ParamMap::decode(pairs.join("&").as_bytes())
    };
    assert!(many(PARAMS_MAX).is_ok());
    assert!(matches!(
        many(PARAMS_MAX + 1),
        Err(MalformedRequest::TooManyParams)
    ));
}
