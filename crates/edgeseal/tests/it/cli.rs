//! The command line: output and exit codes.

use std::{
    fs,
    process::{Command, Stdio},
};

use edgeseal_testing::port::free_address;
use serde_json::Value;

use crate::harness::{Server, pki::AUTHORITY, secrets, server::binary};

mod check;
mod connection;
mod formats;
mod import;
mod lists;
mod output;

const NAME: &str = "www.cli.example";
const ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";

/// The result of a command.
struct CommandOutput {
    code: Option<i32>,
    out: String,
    err: String,
}

impl CommandOutput {
    fn run(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        secrets::assert_no_secrets("standard error", &output.stderr);
        Self {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Standard output; asserts success.
    #[track_caller]
    fn success(self) -> String {
        assert_eq!(
            (self.code, self.err.as_str()),
            (Some(0), ""),
            "{}",
            self.out
        );
        self.out
    }

    /// Standard error; asserts failure with no other output.
    #[track_caller]
    fn failure(self, code: i32) -> String {
        assert_eq!(
            (self.code, self.out.as_str()),
            (Some(code), ""),
            "{}",
            self.err
        );
        self.err
    }
}

/// A command with these arguments, on the server's data directory.
fn command(server: &Server, line: &str) -> Command {
    let mut command = binary();
    command.args(line.split(' ')).current_dir(server.home());
    command.env("EDGESEAL_DATA", server.data());
    command
}

fn edgeseal(server: &Server, line: &str) -> CommandOutput {
    CommandOutput::run(&mut command(server, line))
}

/// What a command that succeeds prints.
pub(crate) fn printed(server: &Server, line: &str) -> String {
    edgeseal(server, line).success()
}

fn json(server: &Server, line: &str) -> Value {
    serde_json::from_str(&edgeseal(server, line).success()).unwrap()
}

/// Asserts that a command's table has a row with all of these cells.
#[track_caller]
fn assert_row(table: &str, cells: &[&str]) {
    let found = |line: &str| cells.iter().all(|cell| line.contains(cell));
    assert!(
        table.lines().any(found),
        "no row with {cells:?} in\n{table}"
    );
}

/// A server with a domain, and `cert.pem` and `key.pem` for it in its home directory.
fn with_domain() -> Server {
    let server = Server::start();
    let pem = AUTHORITY.issue(&[NAME]);
    fs::write(server.home().join("cert.pem"), &pem.chain).unwrap();
    fs::write(server.home().join("key.pem"), &pem.key).unwrap();
    let added = edgeseal(&server, &format!("domain add {NAME} --origin 127.0.0.1:1"));
    assert_eq!(added.success(), format!("{NAME} is online\n"));
    server
}

#[test]
fn domains() {
    let server = with_domain();
    let list = || edgeseal(&server, "domain list").success();
    assert_row(&list(), &["DOMAIN", "STATE", "HTTPS"]);
    assert_row(&list(), &[NAME, "online", "off", "web"]);
    let listed = json(&server, "domain list --json");
    assert_eq!(listed[0]["DomainName"], NAME);
    assert_eq!(listed.as_array().unwrap().len(), 1);

    let shown = edgeseal(&server, &format!("domain show {NAME}")).success();
    assert_row(&shown, &["DomainStatus", "online"]);
    let shown = json(&server, &format!("domain show {NAME} --json"));
    assert_eq!(shown["GetDomainDetailModel"]["DomainName"], NAME);

    for (line, says, state) in [
        ("domain stop", "is stopped", "offline"),
        ("domain start", "is started", "online"),
    ] {
        let said = edgeseal(&server, &format!("{line} {NAME}")).success();
        assert_eq!(said, format!("{NAME} {says}\n"));
        assert_row(&list(), &[NAME, state]);
    }
    for mode in ["protected", "safe", "normal"] {
        let said = edgeseal(&server, &format!("domain mode {NAME} {mode}")).success();
        assert_eq!(said, format!("{NAME} is in {mode} mode\n"));
    }
    let deleted = json(&server, &format!("domain delete {NAME} --json"));
    assert!(deleted["RequestId"].is_string());
    assert!(!list().contains(NAME));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates() {
    let server = with_domain();
    let set = format!("cert set {NAME} --cert cert.pem --key key.pem --wait 5");
    let said = edgeseal(&server, &set).success();
    let expected = format!("the certificate is bound to {NAME}, proven at 1/1 live edges\n");
    assert_eq!(said, expected);
    assert!(server.served(NAME).await.is_ok());

    let shown = edgeseal(&server, &format!("cert show {NAME}")).success();
    assert_row(&shown, &["ServerCertificateStatus", "on"]);
    assert_row(&shown, &["CertDomainName", NAME]);
    let shown = json(&server, &format!("cert show {NAME} --json"));
    let id = shown["CertInfos"]["CertInfo"][0]["CertId"].clone();
    let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);

    let said = edgeseal(&server, &format!("cert off {NAME}")).success();
    assert_eq!(said, format!("HTTPS of {NAME} is off\n"));
    assert!(server.served(NAME).await.is_err());
    let said = edgeseal(&server, &format!("cert set {NAME} --cert-id {id}")).success();
    assert_eq!(said, format!("the certificate is bound to {NAME}\n"));
    assert!(server.served(NAME).await.is_ok(), "the stored certificate");

    let set = format!("cert set {NAME} --cert cert.pem --key key.pem --name mine --env staging");
    let reply = json(&server, &format!("{set} --json"));
    assert!(reply["RequestId"].is_string());
    let publish = format!("call PublishStagingConfigToProduction --DomainName {NAME}");
    edgeseal(&server, &publish).success();
    let shown = edgeseal(&server, &format!("cert show {NAME}")).success();
    assert_row(&shown, &["CertName", "mine"]);
    server.stop();
}

/// The value after a label, as `account create` and `key create` print it.
fn value_after(text: &str, label: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.unwrap_or_else(|| panic!("no {label} in {text}"))
        .trim()
        .to_owned()
}

#[test]
fn accounts_and_their_keys() {
    let server = with_domain();
    let created = edgeseal(&server, "account create second").success();
    let account = value_after(&created, "AccountId ");
    let (first, secret) = (
        value_after(&created, "AccessKeyId "),
        value_after(&created, "AccessKeySecret "),
    );
    secrets::register_secret(&secret);
    assert!(created.ends_with("The secret is shown this once; keep it.\n"));
    let list = || edgeseal(&server, "account list").success();
    assert_row(&list(), &["ACCOUNT", "NAME", "ACCESS KEYS"]);
    assert_row(&list(), &[&account, "second", &first, "(Active)"]);
    let accounts = json(&server, "account list --json");
    assert_eq!(accounts["Accounts"].as_array().unwrap().len(), 2);
    let quotas = "--quota-domains 7 --quota-certificates unlimited --private-origins allowed";
    let updated = edgeseal(&server, &format!("account update {account} {quotas}")).success();
    assert_eq!(updated, format!("{account}: updated\n"));
    let nothing = edgeseal(&server, &format!("account update {account}")).failure(77);
    assert!(nothing.contains("QuotaCsrKeys"), "{nothing}");
    let third = json(&server, "account create third --quota-csr-keys 0 --json");
    secrets::register_secret(third["AccessKey"]["AccessKeySecret"].as_str().unwrap());
    let accounts = json(&server, "account list --json");
    let mut shown = accounts["Accounts"].as_array().unwrap().iter().map(|row| {
        [
            "QuotaDomains",
            "QuotaCertificates",
            "QuotaCsrKeys",
            "PrivateOrigins",
        ]
        .map(|name| row[name].as_str().unwrap())
    });
    assert!(shown.any(|row| row == ["7", "unlimited", "default", "allowed"]));
    assert!(accounts.to_string().contains(r#""QuotaCsrKeys":"0""#));

    let created = json(&server, &format!("key create --account {account} --json"));
    let key = created["AccessKey"]["AccessKeyId"].as_str().unwrap();
    secrets::register_secret(created["AccessKey"]["AccessKeySecret"].as_str().unwrap());
    for (line, says, status) in [
        ("disable", "is disabled", "(Inactive)"),
        ("enable", "is enabled", "(Active)"),
    ] {
        let said = edgeseal(&server, &format!("key {line} {key} --account {account}")).success();
        assert_eq!(said, format!("{key} {says}\n"));
        assert_row(&list(), &[key, status]);
    }
    let deleted = edgeseal(&server, &format!("key delete {key} --account {account}")).success();
    assert_eq!(deleted, format!("{key} is deleted\n"));
    assert!(!list().contains(key));
    let own = edgeseal(&server, "key create").success();
    secrets::register_secret(&value_after(&own, "AccessKeySecret "));

    // Credentials of the new account from each source; it sees none of the root account's domains.
    let by_flags = format!("domain list --access-key-id {first} --access-key-secret {secret}");
    let domains = edgeseal(&server, &by_flags).success();
    assert!(!domains.contains(NAME), "{domains}");
    let mut by_variables = command(&server, "domain list");
    by_variables.env(ID, &first).env(SECRET, &secret);
    let domains = CommandOutput::run(&mut by_variables).success();
    assert!(!domains.contains(NAME), "{domains}");
    let domains = edgeseal(&server, "domain list").success();
    assert_row(&domains, &[NAME]);
    // A flag overrides a variable, and a variable overrides the file.
    let mut both = command(&server, &by_flags);
    let wrong = both.env(ID, "nobody").env(SECRET, "nothing");
    assert!(!CommandOutput::run(wrong).success().contains(NAME));
    let refused = CommandOutput::run(
        command(&server, "domain list")
            .env(ID, "nobody")
            .env(SECRET, "x"),
    );
    let told = refused.failure(77);
    assert!(told.contains("InvalidAccessKeyId.NotFound"), "{told}");
    server.stop();
}

#[test]
fn any_action_is_called() {
    let server = with_domain();
    let text = edgeseal(&server, "call DescribeUserDomains --PageSize 50").success();
    assert!(text.lines().count() > 3, "multi-line for people: {text}");
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(reply["TotalCount"], 1);
    let line = edgeseal(&server, "call --json DescribeUserDomains --PageSize=50").success();
    assert_eq!(line.lines().count(), 1, "one line for scripts: {line}");
    let accounts = json(&server, "call --json ListAccounts");
    assert!(accounts["Accounts"].is_array(), "the version is found");
    let files = format!("{NAME} --SSLProtocol on --SSLPub @cert.pem --SSLPri @key.pem");
    let set = format!("call SetCdnDomainSSLCertificate --DomainName {files}");
    edgeseal(&server, &set).success();
    let told = edgeseal(&server, "call --api-version 2018-05-10 ListAccounts").failure(77);
    assert!(told.contains("InvalidAction.NotFound"), "{told}");
    server.stop();
}

#[test]
fn failures_have_their_exit_codes() {
    let server = with_domain();
    let free = free_address();
    let at_nobody = format!("domain list --endpoint http://{free}");
    let missing = format!("cert set {NAME} --cert nothing.pem --key key.pem");
    let no_key = format!("cert set {NAME} --cert cert.pem");
    let mismatch = format!("domain add {NAME} --origin 127.0.0.1:1");
    for (line, code, says) in [
        ("nonsense", 64, "nonsense"),
        ("domain add", 64, "--origin"),
        (&no_key, 64, "--key"),
        (&missing, 64, "cannot read nothing.pem"),
        ("call DescribeUserDomains PageSize", 64, "--Name value"),
        ("domain list --endpoint ftp://x", 64, "http://host:port"),
        ("domain list --access-key-id x", 64, "both"),
        (
            "domain list --data nowhere --endpoint http://127.0.0.1:1",
            64,
            "no credentials",
        ),
        ("serve --config nothing.toml", 64, "nothing.toml"),
        ("serve --api nowhere", 64, "--api"),
        (&at_nobody, 69, "does not answer"),
        (&mismatch, 77, "refused: DomainAlreadyExist"),
    ] {
        let told = edgeseal(&server, line).failure(code);
        assert!(told.contains(says), "{line}: {told}");
    }
    let bad =
        CommandOutput::run(command(&server, "domain list").env("EDGESEAL_ENDPOINT", "ftp://x"));
    assert!(bad.failure(64).contains("ftp://x"));

    // A refusal reports the API's error and its detail.
    let other = AUTHORITY.issue(&["other.example"]);
    fs::write(server.home().join("other.pem"), other.key).unwrap();
    let told = edgeseal(
        &server,
        &format!("cert set {NAME} --cert cert.pem --key other.pem"),
    );
    let told = told.failure(77);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    let first =
        "edgeseal: refused: Certificate.MissMatch: The SSLPri does not match the certificate.";
    assert_eq!(lines[0], first);
    assert!(lines[1].contains("private key"), "the Detail: {told}");
    assert!(
        lines[2].contains("errors.md#Certificate.MissMatch"),
        "{told}"
    );

    for help in ["--help", "--version", "cert set --help"] {
        assert!(edgeseal(&server, help).success().contains("edgeseal"));
    }
    server.stop();
}
