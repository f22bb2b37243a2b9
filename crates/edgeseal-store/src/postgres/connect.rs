//! Connections: to the server that takes writes, verified, with a deadline on everything.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use edgeseal_core::Secret;
use futures_util::future::poll_fn;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::{sync::watch, time::timeout};
use tokio_postgres::{
    AsyncMessage, Client, Config, NoTls,
    config::SslMode,
    error::{DbError, Severity, SqlState},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    PostgresUrl,
    url::{HostPort, TlsRoots},
};
use crate::copy::ReadOnly;

/// How long one host may take until the connection can be used. A host that is down costs this much
/// before the next one is tried.
const HOST_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a statement waits for a lock at the server: it then has done nothing, and says so. Less
/// than what follows, which would leave that unknown.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of a statement at the server.
const SERVER_TIMEOUT: Duration = Duration::from_secs(8);
/// How long the answer to a statement is waited for.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server keeps a connection whose node does not answer, and the node one whose server
/// does not.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// Raised by our functions: the store is being moved; the message is the marker.
const READ_ONLY: &str = "ES003";

/// Makes connections.
pub(super) struct Connector {
    pub(super) url: PostgresUrl,
    tls: Option<MakeRustlsConnect>,
    /// Index of the host that is tried first: the one that took the last connection, unless it was
    /// [distrusted](Connector::distrust) since.
    first: AtomicUsize,
    /// Counts the times that the writer had to connect again: connections from before may lead to a
    /// server that takes no writes any more.
    generation: AtomicU64,
}

/// A connection.
pub(super) struct Session {
    pub(super) client: Arc<Client>,
    /// Index of its host in the URL.
    pub(super) host: usize,
    /// Whether the server warned since [`Session::take_warning`]: a commit may then not be replicated.
    warned: Arc<AtomicBool>,
    /// The number in the newest notification; 0 before the first.
    pub(super) notified: watch::Receiver<u64>,
}

/// A failure of a statement or connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqlError {
    /// The server's refusal with its code; or a broken connection.
    #[error("{}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// The server is a standby, or takes no writes.
    #[error("it takes no writes")]
    ReadOnly,
    /// Keys are UTF-8.
    #[error("the encoding of the database is {0}; it must be UTF8")]
    Encoding(String),
    /// The server warned at the commit.
    #[error("the server warns that the commit may not be replicated")]
    Warned,
    /// The writer connected anew meanwhile: a server that was replaced goes on to answer reads, but
    /// what it says may be old.
    #[error("another server may have taken over")]
    Superseded,
    /// There is no connection any more.
    #[error("{0}")]
    Unreachable(Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The reason of each host.
    #[error("no server takes writes: {0}")]
    NoServer(String),
    /// The password cannot be read.
    #[error("the password file cannot be read: {0}")]
    Password(#[source] io::Error),
}

/// The settings of TLS cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the CAs for TLS cannot be read: {0}")]
pub(super) struct TlsError(String);

fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(refused) => format!("{} ({})", refused.message(), refused.code().code()),
        None => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}

impl SqlError {
    /// The code, if the server refused the statement.
    pub(super) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.as_db_error().map(DbError::code),
            _ => None,
        }
    }

    /// Why the store takes no changes, if that is the refusal.
    pub(super) fn read_only(&self) -> Option<ReadOnly> {
        let Self::Postgres(error) = self else {
            return None;
        };
        let refused = error.as_db_error()?;
        let is_marker = refused.code().code() == READ_ONLY;
        is_marker.then(|| ReadOnly::of_marker(refused.message().as_bytes()))
    }
}

impl Connector {
    pub(super) fn new(url: PostgresUrl) -> Result<Self, TlsError> {
        let tls = url.tls.as_ref().map(tls_config).transpose()?;
        let tls = tls.map(MakeRustlsConnect::new);
        Ok(Self {
            url,
            tls,
            first: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
        })
    }

    /// Changes when connections that are open should not be used any more.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// The server may be another one from now on.
    pub(super) fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Tries another host first from now on, because this one does not commit. After a fail-over the
    /// old primary may still accept connections, cut off from its standbys, and commits nothing.
    pub(super) fn distrust(&self, host: usize) {
        let next = (host + 1) % self.url.hosts.len();
        let (is, to) = (Ordering::Relaxed, Ordering::Relaxed);
        // Unless a connection to another host was made meanwhile.
        let _ = self.first.compare_exchange(host, next, is, to);
    }

    /// A connection to the first host that takes writes.
    pub(super) async fn connect(&self) -> Result<Session, ConnectError> {
        let password = self.url.password().map_err(ConnectError::Password)?;
        let mut reasons = Vec::new();
        let first = self.first.load(Ordering::Relaxed);
        let hosts = self.url.hosts.iter().enumerate().cycle().skip(first);
        for (index, host) in hosts.take(self.url.hosts.len()) {
            let connected = timeout(
                HOST_TIMEOUT,
                self.connect_to(index, host, password.as_ref()),
            )
            .await;
            let reason = match connected {
                Ok(Ok(session)) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(session);
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => SqlError::TimedOut(HOST_TIMEOUT).to_string(),
            };
            reasons.push(format!("{host}: {reason}"));
        }
        Err(ConnectError::NoServer(reasons.join("; ")))
    }

    async fn connect_to(
        &self,
        index: usize,
        host: &HostPort,
        password: Option<&Secret>,
    ) -> Result<Session, SqlError> {
        let mut config = Config::new();
        config
            .host(&host.host)
            .port(host.port)
            .user(&self.url.user)
            .dbname(&self.url.database)
            .application_name("edgeseal")
            .keepalives_idle(PEER_TIMEOUT)
            .keepalives_interval(PEER_TIMEOUT / 3)
            .keepalives_retries(3)
            .tcp_user_timeout(PEER_TIMEOUT);
        if let Some(password) = password {
            config.password(password.expose());
        }
        let session = match &self.tls {
            Some(tls) => {
                config.ssl_mode(SslMode::Require);
                let (client, connection) = config.connect(tls.clone()).await?;
                Session::drive(index, client, connection)
            }
            None => {
                config.ssl_mode(SslMode::Disable);
                let (client, connection) = config.connect(NoTls).await?;
                Session::drive(index, client, connection)
            }
        };
        session.prepare(&self.url.schema).await?;
        Ok(session)
    }
}

impl Session {
    fn drive<S, T>(
        host: usize,
        client: Client,
        mut connection: tokio_postgres::Connection<S, T>,
    ) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let warned = Arc::new(AtomicBool::new(false));
        let (notify, notified) = watch::channel(0);
        let flag = Arc::clone(&warned);
        tokio::spawn(async move {
            loop {
                match poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notice(notice)))
                        if notice.parsed_severity() == Some(Severity::Warning) =>
                    {
                        tracing::warn!(message = notice.message(), "PostgreSQL warns");
                        flag.store(true, Ordering::SeqCst);
                    }
                    Some(Ok(AsyncMessage::Notification(news))) => {
                        let number = news.payload().parse().unwrap_or(0);
                        notify.send_replace(number);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                }
            }
        });
        Self {
            client: Arc::new(client),
            host,
            warned,
            notified,
        }
    }

    /// Settings by statements, not by options of the connection, which connection poolers refuse.
    async fn prepare(&self, schema: &str) -> Result<(), SqlError> {
        let (lock, statement) = (LOCK_TIMEOUT.as_millis(), SERVER_TIMEOUT.as_millis());
        let peer = PEER_TIMEOUT.as_millis();
        // Each commit waits for the disk and for the standbys that the server names, whatever the
        // user's default is. Every statement looks rows up by their keys. A plan that was made while a
        // table was small is kept while it grows, so it must not read all of it even then; and what the
        // planner guesses must not make it compile a statement, which takes a hundred times as long.
        let settings = format!(
            "SET search_path = \"{schema}\", pg_catalog;
             SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');
             SET default_transaction_isolation = 'read committed';
             SET statement_timeout = {statement};
             SET lock_timeout = {lock};
             SET idle_in_transaction_session_timeout = {peer};
             SET tcp_user_timeout = {peer};
             SET tcp_keepalives_idle = 10;
             SET tcp_keepalives_interval = 3;
             SET tcp_keepalives_count = 3;
             SET jit = off;
             SET enable_seqscan = off;
             SET enable_hashjoin = off;
             SET enable_mergejoin = off;
             SET client_min_messages = warning;"
        );
        self.client.batch_execute(&settings).await?;
        let select =
            "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
                             current_setting('server_encoding')";
        let server = self.client.query_one(select, &[]).await?;
        if server.try_get::<_, bool>(0)? {
            return Err(SqlError::ReadOnly);
        }
        let encoding: String = server.try_get(1)?;
        if encoding != "UTF8" {
            return Err(SqlError::Encoding(encoding));
        }
        self.take_warning();
        Ok(())
    }

    /// Whether the server warned since the last call.
    pub(super) fn take_warning(&self) -> bool {
        self.warned.swap(false, Ordering::SeqCst)
    }
}

fn tls_config(roots: &TlsRoots) -> Result<ClientConfig, TlsError> {
    let mut trusted = RootCertStore::empty();
    match roots {
        TlsRoots::System => {
            let found = rustls_native_certs::load_native_certs();
            trusted.add_parsable_certificates(found.certs);
        }
        TlsRoots::File(path) => {
            let failed = |cause: rustls::pki_types::pem::Error| {
                TlsError(format!("{}: {cause}", path.display()))
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
                let certificate = certificate.map_err(failed)?;
                trusted
                    .add(certificate)
                    .map_err(|cause| TlsError(format!("{}: {cause}", path.display())))?;
            }
        }
    }
    if trusted.is_empty() {
        return Err(TlsError("there are none".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| TlsError(cause.to_string()))?;
    Ok(config.with_root_certificates(trusted).with_no_client_auth())
}
