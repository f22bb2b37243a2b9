//! A configuration that cannot be, and a command for nobody: told as such, with nothing made.

use std::{
    fs,
    process::{Command, Output},
};

use crate::harness::{Origin, Server, server::binary};

/// Exit code and standard error of a command that must print nothing.
fn fails(command: &mut Command) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(stdout.is_empty(), "it printed something: {said}");
    (status.code(), said)
}

#[test]
fn a_wrong_configuration_is_told_with_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (
        directory.path().join("edgeseal.toml"),
        directory.path().join("data"),
    );
    for (config, expected) in [
        ("name_mismatch = \"perhaps\"\n", "name_mismatch"),
        ("duplicate_content = \"perhaps\"\n", "duplicate_content"),
        ("bound_certificate = \"perhaps\"\n", "refuse or release"),
        ("bound_certificate = true\n", "bound_certificate"),
        ("owner_check = \"perhaps\"\n", "off or on"),
        ("owner_check_port = 65536\n", "owner_check_port"),
        ("dns = \"no address\"\n", "dns"),
        ("lost_keys = \"perhaps\"\n", "refuse or accept"),
        ("reseal_per_second = -1\n", "reseal_per_second"),
        ("core_dumps = \"no\"\n", "core_dumps"),
        ("kek = []\n", "kek is"),
        ("kek = \"/etc/kek\"\n", "\"file:PATH\""),
        ("kek = { command = [] }\n", "a list of these"),
        (
            "kek = \"env:A\"\nkek_file = \"b\"\n",
            "kek_file says the same",
        ),
        ("kek = \"env:NO_SUCH\"\nx = 1\n", "x"),
        ("audit_days = -1\n", "audit_days"),
        ("strange = 1\n", "strange"),
        ("api = \"nowhere\"\n", "api"),
        ("default_domain = \"no domain\"\n", "default_domain"),
        ("api_tls = \"127.0.0.1:0\"\n", "api_tls_cert_file"),
        ("api_tls_key_file = \"key.pem\"\n", "api_tls is"),
        ("memory_max = -1\n", "memory_max"),
        ("handshakes = \"many\"\n", "handshakes"),
        (
            "proxy_protocol_from = [\"anybody\"]\n",
            "a list of networks",
        ),
        ("[rate_limits]\nDoAsIThink = 1\n", "DoAsIThink"),
        ("not TOML", "TOML"),
    ] {
        fs::write(&file, config).unwrap();
        let mut serve = binary();
        serve.args(["serve", "--config"]).arg(&file);
        let (code, said) = fails(serve.arg("--data").arg(&data));
        assert_eq!(code, Some(64), "{config}: {said}");
        assert!(said.contains(expected), "{config}: {said}");
        assert!(!data.exists(), "{config} made a data directory");
    }
    // Whoever takes the setting for the key itself does not find it in the log.
    let mut serve = binary();
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    serve.arg("serve").env("EDGESEAL_KEK", key);
    let (code, said) = fails(serve.arg("--data").arg(&data));
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("kek is \"(not shown)\""), "{said}");
    assert!(!said.contains("AAAA"), "{said}");
    let mut serve = binary();
    serve.args(["serve", "--store", "redis://user:hidden@host"]);
    let (code, said) = fails(serve.arg("--data").arg(&data));
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("is no store"), "{said}");
    assert!(!said.contains("hidden"), "{said}");
}

#[test]
fn a_command_without_an_edgeseal_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["domain", "list"][..],
        &["cert", "off", "a.example"],
        &["strange"],
        &[],
    ] {
        let mut command = binary();
        command.args(arguments).current_dir(directory.path());
        let (code, said) = fails(&mut command);
        assert_eq!(code, Some(64), "{arguments:?}: {said}");
        assert!(!said.is_empty(), "{arguments:?}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_answers() {
    let (server, origin) = (Server::start(), Origin::start().await);
    let other = format!("http://{}", origin.address);
    let mut list = binary();
    list.args(["domain", "list", "--endpoint", &other]);
    let (code, said) = fails(list.arg("--data").arg(server.data()));
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("not an answer of Edgeseal"), "{said}");
    server.stop();
}
