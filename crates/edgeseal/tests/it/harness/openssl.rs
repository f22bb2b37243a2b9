//! Creates by the `openssl` command what rcgen cannot create.

use std::process::{Command, Stdio};

use super::{pki, secrets};

/// Runs `openssl` and returns its standard output. A private key in it is registered.
pub(crate) fn openssl(arguments: &str) -> String {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .output()
        .expect("this test needs the openssl command");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    if let Some(at) = text.find("PRIVATE KEY-----") {
        let begin = text[..at].rfind("-----BEGIN").unwrap();
        secrets::register_key(&pki::pem_decode(&text[begin..]));
    }
    text
}

/// A self-signed certificate and its key, signed with this hash.
pub(crate) fn self_signed(name: &str, hash: &str) -> (String, String) {
    let made = openssl(&format!(
        "req -x509 -{hash} -newkey rsa:2048 -nodes -days 30 \
         -subj /CN={name} -addext subjectAltName=DNS:{name} -keyout /dev/stdout -out /dev/stdout"
    ));
    let certificate = made.find("-----BEGIN CERTIFICATE").unwrap();
    (
        made[certificate..].to_owned(),
        made[..certificate].to_owned(),
    )
}
