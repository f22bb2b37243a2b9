//! The hooks in docs/guides/tools.md, run as the clients run them.

use std::{env, fs, os::unix::fs::symlink, process::Command};

use super::read_document;
use crate::harness::{Server, pki::AUTHORITY, server::BINARY};

/// The hook that a line of the document gives to this option.
fn hook(option: &str) -> String {
    let text = read_document("docs/guides/tools.md");
    let line = text.lines().find(|line| line.contains(option)).unwrap();
    let hook = line.split(&format!("{option} '")).nth(1).unwrap();
    hook.split('\'').next().unwrap().to_owned()
}

/// The hook that a line of the document gives to this option, for this server.
fn hook_for(server: &Server, option: &str) -> String {
    let data = server.data().display().to_string();
    let hook = hook(option);
    assert!(hook.contains(DATA), "{hook}");
    hook.replace(DATA, &data)
}

/// The data directory of the document.
const DATA: &str = "/var/lib/edgeseal";

/// Runs a hook as a timer does: it finds `edgeseal`, and nothing that a shell has exported.
fn run(server: &Server, command: &mut Command) {
    let programs = server.home().join("bin");
    if !programs.exists() {
        fs::create_dir(&programs).unwrap();
        symlink(BINARY, programs.join("edgeseal")).unwrap();
    }
    let path = env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", programs.display()));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// certbot gives the hook to a shell.
#[tokio::test(flavor = "multi_thread")]
async fn the_hook_of_certbot_deploys() {
    let server = Server::start();
    let name = "certbot.example";
    let lineage = server.home().join("live").join(name);
    fs::create_dir_all(&lineage).unwrap();
    for _ in 0..2 {
        let pem = AUTHORITY.issue(&[name]);
        fs::write(lineage.join("fullchain.pem"), &pem.chain).unwrap();
        fs::write(lineage.join("privkey.pem"), &pem.key).unwrap();
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(hook_for(&server, "--deploy-hook"))
            .env_clear()
            .env("RENEWED_LINEAGE", &lineage)
            .env("RENEWED_DOMAINS", name);
        run(&server, &mut shell);
        server
            .assert_serves(name, &pem.leaf, "after the hook")
            .await;
    }
    server.stop();
}

/// lego parts the hook at white space (`strings.Fields`) and runs the first word.
#[tokio::test(flavor = "multi_thread")]
async fn the_hook_of_lego_deploys() {
    let server = Server::start();
    let name = "lego.example";
    let directory = server.home().join("certificates");
    fs::create_dir_all(&directory).unwrap();
    let hook = hook_for(&server, "--renew-hook");
    let here = hook.replace("/var/lib/lego/certificates", directory.to_str().unwrap());
    let words: Vec<&str> = here.split_whitespace().collect();
    assert_eq!(words[0], "edgeseal");
    for _ in 0..2 {
        let pem = AUTHORITY.issue(&[name]);
        fs::write(directory.join(format!("{name}.crt")), &pem.chain).unwrap();
        fs::write(directory.join(format!("{name}.key")), &pem.key).unwrap();
        let mut command = Command::new(BINARY);
        command.args(&words[1..]).env_clear();
        run(&server, &mut command);
        server
            .assert_serves(name, &pem.leaf, "after the hook")
            .await;
    }
    server.stop();
}

/// acme.sh gives the command to its shell (`eval`), and keeps account keys beside the certificates.
#[tokio::test(flavor = "multi_thread")]
async fn the_reload_command_of_acme_sh_deploys() {
    let server = Server::start();
    let name = "acme-sh.example";
    let home = server.home().join(".acme.sh");
    let directory = home.join(format!("{name}_ecc"));
    fs::create_dir_all(&directory).unwrap();
    fs::create_dir_all(home.join("ca")).unwrap();
    fs::write(
        home.join("ca/account.key"),
        &AUTHORITY.issue(&["account"]).key,
    )
    .unwrap();
    for _ in 0..2 {
        let pem = AUTHORITY.issue(&[name]);
        fs::write(directory.join("fullchain.cer"), &pem.chain).unwrap();
        fs::write(directory.join(format!("{name}.key")), &pem.key).unwrap();
        let mut shell = Command::new("sh");
        let eval = format!("eval '{}'", hook_for(&server, "--reloadcmd"));
        shell
            .args(["-c", &eval])
            .env_clear()
            .env("HOME", server.home());
        run(&server, &mut shell);
        server
            .assert_serves(name, &pem.leaf, "after the command")
            .await;
    }
    server.stop();
}
