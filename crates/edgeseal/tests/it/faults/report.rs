//! The table of what a fault costs.

use std::{fs, io::Write as _, path::Path, time::Duration};

use super::verdict::Verdict;

/// One row of the table.
pub(super) struct Report {
    fault: &'static str,
    gaps: Vec<Duration>,
    acknowledged: usize,
    unknown: usize,
    violations: Vec<String>,
}

const HEAD: &str = "| fault | rounds | changes acknowledged | outcome unknown | violations | no change for, median | worst |
|---|--:|--:|--:|--:|--:|--:|
";

impl Report {
    pub(super) const fn new(fault: &'static str) -> Self {
        Self {
            fault,
            gaps: Vec::new(),
            acknowledged: 0,
            unknown: 0,
            violations: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, verdict: &Verdict, gap: Duration) {
        self.gaps.push(gap);
        self.acknowledged += verdict.acknowledged;
        self.unknown += verdict.unknown;
        self.violations.extend(verdict.violations.iter().cloned());
    }

    /// Adds the row to `target/test/faults.md`, and fails the test if something did not hold.
    pub(super) fn finish(mut self) {
        self.gaps.sort_unstable();
        let median = self.gaps[self.gaps.len() / 2].as_secs_f32();
        let worst = self.gaps[self.gaps.len() - 1].as_secs_f32();
        let row = format!(
            "| {} | {} | {} | {} | {} | {median:.1} s | {worst:.1} s |\n",
            self.fault,
            self.gaps.len(),
            self.acknowledged,
            self.unknown,
            self.violations.len(),
        );
        println!("{HEAD}{row}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test/faults.md");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let head = if path.exists() { "" } else { HEAD };
        let file = fs::File::options().append(true).create(true).open(path);
        write!(file.unwrap(), "{head}{row}").unwrap();
        assert!(
            self.violations.is_empty(),
            "{}:\n{}",
            self.fault,
            self.violations.join("\n")
        );
    }
}
