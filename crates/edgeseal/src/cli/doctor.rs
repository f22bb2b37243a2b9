//! `edgeseal doctor`

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{
    CliError, EX_DATA,
    output::{pluralize, say},
    store_args::StoreArgs,
};
use crate::doctor::{self, ExamineOptions, Finding, Report};

#[derive(Args)]
pub(super) struct Command {
    #[command(flatten)]
    store: StoreArgs,
    /// Most handshakes with the edge, spread evenly over all domains
    #[arg(long, value_name = "N", default_value_t = 5000)]
    handshakes: usize,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let config = self.store.load()?;
        let effort = ExamineOptions {
            handshakes: self.handshakes,
        };
        let report = doctor::examine(&config, effort).await?;
        if self.json {
            say!("{}", as_json(&report))?;
        } else {
            print(&report)?;
        }
        match report.problems.len() {
            0 => Ok(ExitCode::SUCCESS),
            _ => Ok(ExitCode::from(EX_DATA)),
        }
    }
}

fn print(report: &Report) -> Result<(), CliError> {
    for line in &report.checked {
        say!("checked {line}")?;
    }
    for (kind, found) in [("warning", &report.warnings), ("problem", &report.problems)] {
        for one in found {
            say!("{kind}: {}\n  {}", one.summary, one.remedy)?;
        }
    }
    let warnings = pluralize(report.warnings.len(), "warning");
    match (report.problems.len(), report.warnings.len()) {
        (0, 0) => say!("everything is as it should be"),
        (0, _) => say!("no problem, {warnings}"),
        (problems, 0) => say!("{}", pluralize(problems, "problem")),
        (problems, _) => say!("{}, {warnings}", pluralize(problems, "problem")),
    }
}

fn as_json(report: &Report) -> Value {
    let all = |found: &[Finding]| {
        let each = found.iter();
        Value::from_iter(each.map(|one| json!({ "What": one.summary, "Cure": one.remedy })))
    };
    json!({
        "Sound": report.problems.is_empty(),
        "LookedAt": report.checked,
        "Problems": all(&report.problems),
        "Warnings": all(&report.warnings),
    })
}
