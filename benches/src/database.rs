//! The stores that a bench compares.

use std::{any::Any, path::Path, process::Command};

use edgeseal_testing::{patroni::PatroniCluster, postgres::PostgresServer};
use tempfile::TempDir;

use crate::BenchResult;

/// Where servers keep what they store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StoreKind {
    /// The default: SQLite in the data directory of the only server
    Sqlite,
    /// One PostgreSQL server
    Postgres,
    /// PostgreSQL with two standbys that commits do not wait for, under Patroni
    Asynchronous,
    /// The same, and commits wait for one of them
    Synchronous,
}

/// A database that several servers share; ends when dropped.
pub(crate) struct Database {
    _server: Box<dyn Any>,
    _files: TempDir,
    /// The settings of a server that uses it, in TOML.
    pub(crate) config: String,
}

impl StoreKind {
    /// Starts the database, and makes a key for `program`; `None` for SQLite.
    pub(crate) fn start(self, program: &Path) -> BenchResult<Option<Database>> {
        const SCHEMA: &str = "edgeseal";
        let (server, url): (Box<dyn Any>, _) = match self {
            Self::Sqlite => return Ok(None),
            Self::Postgres => {
                let server = PostgresServer::start();
                let url = server.url(SCHEMA);
                (Box::new(server), url)
            }
            Self::Asynchronous | Self::Synchronous => {
                if let Some(why) = PatroniCluster::unavailable() {
                    return Err(why.into());
                }
                let cluster = PatroniCluster::start();
                cluster.wait_until_whole();
                if self == Self::Asynchronous {
                    cluster.make_asynchronous();
                }
                let url = cluster.url(SCHEMA);
                (Box::new(cluster), url)
            }
        };
        let files = tempfile::tempdir()?;
        let kek = files.path().join("kek");
        let made = Command::new(program)
            .args(["kek", "generate"])
            .arg(&kek)
            .output()?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into());
        }
        Ok(Some(Database {
            config: format!("store = \"{url}\"\nkek = \"file:{}\"\n", kek.display()),
            _server: server,
            _files: files,
        }))
    }

    /// What figures are called that were measured with it.
    pub(crate) const fn label(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("PostgreSQL"),
            Self::Asynchronous => Some("PostgreSQL, asynchronous"),
            Self::Synchronous => Some("PostgreSQL, synchronous"),
        }
    }
}
