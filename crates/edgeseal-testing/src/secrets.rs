//! Registers the key material of the whole run, and searches for it where it must never appear.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Long enough not to match by chance, short enough to fit between line breaks.
const WINDOW: usize = 16;

/// Fragments of every private key and secret that a test has used.
#[derive(Default)]
struct KnownSecrets {
    /// Fragments of base64 and hex texts.
    text: HashSet<[u8; WINDOW]>,
    /// Fragments of bytes, as `Debug` would print them.
    bytes: HashSet<[u8; WINDOW]>,
    /// Fragments of secret values only, without anything that a certificate contains too.
    private: HashSet<[u8; WINDOW]>,
}

static KNOWN: LazyLock<Mutex<KnownSecrets>> = LazyLock::new(Mutex::default);

/// Registers a private key (DER).
pub fn register_key(der: &[u8]) {
    let mut known = known();
    // At every offset: the base64 of a key differs in another encoding (PKCS#1 in PKCS#8).
    for shift in 0..3 {
        register(&mut known.text, STANDARD.encode(&der[shift..]).as_bytes());
    }
    register(&mut known.text, hex::encode(der).as_bytes());
    register(&mut known.bytes, der);
}

/// Registers the private scalar of an elliptic-curve key, without the encoding around it, which
/// contains the public key.
pub fn register_scalar(scalar: &[u8]) {
    let mut known = known();
    for shift in 0..3 {
        register(
            &mut known.private,
            STANDARD.encode(&scalar[shift..]).as_bytes(),
        );
    }
    register(&mut known.private, hex::encode(scalar).as_bytes());
}

/// Registers the secret of an access key.
pub fn register_secret(secret: &str) {
    let mut known = known();
    register(&mut known.private, secret.as_bytes());
    register(&mut known.text, secret.as_bytes());
    register(&mut known.bytes, secret.as_bytes());
}

fn register(set: &mut HashSet<[u8; WINDOW]>, bytes: &[u8]) {
    set.extend(bytes.chunks_exact(WINDOW).map(|piece| {
        let piece: [u8; WINDOW] = piece.try_into().unwrap();
        piece
    }));
}

/// Fails the test if `text` contains a part of a private key or of a secret.
#[track_caller]
pub fn assert_no_secrets(what: &str, text: &[u8]) {
    if let Some(found) = find(text) {
        panic!("{what} shows key material: {found}");
    }
}

/// As [`assert_no_secrets`], for a text that may contain certificates.
#[track_caller]
pub fn assert_no_private_keys(what: &str, text: &[u8]) {
    if let Some(found) = find_private(text) {
        panic!("{what} shows key material: {found}");
    }
}

fn find_private(text: &[u8]) -> Option<String> {
    let marker = b"PRIVATE KEY-----";
    let known = known();
    text.windows(WINDOW)
        .position(|piece| piece == marker || known.private.contains(piece))
        .map(|at| excerpt(text, at))
}

fn excerpt(text: &[u8], at: usize) -> String {
    let around = &text[at.saturating_sub(80)..text.len().min(at + 40)];
    String::from_utf8_lossy(around).into_owned()
}

fn find(text: &[u8]) -> Option<String> {
    let marker = b"PRIVATE KEY-----";
    if let Some(at) = text.windows(marker.len()).position(|piece| piece == marker) {
        return Some(excerpt(text, at));
    }
    let known = known();
    if let Some(at) = text.windows(WINDOW).position(|w| known.text.contains(w)) {
        return Some(excerpt(text, at));
    }
    let lists = debug_byte_lists(text);
    // Bytes of the key itself, or of a text that contains it.
    let is_known = |w: &[u8]| known.bytes.contains(w) || known.text.contains(w);
    let shown = lists
        .iter()
        .any(|bytes| bytes.windows(WINDOW).any(is_known));
    shown.then(|| "a list of bytes".to_owned())
}

/// Parses the `Debug` form of bytes, `[48, 129, …]`.
fn debug_byte_lists(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lists = vec![Vec::new()];
    for part in text
        .split(|b| b" ,[\n".contains(b))
        .filter(|p| !p.is_empty())
    {
        let part = part.strip_suffix(b"]").unwrap_or(part);
        let number = std::str::from_utf8(part)
            .ok()
            .and_then(|p| p.parse::<u8>().ok());
        match (number, lists.last_mut()) {
            (Some(byte), Some(list)) => list.push(byte),
            (None, Some(list)) if !list.is_empty() => lists.push(Vec::new()),
            _ => {}
        }
    }
    lists
}

fn known() -> MutexGuard<'static, KnownSecrets> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_search_finds_secrets() {
    let key: Vec<u8> = (0..100).map(|i: u8| i.wrapping_mul(37) ^ 0x5a).collect();
    register_key(&key);
    register_secret("ThisIsTheSecretOfAnAccessKey12");
    let base64 = STANDARD.encode(&key);
    for leak in [
        "x -----BEGIN PRIVATE KEY----- x".to_owned(),
        format!("x {base64} x"),
        format!("{}\n{}", &base64[..64], &base64[64..]),
        format!("{:?}", &key[10..90]),
        format!("{:?}", base64.as_bytes()),
        hex::encode(&key),
        "Secret=ThisIsTheSecretOfAnAccessKey12".to_owned(),
    ] {
        assert!(find(leak.as_bytes()).is_some(), "{leak}");
    }
    for harmless in ["", "a private key is missing", "[1, 2, 3]"] {
        assert_eq!(find(harmless.as_bytes()), None, "{harmless}");
    }
}

#[test]
fn the_search_next_to_certificates_finds_secrets() {
    let pem = crate::pki::AUTHORITY.issue(&["searched.example"]);
    let key = pem.key_der();
    let framed = |frame: usize| STANDARD.encode([&vec![0; frame], &key[36..68]].concat());
    for leak in [pem.key.clone(), hex::encode(&key)] {
        assert!(find_private(leak.as_bytes()).is_some(), "{leak}");
    }
    for frame in 0..6 {
        assert!(find_private(framed(frame).as_bytes()).is_some(), "{frame}");
    }
    assert_eq!(find_private(pem.chain.as_bytes()), None);
    assert_eq!(find_private(hex::encode(&pem.leaf).as_bytes()), None);
}
