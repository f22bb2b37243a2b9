use rcgen::{CertificateParams, CertificateSigningRequest, IsCa, KeyUsagePurpose};

use super::{Case, NAME};
use crate::harness::{
    Authority, TestCertificate,
    openssl::self_signed,
    pem,
    pki::{self, AUTHORITY, CertificateWithKey, set_validity_days},
};

/// Malformed chains under a sound key.
pub(super) fn cases(sound: &TestCertificate) -> Vec<Case> {
    let texts = text_cases(sound).into_iter().chain(block_cases(sound));
    let texts = texts.map(|(what, code, chain)| Case::upload(what, code, chain, &sound.key));
    texts.chain(issued_cases()).collect()
}

type Text = (&'static str, &'static str, String);

/// Wrong by its characters and markers.
fn text_cases(sound: &TestCertificate) -> Vec<Text> {
    let chain = sound.chain.as_str();
    let leaf = pem::encode("CERTIFICATE", &sound.leaf);
    let bare: String = leaf.lines().filter(|line| !line.contains('-')).collect();
    let last = leaf.rfind("\n-----END").unwrap();
    // Not the last one: that may be padding, which may be left out.
    let cut = leaf.replacen("\nM", "\n", 1);
    let plus = with_plus();
    vec![
        ("an empty chain", "SSLPub.MissingParameter", String::new()),
        ("a blank chain", "InvalidSSLPub", " \r\n\t".to_owned()),
        ("base64 without markers", "InvalidSSLPub", bare),
        (
            "line breaks as spaces",
            "InvalidSSLPub",
            chain.replace('\n', " "),
        ),
        (
            "line breaks stripped",
            "InvalidSSLPub",
            chain.replace('\n', ""),
        ),
        ("no END", "InvalidSSLPub", leaf[..last].to_owned()),
        (
            "no BEGIN",
            "InvalidSSLPub",
            leaf.split_once('\n').unwrap().1.to_owned(),
        ),
        (
            "four dashes",
            "InvalidSSLPub",
            leaf.replace("-----", "----"),
        ),
        (
            "another END",
            "InvalidSSLPub",
            leaf.replace("END CERTIFICATE", "END X509 CRL"),
        ),
        ("encoded twice", "InvalidSSLPub", leaf.replace(' ', "%20")),
        ("markers with plus", "InvalidSSLPub", leaf.replace(' ', "+")),
        ("a NUL", "sslPub.Error", chain.replacen('\n', "\0\n", 1)),
        (
            "a letter beyond ASCII",
            "sslPub.Error",
            format!("für {NAME}\n{chain}"),
        ),
        ("backslash n", "sslPub.Error", chain.replace('\n', "\\n")),
        ("plus as space", "Decode.Error", plus.replace('+', " ")),
        (
            "an asterisk in base64",
            "Decode.Error",
            chain.replacen("\nM", "\n*", 1),
        ),
        ("a character of base64 lost", "Decode.Error", cut),
    ]
}

/// A chain whose leaf has a plus in its base64, but not in the markers.
fn with_plus() -> String {
    std::iter::repeat_with(|| AUTHORITY.issue(&[NAME]).chain)
        .find(|chain| chain.contains('+'))
        .unwrap()
}

/// Wrong by what its blocks are.
fn block_cases(sound: &TestCertificate) -> Vec<Text> {
    let (chain, leaf) = (&sound.chain, pem::encode("CERTIFICATE", &sound.leaf));
    let trailing = [sound.leaf.as_slice(), &[0, 0, 0]].concat();
    let cut = &sound.leaf[..sound.leaf.len() / 2];
    let labelled = |label| pem::encode(label, &sound.leaf);
    vec![
        ("a key as chain", "InvalidSSLPub", sound.key.clone()),
        (
            "a key after the chain",
            "InvalidSSLPub",
            format!("{chain}{}", sound.key),
        ),
        ("a request", "InvalidSSLPub", request()),
        ("PKCS#7", "InvalidSSLPub", labelled("PKCS7")),
        (
            "a trusted certificate",
            "InvalidSSLPub",
            labelled("TRUSTED CERTIFICATE"),
        ),
        ("an unknown label", "InvalidSSLPub", labelled("CERTIFIKAT")),
        (
            "two leaves",
            "InvalidSSLPub",
            format!("{leaf}{}", AUTHORITY.issue(&[NAME]).chain),
        ),
        (
            "a stranger's CA",
            "InvalidSSLPub",
            format!("{leaf}{}", CertificateWithKey::root("Stranger").pem()),
        ),
        (
            "no DER",
            "Certificate.FormatError",
            pem::encode("CERTIFICATE", b"certificate"),
        ),
        (
            "an empty block",
            "Certificate.FormatError",
            pem::encode("CERTIFICATE", b""),
        ),
        (
            "a key in a certificate's block",
            "Certificate.FormatError",
            with_wrong_label(&sound.key),
        ),
        (
            "bytes after the end",
            "Certificate.FormatError",
            pem::encode("CERTIFICATE", &trailing),
        ),
        (
            "half a certificate",
            "Certificate.FormatError",
            pem::encode("CERTIFICATE", cut),
        ),
        (
            "X.509 version 1",
            "Certificate.FormatError",
            pem::encode("CERTIFICATE", &version_1(sound)),
        ),
        (
            "11 certificates",
            "InvalidCertificate.TooLong",
            leaf.repeat(11),
        ),
        (
            "more than 32 KiB",
            "InvalidCertificate.TooLong",
            format!("{chain}{}", "x".repeat(1 << 15)),
        ),
    ]
}

fn request() -> String {
    let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    let request: CertificateSigningRequest = params.serialize_request(&pki::new_key()).unwrap();
    request.pem().unwrap()
}

fn with_wrong_label(key: &str) -> String {
    pem::encode("CERTIFICATE", &pem::decode(key))
}

/// The version is checked before any signature.
fn version_1(sound: &TestCertificate) -> Vec<u8> {
    const V3: [u8; 5] = [0xa0, 3, 2, 1, 2];
    let mut der = sound.leaf.clone();
    let at = der.windows(5).position(|piece| piece == V3).unwrap();
    der[at + 4] = 0;
    der
}

/// Wrong by who signed what, and when.
fn issued_cases() -> Vec<Case> {
    let root = &AUTHORITY.root;
    let below = |authority: &CertificateWithKey| {
        let leaf = authority.issue(pki::leaf_params(&[NAME]), pki::new_key());
        let chain = format!("{}{}", leaf.pem(), authority.pem());
        (chain, leaf.key_pem())
    };
    let authority = |adjust: fn(&mut CertificateParams)| {
        let mut params = pki::authority_params("Odd Intermediate");
        adjust(&mut params);
        below(&root.issue(params, pki::new_key()))
    };
    let not_ca = authority(|params| params.is_ca = IsCa::ExplicitNoCa);
    let may_not_sign = authority(|p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    let expired_above = authority(|params| set_validity_days(params, -90, -1));
    let leaf = |from, to| {
        let pem = AUTHORITY.issue_with(&[NAME], |params| set_validity_days(params, from, to));
        (pem.chain, pem.key)
    };
    let cases = [
        (
            "signed with MD5",
            "Certificate.FormatError",
            self_signed(NAME, "md5"),
        ),
        (
            "signed with SHA-1",
            "Certificate.FormatError",
            self_signed(NAME, "sha1"),
        ),
        ("an issuer that is no CA", "AuthenticationFailed", not_ca),
        (
            "an issuer that may not sign",
            "AuthenticationFailed",
            may_not_sign,
        ),
        (
            "a namesake of the issuer",
            "AuthenticationFailed",
            namesake(),
        ),
        ("a changed signature", "AuthenticationFailed", changed()),
        ("an expired leaf", "Certificate.Expired", leaf(-90, -1)),
        (
            "an expired intermediate",
            "Certificate.Expired",
            expired_above,
        ),
        ("a leaf of tomorrow", "Certificate.StatusError", leaf(1, 90)),
        (
            "a leaf of another domain",
            "Certificate.MissMatch",
            other_name("other.example"),
        ),
        (
            "a wildcard one label too high",
            "Certificate.MissMatch",
            other_name("*.example"),
        ),
        (
            "a wildcard one label too low",
            "Certificate.MissMatch",
            other_name("*.www.malformed.example"),
        ),
    ];
    cases
        .into_iter()
        .map(|(what, code, (chain, key))| Case::upload(what, code, chain, &key))
        .collect()
}

fn other_name(name: &str) -> (String, String) {
    let pem = AUTHORITY.issue(&[name]);
    (pem.chain, pem.key)
}

/// The intermediate of another authority that has the same name.
fn namesake() -> (String, String) {
    let pem = AUTHORITY.issue(&[NAME]);
    let leaf = pem::encode("CERTIFICATE", &pem.leaf);
    let other = Authority::new().intermediate.pem();
    (format!("{leaf}{other}"), pem.key)
}

/// One bit of the leaf's signature is another one.
fn changed() -> (String, String) {
    let mut pem = AUTHORITY.issue(&[NAME]);
    *pem.leaf.last_mut().unwrap() ^= 1;
    let leaf = pem::encode("CERTIFICATE", &pem.leaf);
    (format!("{leaf}{}", AUTHORITY.intermediate.pem()), pem.key)
}
