use super::Case;
use crate::harness::{TestCertificate, openssl::openssl, pem, pki::AUTHORITY};

/// Malformed keys under a sound chain.
pub(super) fn cases(sound: &TestCertificate) -> Vec<Case> {
    let texts = texts(sound).into_iter().chain(kinds(sound));
    texts
        .map(|(what, code, key)| Case::upload(what, code, sound.chain.clone(), &key))
        .collect()
}

type Text = (&'static str, &'static str, String);

/// Wrong by its characters, markers and blocks.
fn texts(sound: &TestCertificate) -> Vec<Text> {
    let key = sound.key.as_str();
    let end = key.find("-----END").unwrap();
    let headers = "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n";
    let encrypted = key.replacen("-----\n", headers, 1);
    let long = format!("{key}{}", "x".repeat(16 * 1024));
    let der = pem::decode(key);
    vec![
        ("no key", "SSLPri.MissingParameter", String::new()),
        ("a blank key", "Certificate.KeyNull", " \t\r\n".to_owned()),
        ("a word as key", "InvalidSSLPri", "secret".to_owned()),
        ("a certificate as key", "InvalidSSLPri", sound.chain.clone()),
        ("two keys", "InvalidSSLPri", key.repeat(2)),
        ("a key without END", "InvalidSSLPri", key[..end].to_owned()),
        ("a key in one line", "InvalidSSLPri", key.replace('\n', " ")),
        (
            "a public key",
            "InvalidSSLPri",
            pem::encode("PUBLIC KEY", &der),
        ),
        (
            "a passphrase by label",
            "InvalidSSLPri",
            pem::encode("ENCRYPTED PRIVATE KEY", &der),
        ),
        ("a passphrase by header", "InvalidSSLPri", encrypted),
        (
            "a key of more than 16 KiB",
            "InvalidCertificate.TooLong",
            long,
        ),
        (
            "a key with a letter beyond ASCII",
            "sslPri.Error",
            format!("Schlüssel\n{key}"),
        ),
        (
            "a key with backslash n",
            "sslPri.Error",
            key.replace('\n', "\\n"),
        ),
        (
            "a key that is not base64",
            "Decode.Error",
            key.replacen("\nM", "\n!", 1),
        ),
    ]
}

/// Wrong by what the key is.
fn kinds(sound: &TestCertificate) -> Vec<Text> {
    let der = pem::decode(&sound.key);
    let half = &der[..der.len() / 2];
    let other = AUTHORITY.issue(&[super::NAME]).key;
    vec![
        (
            "no key in the block",
            "Key.Malformed",
            pem::encode("PRIVATE KEY", b"key"),
        ),
        (
            "half a key",
            "Key.Malformed",
            pem::encode("PRIVATE KEY", half),
        ),
        (
            "a certificate in a key's block",
            "Key.Malformed",
            pem::encode("PRIVATE KEY", &sound.leaf),
        ),
        (
            "RSA of 1024 bits",
            "Key.Malformed",
            openssl("genrsa 1024", ""),
        ),
        (
            "secp256k1",
            "Key.Malformed",
            openssl("ecparam -name secp256k1 -genkey -noout", ""),
        ),
        (
            "Ed448",
            "Key.Malformed",
            openssl("genpkey -algorithm ed448", ""),
        ),
        (
            "the form of OpenSSH",
            "Key.Malformed",
            pem::encode("OPENSSH PRIVATE KEY", &der),
        ),
        ("DSA", "Key.Malformed", pem::encode("DSA PRIVATE KEY", &der)),
        ("another key", "Certificate.MissMatch", other),
        (
            "the intermediate's key",
            "Certificate.MissMatch",
            AUTHORITY.intermediate.key_pem(),
        ),
        (
            "a key of another kind",
            "Certificate.MissMatch",
            openssl("genpkey -algorithm ed25519", ""),
        ),
    ]
}
