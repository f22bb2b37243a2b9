//! The `openssl` command: it creates what rcgen cannot create, and is a TLS client that shares no
//! code with the edge.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use crate::{pem, secrets};

/// Runs `openssl` with this input and returns its standard output. Registers a private key in it.
pub fn openssl(arguments: &str, input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test needs the openssl command");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    if let Some(at) = text.find("PRIVATE KEY-----") {
        let begin = text[..at].rfind("-----BEGIN").unwrap();
        secrets::register_key(&pem::decode(&text[begin..]));
    }
    text
}

/// A self-signed certificate and its key, signed with this hash.
pub fn self_signed(name: &str, hash: &str) -> (String, String) {
    let made = openssl(
        &format!(
            "req -x509 -{hash} -newkey rsa:2048 -nodes -days 30 -subj /CN={name} \
             -addext subjectAltName=DNS:{name} -keyout /dev/stdout -out /dev/stdout"
        ),
        "",
    );
    let certificate = made.find("-----BEGIN CERTIFICATE").unwrap();
    (
        made[certificate..].to_owned(),
        made[..certificate].to_owned(),
    )
}

/// Everything that `openssl s_client` prints about a connection. Its input is empty, so it closes
/// after the handshake.
#[cfg(feature = "net")]
pub async fn s_client(server: std::net::SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.to_string()]);
    command.args(arguments).stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.unwrap();
    let output = output.expect("this test needs the openssl command");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
