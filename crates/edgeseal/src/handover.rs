//! The hand-over from the running process to its successor on the same data directory.
//!
//! The successor connects to a Unix socket in the data directory. Each side sends a message when it
//! has reached the state that the message names. Until it receives `serving`, the running process
//! keeps serving, whatever happens to the successor:
//!
//! | successor | running process | then |
//! |---|---|---|
//! | `hand-over 1` | | |
//! | | `sockets …`, with the sockets | the successor loads the replica and binds missing sockets |
//! | `loaded` | | the running process finishes calls and releases store and replica; its edge serves |
//! | | `released` | the successor opens them, catches up, and accepts HTTPS connections |
//! | `serving` | | the running process accepts no more connections |
//! | | `left` | the successor accepts calls |
//!
//! Client connections are accepted at every moment. Calls wait in the sockets' queues from `loaded`
//! to `left`.
//!
//! If the running process is killed meanwhile, no process would serve: the successor then continues
//! alone, with what it has received. If the running process is alive and aborts, it keeps serving
//! and the successor exits.

use std::{
    fs::Permissions,
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use tokio::{
    net::{UnixListener, UnixStream},
    time::timeout,
};

use crate::{
    node::StartError,
    private_files,
    sockets::{SocketRole, Sockets},
};

mod stream;

use stream::HandoverStream;

/// For a reply that takes no work.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// For the successor to load everything.
const LOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// For the running process to finish calls and close its files; for the successor to open them.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(60);

/// The socket on which a successor connects.
pub(crate) struct HandoverListener {
    listener: UnixListener,
    path: PathBuf,
}

/// The successor, from the running process's side.
pub(crate) struct Successor(HandoverStream);

/// The running process, from the successor's side.
pub(crate) struct Predecessor {
    stream: HandoverStream,
    process: PeerProcess,
}

/// Why a hand-over failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandoverError {
    /// No process listens.
    #[error("no process serves {} that could be taken over from ({cause}); start without --hand-over", path.display())]
    NotRunning {
        /// The data directory.
        path: PathBuf,
        /// The error of connecting.
        #[source]
        cause: io::Error,
    },
    /// The other process belongs to another user.
    #[error("the other process belongs to user {uid}")]
    WrongUser {
        /// Its user id.
        uid: u32,
    },
    /// The other process sent an unexpected message.
    #[error("the other process sent {received:?} instead of {expected:?}")]
    UnexpectedMessage {
        /// The message.
        received: String,
        /// The expected message.
        expected: &'static str,
    },
    /// The other process closed the connection or timed out.
    #[error("the other process {0}")]
    Disconnected(io::Error),
    /// An in-memory store ends with its process.
    #[error("a store in memory cannot be handed over")]
    InMemory,
}

impl From<io::Error> for HandoverError {
    fn from(cause: io::Error) -> Self {
        Self::Disconnected(cause)
    }
}

const HAND_OVER: &str = "hand-over 1";
const LOADED: &str = "loaded";
const RELEASED: &str = "released";
const SERVING: &str = "serving";
const LEFT: &str = "left";

impl HandoverListener {
    /// Opens the socket; replaces one that an earlier process has left.
    ///
    /// # Errors
    /// The system's error: for example, the path may be too long for a socket.
    pub(crate) fn open(data: &Path) -> io::Result<Self> {
        let directory = data.join(DIRECTORY);
        private_files::create_private_dir(&directory).map_err(io::Error::other)?;
        std::fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
        let path = directory.join(SOCKET_FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Removes the socket: no process shall take over from one that shuts down.
    pub(crate) fn remove(self) {
        // A leftover is replaced by the next process.
        let _ = std::fs::remove_file(self.path);
    }

    /// Waits for a successor. Processes of other users than this one and root are refused.
    pub(crate) async fn accept(&self) -> Successor {
        loop {
            match self.accept_one().await {
                Ok(successor) => return successor,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no hand-over");
                    // Do not spin on a persistent error of the socket.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn accept_one(&self) -> Result<Successor, HandoverError> {
        let (stream, _) = self.listener.accept().await?;
        check_user(&stream)?;
        let mut stream = HandoverStream::new(stream);
        stream.expect(HAND_OVER, REPLY_TIMEOUT).await?;
        Ok(Successor(stream))
    }
}

const DIRECTORY: &str = "handover";
const SOCKET_FILE: &str = "socket";

fn check_user(stream: &UnixStream) -> Result<(), HandoverError> {
    let uid = stream.peer_cred()?.uid();
    if uid == rustix::process::geteuid().as_raw() || uid == 0 {
        Ok(())
    } else {
        Err(HandoverError::WrongUser { uid })
    }
}

impl Successor {
    /// Sends the sockets, and waits until the successor has loaded everything.
    pub(crate) async fn send_sockets(&mut self, sockets: &Sockets) -> Result<(), HandoverError> {
        let names: Vec<&str> = sockets.iter().map(|(role, _)| role.name()).collect();
        let handles: Vec<_> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
        let message = format!("sockets {}", names.join(" "));
        self.0.send_with_fds(&message, &handles).await?;
        self.0.expect(LOADED, LOAD_TIMEOUT).await
    }

    /// Announces that store and replica are released, and waits until the successor serves.
    pub(crate) async fn announce_release(&mut self) -> Result<(), HandoverError> {
        self.0.send(RELEASED).await?;
        self.0.expect(SERVING, SWITCH_TIMEOUT).await
    }

    /// Announces that this process accepts no more connections.
    pub(crate) async fn announce_stop(mut self) -> Result<(), HandoverError> {
        self.0.send(LEFT).await
    }
}

impl Predecessor {
    /// Gets the sockets of the process that serves this data directory. `None` if it is killed
    /// meanwhile: the data directory is free then.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub(crate) async fn connect(
        data: &Path,
        sockets: &mut Sockets,
    ) -> Result<Option<Self>, HandoverError> {
        let stream = match UnixStream::connect(data.join(DIRECTORY).join(SOCKET_FILE)).await {
            Ok(stream) => stream,
            // It exited before it replied. If it is still alive, it holds the data lock.
            Err(cause) if cause.kind() == io::ErrorKind::ConnectionReset => {
                warn_continuing_alone(None, &cause);
                return Ok(None);
            }
            Err(cause) => {
                let path = data.to_owned();
                return Err(HandoverError::NotRunning { path, cause });
            }
        };
        check_user(&stream)?;
        let mut predecessor = Self {
            process: PeerProcess::from_peer(&stream),
            stream: HandoverStream::new(stream),
        };
        let taken = predecessor.receive_sockets(sockets).await;
        predecessor.none_if_dead(taken).await
    }

    async fn receive_sockets(&mut self, sockets: &mut Sockets) -> Result<(), HandoverError> {
        self.stream.send(HAND_OVER).await?;
        let received = self.stream.receive(REPLY_TIMEOUT).await?;
        let unexpected = || HandoverError::UnexpectedMessage {
            received: received.clone(),
            expected: "sockets …",
        };
        let names = received.strip_prefix("sockets ").ok_or_else(unexpected)?;
        for name in names.split(' ') {
            let role = SocketRole::from_name(name).ok_or_else(unexpected)?;
            let socket = self.stream.next_fd().ok_or_else(unexpected)?;
            sockets.inherit(role, socket)?;
        }
        Ok(())
    }

    /// Announces that everything is loaded, and waits until store and replica are released. `None`
    /// if the running process is killed meanwhile: they are free then.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub(crate) async fn announce_loaded(mut self) -> Result<Option<Self>, HandoverError> {
        let released = self.stream.exchange(LOADED, RELEASED).await;
        self.none_if_dead(released).await
    }

    /// Announces that this process serves, and waits until the other one accepts no more.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub(crate) async fn announce_serving(mut self) -> Result<(), HandoverError> {
        let left = self.stream.exchange(SERVING, LEFT).await;
        self.none_if_dead(left).await.map(drop)
    }

    /// `None`, to continue alone, if the running process has exited.
    async fn none_if_dead(
        self,
        step: Result<(), HandoverError>,
    ) -> Result<Option<Self>, HandoverError> {
        match step {
            Ok(()) => Ok(Some(self)),
            Err(HandoverError::Disconnected(cause)) if self.process.has_ended().await => {
                warn_continuing_alone(self.process.id, &cause);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn warn_continuing_alone(process: Option<i32>, cause: &io::Error) {
    tracing::warn!(
        process,
        error = cause as &dyn std::error::Error,
        "the running process exited during the hand-over: continuing alone with what it has sent"
    );
}

/// The process at the other end, to distinguish its exit from an aborted hand-over.
struct PeerProcess {
    id: Option<i32>,
    /// `None` if it cannot be watched, as in another PID namespace.
    pidfd: Option<Arc<OwnedFd>>,
}

impl PeerProcess {
    fn from_peer(stream: &UnixStream) -> Self {
        let id = stream.peer_cred().ok().and_then(|peer| peer.pid());
        let process = id.and_then(Pid::from_raw);
        let watch = process.and_then(|id| pidfd_open(id, PidfdFlags::empty()).ok());
        let watch = watch.map(Arc::new);
        Self { id, pidfd: watch }
    }

    /// Whether it has exited or is exiting, which may take a moment while it frees its memory.
    async fn has_ended(&self) -> bool {
        let Some(watch) = self.pidfd.clone() else {
            return false;
        };
        let ended = move || {
            let limit = Timespec::try_from(REPLY_TIMEOUT).ok();
            let mut events = [PollFd::new(&*watch, PollFlags::IN)];
            poll(&mut events, limit.as_ref()).is_ok_and(|ready| ready > 0)
        };
        tokio::task::spawn_blocking(ended).await.unwrap_or(false)
    }
}

impl From<HandoverError> for StartError {
    fn from(error: HandoverError) -> Self {
        Self::Handover(error)
    }
}

impl HandoverStream {
    async fn expect(
        &mut self,
        expected: &'static str,
        limit: Duration,
    ) -> Result<(), HandoverError> {
        let received = self.receive(limit).await?;
        if received == expected {
            Ok(())
        } else {
            Err(HandoverError::UnexpectedMessage { received, expected })
        }
    }

    async fn exchange(
        &mut self,
        message: &str,
        expected: &'static str,
    ) -> Result<(), HandoverError> {
        self.send(message).await?;
        self.expect(expected, SWITCH_TIMEOUT).await
    }

    async fn receive(&mut self, limit: Duration) -> io::Result<String> {
        let timed_out = |_| io::Error::new(io::ErrorKind::TimedOut, "is silent");
        timeout(limit, self.read_line()).await.map_err(timed_out)?
    }
}
