//! The writer of this process: commits all queued transactions together, in one round trip.
//!
//! The outcome of a commit is known or found out, never guessed. If the connection breaks, the new one
//! first takes the right to write away from the old one, under the lock, and only then looks whether
//! the batch was committed: what is not there then never will be, and is sent again. That step writes
//! too, so its own commit shows that everything before it is replicated.

use std::{sync::Arc, time::Duration};

use edgeseal_core::{Backoff, Timestamp};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, timeout},
};
use tokio_postgres::{Row, Statement, error::SqlState};

use super::{
    batch::Batch,
    connect::{Connector, STATEMENT_TIMEOUT, Session, SqlError},
};
use crate::{CommitError, Fault, Key, Revision, Txn, open::lineage_step, random};

/// A transaction that waits for the writer.
pub(super) struct Job {
    pub(super) txn: Txn,
    pub(super) reply: oneshot::Sender<Result<Revision, CommitError>>,
    /// When its caller stops waiting. It is not begun after that.
    pub(super) until: Instant,
}

pub(super) struct Writer {
    connector: Arc<Connector>,
    session: Option<WriterSession>,
    /// What the last session wrote with.
    token: i64,
    head: Arc<watch::Sender<Revision>>,
    /// `synchronous_standby_names` at the last commit: empty if commits wait for no standby.
    standbys: watch::Sender<String>,
    clock: fn() -> Timestamp,
}

struct WriterSession {
    session: Session,
    token: i64,
    commit: Statement,
    notify: Statement,
}

/// The verdicts of a batch.
struct Outcome {
    /// Revision of the first transaction that was committed.
    first: i64,
    /// For each transaction, the key at which it conflicted.
    conflicts: Vec<Option<String>>,
}

enum Failure {
    /// Nothing was written, and another attempt would not help.
    Refused(SqlError),
    /// Nothing was written; another attempt may help.
    Again(SqlError),
    /// It may have been written.
    Unknown(SqlError),
    /// There is no connection.
    Unreachable(Box<dyn std::error::Error + Send + Sync>),
}

/// Transactions that share one round trip and one `fsync`.
const BATCH: usize = 256;
/// Bytes of values in one batch, about.
const BATCH_BYTES: usize = 4 << 20;
/// How long a caller waits, fail-over included.
pub(super) const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(1));
/// How far the clock of this machine may be from the database's for changes to be accepted.
pub(super) const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(60);
/// A commit before this one has held the lock for seconds: it may wait for a standby that has gone to
/// another primary.
const LOCK_HELD: &str = "55P03";
/// Raised by our functions: another connection took over.
const FENCED: &str = "ES001";

pub(super) const COMMIT_SQL: &str = "SELECT first, conflicts, standbys FROM commit_batch_1(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";

impl Writer {
    pub(super) fn new(
        connector: Arc<Connector>,
        head: Arc<watch::Sender<Revision>>,
        standbys: watch::Sender<String>,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            connector,
            session: None,
            token: 0,
            head,
            standbys,
            clock,
        }
    }

    /// Connects for the first time, so that a store that opens can write.
    pub(super) async fn start(&mut self) -> Result<(), Fault> {
        match self.connected().await {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.into_fault()),
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.recv().await {
            let mut bytes = first.txn.value_bytes();
            let mut batch = vec![first];
            while batch.len() < BATCH
                && bytes < BATCH_BYTES
                && let Ok(job) = jobs.try_recv()
            {
                bytes += job.txn.value_bytes();
                batch.push(job);
            }
            self.commit(batch).await;
        }
    }

    async fn commit(&mut self, batch: Vec<Job>) {
        let now = Instant::now();
        let (batch, late): (Vec<Job>, Vec<Job>) =
            batch.into_iter().partition(|job| job.until > now);
        fail_all(
            late,
            &Fault::new("commit: the database was not reachable in time"),
        );
        // Callers whose time is over do not wait any more.
        let Some(until) = batch.iter().map(|job| job.until).max() else {
            return;
        };
        match self.committed(&batch, until).await {
            Ok(outcome) => self.answer(batch, outcome),
            Err(failure) => {
                let fault = failure.into_fault();
                // Many times, while the store is being moved.
                if fault.read_only().is_none() {
                    tracing::error!(
                        error = &fault as &(dyn std::error::Error + 'static),
                        transactions = batch.len(),
                        "commit failed"
                    );
                }
                fail_all(batch, &fault);
            }
        }
    }

    /// The verdicts, found out by as many attempts as there is time for.
    async fn committed(&mut self, batch: &[Job], until: Instant) -> Result<Outcome, Failure> {
        let id = random_id();
        let mut in_doubt = false;
        for attempt in 0.. {
            let failure = match self.attempt(batch, id, &mut in_doubt).await {
                Ok(outcome) => return Ok(outcome),
                Err(refused @ Failure::Refused(_)) => return Err(refused),
                Err(failure) => failure,
            };
            let delay = BACKOFF.full_jitter(attempt, random::u32()) + BACKOFF.base;
            if Instant::now() + delay >= until {
                return Err(if in_doubt {
                    failure.in_doubt()
                } else {
                    failure
                });
            }
            // Of an outage, the first attempt and the outcome.
            if attempt == 0 {
                tracing::warn!(error = %failure, "a commit is tried again");
            } else {
                tracing::debug!(error = %failure, attempt, "a commit is tried again");
            }
            sleep(delay).await;
        }
        unreachable!("attempts end with the time")
    }

    async fn attempt(
        &mut self,
        batch: &[Job],
        id: i64,
        in_doubt: &mut bool,
    ) -> Result<Outcome, Failure> {
        let clock = self.clock;
        let session = self.connected().await?;
        let now = clock();
        let result = session.commit_once(batch, id, now, in_doubt).await;
        match result {
            Ok((outcome, standbys)) => {
                if let Some(found) = standbys {
                    self.standbys.send_if_modified(|known| {
                        let is_news = *known != found;
                        *known = found;
                        is_news
                    });
                }
                Ok(outcome)
            }
            Err(failure) => {
                *in_doubt |= matches!(failure, Failure::Unknown(_));
                if failure.ends_session()
                    && let Some(ended) = self.session.take()
                {
                    self.connector.distrust(ended.session.host);
                }
                Err(failure)
            }
        }
    }

    async fn connected(&mut self) -> Result<&WriterSession, Failure> {
        if self
            .session
            .as_ref()
            .is_some_and(|it| it.session.client.is_closed())
        {
            self.session = None;
        }
        if self.session.is_none() {
            let (session, head) = WriterSession::open(&self.connector, self.token).await?;
            self.token = session.token;
            self.connector.next_generation();
            publish(&self.head, head);
            self.session = Some(session);
        }
        self.session
            .as_ref()
            .ok_or_else(|| Failure::Unreachable("there is no session".into()))
    }

    fn answer(&self, batch: Vec<Job>, outcome: Outcome) {
        let mut head = Revision(outcome.first.cast_unsigned() - 1);
        let mut answers = Vec::with_capacity(batch.len());
        for (job, conflict) in batch.into_iter().zip(outcome.conflicts) {
            let result = match conflict {
                Some(key) => Err(CommitError::Conflict {
                    key: Key::from_stored(&key),
                }),
                None => {
                    head.0 += job.txn.revisions();
                    Ok(head)
                }
            };
            answers.push((job.reply, result));
        }
        if answers.iter().any(|(_, result)| result.is_ok()) {
            // Followers first: a caller may ask for changes as soon as it has its reply.
            publish(&self.head, head);
            if let Some(session) = &self.session {
                session.notify(head.0);
            }
        }
        for (reply, result) in answers {
            // The caller may have been dropped.
            let _ = reply.send(result);
        }
    }
}

/// Moves the head on.
pub(super) fn publish(head: &watch::Sender<Revision>, found: Revision) {
    head.send_if_modified(|known| {
        let is_newer = found > *known;
        *known = found.max(*known);
        is_newer
    });
}

impl WriterSession {
    /// A session that may write, and the head. The session with the token `old` may not write any
    /// more.
    async fn open(connector: &Connector, old: i64) -> Result<(Self, Revision), Failure> {
        let session = connector
            .connect()
            .await
            .map_err(|error| Failure::Unreachable(error.into()))?;
        let host = session.host;
        let admitted = Self::admit(session, old).await;
        admitted.inspect_err(|_| connector.distrust(host))
    }

    async fn admit(session: Session, old: i64) -> Result<(Self, Revision), Failure> {
        let token = random_id();
        let opened = async {
            let client = &session.client;
            let step = lineage_step().cast_signed();
            let row = client
                .query_one("SELECT admit_writer_1($1, $2, $3)", &[&old, &token, &step])
                .await?;
            let head: i64 = row.try_get(0)?;
            let commit = client.prepare(COMMIT_SQL).await?;
            let notify = "SELECT pg_notify(current_schema(), $1)";
            let notify = client.prepare(notify).await?;
            Ok::<_, tokio_postgres::Error>((head, commit, notify))
        };
        let timed_out = SqlError::TimedOut(STATEMENT_TIMEOUT);
        let (head, commit, notify) = timeout(STATEMENT_TIMEOUT, opened)
            .await
            .map_err(|_| Failure::Unreachable(timed_out.into()))?
            .map_err(|error| Failure::Unreachable(SqlError::from(error).into()))?;
        if session.take_warning() {
            let why = "the server does not say that its standbys have everything";
            return Err(Failure::Unreachable(why.into()));
        }
        let opened = Self {
            session,
            token,
            commit,
            notify,
        };
        Ok((opened, Revision(head.cast_unsigned())))
    }

    /// Commits, unless that was done before: the session that it is in doubt of can write no more.
    async fn commit_once(
        &self,
        jobs: &[Job],
        id: i64,
        now: Timestamp,
        in_doubt: &mut bool,
    ) -> Result<(Outcome, Option<String>), Failure> {
        if *in_doubt {
            if let Some(outcome) = self.look_up(id).await? {
                return Ok((outcome, None));
            }
            *in_doubt = false;
        }
        let (outcome, standbys) = self.commit(jobs, id, now).await?;
        Ok((outcome, Some(standbys)))
    }

    /// Commits, and returns the verdicts with `synchronous_standby_names`.
    async fn commit(
        &self,
        jobs: &[Job],
        id: i64,
        now: Timestamp,
    ) -> Result<(Outcome, String), Failure> {
        let batch = Batch::of(jobs.iter().map(|job| &job.txn));
        let difference_max = CLOCK_DIFFERENCE_MAX.as_millis() as i64;
        let fixed: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&self.token, &id, &now.unix_ms(), &difference_max];
        let parameters: Vec<_> = fixed.into_iter().chain(batch.parameters()).collect();
        let answered = timeout(
            STATEMENT_TIMEOUT,
            self.session.client.query_one(&self.commit, &parameters),
        );
        let row = match answered.await {
            Ok(Ok(row)) => row,
            Ok(Err(error)) => return Err(Failure::of(error.into())),
            Err(_) => return Err(Failure::Unknown(SqlError::TimedOut(STATEMENT_TIMEOUT))),
        };
        if self.session.take_warning() {
            return Err(Failure::Unknown(SqlError::Warned));
        }
        let read = || Ok::<_, tokio_postgres::Error>((outcome(&row)?, row.try_get("standbys")?));
        read().map_err(|error| Failure::Unknown(error.into()))
    }

    /// The verdicts of a batch, if it was committed.
    async fn look_up(&self, id: i64) -> Result<Option<Outcome>, Failure> {
        let select = "SELECT first, conflicts FROM commits WHERE id = $1";
        let found = async {
            let row = self.session.client.query_opt(select, &[&id]).await?;
            row.as_ref().map(outcome).transpose()
        };
        match timeout(STATEMENT_TIMEOUT, found).await {
            Ok(found) => found.map_err(|error| Failure::Unknown(error.into())),
            Err(_) => Err(Failure::Unknown(SqlError::TimedOut(STATEMENT_TIMEOUT))),
        }
    }

    /// Wakes the other processes, after the commit: a full queue of notifications fails no commit.
    /// Nobody waits for it; those who miss it look by themselves.
    fn notify(&self, head: u64) {
        let client = Arc::clone(&self.session.client);
        let statement = self.notify.clone();
        tokio::spawn(async move {
            let _ = client.execute(&statement, &[&head.to_string()]).await;
        });
    }
}

fn outcome(row: &Row) -> Result<Outcome, tokio_postgres::Error> {
    Ok(Outcome {
        first: row.try_get("first")?,
        conflicts: row.try_get("conflicts")?,
    })
}

impl Failure {
    /// What an error of a batch says about the batch.
    fn of(error: SqlError) -> Self {
        let Some(code) = error.code().map(SqlState::code) else {
            return Self::Unknown(error);
        };
        match code {
            FENCED => Self::Again(error),
            _ => match &code[..2] {
                // Serialization, locks, a server that became a standby.
                "40" | "55" | "25" => Self::Again(error),
                // It took too long. A wait for a standby that is cancelled is a warning instead.
                "57" if code == "57014" => Self::Again(error),
                // The server or the connection ends.
                "57" | "08" => Self::Unknown(error),
                _ => Self::Refused(error),
            },
        }
    }

    fn ends_session(&self) -> bool {
        match self {
            Self::Unknown(_) | Self::Unreachable(_) => true,
            Self::Again(error) => {
                let code = error.code().map(SqlState::code);
                code.is_some_and(|code| {
                    code == FENCED || code == LOCK_HELD || code.starts_with("25")
                })
            }
            Self::Refused(_) => false,
        }
    }

    /// As the outcome of a batch of which an earlier attempt may have been committed.
    fn in_doubt(self) -> Self {
        match self {
            Self::Again(error) => Self::Unknown(error),
            Self::Unreachable(cause) => Self::Unknown(SqlError::Unreachable(cause)),
            other => other,
        }
    }

    fn into_fault(self) -> Fault {
        match self {
            Self::Refused(error) | Self::Again(error) => match error.read_only() {
                Some(read_only) => read_only.into_fault(),
                None => Fault::of("commit")(error),
            },
            Self::Unknown(error) => Fault::of("commit: whether it was done is not known")(error),
            Self::Unreachable(cause) => Fault {
                operation: "reach the database",
                cause: Some(cause),
            },
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(error) | Self::Again(error) | Self::Unknown(error) => error.fmt(f),
            Self::Unreachable(cause) => cause.fmt(f),
        }
    }
}

fn fail_all(batch: Vec<Job>, fault: &Fault) {
    for job in batch {
        if let Some(read_only) = fault.read_only() {
            let fault = read_only.clone().into_fault();
            let _ = job.reply.send(Err(fault.into()));
            continue;
        }
        let operation = fault.operation;
        let cause = fault.cause.as_ref().map(ToString::to_string);
        let fault = Fault {
            operation,
            cause: cause.map(Into::into),
        };
        let _ = job.reply.send(Err(fault.into()));
    }
}

fn random_id() -> i64 {
    // Positive, so that it reads well in the tables.
    i64::from_ne_bytes(random::bytes()) & i64::MAX
}
