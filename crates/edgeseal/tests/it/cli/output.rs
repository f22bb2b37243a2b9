//! Output of the commands: into closed pipes, onto full disks, and with control characters in
//! names.

use std::{fs::File, io, process::Stdio};

use serde_json::Value;

use super::{CommandOutput, ID, NAME, SECRET, command, edgeseal, with_domain};
use crate::harness::{Server, eventually, server::BINARY};

const PRINTING: [&str; 8] = [
    "domain list",
    "domain list --json",
    "audit list",
    "audit export",
    "call DescribeUserDomains",
    "policy minimal --domain a.example",
    "version",
    "cert set --help",
];

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let server = with_domain();
    for line in PRINTING {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = command(&server, line)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(0), ""),
            "{line}"
        );
    }
    server.stop();
}

#[test]
fn a_full_disk_fails_a_command() {
    let server = with_domain();
    for line in PRINTING {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command(&server, line)
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = "edgeseal: cannot write to standard output: No space left on device";
        assert_eq!(output.status.code(), Some(74), "{line}: {said}");
        assert!(said.starts_with(expected), "{line}: {said}");
    }
    // It does not panic either if the error cannot be written.
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let mut nowhere = command(&server, "domain show no.such.domain");
    let status = nowhere.stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(77));
    server.stop();
}

/// Characters that retitle a terminal, clear it, or reverse text.
const CONTROL_TEXT: &str = "\x1b]0;title\x07\x1b[2J\u{9b}31m\u{202e}gpj.";

#[tokio::test(flavor = "multi_thread")]
async fn names_cannot_control_the_terminal() {
    let server = with_domain();
    let mut call = command(
        &server,
        "call AddCdnDomain --CdnType web --Sources [] --DomainName",
    );
    let refused = CommandOutput::run(call.arg(CONTROL_TEXT)).failure(77);
    assert_plain(&refused);
    let listed = eventually("the refusal is in the audit", async || {
        let listed = edgeseal(&server, "audit list --action AddCdnDomain").success();
        listed.contains("gpj").then_some(listed)
    })
    .await;
    assert_plain(&listed);
    // The audit log replaces control characters with blanks; other steering characters are escaped.
    assert!(listed.contains(r" ]0;title  [2J 31m\u202egpj."), "{listed}");

    for line in [
        "audit export --action AddCdnDomain",
        "call DescribeAuditRecords",
    ] {
        let json = edgeseal(&server, line).success();
        assert_plain(&json);
        let first = json.lines().find(|line| line.contains("gpj"));
        assert!(first.is_some(), "{json}");
    }
    let json = edgeseal(&server, "audit list --action AddCdnDomain --json").success();
    assert_plain(&json);
    let records: Value = serde_json::from_str(&json).unwrap();
    let records = records["Records"].as_array().unwrap();
    // The caller's own input is returned in refusals and explanations.
    for (line, code) in [
        ("explain --action a:b --resource", 0),
        ("explain --resource a.example --action", 0),
        ("call GetUser --UserName", 77),
        ("call --json DescribeCdnDomainDetail --DomainName", 77),
        ("domain show", 77),
        ("domain list", 64),
        ("domain", 64),
        ("cert set a.example --cert", 64),
        ("doctor --config", 64),
    ] {
        let said = CommandOutput::run(command(&server, line).arg(CONTROL_TEXT));
        assert_eq!(said.code, Some(code), "{line}: {}", said.err);
        assert_plain(&said.out);
        assert_plain(&said.err);
    }
    // Names that others chose.
    let named = "n\u{9b}31m\u{202e}m\u{2066}";
    CommandOutput::run(command(&server, "call CreateUser --UserName cc --Comments").arg(named))
        .success();
    for line in [
        "call GetUser --UserName cc",
        "call --json GetUser --UserName cc",
    ] {
        let json = edgeseal(&server, line).success();
        assert_plain(&json);
        let user: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(user["User"]["Comments"], named, "{json}");
    }
    let kept = " ]0;title  [2J 31m\u{202e}gpj.";
    assert!(
        records
            .iter()
            .any(|record| record["Resource"].as_str().unwrap().contains(kept)),
        "JSON holds the stored text: {json}"
    );
    server.stop();
}

#[track_caller]
fn assert_plain(text: &str) {
    let steers = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{2066}\u{9b}".contains(c);
    assert!(!text.contains(steers), "{text:?}");
}

/// On a terminal, a table is framed and no line is wider than the terminal.
#[test]
fn tables_are_as_wide_as_the_terminal() {
    let server = with_domain();
    let long = "a-rather-long-name-of-a-domain-of-a-customer.with-some-labels.terminal.example";
    CommandOutput::run(command(&server, "domain add --origin 127.0.0.1:8000").arg(long)).success();
    for width in [200, 80, 60] {
        let mut typed = std::process::Command::new("script");
        let list = format!("stty cols {width}; exec {BINARY} domain list");
        typed.args(["-qec", &list, "/dev/null"]);
        for (name, value) in command(&server, "domain list").get_envs() {
            match value {
                Some(value) => typed.env(name, value),
                None => typed.env_remove(name),
            };
        }
        let said = CommandOutput::run(typed.env("TERM", "xterm").stdin(Stdio::null()));
        let table = said.success().replace('\r', "");
        let widths = table.lines().map(|line| line.chars().count());
        let widest = widths.max().unwrap();
        assert!(table.contains('│') && table.contains('┌'), "{table}");
        assert!(widest <= width, "{widest} of {width}: {table}");
        // On a wide terminal every domain takes one line; on a narrow one long cells wrap.
        assert_eq!(table.contains(long), width == 200, "{table}");
        let letters: String = table.chars().filter(|c| !c.is_whitespace()).collect();
        assert!(
            letters.contains("terminal.example") || width == 60,
            "{table}"
        );
    }
    server.stop();
}

#[test]
fn tables_are_bare_columns_in_a_pipe() {
    let server = with_domain();
    let list = edgeseal(&server, "domain list").success();
    let rows: Vec<Vec<&str>> = list
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        ["DOMAIN", "STATE", "HTTPS", "TYPE", "CHANGED", "EXPIRES"]
    );
    assert_eq!(rows[1][..4], [NAME, "online", "off", "web"]);
    assert_eq!(rows.len(), 2, "one line per row: {list}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn times_may_be_relative() {
    let server = with_domain();
    let records = |since: &str| edgeseal(&server, &format!("audit list {since}")).success();
    assert!(records("--since 7d").contains(NAME));
    assert!(!records("--until 7d").contains(NAME));
    let told = edgeseal(&server, "audit list --since 7y").failure(77);
    assert!(told.contains("StartTime"), "{told}");
    server.stop();
}

#[test]
fn an_explanation_exits_as_it_decides() {
    let server = with_domain();
    for line in [
        "call CreateUser --UserName deploy",
        "call CreatePolicy --PolicyName p --PolicyDocument",
        "call AttachPolicyToUser --PolicyType Custom --PolicyName p --UserName deploy",
    ] {
        let mut command = command(&server, line);
        if line.ends_with("PolicyDocument") {
            let resource = format!("acs:cdn:*:*:domain/{NAME}");
            command.arg(format!(
                r#"{{"Version":"1","Statement":[{{"Effect":"Allow","Action":"cdn:*","Resource":"{resource}"}}]}}"#
            ));
        }
        CommandOutput::run(&mut command).success();
    }
    let explain = |domain: &str| {
        let line = format!("explain --action StopCdnDomain --resource {domain} --as deploy");
        edgeseal(&server, &line)
    };
    assert!(explain(NAME).success().starts_with("Allowed"));
    let denied = explain("other.example");
    assert_eq!((denied.code, denied.err.as_str()), (Some(1), ""));
    assert!(denied.out.starts_with("ImplicitDeny"), "{}", denied.out);
    server.stop();
}

#[test]
fn the_version() {
    let server = Server::start();
    let expected = format!("edgeseal {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(edgeseal(&server, "version").success(), expected);
    assert_eq!(edgeseal(&server, "--version").success(), expected);
    server.stop();
}

#[test]
fn a_profile_of_the_aliyun_cli_signs() {
    let server = with_domain();
    let json = std::fs::read(server.data().join("credentials.json")).unwrap();
    let key: Value = serde_json::from_slice(&json).unwrap();
    let profile = serde_json::json!({ "current": "default", "profiles": [
        { "name": "edgeseal", "mode": "AK", "access_key_id": key["AccessKeyId"],
          "access_key_secret": key["AccessKeySecret"] },
    ]});
    std::fs::create_dir(server.home().join(".aliyun")).unwrap();
    std::fs::write(
        server.home().join(".aliyun/config.json"),
        profile.to_string(),
    )
    .unwrap();
    let endpoint = format!("http://{}", server.addresses().api);
    let with = |line: &str| {
        let mut command = command(&server, line);
        command
            .env("HOME", server.home())
            .env("EDGESEAL_DATA", "nowhere");
        command.env("EDGESEAL_ENDPOINT", &endpoint);
        CommandOutput::run(command.env_remove(ID).env_remove(SECRET))
    };
    assert!(
        with("domain list --profile edgeseal")
            .success()
            .contains(NAME)
    );
    let told = with("domain list --profile other").failure(64);
    assert!(told.contains("there are edgeseal"), "{told}");
    server.stop();
}
