//! Invalid configurations, and commands without a server: reported, and nothing is created.

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

/// What `serve` says about a wrong configuration: a file, or further flags and variables. It must
/// create no data directory.
fn serve_fails(config: &str, flags: &[&str], variable: Option<(&str, &str)>) -> String {
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (
        directory.path().join("edgeseal.toml"),
        directory.path().join("data"),
    );
    fs::write(&file, config).unwrap();
    let mut serve = binary();
    serve.args(["serve", "--config"]).arg(&file);
    serve.arg("--data").arg(&data).args(flags).envs(variable);
    let (code, said) = fails(&mut serve);
    assert_eq!(code, Some(64), "{config}: {said}");
    assert!(!data.exists(), "{config} made a data directory");
    said.replace(file.to_str().unwrap(), "FILE")
}

/// `--data "$UNSET"` must not create an account in the current directory.
#[test]
fn an_empty_flag_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for command in [
        &["serve", "--data", ""][..],
        &["serve", "--store", ""],
        &["doctor", "--data", ""],
        &["backup", "--data", "", "to.db"],
    ] {
        let mut empty = binary();
        let (code, said) = fails(empty.args(command).current_dir(directory.path()));
        assert_eq!(code, Some(64), "{command:?}: {said}");
        assert!(said.contains("a value is required"), "{command:?}: {said}");
    }
    let left = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 0, "something was created");
}

#[test]
fn a_wrong_configuration_is_told_with_its_key() {
    for (config, expected) in [
        ("name_mismatch = \"perhaps\"\n", "name_mismatch"),
        ("duplicate_content = \"perhaps\"\n", "duplicate_content"),
        ("bound_certificate = \"perhaps\"\n", "refuse or release"),
        ("bound_certificate = true\n", "bound_certificate"),
        ("owner_check = \"perhaps\"\n", "off or on"),
        ("origin_private_addresses = \"some\"\n", "root, all or none"),
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
        ("audit_retention_days = -1\n", "audit_retention_days"),
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
        let said = serve_fails(config, &[], None);
        assert!(said.contains(expected), "{config}: {said}");
    }
    // A key given in place of a source must not appear in the log.
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let said = serve_fails("", &[], Some(("EDGESEAL_KEK", key)));
    assert!(said.contains("kek is \"(not shown)\""), "{said}");
    assert!(!said.contains("AAAA"), "{said}");
    let said = serve_fails("", &["--store", "redis://user:hidden@host"], None);
    assert!(said.contains("is not a store URL"), "{said}");
    assert!(!said.contains("hidden"), "{said}");
}

/// Each mistake is reported with its value, its location and a suggestion.
#[test]
fn a_mistake_is_told_with_its_place() {
    let expected_address = "ADDRESS:PORT, such as \"127.0.0.1:7080\" or \"[::1]:7080\"";
    for (config, says) in [
        (
            "# a slip\nhtps = \"127.0.0.1:0\"\n",
            "FILE:2: there is no key \"htps\"; did you mean \"https\"?".to_owned(),
        ),
        (
            "strange = 1\n",
            "FILE:1: there is no key \"strange\"".to_owned(),
        ),
        (
            "\napi = \"nowhere\"\n",
            format!("FILE:2: api is \"nowhere\"; it must be {expected_address}"),
        ),
        (
            "audit_retention_days = -1\n",
            "FILE:1: audit_retention_days is -1; it must be a whole number from 0 to 4294967295"
                .to_owned(),
        ),
        (
            "core_dumps = \"no\"\n",
            "FILE:1: core_dumps is \"no\"; it must be true or false".to_owned(),
        ),
        (
            "\n\nname_mismatch = \"perhaps\"\n",
            "FILE:3: name_mismatch is \"perhaps\"; it must be refuse or accept".to_owned(),
        ),
        (
            "kek = 5\n",
            "FILE:1: kek is \"(not shown)\"; it must be \"file:PATH\"".to_owned(),
        ),
        (
            "[[oidc_provider]]\nnam = \"x\"\n",
            "FILE:2: there is no key \"nam\"; did you mean \"name\"?".to_owned(),
        ),
        ("api = \n", "FILE: TOML parse error at line 1".to_owned()),
    ] {
        let said = serve_fails(config, &[], None);
        assert_eq!(
            said.lines().count(),
            if config == "api = \n" { 6 } else { 1 },
            "{said}"
        );
        assert!(
            said.starts_with(&format!("edgeseal: {says}")),
            "{config}: {said}"
        );
    }
    for (name, value, says) in [
        (
            "EDGESEAL_API",
            "nonsense",
            format!("EDGESEAL_API: api is \"nonsense\"; it must be {expected_address}"),
        ),
        (
            "EDGESEAL_LOST_KEYS",
            "perhaps",
            "EDGESEAL_LOST_KEYS: lost_keys is \"perhaps\"; it must be refuse or accept".to_owned(),
        ),
    ] {
        let said = serve_fails("", &[], Some((name, value)));
        assert_eq!(said, format!("edgeseal: {says}\n"));
    }
    let said = serve_fails("", &["--api", "nowhere"], None);
    let says = format!("--api: api is \"nowhere\"; it must be {expected_address}");
    assert_eq!(said, format!("edgeseal: {says}\n"));
    let mut missing = binary();
    let (code, said) = fails(missing.args(["serve", "--config", "/nope"]));
    assert_eq!(code, Some(64));
    let expected = "edgeseal: cannot read the configuration file /nope: No such file or directory";
    assert!(said.starts_with(expected), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// A misspelt variable has no effect, and gets a warning.
#[test]
fn an_unknown_variable_is_told_and_colours_stay_out_of_files() {
    let mut server = Server::start_with("log_format = \"text\"\n");
    assert!(!server.log().contains("there is no such setting"));
    server.kill();
    let mut command = server.command();
    command
        .env("EDGESEAL_HTPS", "127.0.0.1:0")
        .env("EDGESEAL_SERVICE_HOST", "10.0.0.1");
    server.launch_with(command);
    let log = server.log();
    let told: Vec<&str> = log
        .lines()
        .filter(|it| it.contains("no such setting"))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("WARN"), "{told:?}");
    assert!(told[0].contains("did you mean EDGESEAL_HTTPS?"), "{told:?}");
    assert!(!log.contains('\x1b'), "a file has no colours");
    server.stop();
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
async fn another_server_answers() {
    let (server, origin) = (Server::start(), Origin::start().await);
    let other = format!("http://{}", origin.address);
    let mut list = binary();
    list.args(["domain", "list", "--endpoint", &other]);
    let (code, said) = fails(list.arg("--data").arg(server.data()));
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("not an answer of Edgeseal"), "{said}");
    server.stop();
}
