//! `edgeseal audit verify`: reads the store directly, whether or not a server runs.

use std::process::ExitCode;

use clap::Args;
use edgeseal_core::{AccountId, Secret, Timestamp};
use edgeseal_store::{
    Catalog, Fault, Keyring,
    audit_chain::{ChainKey, ExpectedHead, Mac, Report},
};
use serde_json::{Value, json};

use crate::{
    cli::{CliError, EX_DATA, output::say, store_args::StoreArgs},
    clock,
    config::Config,
    doctor::{StoreView, ViewError},
    kek,
};

#[derive(Args)]
pub(in crate::cli) struct Command {
    #[command(flatten)]
    store: StoreArgs,
    /// Check this account only
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// The head of the account's chain from an earlier report: detects a truncated chain
    #[arg(long, value_name = "N:MAC", requires = "account")]
    head: Option<String>,
    /// Print the report as JSON, one object per line
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let expected = self.head.as_deref().map(parse_head).transpose()?;
        let one = self.account.as_deref().map(parse_account).transpose()?;
        let config = self.store.load()?;
        let catalog = open_catalog(&config).await?;
        let key = match catalog.chain_key().await.map_err(data_error)? {
            Some(key) => key,
            // Never created, or removed: a random secret makes every link count as forged.
            None => ChainKey::new(&Secret::new(Keyring::generate().as_bytes().to_vec())),
        };
        let accounts = match one {
            Some(one) => vec![one],
            None => catalog.audited_accounts().await.map_err(data_error)?,
        };
        let now = clock::now();
        let mut problems = 0;
        for account in accounts {
            let verified = catalog.verify_audit(&account, expected, &key, now).await;
            let report = verified.map_err(data_error)?;
            problems += report.problems_total;
            if self.json {
                say!("{}", as_json(&report))?;
            } else {
                print(&report)?;
            }
        }
        match problems {
            0 => Ok(ExitCode::SUCCESS),
            _ => Ok(ExitCode::from(EX_DATA)),
        }
    }
}

/// A read-only snapshot of the store.
async fn open_catalog(config: &Config) -> Result<Catalog, CliError> {
    let view = StoreView::open(config).await.map_err(|error| match error {
        ViewError::Open(error) => CliError::Data(error.to_string()),
        ViewError::Database { .. } => CliError::StoreFailed(error.to_string()),
        ViewError::InMemory => CliError::Usage(error.to_string()),
    })?;
    let sources = config.kek_sources();
    let keyring = kek::read_all(&sources).await;
    let keyring = keyring.map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(Catalog::new(view.into_shared(), keyring))
}

fn parse_head(text: &str) -> Result<ExpectedHead, CliError> {
    let parsed = text.split_once(':').and_then(|(n, mac)| {
        Some(ExpectedHead {
            n: n.parse().ok()?,
            mac: Mac::parse(mac)?,
        })
    });
    parsed.ok_or_else(|| {
        CliError::Usage(format!(
            "{text:?} is no head: a number, a colon, 64 hex digits"
        ))
    })
}

fn parse_account(text: &str) -> Result<AccountId, CliError> {
    AccountId::parse(text).map_err(|error| CliError::Usage(format!("--account: {error}")))
}

fn data_error(fault: Fault) -> CliError {
    let cause = fault.cause.as_ref().map(|cause| format!(": {cause}"));
    CliError::Data(format!("{fault}{}", cause.unwrap_or_default()))
}

fn print(report: &Report) -> Result<(), CliError> {
    let time = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    say!("account   {}", report.account)?;
    say!("  links   {}", report.links)?;
    say!(
        "  records {} linked, {} pending",
        report.records,
        report.pending
    )?;
    say!("  first   {}", time(report.first))?;
    say!("  last    {}", time(report.last))?;
    if let Some(before) = report.removed_before {
        say!("  removed for their age: records from before {before}")?;
    }
    match report.head {
        Some((n, mac)) => say!("  head    {n}:{mac}"),
        None => say!("  head    -"),
    }?;
    for remark in &report.warnings {
        say!("  note    {remark}")?;
    }
    for problem in &report.problems {
        say!("  problem {problem}")?;
    }
    let more = report.problems_total - report.problems.len() as u64;
    if more > 0 {
        say!("  and {more} more problems")?;
    }
    let verdict = if report.is_sound() {
        "sound"
    } else {
        "NOT SOUND"
    };
    say!("  {verdict}")
}

fn as_json(report: &Report) -> Value {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let remarks = report.warnings.iter().map(ToString::to_string);
    let problems = report.problems.iter().map(ToString::to_string);
    json!({
        "AccountId": report.account.to_string(),
        "Links": report.links,
        "Records": report.records,
        "Pending": report.pending,
        "First": time(report.first),
        "Last": time(report.last),
        "RemovedBefore": time(report.removed_before),
        "Head": report.head.map(|(n, mac)| format!("{n}:{mac}")),
        "Remarks": remarks.collect::<Vec<_>>(),
        "Problems": problems.collect::<Vec<_>>(),
        "ProblemsTotal": report.problems_total,
        "Sound": report.is_sound(),
    })
}
