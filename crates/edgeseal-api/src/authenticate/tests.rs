//! Requests as the official SDKs sent them (`spec/wire`): each is accepted unchanged and refused
//! once anything signed is changed.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use bytes::Bytes;
use edgeseal_core::{
    AccountId,
    account::{AccessKey, Account},
};
use edgeseal_store::{
    Catalog, Keyring, SharedStore,
    catalog::{AuditContext, NewAccessKey},
    memory::MemoryStore,
};

mod guesses;
mod headers;
mod refused;

use super::*;
use crate::{actions, context::Settings, error::ApiError as _, request::RawRequest};

/// The time of the captures; all were taken within these seconds.
const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_485_820); // 2026-11-24T02:03:40Z

fn clock() -> Timestamp {
    NOW
}

/// A capture, split so that each part can be changed.
#[derive(Clone)]
struct Capture {
    name: String,
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Capture {
    fn all() -> Vec<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/wire");
        let files = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path());
        let captures: Vec<Self> = files
            .filter(|path| path.extension().is_some_and(|end| end == "http"))
            .map(|path| Self::read(&path))
            .collect();
        assert_eq!(captures.len(), 14);
        captures
    }

    fn read(path: &std::path::Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let mut line = lines.next().unwrap().split(' ');
        let (method, target) = (line.next().unwrap(), line.next().unwrap());
        let (path_part, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        Self {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            method: method.to_owned(),
            path: path_part.to_owned(),
            query: query.to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    fn raw(&self) -> RawRequest {
        let headers: HeaderMap = self
            .headers
            .iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        RawRequest {
            method: self.method.parse::<Method>().unwrap(),
            path: self.path.clone(),
            query: self.query.clone(),
            headers,
            body: Some(Bytes::from(self.body.clone())),
            source: [127, 0, 0, 1].into(),
            secure: false,
            id: "ID".to_owned(),
        }
    }

    /// Whether it has the token of a temporary key. The captures were signed with a key that looks
    /// like a long-lived one.
    fn has_token(&self) -> bool {
        let header = |(name, _): &(String, String)| name.eq_ignore_ascii_case(TOKEN_HEADER);
        self.headers.iter().any(header)
            || self.query.contains(TOKEN_PARAM)
            || self.body.contains(TOKEN_PARAM)
    }

    fn is_v3(&self) -> bool {
        self.name.contains("-v3-")
    }

    /// Every change of one signed part: the method, each byte of each decoded parameter, of the
    /// body where it is hashed, and of each signed header.
    fn tampered(&self) -> Vec<(String, Self)> {
        let mut tampered = vec![(
            "method".to_owned(),
            Self {
                method: if self.method == "GET" { "POST" } else { "GET" }.to_owned(),
                ..self.clone()
            },
        )];
        let is_form = self.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("content-type") && value.contains("form")
        });
        for (changed, query) in changed_params(&self.query) {
            tampered.push((
                format!("query {changed}"),
                Self {
                    query,
                    ..self.clone()
                },
            ));
        }
        if is_form {
            for (changed, body) in changed_params(&self.body) {
                tampered.push((
                    format!("form {changed}"),
                    Self {
                        body,
                        ..self.clone()
                    },
                ));
            }
        }
        if self.is_v3() {
            tampered.push((
                "body".to_owned(),
                Self {
                    body: format!("{}x", self.body),
                    ..self.clone()
                },
            ));
            let authorization = &self
                .headers
                .iter()
                .find(|(name, _)| name == "Authorization")
                .unwrap()
                .1;
            let signed = authorization
                .split("SignedHeaders=")
                .nth(1)
                .unwrap()
                .split(',')
                .next()
                .unwrap();
            for name in signed.split(';') {
                tampered.extend(self.changed_header(name));
            }
            tampered.extend(self.changed_header("Authorization"));
        }
        tampered
    }

    fn changed_header(&self, name: &str) -> Vec<(String, Self)> {
        let index = self
            .headers
            .iter()
            .position(|(have, _)| have.eq_ignore_ascii_case(name))
            .unwrap();
        let value = &self.headers[index].1;
        (0..value.len())
            .map(|at| {
                let mut changed = self.clone();
                changed.headers[index].1 = with_changed_byte(value, at);
                (format!("header {name} byte {at}"), changed)
            })
            .collect()
    }
}

/// Changes one byte of one decoded parameter, name or value; or removes or adds a parameter.
fn changed_params(encoded: &str) -> Vec<(String, String)> {
    let encode_pairs = |pairs: &[(String, String)]| {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(name, value)| {
                format!("{}={}", canonical::encode(name), canonical::encode(value))
            })
            .collect();
        pairs.join("&")
    };
    let params = crate::request::ParamMap::decode(encoded.as_bytes()).unwrap();
    let pairs: Vec<(String, String)> = params
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut all = vec![("added".to_owned(), format!("{encoded}&Added=1"))];
    for (index, (name, value)) in pairs.iter().enumerate() {
        let mut without = pairs.clone();
        without.remove(index);
        all.push((format!("{name} removed"), encode_pairs(&without)));
        for at in 0..value.len() {
            let mut changed = pairs.clone();
            changed[index].1 = with_changed_byte(value, at);
            all.push((format!("{name} value byte {at}"), encode_pairs(&changed)));
        }
        for at in 0..name.len() {
            let mut changed = pairs.clone();
            changed[index].0 = with_changed_byte(name, at);
            all.push((format!("{name} name byte {at}"), encode_pairs(&changed)));
        }
    }
    all
}

/// Captures are ASCII, and stay so. The case alone never changes: hex digits of a signature may be
/// in either case.
fn with_changed_byte(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = match bytes[at] {
        b'0'..=b'8' | b'a'..=b'y' | b'A'..=b'Y' => bytes[at] + 1,
        _ => b'7',
    };
    String::from_utf8(bytes).unwrap()
}

async fn context(active: bool) -> Context {
    context_over(Arc::new(MemoryStore::new()), active).await
}

async fn context_over(store: SharedStore, active: bool) -> Context {
    let catalog = Catalog::new(store, Keyring::parse(&Keyring::generate()).unwrap());
    let account = Account {
        id: AccountId::from_random(1),
        name: "test".to_owned(),
        root: false,
        created: NOW,
        private_origins: None,
        quotas: Default::default(),
    };
    let key = AccessKey {
        id: "testid".to_owned(),
        account: account.id.clone(),
        user: None,
        active,
        created: NOW,
    };
    let audit = AuditContext {
        account: account.id.clone(),
        principal: format!("acs:ram::{}:root", account.id),
        access_key: "-".to_owned(),
        source: "-".to_owned(),
        action: "Test".to_owned(),
        resource: String::new(),
        request_id: "ID".to_owned(),
        nonce: None,
        now: NOW,
    };
    let new = NewAccessKey {
        key,
        secret: Secret::from("testsecret".to_owned()),
    };
    catalog
        .create_account(&audit, &account, &new)
        .await
        .unwrap();
    let failures = edgeseal_core::rate::RateLimit::per_second(u32::MAX);
    Context::new(
        catalog,
        clock,
        Settings {
            auth_failure_limit: failures,
            ..Settings::default()
        },
        None,
    )
    .0
}

async fn authenticated(context: &Context, raw: RawRequest) -> Result<Caller, Code> {
    let request = Request::parse(raw).map_err(|malformed| malformed.code())?;
    let action = actions::find(&request).map_err(|unknown| unknown.code())?;
    authenticate(context, request, action, &mut None, NOW)
        .await
        .map_err(|refused| refused.code())
}

/// Whether a request is complete and signed with the key of the captures. Whether that key may call
/// is not checked.
fn check_signature(raw: RawRequest) -> Result<(), Code> {
    let request = Request::parse(raw).map_err(|malformed| malformed.code())?;
    actions::find(&request).map_err(|unknown| unknown.code())?;
    let claim = RequestSignature::parse(&request, NOW).map_err(|refused| refused.code())?;
    if claim.key_id != "testid" {
        return Err(Code::AccessKeyNotFound);
    }
    let secret = Secret::from("testsecret".to_owned());
    verify_signature(&request, &claim, &secret).map_err(|refused| refused.code())
}

#[tokio::test]
async fn a_token_with_the_key_of_an_account_is_refused() {
    let context = context(true).await;
    let captures: Vec<Capture> = Capture::all()
        .into_iter()
        .filter(Capture::has_token)
        .collect();
    assert_eq!(captures.len(), 5);
    for capture in captures {
        assert_eq!(check_signature(capture.raw()), Ok(()), "{}", capture.name);
        let response = authenticated(&context, capture.raw()).await;
        let expected = Some(Code::SecurityTokenMismatch);
        assert_eq!(response.err(), expected, "{}", capture.name);
    }
    let inactive = self::context(false).await;
    let capture = Capture::all().into_iter().find(Capture::has_token).unwrap();
    let response = authenticated(&inactive, capture.raw()).await;
    assert_eq!(response.err(), Some(Code::AccessKeyInactive));
}

#[tokio::test]
async fn every_capture_is_accepted_once() {
    let context = context(true).await;
    for capture in Capture::all() {
        if capture.has_token() {
            assert_eq!(check_signature(capture.raw()), Ok(()), "{}", capture.name);
            continue;
        }
        let caller = authenticated(&context, capture.raw()).await;
        let caller = caller.unwrap_or_else(|code| panic!("{}: {code:?}", capture.name));
        assert_eq!(caller.action.name, "SetCdnDomainSSLCertificate");
        assert_eq!(caller.request.params.get("DomainName"), Some("example.com"));
        assert_eq!(
            authenticated(&context, capture.raw()).await.err(),
            Some(Code::NonceUsed),
            "{}",
            capture.name
        );
    }
}

#[tokio::test]
async fn every_change_of_what_is_signed_is_refused() {
    let context = context(true).await;
    let mut codes = BTreeSet::new();
    for capture in Capture::all() {
        let tampered = capture.tampered();
        assert!(
            tampered.len() > 300,
            "{}: only {} changes",
            capture.name,
            tampered.len()
        );
        for (what, tampered) in tampered {
            let response = if capture.has_token() {
                check_signature(tampered.raw())
            } else {
                authenticated(&context, tampered.raw()).await.map(|_| ())
            };
            match response {
                Ok(()) => panic!("{}: accepted despite the change: {what}", capture.name),
                Err(code) => {
                    codes.insert(code.spec().wire_code);
                }
            }
        }
        // None of the refused calls has used up the nonce.
        if !capture.has_token() {
            let response = authenticated(&context, capture.raw()).await;
            assert!(response.is_ok(), "{}", capture.name);
        }
    }
    assert!(codes.contains("SignatureDoesNotMatch"));
}

#[tokio::test]
async fn guesses_are_limited_by_address_and_cost_the_owner_nothing() {
    let mut context = context(true).await;
    context.auth_failures =
        crate::rate_limit::AuthFailureLimiter::new(edgeseal_core::rate::RateLimit {
            calls: 2,
            per_ms: 60_000,
        });
    let captures = Capture::all();
    let good = captures
        .iter()
        .find(|capture| capture.name == "python-v3-ak.http")
        .unwrap();
    let bad = &good.changed_header("x-acs-signature-nonce")[0].1;
    for expected in [
        Code::SignatureDoesNotMatch,
        Code::SignatureDoesNotMatch,
        Code::Throttling,
    ] {
        assert_eq!(
            authenticated(&context, bad.raw()).await.err(),
            Some(expected)
        );
    }
    let mut elsewhere = good.raw();
    elsewhere.source = [192, 0, 2, 1].into();
    assert!(
        authenticated(&context, elsewhere).await.is_ok(),
        "the owner calls from another address"
    );
}
