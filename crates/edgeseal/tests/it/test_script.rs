//! `./test` itself: a suite that counts nothing, or crashes, does not pass.

use std::{fs, path::Path, process::Command};

/// The counts after one suite that runs this command in a directory of its own.
fn counted(command: &str) -> String {
    let script = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../test"));
    let script = script.unwrap();
    let from = script.find("\nsuite() {").unwrap();
    let end = from + script[from..].find("\n}\n").unwrap() + 3;
    let directory = tempfile::tempdir().unwrap();
    let run = format!(
        "set -uo pipefail; passed=0 failed=0; mkdir -p target/test\n{}\n\
         suite 'a suite' '([0-9]+) passed; ([0-9]+) failed;' {command} >/dev/null 2>&1\n\
         echo \"$passed $failed\"",
        &script[from..end]
    );
    let output = Command::new("bash")
        .args(["-c", &run])
        .current_dir(directory.path())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_suite_that_counts_nothing_fails() {
    for (command, expected) in [
        ("echo '3 passed; 0 failed;'", "3 0\n"),
        (
            "printf '3 passed; 1 failed;\\n2 passed; 2 failed;\\n'",
            "5 3\n",
        ),
        ("true", "0 1\n"),
        ("false", "0 1\n"),
        ("echo no count", "0 1\n"),
        ("sh -c 'echo 3 passed; 0 failed;; exit 1'", "0 1\n"),
        ("sh -c 'echo \"3 passed; 0 failed;\"; exit 1'", "3 1\n"),
        (
            "sh -c 'echo \"3 passed; 0 failed;\"; rm -r target'",
            "0 1\n",
        ),
    ] {
        assert_eq!(counted(command), expected, "{command}");
    }
}
