//! Checks that only the owner can access the stored files.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{DoctorError, Report};
use crate::{config::Config, kek::KekSource};

/// Files in the data directory that only their owner may access.
const PRIVATE_FILES: &[&str] = &[
    "credentials.json",
    "addresses.json",
    "store.db",
    "store.db-wal",
    "store.db-shm",
    "store.db.lock",
    "edge/replica.sqlite",
    "edge/replica.sqlite-wal",
    "edge/replica.sqlite-shm",
    "takeover/ca.key",
    "takeover/api.key",
    "demo/ca.key",
];
/// Directories in it that only their owner may access.
const DIRECTORIES: &[&str] = &["", "edge", "takeover", "demo"];

pub(super) fn examine(config: &Config, report: &mut Report) -> Result<(), DoctorError> {
    let mut files: Vec<PathBuf> = PRIVATE_FILES
        .iter()
        .map(|name| config.data.join(name))
        .collect();
    for source in config.kek_sources() {
        if let KekSource::File(path) = source {
            files.push(path);
        }
    }
    let mut checked = 0;
    for path in &files {
        checked += check(
            path,
            "chmod 600 it; if others could read it, rotate what it holds",
            report,
        );
    }
    for name in DIRECTORIES {
        checked += check(&config.data.join(name), "chmod 700 it", report);
    }
    report.checked(format!(
        "the permissions of {checked} files and directories"
    ));
    Ok(())
}

/// Returns how many were checked: one, or none if it does not exist.
fn check(path: &Path, cure: &'static str, report: &mut Report) -> u32 {
    match fs::metadata(path) {
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                let what = format!(
                    "{} has mode {mode:04o}: it is open to others",
                    path.display()
                );
                report.problem(what, cure);
            }
            1
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => {
            let what = format!("{} cannot be checked: {error}", path.display());
            report.problem(what, "run this as the user that Edgeseal runs as");
            1
        }
    }
}
