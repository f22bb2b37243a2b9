//! `examples/ha`: it starts, survives the loss of its primary, and leaves nothing behind.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use edgeseal_testing::patroni::PatroniCluster;

use crate::harness::server::{BINARY, binary, signal, wait_for_exit};

#[test]
#[ignore = "long: ./test faults"]
fn the_example_survives_its_primary_and_leaves_nothing() {
    if let Some(why) = PatroniCluster::unavailable() {
        panic!("{why}");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().unwrap();
    // For what PostgreSQL does not run as root.
    Command::new("chmod")
        .arg("711")
        .arg(folder.path())
        .status()
        .unwrap();
    let mut example = Command::new(root.join("examples/ha/run"))
        .env("EDGESEAL_BINARY", BINARY)
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(example.stdout.take().unwrap()).lines();
    let mut said = lines.by_ref().map_while(Result::ok);
    assert!(said.any(|line| line == "ready"), "it ended");
    let variables = said.find_map(|line| line.trim().strip_prefix("export ").map(str::to_owned));
    let variables = variables.unwrap();
    let made = fs::read_dir(folder.path()).unwrap().next().unwrap();
    let home = made.unwrap().path();

    let primary = (1..=3).find(|n| {
        let data = home.join(format!("pg{n}/data"));
        !data.join("standby.signal").exists()
    });
    let pid = home.join(format!("pg{}/data/postmaster.pid", primary.unwrap()));
    let pid = fs::read_to_string(pid).unwrap();
    let killed = Command::new("kill")
        .args(["-KILL", pid.lines().next().unwrap()])
        .status();
    assert!(killed.unwrap().success());
    let set = || {
        let mut set = binary();
        set.args(["cert", "set", "www.ha.example"]);
        set.arg("--cert")
            .arg(home.join("cert.pem"))
            .arg("--key")
            .arg(home.join("key.pem"));
        set.envs(
            variables
                .split(' ')
                .filter_map(|variable| variable.split_once('=')),
        );
        set.output().unwrap().status.success()
    };
    assert!((0..10).any(|_| set()), "no change after the fail-over");

    // As Ctrl-C does, which a shell without a terminal may ignore.
    signal(&example, "TERM");
    assert_eq!(wait_for_exit(&mut example).code(), Some(0));
    assert!(!home.exists(), "its folder is left");
    let processes = fs::read_dir("/proc").unwrap();
    let left = processes.filter_map(|process| {
        let line = fs::read_to_string(process.ok()?.path().join("cmdline")).ok()?;
        line.contains(home.to_str()?).then_some(line)
    });
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
}
