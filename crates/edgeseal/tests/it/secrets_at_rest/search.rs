//! Searches files and the memory of a process for known secrets.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    os::unix::fs::FileExt as _,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

/// Every stretch of so many bytes of a secret counts as a find: what `free` leaves of a buffer
/// that was not wiped lacks its first 16 bytes.
const WINDOW: usize = 16;
/// Bytes by which most places are passed over without a look at the table.
const PREFIX_LENGTH: usize = 3;
const PAGE: usize = 4096;

/// Label of a key as a text, whichever it is: in PEM, base64 or hex.
pub(super) const TEXT: &str = "a key as text";

/// What is searched for. Each other secret has a label.
pub(super) struct Needles {
    windows: HashMap<[u8; WINDOW], &'static str>,
    first: Vec<bool>,
}

/// Labels of what was found, with a place for each.
pub(super) type Found = BTreeMap<&'static str, String>;

impl Needles {
    pub(super) fn new() -> Self {
        let mut all = Self {
            windows: HashMap::new(),
            first: vec![false; 1 << (8 * PREFIX_LENGTH)],
        };
        all.add_bytes(TEXT, b"PRIVATE KEY-----");
        all
    }

    /// A secret that is text: these bytes, and what they are in base64.
    pub(super) fn text(&mut self, label: &'static str, text: &str) {
        self.add_bytes(label, text.as_bytes());
        self.add_base64(label, text.as_bytes());
    }

    /// What is private of a key in PKCS#8 (DER), without what its certificate shows as well: as it
    /// is, as a library for large numbers holds it (the least byte first), in hex and in the
    /// base64 of PEM, also if that is percent-encoded once or twice.
    pub(super) fn key(&mut self, label: &'static str, pkcs8: &[u8]) {
        let private = private_part(pkcs8);
        let backwards: Vec<u8> = private.iter().rev().copied().collect();
        self.add_bytes(label, private);
        self.add_bytes(label, &backwards);
        self.add_bytes(TEXT, hex::encode(private).as_bytes());
        self.add_base64(TEXT, private);
    }

    /// As [`Needles::key`], for a key in PEM.
    pub(super) fn pem(&mut self, label: &'static str, pem: &str) {
        self.key(label, &crate::harness::pem::decode(pem));
    }

    fn add_base64(&mut self, label: &'static str, bytes: &[u8]) {
        // At every offset: what stands before it moves the groups of three.
        for shift in 0..3 {
            let text = STANDARD.encode(&bytes[shift..]);
            let text = text.trim_end_matches('=');
            let once = text.replace('+', "%2B").replace('/', "%2F");
            self.add_bytes(label, once.replace('%', "%25").as_bytes());
            self.add_bytes(label, once.as_bytes());
            self.add_bytes(label, text.as_bytes());
            self.add_bytes(label, URL_SAFE_NO_PAD.encode(&bytes[shift..]).as_bytes());
        }
    }

    fn add_bytes(&mut self, label: &'static str, bytes: &[u8]) {
        assert!(bytes.len() >= WINDOW, "{label}");
        for window in bytes.windows(WINDOW) {
            self.first[first(window)] = true;
            self.windows.insert(window.try_into().unwrap(), label);
        }
    }

    /// What of it stands in `text`.
    pub(super) fn found_in(&self, place: &str, text: &[u8]) -> Found {
        let mut found = Found::new();
        for (at, window) in text.windows(WINDOW).enumerate() {
            if self.first[first(window)]
                && let Some(label) = self.windows.get(window)
            {
                found.entry(label).or_insert_with(|| {
                    let around = &text[at.saturating_sub(64)..text.len().min(at + 64)];
                    format!("{place} at {at}: {}", around.escape_ascii())
                });
            }
        }
        found
    }
}

/// The key itself: of an elliptic curve the scalar (RFC 5958, RFC 5915: behind 36 bytes in the case
/// of P-256), of RSA all that comes after the public exponent (RFC 8017 §A.1.2).
pub(super) fn private_part(pkcs8: &[u8]) -> &[u8] {
    const EXPONENT: &[u8] = &[2, 3, 1, 0, 1];
    if pkcs8.len() < 200 {
        return &pkcs8[36..68];
    }
    let at = pkcs8.windows(EXPONENT.len()).position(|at| at == EXPONENT);
    &pkcs8[at.unwrap() + EXPONENT.len()..]
}

fn first(window: &[u8]) -> usize {
    usize::from(window[0]) << 16 | usize::from(window[1]) << 8 | usize::from(window[2])
}

/// What a process holds in memory and a core dump of it would: all that can be written, and all
/// that is no file. Stretches of pages that are not all zero, each with the mapping's name.
pub(super) fn read_memory(process: u32) -> Vec<(String, Vec<u8>)> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let mut stretches = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let name = words.nth(3).unwrap_or("anonymous");
        let is_file = name.starts_with('/');
        let is_kernels = name.starts_with("[v");
        if !rights.starts_with('r') || (is_file && !rights.contains('w')) || is_kernels {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let address = |hex| u64::from_str_radix(hex, 16).unwrap();
        let (from, to) = (address(from), address(to));
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // What cannot be read is gone since, or is a mapping behind the end of its file.
        if memory.read_exact_at(&mut bytes, from).is_err() {
            continue;
        }
        let pages = bytes.chunks(PAGE).collect::<Vec<_>>();
        let used = pages.split(|page| page.iter().all(|byte| *byte == 0));
        let used = used.filter(|pages| !pages.is_empty());
        stretches.extend(used.map(|pages| (format!("{name} {range}"), pages.concat())));
    }
    stretches
}

#[test]
fn the_search_finds_what_it_must() {
    let pem = crate::harness::pki::AUTHORITY.issue(&["found.example"]);
    let der = crate::harness::pem::decode(&pem.key);
    let rsa = crate::harness::openssl::openssl("genpkey -algorithm RSA", "");
    let rsa_der = crate::harness::pem::decode(&rsa);
    let mut needles = Needles::new();
    needles.pem("elliptic", &pem.key);
    needles.pem("rsa", &rsa);
    needles.text("text", "ThisIsTheSecretOfAnAccessKey12");
    let backwards: Vec<u8> = private_part(&der).iter().rev().copied().collect();
    let body = |pem: &str| pem.lines().skip(1).take(3).collect::<Vec<_>>().join("\n");
    let encoded = body(&pem.key).replace('+', "%2B").replace('/', "%2F");
    let of_elliptic: [(Vec<u8>, &str); 7] = [
        (der.clone(), "elliptic"),
        (der[52..68].to_vec(), "elliptic"),
        (backwards[16..].to_vec(), "elliptic"),
        (hex::encode(&der).into_bytes(), TEXT),
        (body(&pem.key).into_bytes(), TEXT),
        (encoded.replace('\n', "%0A").into_bytes(), TEXT),
        (encoded.replace('%', "%25").into_bytes(), TEXT),
    ];
    for (leak, label) in of_elliptic {
        let text = [&b"before "[..], &leak, b" after"].concat();
        let found = needles.found_in("here", &text);
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [label]);
    }
    // Each of the large numbers, by its last bytes.
    for end in (500..rsa_der.len()).step_by(100) {
        let found = needles.found_in("here", &rsa_der[end - 16..end]);
        assert!(found.contains_key("rsa"), "{end}");
    }
    for (label, leak) in [
        (TEXT, "-----BEGIN EC PRIVATE KEY-----\n"),
        ("text", "&Secret=SecretOfAnAccessKey12&"),
    ] {
        let found = needles.found_in("here", leak.as_bytes());
        assert!(found.contains_key(label), "{leak}: {found:?}");
    }
    let public = [pem.chain.as_bytes(), &pem.leaf, &rsa_der[..280]].concat();
    assert!(needles.found_in("here", &public).is_empty());
}
