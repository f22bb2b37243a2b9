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
mod units;

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

    fn stop(mut self) {
        signal(&self.process, "INT");
        assert_eq!(wait_for_exit(&mut self.process).code(), Some(0));
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

/// The blocks of a page that are marked as `sh run`.
fn run_blocks<const COUNT: usize>(page: &str) -> [String; COUNT] {
    let text = read_document(page);
    let starts = text.split("```sh run\n").skip(1);
    let blocks = starts.map(|block| block.split_once("\n```").unwrap().0.to_owned());
    let blocks: Vec<String> = blocks.collect();
    let found = blocks.len();
    blocks
        .try_into()
        .unwrap_or_else(|_| panic!("{page} has {found} blocks marked as ```sh run"))
}

#[test]
fn the_commands_of_the_readme_run() {
    let [curl, commands] = run_blocks("README.md");
    let demo = Demo::start();

    let curls = demo.run(&curl);
    assert!(curls.contains("demo.localhost"), "the site: {curls}");
    assert!(curls.contains(r#""Code":"MissingAccessKeyId""#), "{curls}");

    let said = demo.run(&commands);
    for line in [
        "www.example.com is online\n",
        "the certificate is bound to www.example.com, proven at 1/1 live edges\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let json = said.find("\n{").map(|at| &said[at..]);
    let reply: Value = serde_json::from_str(json.unwrap()).unwrap();
    assert_eq!(reply["TotalCount"], 3, "two of the demo, one of the README");

    demo.stop();
}

/// The demo shows the program by the path that it was started by.
#[test]
fn the_demo_shows_commands_that_run() {
    let demo = Demo::start();
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
    demo.stop();
}

#[test]
fn the_commands_of_the_permissions_run() {
    let [commands] = run_blocks("docs/guides/permissions.md");
    let demo = Demo::start();
    let said = demo.run(&commands);
    let tail = said.split_once("Allowed: statement 1 of policy push-www");
    let (_, tail) = tail.unwrap_or_else(|| panic!("{said}"));
    assert!(
        tail.contains("ImplicitDeny: no policy of user deploy allows it"),
        "{said}"
    );
    demo.stop();
}

#[test]
fn the_commands_of_the_rollout_run() {
    let [commands] = run_blocks("docs/operate/rollout.md");
    let text = read_document("docs/reference/actions.md");
    let text = text.split("\n## DescribeRollout\n").nth(1).unwrap();
    let text = text.split("\n## ").next().unwrap();
    let demo = Demo::start();
    let said = demo.run(&commands);
    let proven = "demo.localhost: proven at 1 of 1 live edges, served by 1\n";
    assert!(said.starts_with(proven), "{said}");
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
    demo.stop();
}

#[test]
fn the_commands_of_the_audit_run() {
    let [list, export, verify] = run_blocks("docs/operate/audit.md");
    let demo = Demo::start();

    let listed = demo.run(&list);
    assert!(listed.contains("SetCdnDomainSSLCertificate"), "{listed}");

    let exported = demo.run(&export);
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

    let verified = demo.run(&verify);
    assert!(verified.contains("\n  sound\n"), "{verified}");

    demo.stop();
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
