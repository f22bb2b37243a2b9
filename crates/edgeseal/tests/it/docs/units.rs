//! The units of systemd, which `docs/operate/install.md` shows and `packaging/systemd` contains.

use std::{fs, process::Command};

use super::{path, read_document};
use crate::harness::server::BINARY;

const UNITS: [&str; 3] = [
    "edgeseal.service",
    "edgeseal.socket",
    "edgeseal-http.socket",
];

#[test]
fn the_unit_of_the_page_is_the_one_that_is_packaged() {
    let page = read_document("docs/operate/install.md");
    let shown = page.split("```ini\n").nth(1).unwrap();
    let shown = shown.split("```").next().unwrap();
    assert_eq!(shown, read_document("packaging/systemd/edgeseal.service"));
}

/// What systemd does not know it ignores, with a warning.
#[test]
fn systemd_knows_every_line_of_the_units() {
    let installed = Command::new("systemd-analyze").arg("--version").output();
    if installed.is_err() {
        eprintln!("skipped: systemd-analyze is not installed: apt-get install systemd");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let verify = |service: &dyn Fn(String) -> String| {
        let units = UNITS.map(|name| {
            let unit = fs::read_to_string(path("packaging/systemd").join(name)).unwrap();
            let copy = folder.path().join(name);
            fs::write(&copy, service(unit)).unwrap();
            copy
        });
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .args(units)
            .output()
            .unwrap();
        let said = String::from_utf8(verified.stderr).unwrap();
        (verified.status.success(), said)
    };
    let installed = |unit: String| unit.replace("/usr/local/bin/edgeseal", BINARY);
    assert_eq!(verify(&installed), (true, String::new()));
    let (_, said) = verify(&|unit| installed(unit).replace("LimitCORE", "LimitCORES"));
    assert!(said.contains("LimitCORES"), "{said}");
}
