//! What a caller is refused for, and what it is told.

use super::*;

#[tokio::test]
async fn a_wrong_signature_returns_the_string_to_sign() {
    let context = context(true).await;
    let captures = Capture::all();
    let mut capture = captures
        .iter()
        .find(|capture| capture.name == "popcore-v1-get.http")
        .unwrap()
        .clone();
    capture.query = capture
        .query
        .replace("fmgXlrQOqAldT1ZmVmZOONpMdxw", "AmgXlrQOqAldT1ZmVmZOONpMdxw");
    let request = Request::parse(capture.raw()).ok().unwrap();
    let action = actions::find(&request).unwrap();
    let refused = authenticate(&context, request, action, &mut None, NOW)
        .await
        .err()
        .unwrap();
    let message = refused.message();
    let shown = message.strip_prefix(
        "Specified signature is not matched with our calculation. server string to sign is:",
    );
    assert!(
        shown
            .unwrap()
            .starts_with("GET&%2F&AccessKeyId%3Dtestid%26Action%3DSetCdnDomainSSLCertificate%26")
    );
    assert!(
        !format!("{refused:?} {refused}").contains("SSLPri"),
        "the signed text may contain a private key"
    );
}

#[tokio::test]
async fn clock_and_key() {
    let context = context(true).await;
    let captures = Capture::all();
    let capture = captures
        .iter()
        .find(|capture| capture.name == "python-v3-ak.http")
        .unwrap();
    for (off_ms, expected) in [
        (CLOCK_WINDOW_MS + 60_000, Some(Code::TimestampExpired)),
        (-CLOCK_WINDOW_MS - 60_000, Some(Code::TimestampExpired)),
        (CLOCK_WINDOW_MS - 60_000, None),
    ] {
        let request = Request::parse(capture.raw()).ok().unwrap();
        let action = actions::find(&request).unwrap();
        let refused = authenticate(&context, request, action, &mut None, NOW.plus_ms(off_ms))
            .await
            .err();
        assert_eq!(
            refused.map(|refused| refused.code()),
            expected,
            "{off_ms} ms"
        );
    }
    let inactive = self::context(false).await;
    assert_eq!(
        authenticated(&inactive, capture.raw()).await.err(),
        Some(Code::AccessKeyInactive)
    );
}

#[tokio::test]
async fn temporary_keys_and_bearer_tokens_are_refused_clearly() {
    let context = context(true).await;
    let v1 = |extra: &str| RawRequest {
        query: format!("Action=StopCdnDomain&Version=2018-05-10&Timestamp={NOW}&{extra}"),
        ..Capture::all()[0].raw()
    };
    let signed = "AccessKeyId=STS.x&Signature=x&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&SignatureNonce=n";
    for (extra, code) in [
        (signed.to_owned(), Code::MissingSecurityToken),
        (
            format!("{signed}&SecurityToken=t"),
            Code::SecurityTokenMalformed,
        ),
        (
            "SignatureType=BEARERTOKEN&BearerToken=t".to_owned(),
            Code::InvalidSignatureMethod,
        ),
        (String::new(), Code::MissingAccessKeyId),
        ("AccessKeyId=a".to_owned(), Code::MissingSignature),
        (
            "AccessKeyId=a&Signature=s".to_owned(),
            Code::MissingSignatureMethod,
        ),
        (
            "AccessKeyId=a&Signature=s&SignatureMethod=HMAC-SHA1".to_owned(),
            Code::MissingSignatureVersion,
        ),
        (
            signed.replace("HMAC-SHA1", "HMAC-SHA256"),
            Code::InvalidSignatureMethod,
        ),
        (signed.replace("1.0", "2.0"), Code::InvalidSignatureVersion),
        (signed.replace("STS.x", "nobody"), Code::AccessKeyNotFound),
    ] {
        let mut raw = v1(&extra);
        raw.body = Some(Bytes::new());
        assert_eq!(
            authenticated(&context, raw).await.err(),
            Some(code),
            "{extra}"
        );
    }
}

/// The call as the Python SDK sends it (`alibabacloud_tea_openapi` 0.4.6): V3 without the
/// Authorization header.
#[tokio::test]
async fn a_bearer_token_in_place_of_a_v3_signature_is_refused_with_the_way_out() {
    let context = context(true).await;
    let captures = Capture::all();
    let mut capture = captures
        .iter()
        .find(|capture| capture.name == "python-v3-ak.http")
        .unwrap()
        .clone();
    capture
        .headers
        .retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
    let bearer = ("x-acs-bearer-token".to_owned(), "token".to_owned());
    capture.headers.push(bearer);
    capture.query = "SignatureType=BEARERTOKEN".to_owned();
    let request = Request::parse(capture.raw()).map_err(|malformed| malformed.code());
    let request = request.unwrap();
    let action = actions::find(&request).unwrap();
    let refused = authenticate(&context, request, action, &mut None, NOW).await;
    let refused = refused.err().unwrap();
    assert_eq!(refused.code(), Code::InvalidSignatureMethod);
    let detail = refused.detail().unwrap();
    assert!(detail.contains("AssumeRoleWithOIDC"), "{detail}");
}
