//! The hooks in docs/tools.md, run as the clients run them.

use std::{env, fs, os::unix::fs::symlink, process::Command};

use super::document;
use crate::harness::{Server, pki::AUTHORITY, server::BINARY};

/// The hook that a line of the document gives to this option.
fn hook(option: &str) -> String {
    let text = document("docs/tools.md");
    let line = text.lines().find(|line| line.contains(option)).unwrap();
    let hook = line.split(&format!("{option} '")).nth(1).unwrap();
    hook.split('\'').next().unwrap().to_owned()
}

/// Runs a hook, which finds `edgeseal` as clients do.
fn run(server: &Server, command: &mut Command) {
    let programs = server.home().join("bin");
    if !programs.exists() {
        fs::create_dir(&programs).unwrap();
        symlink(BINARY, programs.join("edgeseal")).unwrap();
    }
    let path = env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", programs.display()));
    command.env("EDGESEAL_DATA", server.data());
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
        shell.arg("-c").arg(hook("--deploy-hook"));
        shell
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
    let here =
        hook("--renew-hook").replace("/var/lib/lego/certificates", directory.to_str().unwrap());
    let words: Vec<&str> = here.split_whitespace().collect();
    assert_eq!(words[0], "edgeseal");
    for _ in 0..2 {
        let pem = AUTHORITY.issue(&[name]);
        fs::write(directory.join(format!("{name}.crt")), &pem.chain).unwrap();
        fs::write(directory.join(format!("{name}.key")), &pem.key).unwrap();
        let mut command = Command::new(BINARY);
        command.args(&words[1..]);
        run(&server, &mut command);
        server
            .assert_serves(name, &pem.leaf, "after the hook")
            .await;
    }
    server.stop();
}
