use super::Case;
use crate::harness::TestCertificate;

const PARAMETER: &str = "SetDomainCertificate.ParameterError";

/// Invalid combinations of parameters.
pub(super) fn cases(sound: &TestCertificate) -> Vec<Case> {
    let plain = PLAIN.iter().map(|(what, code, params)| Case {
        what,
        code,
        params: params
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
    });
    let with_upload = WITH_UPLOAD.iter().map(|(what, code, (name, value))| {
        let mut case = Case::upload(what, code, sound.chain.clone(), &sound.key);
        case.params.push((*name, (*value).to_owned()));
        case
    });
    let long = Case {
        what: "a name of 129 characters",
        code: "InvalidCertName.TooLong",
        params: vec![("CertName", "ü".repeat(129))],
    };
    plain.chain(with_upload).chain([long]).collect()
}

/// What is wrong, the code, the parameters.
type Plain = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

#[rustfmt::skip]
const PLAIN: &[Plain] = &[
    ("nothing at all", "SSLPri.MissingParameter", &[]),
    (
        "a chain alone",
        "SSLPri.MissingParameter",
        &[("SSLPub", "x")],
    ),
    ("a key alone", "SSLPub.MissingParameter", &[("SSLPri", "x")]),
    (
        "upload by number",
        "SSLPri.MissingParameter",
        &[("CertType", "upload"), ("CertId", "1")],
    ),
    (
        "cas without a reference",
        "CertName.MissingParameter",
        &[("CertType", "cas")],
    ),
    (
        "cas with an empty name",
        "CertName.MissingParameter",
        &[("CertType", "cas"), ("CertName", "")],
    ),
    (
        "cas with a chain",
        "CertName.MissingParameter",
        &[("CertType", "cas"), ("SSLPub", "x"), ("SSLPri", "y")],
    ),
    ("a number that is a word", PARAMETER, &[("CertId", "seven")]),
    ("number zero", PARAMETER, &[("CertId", "0")]),
    ("a negative number", PARAMETER, &[("CertId", "-5")]),
    ("a fraction", PARAMETER, &[("CertId", "1.5")]),
    (
        "a number of 65 bits",
        PARAMETER,
        &[("CertId", "18446744073709551616")],
    ),
    (
        "an unknown number",
        "Certificate.NotFind",
        &[("CertId", "9007199254740991")],
    ),
    (
        "an unknown name",
        "Certificate.NotFind",
        &[("CertType", "cas"), ("CertName", "nobody")],
    ),
    (
        "a region in capitals",
        "Abs.CertRegion.ValueNotSupported",
        &[("CertId", "1"), ("CertRegion", "CN-HANGZHOU")],
    ),
    (
        "a region before a number",
        "Abs.CertRegion.ValueNotSupported",
        &[("CertId", "x"), ("CertRegion", "eu-central-1")],
    ),
    ("a free certificate", PARAMETER, &[("CertType", "free")]),
    (
        "a companion by a number, before the number",
        PARAMETER,
        &[("CertId", "9007199254740991"), ("Companion", "1")],
    ),
    (
        "on or off in Chinese",
        "InvalidSSLProtocol.ValueNotSupported",
        &[("SSLProtocol", "开")],
    ),
    (
        "on with a space",
        "InvalidSSLProtocol.ValueNotSupported",
        &[("SSLProtocol", "on ")],
    ),
    ("no protocol", "MissingSSLProtocol", &[("SSLProtocol", "")]),
    (
        "off in an environment that is no word",
        "InvalidEnv",
        &[("SSLProtocol", "off"), ("Env", "sta\nging")],
    ),
];

const WITH_UPLOAD: &[(&str, &str, (&str, &str))] = &[
    ("a companion in a word", PARAMETER, ("Companion", "yes")),
    ("an unknown kind", PARAMETER, ("CertType", "UPLOAD")),
    ("a name with a line break", PARAMETER, ("CertName", "a\nb")),
    ("a name with a NUL", PARAMETER, ("CertName", "a\0b")),
    (
        "an environment in capitals",
        "InvalidEnv",
        ("Env", "pro\nduction"),
    ),
    (
        "upload that says cas",
        "CertName.MissingParameter",
        ("CertType", "cas"),
    ),
];
