//! Any request is decoded or refused, without a panic; a decoded request decodes to the same again
//! after encoding.
#![no_main]

use edgeseal_api::{
    canonical::{encode, v1_string_to_sign},
    request::{ParamMap, RawRequest, Request},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Query, content type and body: three lines of any bytes.
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (query, kind, body) = (line(), line(), line());
    let mut headers = http::HeaderMap::new();
    if let Ok(kind) = http::HeaderValue::from_bytes(kind) {
        headers.insert("content-type", kind);
    }
    let raw = RawRequest {
        method: http::Method::POST,
        path: "/".to_owned(),
        query: String::from_utf8_lossy(query).into_owned(),
        headers,
        body: Some(body.to_vec().into()),
        source: [127, 0, 0, 1].into(),
        secure: false,
        id: "ID".to_owned(),
    };
    let Ok(request) = Request::parse(raw) else {
        return;
    };
    let pairs: Vec<String> = request
        .params
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    let again = ParamMap::decode(pairs.join("&").as_bytes()).expect("what was encoded decodes");
    assert!(again.iter().eq(request.params.iter()));
    assert_eq!(
        v1_string_to_sign("POST", &again),
        v1_string_to_sign("POST", &request.params)
    );
    let _ = edgeseal_api::actions::find(&request);
    let _ = request.format();
});
