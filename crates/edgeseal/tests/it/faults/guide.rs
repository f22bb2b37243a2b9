//! `docs/guides/high-availability.md`, carried out: its files and commands, on machines with its
//! addresses.

use std::{
    fs,
    process::{Command, Stdio},
};

use edgeseal_testing::patroni::PatroniCluster;

use crate::harness::server::BINARY;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The blocks of a page, each named by the number of its section and its own number in it.
fn blocks(page: &str) -> Vec<(String, &str)> {
    let sections = page.split("\n## ").enumerate().skip(1);
    let named = sections.flat_map(|(section, text)| {
        let blocks = text.split("\n```").enumerate();
        // What is between the blocks has the even numbers.
        let blocks = blocks.filter(|(number, _)| number % 2 == 1);
        blocks.map(move |(number, block)| {
            let (_, content) = block.split_once('\n').unwrap();
            (format!("{section}.{}", number.div_ceil(2)), content)
        })
    });
    named.collect()
}

#[test]
#[ignore = "long: ./test faults"]
fn the_guide_leads_to_sites_that_survive_their_primary() {
    if let Some(why) = PatroniCluster::unavailable() {
        panic!("{why}");
    }
    let folder = tempfile::tempdir().unwrap();
    let page = fs::read_to_string(format!("{ROOT}/docs/guides/high-availability.md")).unwrap();
    for (name, block) in blocks(&page) {
        fs::write(folder.path().join(name), format!("{block}\n")).unwrap();
    }
    let mut script = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "bash",
        ])
        .arg(format!("{ROOT}/crates/edgeseal/tests/it/faults/guide.sh"))
        .env("BLOCKS", folder.path())
        .env("EDGESEAL", BINARY)
        .env("UNIT", format!("{ROOT}/packaging/systemd/edgeseal.service"))
        // It ends when this is closed.
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // Waiting as such would close it.
    let alive = script.stdin.take();
    let status = script.wait().unwrap();
    drop(alive);
    assert!(status.success(), "what it printed says why");
}
