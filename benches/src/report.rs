//! The report: a table for people, and JSON lines for machines.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use comfy_table::{Cell, CellAlignment, Table, presets::NOTHING};
use edgeseal_testing::clock::now;
use serde_json::{Value, json};

use crate::{BenchResult, peer};

/// All figures of one run.
pub(crate) struct Report {
    bench: &'static str,
    machine: Value,
    setup: Vec<String>,
    figures: Vec<Figure>,
}

/// One figure over all rounds.
struct Figure {
    name: String,
    unit: &'static str,
    rounds: Vec<f64>,
    lower_is_better: bool,
    aim: Option<f64>,
}

impl Report {
    pub(crate) fn new(bench: &'static str, program: &Path) -> Self {
        let machine = json!({
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "cpu": cpu_model(),
            "load_before": load(),
            "edgeseal": first_line(program, &["--version"]),
            "nginx": first_line(&peer::program("nginx"), &["-v"]),
            "haproxy": first_line(&peer::program("haproxy"), &["-v"]),
            "caddy": first_line(&peer::program("caddy"), &["version"]),
            "kernel": first_line(Path::new("uname"), &["-r"]),
            "commit": first_line(Path::new("git"), &["rev-parse", "--short", "HEAD"]),
        });
        Self {
            bench,
            machine,
            setup: Vec::new(),
            figures: Vec::new(),
        }
    }

    /// Prints how it was measured.
    pub(crate) fn setup(&mut self, line: String) {
        println!("{line}");
        self.setup.push(line);
    }

    /// Adds the value of one round.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, value: f64) -> &mut Self {
        let digits = if value < 10.0 { 3 } else { 1 };
        println!("  {name}: {value:.digits$} {unit}");
        let known = self.figures.iter_mut().find(|have| have.name == name);
        match known {
            Some(figure) => figure.rounds.push(value),
            None => self.figures.push(Figure {
                name: name.to_owned(),
                unit,
                rounds: vec![value],
                lower_is_better: unit != "calls/s",
                aim: None,
            }),
        }
        self
    }

    /// The target for the median of a figure.
    pub(crate) fn target(&mut self, name: &str, aim: f64) {
        let figure = self.figures.iter_mut().find(|figure| figure.name == name);
        if let Some(figure) = figure {
            figure.aim = Some(aim);
        }
    }

    /// Adds the ratio of two medians.
    pub(crate) fn ratio(&mut self, name: &str, of: &str, to: &str) {
        let value = self.median(of) / self.median(to);
        self.add(name, "ratio", value);
    }

    /// The median of a figure so far.
    pub(crate) fn median(&self, name: &str) -> f64 {
        let figure = self.figures.iter().find(|figure| figure.name == name);
        figure.map_or(f64::NAN, Figure::median)
    }

    /// Prints the table and appends the lines to `benches/out/figures.jsonl`.
    pub(crate) fn finish(self) -> BenchResult<()> {
        let directory = out_directory();
        fs::create_dir_all(&directory)?;
        let path = directory.join("figures.jsonl");
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(["figure", "median", "best", "aim", "unit", ""]);
        for figure in &self.figures {
            table.add_row(figure.row());
            let line = json!({
                "at": now().to_string(),
                "bench": self.bench,
                "figure": figure.name,
                "unit": figure.unit,
                "median": figure.median(),
                "best": figure.best(),
                "rounds": figure.rounds,
                "aim": figure.aim,
                "met": figure.met(),
                "setup": self.setup,
                "machine": self.machine,
                "load_after": load(),
            });
            writeln!(file, "{line}")?;
        }
        println!("\n{}\n", self.machine);
        println!("{table}\n\nappended to {}", path.display());
        Ok(())
    }
}

impl Figure {
    fn median(&self) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    fn best(&self) -> f64 {
        let pick = if self.lower_is_better {
            f64::min
        } else {
            f64::max
        };
        self.rounds.iter().copied().reduce(pick).unwrap_or(f64::NAN)
    }

    fn met(&self) -> Option<bool> {
        let median = self.median();
        self.aim.map(|aim| {
            if self.lower_is_better {
                median <= aim
            } else {
                median >= aim
            }
        })
    }

    fn row(&self) -> [Cell; 6] {
        let number = |value: f64| {
            let digits = if value < 10.0 { 2 } else { 0 };
            Cell::new(format!("{value:.digits$}")).set_alignment(CellAlignment::Right)
        };
        let sign = if self.lower_is_better { "≤" } else { "≥" };
        [
            Cell::new(&self.name),
            number(self.median()),
            number(self.best()),
            Cell::new(
                self.aim
                    .map_or_else(String::new, |aim| format!("{sign} {aim}")),
            ),
            Cell::new(self.unit),
            Cell::new(match self.met() {
                None => "",
                Some(true) => "met",
                Some(false) => "MISSED",
            }),
        ]
    }
}

/// A value below which `share` of the sorted durations are, in milliseconds.
pub(crate) fn percentile_ms(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    let at = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted
        .get(at)
        .map_or(f64::NAN, |one| one.as_secs_f64() * 1e3)
}

fn out_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("out")
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let value = line.and_then(|line| line.split_once(": "));
    value.map_or("unknown", |(_, model)| model).to_owned()
}

/// One-minute load average.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// The version output of a program; some print it on standard error.
fn first_line(program: &Path, arguments: &[&str]) -> Option<String> {
    let said = Command::new(program).args(arguments).output().ok()?;
    let text = if said.stdout.is_empty() {
        said.stderr
    } else {
        said.stdout
    };
    String::from_utf8_lossy(&text)
        .lines()
        .next()
        .map(str::to_owned)
}
