//! Keys from a real TLS server and from real files.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_522_200);

/// An identity provider that serves configurable responses over TLS.
struct Issuer {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    response: Arc<StdMutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Self {
            address: listener.local_addr().unwrap(),
            certificate: cert.der().clone(),
            response: Arc::default(),
            asked: Arc::default(),
        };
        let (response, asked) = (Arc::clone(&issuer.response), Arc::clone(&issuer.asked));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                assert!(head.starts_with(b"GET /keys?v=1 HTTP/1.1\r\n"));
                asked.fetch_add(1, Ordering::SeqCst);
                let response = response.lock().unwrap().clone();
                // The client may close before reading everything.
                let _ = stream.write_all(response.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        issuer
    }

    fn answers(&self, status: &str, body: &str) {
        let length = body.len();
        *self.response.lock().unwrap() =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn source(&self) -> HttpsSource {
        let url = format!("https://localhost:{}/keys?v=1", self.address.port());
        HttpsSource::new(&url, std::slice::from_ref(&self.certificate)).unwrap()
    }
}

/// A signing key of the provider, with its key ID.
pub(crate) struct Key(EcdsaKeyPair, &'static str);

impl Key {
    pub(crate) fn new(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self(pair, kid)
    }

    fn token(&self, now: Timestamp) -> String {
        let seconds = now.unix_seconds();
        self.sign(&json!({"iss": "i", "sub": "s", "aud": "a", "iat": seconds, "exp": seconds + 60}))
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": self.1});
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = [&header, claims].map(|part| encode(part.to_string().as_bytes()));
        let signed = signed.join(".");
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", encode(signature.unwrap().as_ref()))
    }
}

pub(crate) fn key_set(keys: &[&Key]) -> String {
    let keys: Vec<_> = keys
        .iter()
        .map(|Key(pair, kid)| {
            let point = pair.public_key().as_ref();
            let [x, y] = [&point[1..33], &point[33..]].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
            json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y})
        })
        .collect();
    json!({ "keys": keys }).to_string()
}

fn known(source: KeySource) -> OidcProvider {
    let provider = Provider {
        account: AccountId::from_random(1),
        name: "ci".to_owned(),
        issuer: "i".to_owned(),
        client_ids: vec!["a".to_owned()],
        max_token_age_ms: 3_600_000,
    };
    OidcProvider {
        provider,
        source,
        cache: Mutex::default(),
    }
}

fn after(seconds: i64) -> Timestamp {
    NOW.plus_ms(seconds * 1000)
}

#[tokio::test]
async fn a_new_key_is_asked_for_once_a_minute_at_most() {
    let issuer = Issuer::start().await;
    let (old, new, unknown) = (Key::new("old"), Key::new("new"), Key::new("unknown"));
    issuer.answers("200 OK", &key_set(&[&old]));
    let known = known(KeySource::Https(issuer.source()));
    let accepts = async |key: &Key, now| {
        let verified = known.verify(&key.token(now), now).await.unwrap();
        verified.is_ok()
    };
    assert!(accepts(&old, NOW).await);
    assert!(accepts(&old, after(1)).await);
    assert_eq!(issuer.asked(), 1);
    issuer.answers("200 OK", &key_set(&[&old, &new]));
    for _ in 0..3 {
        assert!(
            !accepts(&new, after(59)).await,
            "it was fetched a moment ago"
        );
    }
    assert_eq!(issuer.asked(), 1);
    assert!(accepts(&new, after(60)).await);
    assert_eq!(issuer.asked(), 2);
    for second in 61..120 {
        assert!(!accepts(&unknown, after(second)).await);
    }
    assert_eq!(issuer.asked(), 2, "callers cannot cause more fetches");
    assert!(!accepts(&unknown, after(120)).await);
    assert_eq!(issuer.asked(), 3);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_is_forgotten_within_an_hour() {
    let issuer = Issuer::start().await;
    let (old, new) = (Key::new("old"), Key::new("new"));
    issuer.answers("200 OK", &key_set(&[&old]));
    let known = known(KeySource::Https(issuer.source()));
    assert!(known.verify(&old.token(NOW), NOW).await.unwrap().is_ok());
    issuer.answers("200 OK", &key_set(&[&new]));
    let just_before = after(3599);
    let verified = known.verify(&old.token(just_before), just_before).await;
    assert!(verified.unwrap().is_ok());
    let verified = known.verify(&old.token(after(3600)), after(3600)).await;
    assert!(matches!(
        verified,
        Ok(Err(InvalidIdToken::UnknownKey { .. }))
    ));
}

#[tokio::test]
async fn while_nobody_answers_the_last_keys_count_for_a_day() {
    let issuer = Issuer::start().await;
    let key = Key::new("k");
    let known = known(KeySource::Https(issuer.source()));
    issuer.answers("503 Service Unavailable", "");
    let refused = known.verify(&key.token(NOW), NOW).await;
    assert!(matches!(
        refused,
        Err(JwksError::Fetch(FetchError::Status(_)))
    ));
    let refused = known.verify(&key.token(NOW), after(1)).await;
    assert!(matches!(refused, Err(JwksError::Throttled)));
    issuer.answers("200 OK", &key_set(&[&key]));
    let at = after(60);
    assert!(known.verify(&key.token(at), at).await.unwrap().is_ok());
    issuer.answers("500 Oops", "");
    let late = after(60 + 24 * 3600 - 1);
    assert!(known.verify(&key.token(late), late).await.unwrap().is_ok());
    let too_late = after(60 + 24 * 3600 + 60);
    assert!(known.verify(&key.token(too_late), too_late).await.is_err());
}

#[tokio::test]
async fn answers_that_are_no_key_set() {
    let issuer = Issuer::start().await;
    let key = Key::new("k");
    let long = " ".repeat(JWKS_BYTES_MAX + 1);
    for (status, body) in [
        ("302 Found\r\nLocation: https://127.0.0.1/", ""),
        ("404 Not Found", "{}"),
        ("200 OK", "{}"),
        ("200 OK", ""),
        ("200 OK", "<html>"),
        ("200 OK", long.as_str()),
    ] {
        issuer.answers(status, body);
        let known = known(KeySource::Https(issuer.source()));
        let refused = known.verify(&key.token(NOW), NOW).await;
        assert!(refused.is_err(), "{status} {body:.20}");
    }
    assert_eq!(issuer.asked(), 6, "no redirect is followed");
}

#[tokio::test]
async fn an_untrusted_server_is_not_contacted() {
    let (issuer, other) = (Issuer::start().await, Issuer::start().await);
    let key = Key::new("k");
    issuer.answers("200 OK", &key_set(&[&key]));
    let url = format!("https://localhost:{}/keys?v=1", issuer.address.port());
    for roots in [vec![], vec![other.certificate.clone()]] {
        let source = HttpsSource::new(&url, &roots).unwrap();
        let refused = known(KeySource::Https(source))
            .verify(&key.token(NOW), NOW)
            .await;
        assert!(matches!(
            refused,
            Err(JwksError::Fetch(FetchError::Connect(_)))
        ));
    }
    assert_eq!(issuer.asked(), 0);
}

#[test]
fn addresses_that_cannot_be_asked() {
    for given in [
        "",
        "issuer",
        "http://issuer.example/keys",
        "https://",
        "https://u:p@issuer.example/",
        "file:///keys",
    ] {
        let refused = HttpsSource::new(given, &[]);
        assert!(matches!(refused, Err(InvalidSource::Uri { .. })), "{given}");
    }
    assert!(HttpsSource::new("https://issuer.example/.well-known/jwks.json", &[]).is_ok());
}

#[tokio::test]
async fn a_file_is_read_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let (old, new) = (Key::new("old"), Key::new("new"));
    let known = known(KeySource::File(path.clone()));
    let refused = known.verify(&old.token(NOW), NOW).await;
    assert!(matches!(refused, Err(JwksError::File { .. })));
    fs::write(&path, key_set(&[&old])).unwrap();
    assert!(known.verify(&old.token(NOW), NOW).await.unwrap().is_ok());
    fs::write(&path, key_set(&[&new])).unwrap();
    assert!(known.verify(&new.token(NOW), NOW).await.unwrap().is_ok());
    let verified = known.verify(&old.token(NOW), NOW).await.unwrap();
    assert!(matches!(verified, Err(InvalidIdToken::UnknownKey { .. })));
    fs::write(&path, " ".repeat(JWKS_BYTES_MAX + 2)).unwrap();
    let refused = known.verify(&new.token(NOW), NOW).await;
    assert!(matches!(
        refused,
        Err(JwksError::Malformed(InvalidJwks::TooLong { .. }))
    ));
}
