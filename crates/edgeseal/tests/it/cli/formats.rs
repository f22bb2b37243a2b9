//! File formats of certificates and keys: accepted, or refused with the name of the format.

use std::{fs, process::Stdio};

use super::{CommandOutput, NAME, command, edgeseal, with_domain};
use crate::harness::{Server, openssl::openssl, pem, pki::AUTHORITY};

const PASSWORD: &str = "correct horse";

/// A server with the domain, and files of all formats in its home directory.
fn with_files() -> Server {
    let server = with_domain();
    let put = |name: &str, text: &[u8]| fs::write(server.home().join(name), text).unwrap();
    let pem = AUTHORITY.issue(&[NAME]);
    put("chain.pem", pem.chain.as_bytes());
    put("key.pem", pem.key.as_bytes());
    put(
        "combined.pem",
        format!("{}{}", pem.key, pem.chain).as_bytes(),
    );
    put("cert.der", &pem.leaf);
    put("key.der", &pem::decode(&pem.key));
    put("password", format!("{PASSWORD}\n").as_bytes());
    put("wrong", b"wrong");
    put("image.png", b"\x89PNG\r\n\x1a\n");
    put("java.jks", b"\xfe\xed\xfe\xed\x00\x00\x00\x02");
    put("java.jceks", b"\xce\xce\xce\xce\x00\x00\x00\x02");
    let at = |name: &str| server.home().join(name).display().to_string();
    let pass = format!("file:{}", at("password"));
    for (more, file) in [("", "site.pfx"), ("-legacy ", "old.pfx")] {
        openssl(
            &format!(
                "pkcs12 -export {more}-in {} -inkey {} -passout {pass} -out {}",
                at("chain.pem"),
                at("key.pem"),
                at(file)
            ),
            "",
        );
    }
    openssl(
        &format!(
            "pkcs12 -export -in {} -inkey {} -passout pass: -out {}",
            at("chain.pem"),
            at("key.pem"),
            at("open.pfx")
        ),
        "",
    );
    for (how, file) in [
        ("-topk8", "aes.key"),
        ("-topk8 -v2 des3", "des3.key"),
        ("-topk8 -scrypt", "scrypt.key"),
        ("-topk8 -outform DER", "aes.key.der"),
        (
            "-topk8 -v1 PBE-SHA1-3DES -provider legacy -provider default",
            "pbes1.key",
        ),
    ] {
        openssl(
            &format!(
                "pkcs8 {how} -in {} -passout {pass} -out {}",
                at("key.pem"),
                at(file)
            ),
            "",
        );
    }
    let key = at("key.pem");
    openssl(
        &format!(
            "pkey -in {key} -aes256 -passout {pass} -out {}",
            at("ec.key")
        ),
        "",
    );
    for cipher in ["aes128", "aes192", "aes256", "des3", "camellia256"] {
        openssl(
            &format!(
                "pkey -in {key} -traditional -{cipher} -passout {pass} -out {}",
                at(&format!("old-{cipher}.key"))
            ),
            "",
        );
    }
    let chain = at("chain.pem");
    for form in ["DER", "PEM"] {
        openssl(
            &format!(
                "crl2pkcs7 -nocrl -certfile {chain} -outform {form} -out {}",
                at(&format!("chain-{form}.p7b"))
            ),
            "",
        );
    }
    let whole = fs::read(server.home().join("chain-DER.p7b")).unwrap();
    put("cut.p7b", &whole[..whole.len() - 10]);
    server
}

fn set(server: &Server, files: &str) -> CommandOutput {
    edgeseal(server, &format!("cert set {NAME} {files}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_usual_format_is_accepted() {
    let server = with_files();
    let expected = fs::read(server.home().join("cert.der")).unwrap();
    for (files, length) in [
        ("--cert chain.pem --key key.pem", 2),
        ("--cert combined.pem", 2),
        ("--cert combined.pem --key combined.pem", 2),
        ("--cert chain.pem --key combined.pem", 2),
        ("--cert cert.der --key key.der", 1),
        ("--cert chain.pem --key key.der", 2),
        ("--cert site.pfx --password-file password", 2),
        ("--cert old.pfx --password-file password", 2),
        ("--cert open.pfx", 2),
        ("--cert chain.pem --key aes.key --password-file password", 2),
        (
            "--cert chain.pem --key des3.key --password-file password",
            2,
        ),
        (
            "--cert chain.pem --key scrypt.key --password-file password",
            2,
        ),
        (
            "--cert chain.pem --key aes.key.der --password-file password",
            2,
        ),
        ("--cert chain.pem --key ec.key --password-file password", 2),
        (
            "--cert chain.pem --key site.pfx --password-file password",
            2,
        ),
        (
            "--cert chain.pem --key old-aes128.key --password-file password",
            2,
        ),
        (
            "--cert chain.pem --key old-aes192.key --password-file password",
            2,
        ),
        (
            "--cert chain.pem --key old-aes256.key --password-file password",
            2,
        ),
        (
            "--cert chain.pem --key old-des3.key --password-file password",
            2,
        ),
        ("--cert chain-DER.p7b --key key.pem", 2),
        ("--cert chain-PEM.p7b --key key.pem", 2),
    ] {
        edgeseal(&server, &format!("cert off {NAME}")).success();
        // A leaf alone causes a warning.
        let said = set(&server, files);
        assert_eq!(said.code, Some(0), "{files}: {}", said.err);
        let shown = server.served(NAME).await.unwrap();
        assert_eq!(shown[0], expected, "{files}");
        assert_eq!(shown.len(), length, "{files}");
    }
    // Standard input holds both the chain and the key.
    edgeseal(&server, &format!("cert off {NAME}")).success();
    for (file, more) in [
        ("combined.pem", ""),
        ("site.pfx", " --password-file password"),
    ] {
        let mut set = command(&server, &format!("cert set {NAME} --cert -{more}"));
        let file = fs::File::open(server.home().join(file)).unwrap();
        let output = set.stdin(Stdio::from(file)).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(server.served(NAME).await.unwrap()[0], expected);
    }
    server.stop();
}

#[test]
fn unsupported_formats_are_named() {
    let server = with_files();
    for (files, says) in [
        (
            "--cert site.pfx",
            "site.pfx: it is PKCS#12 (PFX) and encrypted: give its password with --password-file",
        ),
        (
            "--cert site.pfx --password-file wrong",
            "it is PKCS#12 (PFX), and the password of --password-file does not open it",
        ),
        (
            "--cert chain.pem --key aes.key",
            "aes.key: it is a private key in PKCS#8 and encrypted",
        ),
        (
            "--cert chain.pem --key aes.key --password-file wrong",
            "does not open it",
        ),
        (
            "--cert chain.pem --key pbes1.key --password-file password",
            "encrypted by an algorithm that is not taken",
        ),
        (
            "--cert chain.pem --key old-aes256.key",
            "it is a private key in the old form of OpenSSL and encrypted: give its password",
        ),
        (
            "--cert chain.pem --key old-des3.key --password-file wrong",
            "does not open it",
        ),
        (
            "--cert chain.pem --key old-camellia256.key --password-file password",
            "with a cipher that is not taken; openssl pkcs8 -topk8 -in FILE",
        ),
        (
            "--cert cut.p7b --key key.pem",
            "it is a PKCS#7 bundle (P7B), and damaged: ",
        ),
        (
            "--cert java.jks --key key.pem",
            "it is a Java key store (JKS); keytool -importkeystore -srckeystore FILE",
        ),
        (
            "--cert java.jceks --key key.pem",
            "it is a Java key store (JKS); keytool -importkeystore -srckeystore FILE",
        ),
        (
            "--cert image.png --key key.pem",
            "it is neither PEM nor DER nor PKCS#12 (PFX)",
        ),
        (
            "--cert chain.pem",
            "chain.pem holds no private key: give it with --key",
        ),
        (
            "--cert key.der --key key.pem",
            "key.der holds no certificate",
        ),
        (
            "--cert chain.pem --key cert.der",
            "cert.der holds no private key",
        ),
        (
            "--cert nothing.pem --key key.pem",
            "cannot read nothing.pem: No such file",
        ),
        (
            "--cert chain.pem --key key.pem --password-file nowhere",
            "cannot read nowhere",
        ),
    ] {
        let told = set(&server, files).failure(64);
        assert!(told.contains(says), "{files}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(!told.contains(PASSWORD), "{told}");
    }
    // For plain PEM the server reports what is wrong with which line.
    let other = AUTHORITY.issue(&["other.example"]);
    fs::write(server.home().join("other.key"), &other.key).unwrap();
    let told = set(&server, "--cert chain.pem --key other.key").failure(77);
    assert!(
        told.contains("is not the key of certificate block 1"),
        "{told}"
    );
    let told = set(&server, "--cert cert.der --key other.key").failure(77);
    assert!(told.contains("Certificate.MissMatch"), "{told}");
    server.stop();
}
