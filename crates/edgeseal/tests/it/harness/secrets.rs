//! Key material of the whole run, and the search for it where it must never be.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Long enough not to come up by chance, short enough to survive line breaks.
const WINDOW: usize = 16;

/// Pieces of every private key and secret that a test has used.
#[derive(Default)]
struct KnownSecrets {
    /// Of base64 and hex texts.
    text: HashSet<[u8; WINDOW]>,
    /// Of octets, as a careless `Debug` would print them.
    bytes: HashSet<[u8; WINDOW]>,
    /// Of texts of what nobody but the owner knows: nothing that stands in a certificate too.
    private: HashSet<[u8; WINDOW]>,
}

static KNOWN: LazyLock<Mutex<KnownSecrets>> = LazyLock::new(Mutex::default);

/// Remembers a private key (DER).
pub(crate) fn register_key(der: &[u8]) {
    let mut known = known();
    // At every offset: a key in another frame (PKCS#1 in PKCS#8) has another base64.
    for shift in 0..3 {
        register(&mut known.text, STANDARD.encode(&der[shift..]).as_bytes());
    }
    register(&mut known.text, hex::encode(der).as_bytes());
    register(&mut known.bytes, der);
}

/// Remembers what is private of an elliptic-curve key: the scalar without its frame, in which the
/// public key stands as well.
pub(crate) fn register_scalar(scalar: &[u8]) {
    let mut known = known();
    for shift in 0..3 {
        register(
            &mut known.private,
            STANDARD.encode(&scalar[shift..]).as_bytes(),
        );
    }
    register(&mut known.private, hex::encode(scalar).as_bytes());
}

/// Remembers the secret of an access key.
pub(crate) fn register_secret(secret: &str) {
    let mut known = known();
    register(&mut known.private, secret.as_bytes());
    register(&mut known.text, secret.as_bytes());
    register(&mut known.bytes, secret.as_bytes());
}

fn register(set: &mut HashSet<[u8; WINDOW]>, octets: &[u8]) {
    set.extend(octets.chunks_exact(WINDOW).map(|piece| {
        let piece: [u8; WINDOW] = piece.try_into().unwrap();
        piece
    }));
}

/// Fails the test if `text` shows a part of a private key or of a secret.
#[track_caller]
pub(crate) fn assert_no_secrets(what: &str, text: &[u8]) {
    if let Some(found) = find(text) {
        panic!("{what} shows key material: {found}");
    }
}

/// As [`assert_no_secrets`], for a text in which certificates may be.
#[track_caller]
pub(crate) fn assert_no_private_keys(what: &str, text: &[u8]) {
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
    // Octets of the key itself, or of a text that holds it.
    let is_known = |w: &[u8]| known.bytes.contains(w) || known.text.contains(w);
    let shown = lists
        .iter()
        .any(|octets| octets.windows(WINDOW).any(is_known));
    shown.then(|| "a list of octets".to_owned())
}

/// What `Debug` made of octets: `[48, 129, …]` back to octets.
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
            (Some(octet), Some(list)) => list.push(octet),
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
fn the_search_finds_what_it_must() {
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
fn the_search_beside_certificates_finds_what_it_must() {
    let pem = super::pki::AUTHORITY.issue(&["searched.example"]);
    let key = super::pki::pem_decode(&pem.key);
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
