//! How the commands reach the API: over TLS, and within its rate limits.

use std::fs;

use super::{CommandOutput, command, edgeseal};
use crate::harness::{Server, pki::AUTHORITY};

/// A server whose API listens over TLS, with its `ca.pem` in the home directory.
fn in_tls() -> (Server, String) {
    let files = tempfile::tempdir().unwrap();
    let pem = AUTHORITY.issue(&["127.0.0.1", "localhost"]);
    let at = |name: &str| files.path().join(name);
    fs::write(at("cert.pem"), &pem.chain).unwrap();
    fs::write(at("key.pem"), &pem.key).unwrap();
    let server = Server::start_with(&format!(
        "api_tls = \"127.0.0.1:0\"\napi_tls_cert_file = {:?}\napi_tls_key_file = {:?}\n",
        at("cert.pem"),
        at("key.pem")
    ));
    fs::write(server.home().join("ca.pem"), AUTHORITY.root.pem()).unwrap();
    let endpoint = format!("https://{}", server.addresses().api_tls.unwrap());
    (server, endpoint)
}

#[test]
fn an_endpoint_in_tls() {
    let (server, endpoint) = in_tls();
    let list = format!("domain list --endpoint {endpoint}");
    edgeseal(&server, &format!("{list} --cacert ca.pem")).success();
    for variable in ["EDGESEAL_CACERT", "SSL_CERT_FILE"] {
        let mut command = command(&server, &list);
        CommandOutput::run(command.env(variable, server.home().join("ca.pem"))).success();
    }
    let told = edgeseal(&server, &list).failure(69);
    assert!(told.contains("UnknownIssuer"), "{told}");
    assert!(told.contains("--cacert FILE"), "{told}");
    fs::write(server.home().join("none.pem"), "nothing").unwrap();
    for (file, says) in [
        ("nowhere.pem", "cannot read nowhere.pem"),
        ("none.pem", "holds no certificate"),
    ] {
        let told = edgeseal(&server, &format!("{list} --cacert {file}")).failure(64);
        assert!(told.contains(says), "{told}");
    }
    let plain = format!(
        "domain list --cacert ca.pem --endpoint https://{}",
        server.addresses().api
    );
    edgeseal(&server, &plain).failure(69);
    server.stop();
}

/// A script that adds many domains needs no pauses.
#[test]
fn a_command_waits_until_its_rate_allows_it() {
    let server = Server::start_with("[rate_limits]\nAddCdnDomain = 1\n");
    for n in 0..3 {
        let line = format!("domain add {n}.rate.example --origin 127.0.0.1:1");
        edgeseal(&server, &line).success();
    }
    server.stop();
}

#[test]
fn a_domain_is_added_if_it_is_missing() {
    let server = Server::start();
    let add = "domain add again.example --origin 127.0.0.1:1";
    edgeseal(&server, add).success();
    let told = edgeseal(&server, add).failure(77);
    assert!(told.contains("DomainAlreadyExist"), "{told}");
    let said = edgeseal(&server, &format!("{add} --if-missing")).success();
    assert_eq!(said, "again.example is there already and stays as it is\n");
    let said = edgeseal(
        &server,
        "domain add new.example --origin 127.0.0.1:1 --if-missing",
    )
    .success();
    assert_eq!(said, "new.example is online\n");
    server.stop();
}
