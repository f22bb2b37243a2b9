//! Key sources other than files, and the documented commands.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use edgeseal_store::Keyring;

use super::{census, ids, kek, serving, stderr_of_failure, stdout_of_success};
use crate::harness::{
    eventually,
    server::{BINARY, binary, signal, wait_for_exit},
};

/// Keys printed by a command: Edgeseal never writes them and follows what the command prints.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_command() {
    let home = tempfile::tempdir().unwrap();
    let printed = home.path().join("printed");
    let (old, new) = (Keyring::generate(), Keyring::generate());
    let id = |text: &str| Keyring::parse(text).unwrap().active();
    fs::write(&printed, &*old).unwrap();
    let config = format!(
        "kek = {{ command = [\"cat\", {:?}] }}\n",
        printed.display().to_string()
    );
    let (server, served) = serving(&config, 1).await;
    assert!(!server.data().join("kek").exists());
    let said = stderr_of_failure(&kek(&server, &["rotate"]));
    assert!(
        said.contains("the command cat still begins with key"),
        "{said}"
    );

    fs::write(&printed, &*new).unwrap();
    let said = stderr_of_failure(&kek(&server, &["rotate"]));
    assert!(said.contains("is in use and has gone"), "{said}");
    fs::write(&printed, format!("{}\n{}\n", *new, *old)).unwrap();
    stdout_of_success(&kek(&server, &["rotate"]));
    let census = census(&server).await;
    assert_eq!((census.under(id(&old)), census.under(id(&new))), (0, 8));
    let said = stdout_of_success(&kek(&server, &["retire", &id(&old).to_string()]));
    assert!(
        said.contains("take it out of the command cat now"),
        "{said}"
    );
    for (name, pem) in &served {
        server
            .assert_serves(name, &pem.leaf, "after the rotation")
            .await;
    }
    server.stop();
}

/// A running process cannot see a changed variable, so a restart does what `rotate` does.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_variable() {
    let (old, new) = (Keyring::generate(), Keyring::generate());
    let id = |text: &str| Keyring::parse(text).unwrap().active();
    let (mut server, _) = serving("", 1).await;
    server.terminate();
    let path = server.data().join("kek");
    let text = fs::read_to_string(&path).unwrap();
    let first = id(&text);
    fs::remove_file(path).unwrap();
    let start = |keys: &str| {
        let mut command = server.command();
        command
            .env("EDGESEAL_KEK", "env:THE_KEYS")
            .env("THE_KEYS", keys);
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next().map(Result::unwrap);
        (process, line)
    };
    let (mut process, line) = start(&format!("{},{},{}", *new, text.trim(), *old));
    assert_eq!(line.as_deref(), Some("ready"));
    let refusal = kek(&server, &["rotate"]);
    let said = String::from_utf8_lossy(&refusal.stderr);
    let waits = said.contains("KeyEncryption.Resealing") || said.contains("put a new key first");
    assert!(waits, "{said}");
    let census = eventually("resealing", async || {
        let census = census(&server).await;
        (census.under(first) == 0).then_some(census)
    })
    .await;
    assert_eq!(census.under(id(&new)), 8);
    signal(&process, "TERM");
    assert_eq!(wait_for_exit(&mut process).code(), Some(0));
    let (mut process, line) = start("no key");
    assert_eq!((line, wait_for_exit(&mut process).code()), (None, Some(64)));
}

/// The page's commands run beside a server in its order; its configurations are valid.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_key_commands_work() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operate/keys.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks = |mark: &str| -> Vec<String> {
        let start = format!("```{mark}\n");
        let starts = page.split(&start).skip(1);
        starts
            .map(|block| block.split_once("\n```").unwrap().0.to_owned())
            .collect()
    };
    let (server, _) = serving("", 1).await;
    let programs = server.home().join("bin");
    fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(BINARY, programs.join("edgeseal")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", programs.display());
    let mut printed = Vec::new();
    for block in blocks("sh run") {
        let mut shell = Command::new("sh");
        shell.args(["-euc", &block]).env("PATH", &path);
        shell
            .env("EDGESEAL_DATA", server.data())
            .env("EDGESEAL_CONNECTIONS", "100") // the file descriptors of any machine suffice
            .stdin(Stdio::null());
        printed.push(stdout_of_success(&shell.output().unwrap()));
    }
    for (said, expected) in printed.iter().zip([
        "1 access keys, 1 audit secrets, 4 certificates, 2 session ticket keys",
        "8 records were resealed; all 8 are under key",
        "is retired: nothing needs it",
        "everything is as it should be",
    ]) {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(printed.len(), 4);
    assert_eq!(ids(&server).len(), 1);

    let file = server.home().join("page.toml");
    let configurations = blocks("toml");
    assert_eq!(configurations.len(), 3);
    for configuration in configurations {
        fs::write(&file, &configuration).unwrap();
        let mut command = binary();
        command
            .args(["doctor", "--config"])
            .arg(&file)
            .arg("--data")
            .arg(server.data());
        // The files and programs do not exist, which is a problem but not an invalid configuration.
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(65),
            "{configuration}: {output:?}"
        );
    }
    server.stop();
}
