//! Refused keys, each under a valid chain.

use super::pki::{CHAIN, RSA, key_refused, named, openssl, pem_encode};
use crate::certificate::{
    Base64Error, BlockName, InvalidBase64, InvalidCertificate as Invalid, InvalidKey,
    InvalidKeyBlock, InvalidPemBoundary, InvalidPemCharacter, TooLong, UnexpectedContent,
};

fn unsupported(what: &str) -> Invalid {
    let what = what.to_owned();
    Invalid::Key(InvalidKey::Unsupported { what })
}

#[test]
fn texts() {
    let good = CHAIN.leaf.key_pem();
    key_refused("empty", String::new(), Invalid::BlankKey);
    key_refused("white space", " \r\n\t ".to_owned(), Invalid::BlankKey);
    key_refused(
        "over 16 KiB",
        good.clone() + &"x".repeat(16 * 1024 - good.len() + 1),
        Invalid::TooLong(TooLong::Key { bytes: 16385 }),
    );
    let character = |line, column, character| {
        Invalid::KeyText(InvalidPemCharacter::Character {
            line,
            column,
            character,
        })
    };
    key_refused("NUL", good.clone() + "\0", character(6, 1, '\0'));
    key_refused(
        "long dashes",
        good.replacen("-----", "—", 1),
        character(1, 1, '—'),
    );
    key_refused(
        "escaped line breaks",
        good.replace('\n', "\\n"),
        Invalid::KeyText(InvalidPemCharacter::EscapedLineBreak { line: 1 }),
    );
}

#[test]
fn base64() {
    let refuse = |why| {
        Invalid::Base64(InvalidBase64 {
            block: BlockName::PrivateKey,
            line: 1,
            reason: why,
        })
    };
    let good = CHAIN.leaf.key_pem();
    let body = good.find('\n').unwrap() + 1;
    let with = |at: usize, text: &str| {
        let mut key = good.clone();
        key.replace_range(body + at..=body + at, text);
        key
    };
    key_refused(
        "a space for one character",
        with(70, " "),
        refuse(Base64Error::PlusAsSpace { line: 3 }),
    );
    key_refused(
        "a character that is not base64",
        with(70, "%"),
        refuse(Base64Error::Character { line: 3 }),
    );
    key_refused(
        "one character lost",
        with(5, ""),
        refuse(Base64Error::Length),
    );
    let headed = with(70, "%").replacen('\n', "\nComment: x\n\n", 1);
    key_refused(
        "a character that is not base64, below headers",
        headed,
        refuse(Base64Error::Character { line: 5 }),
    );
    // Base64 still decodes after four characters are lost; the DER does not.
    let mut key = good;
    for at in [10, 20, 30, 40] {
        key.replace_range(body + at..=body + at, " ");
    }
    key_refused(
        "spaces for four characters",
        key,
        refuse(Base64Error::PlusAsSpace { line: 2 }),
    );
}

#[test]
fn blocks() {
    let good = CHAIN.leaf.key_pem();
    let block_error = Invalid::KeyBlock;
    key_refused(
        "a certificate in its place",
        CHAIN.leaf.pem(),
        block_error(InvalidKeyBlock::Certificate { line: 1 }),
    );
    key_refused(
        "two keys",
        good.repeat(2),
        block_error(InvalidKeyBlock::Several {
            count: 2,
            second: 6,
        }),
    );
    key_refused(
        "no PEM",
        "secret".to_owned(),
        block_error(InvalidKeyBlock::NoKey {
            found: UnexpectedContent::Nothing,
        }),
    );
    let bare = good.lines().filter(|line| !line.starts_with('-'));
    key_refused(
        "base64 without markers",
        bare.collect::<Vec<_>>().join("\n"),
        block_error(InvalidKeyBlock::NoKey {
            found: UnexpectedContent::BareBase64,
        }),
    );
    key_refused(
        "a public key",
        CHAIN.leaf.key.public_key_pem(),
        block_error(InvalidKeyBlock::NoKey {
            found: UnexpectedContent::Other {
                label: Some("PUBLIC KEY"),
                line: 1,
            },
        }),
    );
}

#[test]
fn markers() {
    let good = CHAIN.leaf.key_pem();
    let armour = |why| Invalid::KeyBlock(InvalidKeyBlock::Boundary(why));
    key_refused(
        "line breaks stripped",
        good.replace('\n', ""),
        armour(InvalidPemBoundary::MissingLineBreak { line: 1 }),
    );
    key_refused(
        "line breaks to spaces",
        good.replace('\n', " "),
        armour(InvalidPemBoundary::MissingLineBreak { line: 1 }),
    );
    key_refused(
        "cut off",
        good[..good.len() - 30].to_owned(),
        armour(InvalidPemBoundary::Unterminated { line: 1 }),
    );
    key_refused(
        "a dash lost",
        good.replacen("-----BEGIN", "----BEGIN", 1),
        armour(InvalidPemBoundary::Malformed { line: 1 }),
    );
}

#[test]
fn passphrases() {
    let encrypted = |line| Invalid::KeyBlock(InvalidKeyBlock::Encrypted { line });
    let key = CHAIN.leaf.key_pem();
    key_refused(
        "PKCS#8",
        openssl("pkcs8 -topk8 -v2 aes256 -passout pass:secret", &key),
        encrypted(1),
    );
    key_refused(
        "SEC1 with headers",
        openssl("ec -aes128 -passout pass:secret", &key),
        encrypted(1),
    );
    key_refused(
        "PKCS#1 with headers",
        openssl(
            "rsa -traditional -aes128 -passout pass:secret",
            &RSA.leaf.key_pem(),
        ),
        encrypted(1),
    );
}

#[test]
fn rsa() {
    key_refused(
        "RSA of 1024 bits, PKCS#8",
        openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024", ""),
        Invalid::Key(InvalidKey::RsaSize { bits: 1024 }),
    );
    key_refused(
        "RSA of 1024 bits, PKCS#1",
        openssl("genrsa -traditional 1024", ""),
        Invalid::Key(InvalidKey::RsaSize { bits: 1024 }),
    );
    // Nine integers, the second of 8193 bits.
    let mut huge = vec![0x30, 0x82, 4, 30, 2, 1, 0, 2, 0x82, 4, 1, 1];
    huge.resize(huge.len() + 1024, 0);
    huge.extend([2, 1, 3].repeat(7));
    huge[3] = u8::try_from(huge.len() - 4 - 1024).unwrap();
    key_refused(
        "RSA of 8193 bits",
        pem_encode("RSA PRIVATE KEY", &huge),
        Invalid::Key(InvalidKey::RsaSize { bits: 8193 }),
    );
    key_refused(
        "RSA for PSS only",
        openssl("genpkey -algorithm RSA-PSS", ""),
        unsupported("RSA for PSS only"),
    );
}

#[test]
fn algorithms() {
    key_refused(
        "secp256k1, PKCS#8",
        openssl(
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
            "",
        ),
        unsupported("ECDSA on secp256k1"),
    );
    key_refused(
        "secp256k1, SEC1",
        openssl("ecparam -name secp256k1 -genkey -noout", ""),
        unsupported("ECDSA on secp256k1"),
    );
    key_refused(
        "P-224",
        openssl("ecparam -name secp224r1 -genkey -noout", ""),
        unsupported("ECDSA on P-224"),
    );
    key_refused(
        "Ed448",
        openssl("genpkey -algorithm ED448", ""),
        unsupported("Ed448"),
    );
    key_refused(
        "X25519, which does not sign",
        openssl("genpkey -algorithm X25519", ""),
        unsupported("X25519"),
    );
    key_refused(
        "SM2",
        openssl("genpkey -algorithm SM2", ""),
        unsupported("SM2"),
    );
    key_refused(
        "DSA",
        pem_encode("DSA PRIVATE KEY", &[0x30, 0]),
        unsupported("DSA"),
    );
    key_refused(
        "OpenSSH",
        pem_encode("OPENSSH PRIVATE KEY", b"openssh-key-v1\0"),
        Invalid::Key(InvalidKey::OpenSsh),
    );
}

#[test]
fn broken_keys() {
    let malformed = Invalid::Key(InvalidKey::Malformed);
    let der = CHAIN.leaf.key.serialized_der();
    let broken = |der: &[u8]| pem_encode("PRIVATE KEY", der);
    key_refused("empty", broken(&[]), malformed.clone());
    key_refused("not DER", broken(b"hello, world"), malformed.clone());
    key_refused(
        "a certificate's DER",
        broken(&CHAIN.leaf.der),
        malformed.clone(),
    );
    key_refused("cut", broken(&der[..der.len() - 3]), malformed.clone());
    key_refused(
        "bytes after it",
        broken(&[der, b"\0"].concat()),
        malformed.clone(),
    );
    let mut other_point = der.to_vec();
    *other_point.last_mut().unwrap() ^= 1;
    key_refused(
        "a public point that is not the key's",
        broken(&other_point),
        malformed.clone(),
    );
    let mut rsa = RSA.leaf.key.serialized_der().to_vec();
    let middle = rsa.len() / 2;
    rsa[middle] ^= 1;
    key_refused("RSA with a wrong part", broken(&rsa), malformed);
}

#[test]
fn other_keys() {
    let mismatch = |key: &str, belongs_to| Invalid::Mismatch {
        leaf: named(1, "CN=www.example.com"),
        leaf_key: "ECDSA P-256".to_owned(),
        key: key.to_owned(),
        belongs_to,
    };
    key_refused(
        "of the same kind",
        CHAIN.root.key_pem(),
        mismatch("ECDSA P-256", None),
    );
    key_refused(
        "of another kind",
        RSA.leaf.key_pem(),
        mismatch("RSA of 2048 bits", None),
    );
    key_refused(
        "of the intermediate",
        CHAIN.intermediate.key_pem(),
        mismatch("ECDSA P-256", Some(named(2, "CN=Test Intermediate"))),
    );
}
