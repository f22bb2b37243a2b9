//! Refusals of the binary.

use std::collections::BTreeSet;

use super::assert_documented;
use crate::harness::{
    ApiClient, Authority, CDN_VERSION, EDGESEAL, Origin, SET, Server, TestCertificate, UNLIMITED,
    pem,
    pki::{AUTHORITY, set_validity_days},
    tls::HandshakeFailure,
};

const NAME: &str = "www.refused.example";
const SAFE: &str = "safe.refused.example";
const PROTECTED: &str = "protected.refused.example";
const STOPPED: &str = "stopped.refused.example";
/// The name of the certificate that is bound to [`NAME`].
const TAKEN: &str = "taken";

/// One way to a code.
struct Case {
    code: &'static str,
    how: &'static str,
    params: Vec<(&'static str, String)>,
}

/// Refused by parameters alone.
#[rustfmt::skip]
const BY_PARAMETERS: &[(&str, &[(&str, &str)])] = &[
    ("MissingDomainName", &[("SSLProtocol", "on")]),
    ("InvalidDomainName.Malformed", &[("DomainName", "no domain"), ("SSLProtocol", "on")]),
    ("InvalidDomain.NotFound", &[("DomainName", "absent.refused.example"), ("SSLProtocol", "on")]),
    ("MissingSSLProtocol", &[("DomainName", NAME)]),
    ("InvalidSSLProtocol.ValueNotSupported", &[("DomainName", NAME), ("SSLProtocol", "yes")]),
    ("InvalidEnv", &[("DomainName", NAME), ("SSLProtocol", "on"), ("Env", "a\tb")]),
    ("DomainInSafeMode", &[("DomainName", SAFE), ("SSLProtocol", "off")]),
    ("DomainInProtectedMode", &[("DomainName", PROTECTED), ("SSLProtocol", "off")]),
    ("InvalidDomain.Offline", &[("DomainName", STOPPED), ("SSLProtocol", "off")]),
    ("SetDomainCertificate.ParameterError", &[("DomainName", NAME), ("SSLProtocol", "on"), ("CertType", "gift")]),
    ("Abs.CertRegion.ValueNotSupported", &[("DomainName", NAME), ("SSLProtocol", "on"), ("CertType", "cas"), ("CertRegion", "mars")]),
    ("CertName.MissingParameter", &[("DomainName", NAME), ("SSLProtocol", "on"), ("CertType", "cas")]),
    ("Certificate.NotFind", &[("DomainName", NAME), ("SSLProtocol", "on"), ("CertId", "99")]),
    ("SSLPri.MissingParameter", &[("DomainName", NAME), ("SSLProtocol", "on")]),
    ("SSLPub.MissingParameter", &[("DomainName", NAME), ("SSLProtocol", "on"), ("SSLPri", "x")]),
];

/// The codes that were seen.
pub(super) async fn collect_codes() -> BTreeSet<&'static str> {
    let server = Server::start_with(&format!("duplicate_content = \"refuse\"\n{UNLIMITED}"));
    let (api, origin) = (server.root_client(), Origin::start().await);
    let bound = AUTHORITY.issue(&[NAME, SAFE, PROTECTED, STOPPED]);
    prepare(&api, &origin, &bound).await;

    let mut seen = BTreeSet::new();
    for case in cases(&bound) {
        let params: Vec<(&str, &str)> = case
            .params
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let refusal = api.refused(CDN_VERSION, SET, &params).await;
        assert_documented(&refusal, case.code, case.how);
        for name in [NAME, SAFE, PROTECTED] {
            server.assert_serves(name, &bound.leaf, case.how).await;
        }
        seen.insert(case.code);
    }
    assert_eq!(
        server.served(STOPPED).await,
        Err(HandshakeFailure::UNRECOGNIZED_NAME)
    );
    api.call_on_domain("StartCdnDomain", STOPPED).await;
    server
        .assert_serves(STOPPED, &bound.leaf, "once it is started")
        .await;
    server.stop();
    seen
}

/// All domains serve one certificate; then three of them are held.
async fn prepare(api: &ApiClient, origin: &Origin, bound: &TestCertificate) {
    for name in [NAME, SAFE, PROTECTED, STOPPED] {
        api.add(name, origin).await;
        let params = [
            ("DomainName", name),
            ("SSLProtocol", "on"),
            ("SSLPub", &bound.chain),
            ("SSLPri", &bound.key),
            ("CertName", TAKEN),
        ];
        let set = api.call(CDN_VERSION, SET, &params).await;
        set.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    for (name, mode) in [(SAFE, "safe"), (PROTECTED, "protected")] {
        let params = [("DomainName", name), ("Mode", mode)];
        api.call(EDGESEAL, "SetDomainMode", &params).await.unwrap();
    }
    api.call_on_domain("StopCdnDomain", STOPPED).await;
}

fn cases(bound: &TestCertificate) -> Vec<Case> {
    let by_parameters = BY_PARAMETERS.iter().map(|(code, params)| Case {
        code,
        how: code,
        params: params
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
    });
    by_parameters.chain(by_content(bound)).collect()
}

/// An upload for [`NAME`].
fn upload(code: &'static str, how: &'static str, chain: &str, key: &str) -> Case {
    let params = vec![
        ("DomainName", NAME.to_owned()),
        ("SSLProtocol", "on".to_owned()),
        ("SSLPub", chain.to_owned()),
        ("SSLPri", key.to_owned()),
    ];
    Case { code, how, params }
}

fn named(mut case: Case, name: &str) -> Case {
    case.params.push(("CertName", name.to_owned()));
    case
}

/// Refused by what is in the certificate or the key.
fn by_content(bound: &TestCertificate) -> Vec<Case> {
    let fresh = AUTHORITY.issue(&[NAME]);
    let other = AUTHORITY.issue(&[NAME]);
    let (chain, key) = (fresh.chain.as_str(), fresh.key.as_str());
    let expired = AUTHORITY.issue_with(&[NAME], |params| set_validity_days(params, -90, -1));
    let early = AUTHORITY.issue_with(&[NAME], |params| set_validity_days(params, 1, 90));
    let leaf = pem::encode("CERTIFICATE", &fresh.leaf);
    let stranger = Authority::new().intermediate.pem();
    let long = format!("{chain}\n{}", "x".repeat(32 * 1024));
    let garbage = [0x30, 3, 2, 1, 1];
    let broken = chain.replacen("\nM", "\n*", 1);
    vec![
        named(
            upload("InvalidCertName.TooLong", "129 characters", chain, key),
            &"n".repeat(129),
        ),
        named(
            upload("CertNameAlreadyExists", "other content", chain, key),
            TAKEN,
        ),
        named(
            upload(
                "CertificateContent.Duplicated",
                "same content, another name",
                &bound.chain,
                &bound.key,
            ),
            "another",
        ),
        upload("Certificate.KeyNull", "white space", chain, " \r\n "),
        upload("InvalidCertificate.TooLong", "32 KiB and more", &long, key),
        upload("sslPub.Error", "NUL", &chain.replacen('\n', "\0\n", 1), key),
        upload(
            "sslPri.Error",
            "backslash n",
            chain,
            &key.replace('\n', "\\n"),
        ),
        upload("Decode.Error", "not base64", &broken, key),
        upload("InvalidSSLPub", "no PEM", "certificate", key),
        upload(
            "Certificate.FormatError",
            "no X.509",
            &pem::encode("CERTIFICATE", &garbage),
            key,
        ),
        upload("InvalidSSLPri", "a certificate as key", chain, &leaf),
        upload(
            "Key.Malformed",
            "no key in the block",
            chain,
            &pem::encode("PRIVATE KEY", &garbage),
        ),
        upload("Certificate.MissMatch", "another key", chain, &other.key),
        upload(
            "AuthenticationFailed",
            "an intermediate of the same name",
            &format!("{leaf}{stranger}"),
            key,
        ),
        upload(
            "Certificate.Expired",
            "expired",
            &expired.chain,
            &expired.key,
        ),
        upload(
            "Certificate.StatusError",
            "not yet valid",
            &early.chain,
            &early.key,
        ),
    ]
}
