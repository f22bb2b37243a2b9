//! `edgeseal store …`: moves a store to another engine or place.

mod progress;

use std::process::ExitCode;

use clap::Subcommand;
use edgeseal_store::{
    Fault,
    copy::{Copier, CopyError, CopySource, CopyTarget, reopen},
    open::StoreUrl,
    postgres::PostgresCopy,
    sqlite::{SqliteSource, SqliteTarget},
};
use serde_json::json;
use tokio::sync::watch;

use super::{
    CliError,
    backup::copy_error,
    output::{say, warn_line},
    store_args::StoreArgs,
};
use crate::{clock, error_chain::error_chain};
pub(super) use progress::ProgressLine;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Copy a store into an empty one while its servers run, compare both, and let the source take no
    /// more changes; goes on with a copy that was interrupted
    Copy {
        /// The store to copy: sqlite:PATH or postgres://USER@HOST/DATABASE
        #[arg(long, value_name = "URL")]
        from: StoreUrl,
        /// The store to create
        #[arg(long, value_name = "URL")]
        to: StoreUrl,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a store take changes again that was moved, or whose copy was given up
    Reopen {
        #[command(flatten)]
        store: StoreArgs,
    },
}

impl Command {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        match self {
            Self::Copy { from, to, json } => copy(&from, &to, json).await?,
            Self::Reopen { store } => reopen_store(&store.load()?.store_url()).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn copy(from: &StoreUrl, to: &StoreUrl, json: bool) -> Result<(), CliError> {
    let source = open_source(from).await?;
    if source.name() == to.name() {
        return Err(copy_failure(&CopyError::Same(to.name())));
    }
    let target = open_target(to).await?;
    let (interrupt, interrupted) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            warn_line!("the copy ends; the same command goes on with it");
            interrupt.send_replace(true);
        }
        // Without a handler nobody interrupts: the sender lives as long as the process.
        interrupt.closed().await;
    });
    let progress = ProgressLine::new();
    let copier = Copier {
        source: &*source,
        target: &*target,
        observe: &|step| progress.show(&step),
        clock: clock::now,
        interrupted,
    };
    let copied = copier.run().await.map_err(|error| copy_failure(&error))?;
    let (source, target) = (source.name(), target.name());
    if json {
        let body = json!({
            "From": source,
            "To": target,
            "Records": copied.records,
            "Revision": copied.revision.0,
        });
        return say!("{body}");
    }
    say!(
        "{} records of {source} are in {target}, each compared",
        copied.records
    )?;
    say!("{source} takes no more changes: start the servers with the new store now")
}

async fn reopen_store(url: &StoreUrl) -> Result<(), CliError> {
    let source = open_source(url).await?;
    match reopen(&*source)
        .await
        .map_err(|fault| store_failure(&fault))?
    {
        None => say!("{} takes changes: nothing was done", source.name()),
        Some(marker) => {
            say!(
                "{} takes changes again; until now: {}",
                source.name(),
                marker.reason()
            )?;
            say!("changes from now on are in no copy of it")
        }
    }
}

/// A store that is copied, beside its servers.
async fn open_source(url: &StoreUrl) -> Result<Box<dyn CopySource>, CliError> {
    Ok(match url.clone() {
        StoreUrl::Sqlite(path) => {
            let source = SqliteSource::open(&path).map_err(|error| copy_error(&error))?;
            Box::new(source)
        }
        StoreUrl::Postgres(url) => {
            let source = PostgresCopy::source(*url).await;
            Box::new(source.map_err(|fault| store_failure(&fault))?)
        }
        StoreUrl::Memory => return Err(in_memory()),
    })
}

/// A store that is copied into.
async fn open_target(url: &StoreUrl) -> Result<Box<dyn CopyTarget>, CliError> {
    Ok(match url.clone() {
        StoreUrl::Sqlite(path) => {
            let target = SqliteTarget::open(&path).map_err(|error| copy_error(&error))?;
            Box::new(target)
        }
        StoreUrl::Postgres(url) => {
            let target = PostgresCopy::target(*url).await;
            Box::new(target.map_err(|fault| store_failure(&fault))?)
        }
        StoreUrl::Memory => return Err(in_memory()),
    })
}

pub(super) fn in_memory() -> CliError {
    CliError::Usage("memory: is in one process: it can be neither copied nor checked".to_owned())
}

/// Wrong stores, damage, an interruption, or a store that fails.
fn copy_failure(error: &CopyError) -> CliError {
    let why = error_chain(error);
    match error {
        CopyError::Same(_)
        | CopyError::NotEmpty(_)
        | CopyError::OtherCopy { .. }
        | CopyError::SourceReadOnly { .. } => CliError::Usage(why),
        CopyError::Different(_) => CliError::Data(why),
        CopyError::Interrupted => CliError::Interrupted(why),
        CopyError::LogTooShort
        | CopyError::TargetNotOpen { .. }
        | CopyError::BothOpen { .. }
        | CopyError::Store(_) => CliError::StoreFailed(why),
        CopyError::StillStopped { failure, .. } => match copy_failure(failure) {
            CliError::Data(_) => CliError::Data(why),
            CliError::Interrupted(_) => CliError::Interrupted(why),
            _ => CliError::StoreFailed(why),
        },
    }
}

pub(super) fn store_failure(fault: &Fault) -> CliError {
    CliError::StoreFailed(error_chain(fault))
}
