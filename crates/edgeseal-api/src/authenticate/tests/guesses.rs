//! Guesses of every kind, and needlessly large requests.

use std::sync::atomic::{AtomicUsize, Ordering};

use edgeseal_core::rate::RateLimit;
use edgeseal_testing::observed_store::{Observe, ObservedStore, Operation};

use super::*;
use crate::rate_limit::AuthFailureLimiter;

const V1_SIGNED: &str = "SignatureMethod=HMAC-SHA1&SignatureVersion=1.0";

/// Counts reads and writes.
#[derive(Default)]
struct Counting {
    reads: AtomicUsize,
}

impl Observe for Counting {
    fn before(&self, operation: Operation<'_>) -> Result<(), Fault> {
        let count = match operation {
            Operation::GetMany(keys) => keys.len(),
            Operation::GetAndList(keys, prefixes) => keys.len() + prefixes.len(),
            Operation::Get(_)
            | Operation::List(_)
            | Operation::ReadLog(..)
            | Operation::AuditSince
            | Operation::Commit(_) => 1,
            Operation::Changes | Operation::Sweep => 0,
        };
        self.reads.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }
}

/// A V1 call in a form, with a wrong signature.
fn v1(key: &str, nonce: &str, further: &str) -> RawRequest {
    let form = format!(
        "Action=StopCdnDomain&Version=2018-05-10&Timestamp={NOW}&AccessKeyId={key}\
         &Signature=d3Jvbmc%3D&SignatureNonce={nonce}&{V1_SIGNED}{further}"
    );
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    raw(&headers.map(|(name, value)| (name, value.to_owned())), form)
}

/// A V3 call with a wrong signature.
fn v3(key: &str, nonce: &str, token: Option<&str>) -> RawRequest {
    v3_signing(key, nonce, token, &[])
}

/// Like [`v3`], with more names in the list of signed headers.
fn v3_signing(key: &str, nonce: &str, token: Option<&str>, further: &[&str]) -> RawRequest {
    let text = |text: &str| text.to_owned();
    let mut headers = vec![
        ("host", text("edgeseal.test")),
        ("x-acs-action", text("StopCdnDomain")),
        ("x-acs-version", text("2018-05-10")),
        ("x-acs-date", NOW.to_string()),
        ("x-acs-signature-nonce", text(nonce)),
        ("x-acs-content-sha256", text("0")),
    ];
    headers.extend(token.map(|token| ("x-acs-security-token", text(token))));
    let mut signed: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    signed.extend(further);
    let authorization = format!(
        "{V3_ALGORITHM} Credential={key},SignedHeaders={},Signature={}",
        signed.join(";"),
        "0".repeat(64)
    );
    headers.push(("authorization", authorization));
    raw(&headers, String::new())
}

fn raw(headers: &[(&'static str, String)], body: String) -> RawRequest {
    let headers = headers.iter().map(|(name, value)| {
        let value = HeaderValue::from_str(value).unwrap();
        (HeaderName::from_static(name), value)
    });
    RawRequest {
        method: Method::POST,
        path: "/".to_owned(),
        query: String::new(),
        headers: headers.collect(),
        body: Some(Bytes::from(body)),
        source: [127, 0, 0, 1].into(),
        secure: false,
        id: "ID".to_owned(),
    }
}

fn session(access_key: &str, expires: Timestamp) -> Session {
    Session {
        account: AccountId::from_random(1),
        role: "gone".to_owned(),
        role_id: "1".to_owned(),
        name: "session".to_owned(),
        policy: None,
        expires,
        access_key: access_key.to_owned(),
        secret: Secret::from("secret".to_owned()),
    }
}

/// An unauthenticated guess of every kind, in V1 and in V3.
fn guesses(keyring: &Keyring) -> Vec<(Code, RawRequest)> {
    let own = session("STS.mine", NOW.plus_ms(1000)).seal(keyring);
    let over = session("STS.mine", NOW).seal(keyring);
    let changed = own.replacen(own.get(40..41).unwrap(), "!", 1);
    let mut all = Vec::new();
    for (code, key, token) in [
        (Code::AccessKeyNotFound, "nobody", None),
        (Code::SignatureDoesNotMatch, "testid", None),
        (Code::SecurityTokenMalformed, "STS.mine", Some("token")),
        (Code::SecurityTokenMalformed, "STS.mine", Some(&*changed)),
        (Code::SecurityTokenMismatch, "STS.other", Some(&*own)),
        (Code::SecurityTokenMismatch, "testid", Some(&*own)),
        (Code::SecurityTokenExpired, "STS.mine", Some(&*over)),
        // The session is valid, but its role does not exist.
        (Code::SecurityTokenExpired, "STS.mine", Some(&*own)),
    ] {
        let further = token.map(|token| format!("&SecurityToken={token}"));
        all.push((code, v1(key, "n", &further.unwrap_or_default())));
        all.push((code, v3(key, "n", token)));
    }
    all
}

async fn context_with_counting_store(active: bool) -> (Arc<ObservedStore<Counting>>, Context) {
    let store = ObservedStore::over(Arc::new(MemoryStore::new()), Counting::default());
    let context = context_over(Arc::clone(&store) as SharedStore, active).await;
    (store, context)
}

/// Sets how many failures are allowed from now on.
fn allow(context: &mut Context, calls: u32) {
    let per_ms = 60_000;
    context.auth_failures = AuthFailureLimiter::new(RateLimit { calls, per_ms });
}

#[tokio::test]
async fn every_kind_of_guess_counts_against_its_source_alone() {
    let good = Capture::all()
        .into_iter()
        .find(|capture| !capture.has_token())
        .unwrap();
    for number in 0..16 {
        let (_, mut context) = context_with_counting_store(true).await;
        let (code, guess) = guesses(context.catalog.keyring()).swap_remove(number);
        allow(&mut context, 1);
        assert_eq!(authenticated(&context, guess).await.err(), Some(code));
        let mut good = good.raw();
        let refused = authenticated(&context, v1("testid", "n", "")).await;
        assert_eq!(refused.err(), Some(Code::Throttling), "after {code:?}");
        good.source = [192, 0, 2, 1].into();
        let owner = authenticated(&context, good).await;
        assert!(owner.is_ok(), "from another address, after {code:?}");
    }
}

#[tokio::test]
async fn disabled_keys_and_replays_count_as_well() {
    let (_, mut context) = context_with_counting_store(false).await;
    for guess in [v1("testid", "n", ""), v3("testid", "n", None)] {
        allow(&mut context, 1);
        for code in [Code::AccessKeyInactive, Code::Throttling] {
            let raw = RawRequest {
                headers: guess.headers.clone(),
                body: guess.body.clone(),
                ..v1("", "", "")
            };
            assert_eq!(authenticated(&context, raw).await.err(), Some(code));
        }
    }
    let (_, mut context) = context_with_counting_store(true).await;
    for name in ["python-v3-ak.http", "popcore-v1-get.http"] {
        let captures = Capture::all();
        let capture = captures.iter().find(|capture| capture.name == name);
        allow(&mut context, 1);
        for code in [None, Some(Code::NonceUsed), Some(Code::Throttling)] {
            let response = authenticated(&context, capture.unwrap().raw()).await;
            assert_eq!(response.err(), code, "{name}");
        }
    }
}

#[tokio::test]
async fn a_throttled_source_causes_no_store_reads() {
    let (store, mut context) = context_with_counting_store(true).await;
    allow(&mut context, 1);
    let first = authenticated(&context, v1("testid", "n", "")).await;
    assert_eq!(first.err(), Some(Code::SignatureDoesNotMatch));
    let asked = store.reads.load(Ordering::Relaxed);
    assert!(asked > 0, "the first guess caused a lookup");
    for (_, guess) in guesses(context.catalog.keyring()) {
        let response = authenticated(&context, guess).await;
        assert_eq!(response.err(), Some(Code::Throttling));
    }
    assert_eq!(store.reads.load(Ordering::Relaxed), asked);
}

#[tokio::test]
async fn overlong_values_are_refused_before_any_key_lookup() {
    let (store, mut context) = context_with_counting_store(true).await;
    // Such calls do not even count as failures.
    allow(&mut context, 1);
    let before = store.reads.load(Ordering::Relaxed);
    let long = |length| "x".repeat(length);
    let signature = v1("testid", "n", "");
    let body = String::from_utf8(signature.body.clone().unwrap().to_vec()).unwrap();
    let body = body.replace("Signature=d3Jvbmc%3D", &format!("Signature={}", long(257)));
    for (what, raw) in [
        ("a nonce of 200 KiB", v1("testid", &long(200 << 10), "")),
        ("a nonce of 257 bytes", v1("testid", &long(257), "")),
        ("the same in V3", v3("testid", &long(257), None)),
        ("a key ID of 129 bytes", v1(&long(129), "n", "")),
        ("the same in V3", v3(&long(129), "n", None)),
        (
            "a signature of 257 bytes",
            RawRequest {
                body: Some(body.into()),
                ..signature
            },
        ),
        (
            "a name of 129 bytes",
            v1("testid", "n", &format!("&{}=1", long(129))),
        ),
        (
            "501 parameters",
            v1(
                "testid",
                "n",
                &(0..501).map(|n| format!("&p{n}=1")).collect::<String>(),
            ),
        ),
    ] {
        let response = authenticated(&context, raw).await;
        assert_eq!(response.err(), Some(Code::ParameterFormat), "{what}");
    }
    let twice = authenticated(&context, v3_signing("testid", "n", None, &["host"])).await;
    assert_eq!(twice.err(), Some(Code::IncompleteSignature));
    let names: Vec<String> = (0..95).map(|n| format!("x{n}")).collect();
    let many: Vec<&str> = names.iter().map(String::as_str).collect();
    let many = authenticated(&context, v3_signing("testid", "n", None, &many)).await;
    assert_eq!(many.err(), Some(Code::IncompleteSignature));
    assert_eq!(store.reads.load(Ordering::Relaxed), before);
    let longest = authenticated(&context, v1("testid", &long(256), "")).await;
    assert_eq!(longest.err(), Some(Code::SignatureDoesNotMatch));
}

#[tokio::test]
async fn the_clock_is_right_to_the_second_on_either_side() {
    let context = context(true).await;
    let captures = Capture::all();
    for name in ["python-v3-ak.http", "popcore-v1-get.http"] {
        let capture = captures
            .iter()
            .find(|capture| capture.name == name)
            .unwrap();
        let given = Request::parse(capture.raw()).ok().unwrap();
        let given = given
            .common_param("x-acs-date", "Timestamp")
            .unwrap()
            .to_owned();
        let given = Timestamp::parse_iso(&given).unwrap();
        for (off_ms, is_refused) in [
            (CLOCK_WINDOW_MS + 1, true),
            (-CLOCK_WINDOW_MS - 1, true),
            (CLOCK_WINDOW_MS, false),
        ] {
            let request = Request::parse(capture.raw()).ok().unwrap();
            let action = actions::find(&request).unwrap();
            let now = given.plus_ms(off_ms);
            let response = authenticate(&context, request, action, &mut None, now).await;
            let refused = response.err().map(|refused| refused.code());
            let expected = is_refused.then_some(Code::TimestampExpired);
            assert_eq!(refused, expected, "{name}, {off_ms} ms");
        }
    }
}
