//! Detects text that may hold a private key: clients send keys in the wrong parameter, and
//! parameters are shown in errors and kept in the audit log.

/// Shortest run of base64 characters that counts as DER: an Ed25519 key has 64, and its seed alone
/// 44. Domain and certificate names stay below or contain dots and dashes.
const DER_MIN: usize = 40;
/// Shortest run of base64 characters that counts as a line of PEM, which has 64.
const LINE_MIN: usize = 60;

/// Whether `text` may hold a private key or a part of one: as PEM, as base64-encoded PEM (used by
/// CAS), or as base64-encoded DER. Certificates look the same, so they count as well.
pub(crate) fn contains_private_key(text: &str) -> bool {
    // "-----BEGIN" in base64.
    const ENCODED_BEGIN: &str = "LS0tLS1CRUdJT";
    if text.contains("PRIVATE KEY") || text.contains(ENCODED_BEGIN) {
        return true;
    }
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let mut rows = text.split(|c| !is_base64(c));
    rows.any(|row| is_der(row) || is_pem_line(row))
}

/// The beginning of an ASN.1 SEQUENCE with the length of a key: `M` and one of `A` to `P` are the
/// byte 0x30 in base64 (RFC 4648 §4).
fn is_der(row: &str) -> bool {
    let mut bytes = row.bytes();
    row.len() >= DER_MIN
        && bytes.next() == Some(b'M')
        && bytes
            .next()
            .is_some_and(|byte| (b'A'..=b'P').contains(&byte))
}

/// Whether it has upper-case letters, lower-case letters and digits, as base64 of random bytes has.
fn is_pem_line(row: &str) -> bool {
    let has = |is: fn(&u8) -> bool| row.as_bytes().iter().any(is);
    row.len() >= LINE_MIN
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    use super::contains_private_key;

    #[test]
    fn keys_of_all_types_are_detected_in_all_encodings() {
        for algorithm in [
            &rcgen::PKCS_ED25519,
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
        ] {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let (pem, der) = (key.serialize_pem(), key.serialize_der());
            let bare = STANDARD.encode(&der);
            let lines: Vec<&str> = pem.lines().filter(|line| !line.contains("---")).collect();
            for text in [
                pem.clone(),
                pem.replace('\n', " "),
                STANDARD.encode(&pem),
                format!("www.example.com,{bare}"),
                lines.join(" "),
                lines[0].to_owned(),
            ] {
                assert!(contains_private_key(&text), "{text}");
            }
        }
    }

    #[test]
    fn names_are_not_keys() {
        for name in [
            "",
            "www.example.com,.example.org,xn--bcher-kva.example",
            "MAIN-certificate-of-the-shop-2026-11-29-renewed-by-certbot-for-the-3rd-time",
            "cert-1234567890123456",
            "certimate-1795522200123",
            "acs:ram::1234567890123456:role/DeployCertificatesOfProductionToTheEdge",
            "EDGEabcdefghijklmnopqrst",
            &"a".repeat(63),
            &"0123456789abcdef".repeat(4),
        ] {
            assert!(!contains_private_key(name), "{name}");
        }
    }
}
