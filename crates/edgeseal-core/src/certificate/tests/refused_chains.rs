//! Texts that contain no valid certificates.

use rcgen::{CustomExtension, KeyPair, SanType};

use super::pki::{CHAIN, RSA, concat, named, openssl, patch, pem_encode, refused, validate_now};
use crate::certificate::{
    Base64Error, BlockName, InvalidBase64, InvalidCertificate as Invalid, InvalidChain,
    InvalidFormat, InvalidPemBoundary, InvalidPemCharacter, TooLong, UnexpectedContent, Untrusted,
};

fn good() -> String {
    concat(&[&CHAIN.leaf, &CHAIN.intermediate])
}

#[test]
fn many_names() {
    let with = |count: usize| {
        CHAIN
            .intermediate
            .leaf_with("n0.example.com", KeyPair::generate().unwrap(), |params| {
                let name = |n| format!("n{n}.example.com").try_into().map(SanType::DnsName);
                params.subject_alt_names = (0..count).map(|n| name(n).unwrap()).collect();
                // Names of other types are not listed.
                let address = SanType::IpAddress([192, 0, 2, 1].into());
                params.subject_alt_names.push(address);
            })
    };
    let most = with(250);
    let validated = validate_now(&most.pem(), &most.key_pem()).unwrap();
    assert_eq!(validated.info.names.len(), 250);
    let more = with(251);
    let count = 251;
    refused(
        "251 names",
        more.pem(),
        &more,
        Invalid::TooLong(TooLong::Names { count }),
    );
}

#[test]
fn texts() {
    let leaf = &CHAIN.leaf;
    let comment = |length: usize| "x".repeat(length - good().len()) + "\n" + &good();
    refused(
        "over 32 KiB",
        comment(32 * 1024),
        leaf,
        Invalid::TooLong(TooLong::Chain { bytes: 32769 }),
    );
    refused(
        "eleven certificates",
        good() + &CHAIN.root.pem().repeat(9),
        leaf,
        Invalid::TooLong(TooLong::Certificates { count: 11 }),
    );
    let character = |line, column, character| {
        Invalid::ChainText(InvalidPemCharacter::Character {
            line,
            column,
            character,
        })
    };
    refused(
        "NUL",
        "x\0\n".to_owned() + &good(),
        leaf,
        character(1, 2, '\0'),
    );
    refused(
        "an accent in a comment",
        format!("\nsubject: é\n{}", good()),
        leaf,
        character(2, 10, 'é'),
    );
    refused(
        "escaped line breaks",
        good().replace('\n', "\\n"),
        leaf,
        Invalid::ChainText(InvalidPemCharacter::EscapedLineBreak { line: 1 }),
    );
    let mut chain = CHAIN.leaf.pem();
    let second = chain.lines().count() + 1;
    chain.push_str(&CHAIN.intermediate.pem().replacen("MII", "M I", 1));
    let why = Base64Error::PlusAsSpace { line: second + 1 };
    refused(
        "a space in the second block",
        chain,
        leaf,
        Invalid::Base64(InvalidBase64 {
            block: BlockName::Certificate(2),
            line: second,
            reason: why,
        }),
    );
}

#[test]
fn blocks() {
    let leaf = &CHAIN.leaf;
    let refuse = Invalid::Chain;
    let none = |found| Invalid::Chain(InvalidChain::NoCertificate { found });
    refused(
        "empty",
        String::new(),
        leaf,
        none(UnexpectedContent::Nothing),
    );
    refused(
        "words",
        "hello".to_owned(),
        leaf,
        none(UnexpectedContent::Nothing),
    );
    let bare = leaf.pem().lines().skip(1).take(6).collect::<String>();
    refused(
        "without markers",
        bare,
        leaf,
        none(UnexpectedContent::BareBase64),
    );
    for label in ["TRUSTED CERTIFICATE", "PKCS7", "CERTIFICATE REQUEST"] {
        let found = UnexpectedContent::Other {
            label: Some(label),
            line: 1,
        };
        refused("labels", pem_encode(label, &leaf.der), leaf, none(found));
    }
    let unknown = UnexpectedContent::Other {
        label: None,
        line: 2,
    };
    let text = format!("\n{}", pem_encode("MY BLOCK", &leaf.der));
    refused("an unknown label", text, leaf, none(unknown));
    refused(
        "a key among them",
        leaf.pem() + &leaf.key_pem(),
        leaf,
        refuse(InvalidChain::PrivateKey {
            line: leaf.pem().lines().count() + 1,
        }),
    );
}

#[test]
fn markers() {
    let leaf = &CHAIN.leaf;
    let armour = |why| Invalid::Chain(InvalidChain::Boundary(why));
    refused(
        "line breaks stripped",
        good().replace('\n', ""),
        leaf,
        armour(InvalidPemBoundary::MissingLineBreak { line: 1 }),
    );
    refused(
        "a missing line break between blocks",
        good().replace("-----\n-----BEGIN", "----------BEGIN"),
        leaf,
        armour(InvalidPemBoundary::MissingLineBreak {
            line: leaf.pem().lines().count(),
        }),
    );
    refused(
        "encoded twice",
        good().replace(' ', "%20").replace('\n', "%0A"),
        leaf,
        armour(InvalidPemBoundary::UrlEncoded { line: 1 }),
    );
    refused(
        "spaces as +",
        good().replace(' ', "+"),
        leaf,
        armour(InvalidPemBoundary::UrlEncoded { line: 1 }),
    );
    refused(
        "the first END is missing",
        good().replacen("-----END CERTIFICATE-----\n", "", 1),
        leaf,
        armour(InvalidPemBoundary::Unterminated { line: 1 }),
    );
    refused(
        "the first BEGIN is missing",
        good().replacen("-----BEGIN CERTIFICATE-----\n", "", 1),
        leaf,
        armour(InvalidPemBoundary::MissingBegin {
            line: leaf.pem().lines().count() - 1,
        }),
    );
    refused(
        "another END",
        leaf.pem().replace("END CERTIFICATE", "END PKCS7"),
        leaf,
        armour(InvalidPemBoundary::LabelMismatch {
            line: leaf.pem().lines().count(),
            begin: 1,
        }),
    );
}

#[test]
fn formats() {
    let leaf = &RSA.leaf;
    let with = |der: &[u8]| pem_encode("CERTIFICATE", der) + &RSA.intermediate.pem();
    let refuse = Invalid::Format;
    let one = || named(1, "CN=rsa.example.com");
    let not_x509 = refuse(InvalidFormat::NotX509 { block: 1 });
    refused("no bytes", with(&[]), leaf, not_x509.clone());
    refused("no DER", with(b"hello, world"), leaf, not_x509.clone());
    refused(
        "a key",
        with(leaf.key.serialized_der()),
        leaf,
        not_x509.clone(),
    );
    refused("cut", with(&leaf.der[..leaf.der.len() - 1]), leaf, not_x509);
    refused(
        "bytes after it",
        with(&[&leaf.der, b"\0\0".as_slice()].concat()),
        leaf,
        refuse(InvalidFormat::TrailingBytes { block: 1, bytes: 2 }),
    );
    for version in [0, 1] {
        let der = patch(&leaf.der, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, version]);
        let certificate = one();
        let version = u32::from(version) + 1;
        let why = InvalidFormat::Version {
            certificate,
            version,
        };
        refused("an old version", with(&der), leaf, refuse(why));
    }
}

/// The OID of RSA with SHA-256.
const SHA256: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];

#[test]
fn signature_algorithms() {
    let leaf = &RSA.leaf;
    let with = |der: &[u8]| pem_encode("CERTIFICATE", der) + &RSA.intermediate.pem();
    let refuse = Invalid::Format;
    let one = || named(1, "CN=rsa.example.com");
    for (number, hash) in [(5, "SHA-1"), (4, "MD5"), (2, "MD2")] {
        let mut weak = SHA256;
        weak[8] = number;
        let why = |certificate| refuse(InvalidFormat::WeakSignature { certificate, hash });
        let der = patch(&leaf.der, &SHA256, &weak);
        refused("a weak leaf", with(&der), leaf, why(one()));
        let der = patch(&RSA.intermediate.der, &SHA256, &weak);
        let chain = leaf.pem() + &pem_encode("CERTIFICATE", &der);
        let two = named(2, "CN=RSA Intermediate");
        refused("a weak intermediate", chain, leaf, why(two));
    }
    let mut inner_only = leaf.der.clone();
    let at = inner_only.windows(9).position(|w| w == SHA256).unwrap();
    inner_only[at + 8] = 12;
    let certificate = one();
    refused(
        "two signature algorithms",
        with(&inner_only),
        leaf,
        refuse(InvalidFormat::AlgorithmsDiffer { certificate }),
    );
    let mut sha224 = SHA256;
    sha224[8] = 14;
    refused(
        "an algorithm that cannot be verified here",
        with(&patch(&leaf.der, &SHA256, &sha224)),
        leaf,
        Invalid::Untrusted(Untrusted::SignatureAlgorithm {
            child: one(),
            issuer: named(2, "CN=RSA Intermediate"),
            algorithm: "1.2.840.113549.1.1.14".to_owned(),
        }),
    );
}

/// Certificates as old versions of OpenSSL issued them: the signatures are valid.
#[test]
fn made_by_openssl() {
    let certificate = || named(1, "CN=old");
    let weak = InvalidFormat::WeakSignature {
        certificate: certificate(),
        hash: "SHA-1",
    };
    let self_sign = "req -x509 -key /dev/stdin -subj /CN=old -days 3650";
    let (ec, rsa) = (CHAIN.leaf.key_pem(), RSA.leaf.key_pem());
    let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_mgf1_md:sha1";
    for (options, key) in [
        ("-sha1".to_owned(), &ec),
        ("-sha1".to_owned(), &rsa),
        (format!("-sha1 {pss}"), &rsa),
    ] {
        let chain = openssl(&format!("{self_sign} {options}"), key);
        let got = validate_now(&chain, key).map(|_| ());
        assert_eq!(got, Err(Invalid::Format(weak.clone())), "{options}");
    }
    let compressed = openssl("ec -conv_form compressed", &ec);
    let chain = openssl(self_sign, &compressed);
    let certificate = certificate();
    let why = Invalid::Format(InvalidFormat::CompressedKey { certificate });
    assert_eq!(validate_now(&chain, &ec).map(|_| ()), Err(why));
}

#[test]
fn extensions() {
    let extra = |oid: &[u64], content: Vec<u8>| {
        let extension = CustomExtension::from_oid_content(oid, content);
        let adjust = |params: &mut rcgen::CertificateParams| {
            params.custom_extensions.push(extension);
        };
        let key = KeyPair::generate().unwrap();
        CHAIN.intermediate.leaf_with("x.example.com", key, adjust)
    };
    let why = |extension| {
        let certificate = named(1, "CN=x.example.com");
        Invalid::Format(InvalidFormat::Extension {
            certificate,
            extension,
        })
    };
    let twice = extra(&[2, 5, 29, 17], vec![0x30, 0]);
    refused("twice", twice.pem(), &twice, why("subjectAltName"));
    let malformed = extra(&[2, 5, 29, 19], vec![0xff]);
    refused("bad", malformed.pem(), &malformed, why("basicConstraints"));
}
