//! What an intermediary can do to the headers of a V3 call without breaking its signature.

use super::*;
use crate::test_server::{Credentials, TestServer, raw};

const ACCOUNT: &str = "1000000000000001";
const FORM: &str = "application/x-www-form-urlencoded";

/// A RAM call with its parameters in a form.
struct Call {
    headers: Vec<(&'static str, String)>,
    body: &'static str,
}

impl Call {
    fn new(body: &'static str) -> Self {
        let text = |text: &str| text.to_owned();
        Self {
            headers: vec![
                ("host", text("ram.example")),
                ("x-acs-action", text("CreateAccessKey")),
                ("x-acs-content-sha256", String::new()),
                ("x-acs-date", crate::test_server::NOW.to_string()),
                ("x-acs-signature-nonce", text("nonce")),
                ("x-acs-version", text("2015-05-01")),
            ],
            body,
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(have, _)| *have != name);
        self.headers.push((name, value.to_owned()));
        self.headers.sort_unstable();
        self
    }

    /// The headers as sent; all but those named are signed.
    fn sign(&self, who: &Credentials, unsigned: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let mut names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        names.retain(|name| !unsigned.contains(name));
        names.dedup();
        let (query, body) = (Default::default(), self.body.as_bytes());
        let canonical = canonical::v3_canonical_request("POST", &query, &headers, &names, body);
        let signature = canonical::v3_sign(&who.secret, &canonical::v3_string_to_sign(&canonical));
        let (key, names) = (&who.access_key, names.join(";"));
        let authorization =
            format!("{V3_ALGORITHM} Credential={key},SignedHeaders={names},Signature={signature}");
        headers.insert("authorization", authorization.parse().unwrap());
        headers
    }

    fn request(&self, headers: HeaderMap) -> RawRequest {
        RawRequest {
            body: Some(Bytes::from_static(self.body.as_bytes())),
            ..raw(String::new(), headers)
        }
    }
}

async fn world() -> TestServer {
    let mut world = TestServer::empty(Settings::default());
    world.account(ACCOUNT, "own").await;
    world.user(ACCOUNT, "weak", &[]).await;
    world
}

/// The code of a refusal, or `None`.
async fn code(world: &TestServer, raw: RawRequest) -> Option<String> {
    let response = crate::pipeline::handle_request(&world.context, raw).await;
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    body["Code"].as_str().map(str::to_owned)
}

async fn keys(world: &TestServer) -> usize {
    let account = AccountId::parse(ACCOUNT).unwrap();
    let keys = world.context.catalog.access_keys_of(&account, None).await;
    keys.unwrap().len()
}

#[tokio::test]
async fn an_unread_form_is_refused() {
    let world = world().await;
    let own = &world.keys["own"];
    let call = Call::new("UserName=weak");
    // Signed without Content-Type: sent unchanged, and with the header added or changed.
    let bare = call.sign(own, &[]);
    let refused = code(&world, call.request(bare.clone())).await;
    assert_eq!(refused.as_deref(), Some("InvalidParameter.Format"));
    for (content_type, expected) in [
        (FORM, "IncompleteSignature"),
        ("text/plain", "InvalidParameter.Format"),
        ("multipart/form-data; boundary=x", "InvalidParameter.Format"),
    ] {
        let mut headers = bare.clone();
        headers.insert("content-type", content_type.parse().unwrap());
        let refused = code(&world, call.request(headers)).await;
        assert_eq!(refused.as_deref(), Some(expected), "{content_type}");
    }
    // Signed with Content-Type, which is then removed or changed.
    let form = Call::new("UserName=weak").with("content-type", FORM);
    let signed = form.sign(own, &[]);
    let mut without = signed.clone();
    without.remove("content-type");
    let refused = code(&world, form.request(without)).await;
    assert_eq!(refused.as_deref(), Some("InvalidParameter.Format"));
    let mut second = signed.clone();
    second.append("content-type", "text/plain".parse().unwrap());
    let refused = code(&world, form.request(second)).await;
    assert_eq!(refused.as_deref(), Some("IncompleteSignature"));
    assert_eq!(keys(&world).await, 1, "no key was created for the account");
    assert_eq!(code(&world, form.request(signed)).await, None);
    assert_eq!(keys(&world).await, 1, "the key was created for the user");
}

#[tokio::test]
async fn content_type_is_signed_if_it_is_there() {
    let world = world().await;
    let own = &world.keys["own"];
    let form = Call::new("UserName=weak").with("content-type", FORM);
    let headers = form.sign(own, &["content-type"]);
    let refused = code(&world, form.request(headers)).await;
    assert_eq!(refused.as_deref(), Some("IncompleteSignature"));
}

/// `b,a` in one header, and `a` and `b` in two, have the same canonical form.
#[tokio::test]
async fn a_signed_header_cannot_be_split() {
    let world = world().await;
    let own = &world.keys["own"];
    let call = Call::new("").with("x-acs-signature-nonce", "a1,b2,c3");
    let whole = call.sign(own, &[]);
    let refused = code(&world, call.request(whole.clone())).await;
    assert_eq!(refused.as_deref(), Some("InvalidParameter.Format"));
    for parts in [["a1", "b2,c3"], ["a1,b2", "c3"], ["b2", "a1,c3"]] {
        let mut split = whole.clone();
        split.remove("x-acs-signature-nonce");
        for part in parts {
            split.append("x-acs-signature-nonce", part.parse().unwrap());
        }
        let refused = code(&world, call.request(split)).await;
        assert_eq!(refused.as_deref(), Some("IncompleteSignature"), "{parts:?}");
    }
    // Applies to any signed header, even if the added one is empty.
    let call = Call::new("");
    for name in ["host", "x-acs-action", "x-acs-version", "x-acs-date"] {
        let mut headers = call.sign(own, &[]);
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(""));
        let refused = code(&world, call.request(headers)).await;
        assert_eq!(refused.as_deref(), Some("IncompleteSignature"), "{name}");
    }
    assert_eq!(keys(&world).await, 1);
    let headers = call.sign(own, &[]);
    assert_eq!(code(&world, call.request(headers)).await, None);
    assert_eq!(keys(&world).await, 2, "the unchanged call is accepted");
}
