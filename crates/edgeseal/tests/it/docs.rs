//! The documents are correct: the README's commands run, and the tables match the program.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use edgeseal_api::code::Code;
use serde_json::Value;
use tempfile::TempDir;

use crate::doctor::doctor;
use crate::harness::{
    TIMEOUT,
    server::{BINARY, binary, signal, wait_for_exit},
};

mod actions;
mod generated;
mod hooks;
mod links;

/// A file of the repository.
fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(below)
}

fn read_document(below: &str) -> String {
    fs::read_to_string(path(below)).unwrap()
}

/// `edgeseal demo` in a directory of its own, on free ports.
struct Demo {
    home: TempDir,
    process: Child,
    /// Address by role.
    addresses: BTreeMap<String, String>,
    /// What it prints after `ready`.
    lines: mpsc::Receiver<String>,
}

impl Demo {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = binary();
        command.arg("demo").current_dir(home.path());
        for role in ["API", "HTTPS", "HTTP", "ADMIN"] {
            command.env(format!("EDGESEAL_{role}"), "127.0.0.1:0");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(home.path().join("log")).unwrap());
        let mut process = command.spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (said, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let mut demo = Self {
            home,
            process,
            addresses: BTreeMap::new(),
            lines,
        };
        assert_eq!(demo.lines.recv_timeout(TIMEOUT).as_deref(), Ok("ready"));
        let json = fs::read(demo.home.path().join("edgeseal-data/addresses.json")).unwrap();
        demo.addresses = serde_json::from_slice(&json).unwrap();
        demo
    }

    fn port(&self, role: &str) -> &str {
        self.addresses[role].rsplit_once(':').unwrap().1
    }

    /// Runs a block of the README; what it prints.
    fn run(&self, block: &str) -> String {
        let script = block
            .replace("target/release/edgeseal", BINARY)
            .replace(":8443", &format!(":{}", self.port("https")))
            .replace(":7080", &format!(":{}", self.port("api")));
        let mut shell = Command::new("sh");
        shell.args(["-euc", &script]).current_dir(self.home.path());
        let output = shell.stdin(Stdio::null()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}\n{errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The blocks of a document that are marked as `sh run`.
fn run_blocks(text: &str) -> Vec<&str> {
    let starts = text.split("```sh run\n").skip(1);
    starts
        .map(|block| block.split_once("\n```").unwrap().0)
        .collect()
}

#[test]
fn the_commands_of_the_readme_run() {
    let readme = read_document("README.md");
    let blocks = run_blocks(&readme);
    assert_eq!(blocks.len(), 2, "the README's blocks marked as ```sh run");
    let mut demo = Demo::start();

    let curls = demo.run(blocks[0]);
    assert!(curls.contains("demo.localhost"), "the site: {curls}");
    assert!(curls.contains(r#""Code":"MissingAccessKeyId""#), "{curls}");

    let said = demo.run(blocks[1]);
    for line in [
        "www.example.com is online\n",
        "the certificate is bound to www.example.com, served by 1/1 edges\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let json = said.find("\n{").map(|at| &said[at..]);
    let reply: Value = serde_json::from_str(json.unwrap()).unwrap();
    assert_eq!(reply["TotalCount"], 3, "two of the demo, one of the README");

    signal(&demo.process, "INT");
    assert_eq!(wait_for_exit(&mut demo.process).code(), Some(0));
}

/// The demo shows the program by the path that it was started by.
#[test]
fn the_demo_shows_commands_that_run() {
    let mut demo = Demo::start();
    let mut shown = Vec::new();
    loop {
        let line = demo.lines.recv_timeout(TIMEOUT).unwrap();
        if line.contains("Ctrl-C") {
            break;
        }
        shown.push(line);
    }
    let commands: Vec<&String> = shown
        .iter()
        .filter(|line| line.trim_start().starts_with(BINARY))
        .collect();
    assert_eq!(commands.len(), 3, "{shown:?}");
    for command in commands {
        demo.run(command.trim());
    }
    // Its certificates are whole: its own root has issued them.
    let (code, said) = doctor(&demo.home.path().join("edgeseal-data"));
    assert_eq!(code, Some(0), "{said}");
    signal(&demo.process, "INT");
    assert_eq!(wait_for_exit(&mut demo.process).code(), Some(0));
}

#[test]
fn the_commands_of_the_permissions_run() {
    let text = read_document("docs/guides/permissions.md");
    let blocks = run_blocks(&text);
    assert_eq!(blocks.len(), 1, "the blocks marked as ```sh run");
    let mut demo = Demo::start();
    let said = demo.run(blocks[0]);
    let tail = said.split_once("Allowed: statement 1 of policy push-www");
    let (_, tail) = tail.unwrap_or_else(|| panic!("{said}"));
    assert!(
        tail.contains("ImplicitDeny: no policy of user deploy allows it"),
        "{said}"
    );
    signal(&demo.process, "INT");
    assert_eq!(wait_for_exit(&mut demo.process).code(), Some(0));
}

#[test]
fn the_commands_of_the_rollout_run() {
    let page = read_document("docs/operate/rollout.md");
    let blocks = run_blocks(&page);
    let text = read_document("docs/reference/actions.md");
    let text = text.split("\n## DescribeRollout\n").nth(1).unwrap();
    let text = text.split("\n## ").next().unwrap();
    assert_eq!(blocks.len(), 1, "the blocks marked as ```sh run");
    let mut demo = Demo::start();
    let said = demo.run(blocks[0]);
    let proved = "demo.localhost: proved at 1 of 1 live edges, served by 1\n";
    assert!(said.starts_with(proved), "{said}");
    assert!(said.contains("\n1 live edges, 0 silent;"), "{said}");
    let json = said.lines().find(|line| line.starts_with('{')).unwrap();
    let reply: Value = serde_json::from_str(json).unwrap();
    let members = reply.as_object().unwrap().keys();
    let rows = reply["Edges"][0].as_object().unwrap().keys();
    for name in members.chain(rows).filter(|name| *name != "RequestId") {
        assert!(
            text.contains(&format!("`{name}`")),
            "the page does not tell of {name}"
        );
    }
    signal(&demo.process, "INT");
    assert_eq!(wait_for_exit(&mut demo.process).code(), Some(0));
}

#[test]
fn the_commands_of_the_audit_run() {
    let page = read_document("docs/operate/audit.md");
    let blocks = run_blocks(&page);
    assert_eq!(
        blocks.len(),
        3,
        "the blocks of docs/operate/audit.md marked as ```sh run"
    );
    let mut demo = Demo::start();

    let listed = demo.run(blocks[0]);
    assert!(listed.contains("SetCdnDomainSSLCertificate"), "{listed}");

    let exported = demo.run(blocks[1]);
    let fields = read_document("docs/reference/audit-records.md");
    let mut records = 0;
    for line in exported.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        for name in record.as_object().unwrap().keys() {
            let row = format!("| `{name}` |");
            assert!(
                fields.contains(&row),
                "docs/reference/audit-records.md does not tell of {name}"
            );
        }
        records += 1;
    }
    assert!(records > 2, "{exported}");

    let verified = demo.run(blocks[2]);
    assert!(verified.contains("\n  sound\n"), "{verified}");

    signal(&demo.process, "INT");
    assert_eq!(wait_for_exit(&mut demo.process).code(), Some(0));
}

#[test]
fn every_code_has_its_section() {
    let text = read_document("docs/reference/errors.md");
    let rows = || Code::ALL.iter().map(|code| code.spec());
    let codes: BTreeSet<&str> = rows().map(|row| row.wire_code).collect();
    let anchors: BTreeSet<String> = rows().map(|row| row.anchor()).collect();
    let mut sections = BTreeMap::new();
    for part in text.split("\n<a id=\"").skip(1) {
        let (anchor, rest) = part.split_once("\"></a>\n\n### ").unwrap();
        let (heading, body) = rest.split_once('\n').unwrap();
        assert_eq!(anchor, heading.replace(['{', '}'], ""));
        assert_eq!(
            sections.insert(heading, body),
            None,
            "{heading} stands twice"
        );
    }
    assert_eq!(sections.keys().copied().collect::<BTreeSet<_>>(), codes);
    // `Recommend` points to the anchor.
    assert_eq!(text.matches("<a id=\"").count(), anchors.len());
    for row in rows() {
        let said = format!("\n{} `{}`", row.status, row.message);
        assert!(
            sections[row.wire_code].contains(&said),
            "{}: {said}",
            row.wire_code
        );
    }
}
