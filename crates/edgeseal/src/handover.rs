//! The hand-over from the process that serves to the next one on the same data directory.
//!
//! The next one asks over a Unix socket in the data directory. Each says a word when it is where
//! the word says, and until the last of them the running process goes on, whatever becomes of the
//! other one:
//!
//! | next one | running one | then |
//! |---|---|---|
//! | `take-over 1` | | |
//! | | `sockets …`, with the sockets | the next one loads what is served, binds what is missing |
//! | `loaded` | | the running one finishes calls, lets go of store and replica, serves on |
//! | | `released` | the next one opens them, catches up, and accepts visitors |
//! | `serving` | | the running one accepts no more |
//! | | `left` | the next one accepts calls |
//!
//! Visitors are accepted at every moment. Calls wait in the sockets' queues from `loaded` to `left`.
//!
//! If the running process is killed meanwhile, nobody would serve: the next one then goes on alone, with
//! what it was given until then. A running process that lives and breaks off goes on serving, and the
//! next one ends.

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

/// For an answer that takes no work.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// For the next process to load everything.
const LOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// For the running process to finish calls and to close its files; for the next one to open them.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the next process asks.
pub(crate) struct HandoverListener {
    listener: UnixListener,
    path: PathBuf,
}

/// The next process, as the running one sees it.
pub(crate) struct Successor(HandoverStream);

/// The running process, as the next one sees it.
pub(crate) struct Predecessor {
    stream: HandoverStream,
    process: PeerProcess,
}

/// Why there is no hand-over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandoverError {
    /// Nobody is there.
    #[error("no process serves {} that could be taken over from ({cause}); start without --take-over", path.display())]
    NotRunning {
        /// The data directory.
        path: PathBuf,
        /// What connecting says.
        #[source]
        cause: io::Error,
    },
    /// The other side is somebody else.
    #[error("the other process belongs to user {uid}")]
    WrongUser {
        /// Its user.
        uid: u32,
    },
    /// The other side said something else.
    #[error("the other process said {received:?} instead of {expected:?}")]
    UnexpectedMessage {
        /// What it said.
        received: String,
        /// What it should have said.
        expected: &'static str,
    },
    /// The other side is gone, or silent.
    #[error("the other process {0}")]
    Disconnected(io::Error),
    /// A store in memory ends with its process.
    #[error("a store in memory cannot be handed over")]
    InMemory,
}

impl From<io::Error> for HandoverError {
    fn from(cause: io::Error) -> Self {
        Self::Disconnected(cause)
    }
}

const TAKE_OVER: &str = "take-over 1";
const LOADED: &str = "loaded";
const RELEASED: &str = "released";
const SERVING: &str = "serving";
const LEFT: &str = "left";

impl HandoverListener {
    /// Opens it; one that a process before has left is replaced.
    ///
    /// # Errors
    /// What the system says: the path may be too long for a socket, for one.
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

    /// Closes it for good: nobody is to take over from a process that ends.
    pub(crate) fn remove(self) {
        // What is left behind is replaced by the next process.
        let _ = std::fs::remove_file(self.path);
    }

    /// Waits for the next process. Others than those of this user, and of root, are sent away.
    pub(crate) async fn accept(&self) -> Successor {
        loop {
            match self.accept_one().await {
                Ok(successor) => return successor,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no hand-over");
                    // Whatever is wrong with the socket, this does not spin.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn accept_one(&self) -> Result<Successor, HandoverError> {
        let (stream, _) = self.listener.accept().await?;
        check_user(&stream)?;
        let mut wire = HandoverStream::new(stream);
        wire.expect(TAKE_OVER, REPLY_TIMEOUT).await?;
        Ok(Successor(wire))
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
    /// Gives it the sockets, and waits until it has loaded what is served.
    pub(crate) async fn send_sockets(&mut self, sockets: &Sockets) -> Result<(), HandoverError> {
        let names: Vec<&str> = sockets.iter().map(|(role, _)| role.name()).collect();
        let handles: Vec<_> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
        let word = format!("sockets {}", names.join(" "));
        self.0.send_with_fds(&word, &handles).await?;
        self.0.expect(LOADED, LOAD_TIMEOUT).await
    }

    /// Says that store and replica are free, and waits until it serves.
    pub(crate) async fn announce_release(&mut self) -> Result<(), HandoverError> {
        self.0.send(RELEASED).await?;
        self.0.expect(SERVING, SWITCH_TIMEOUT).await
    }

    /// Says that nothing is accepted here any more.
    pub(crate) async fn announce_stop(mut self) -> Result<(), HandoverError> {
        self.0.send(LEFT).await
    }
}

impl Predecessor {
    /// Asks the process that serves this data directory for its sockets. None if it is killed
    /// meanwhile: the data directory is nobody's then.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub(crate) async fn connect(
        data: &Path,
        sockets: &mut Sockets,
    ) -> Result<Option<Self>, HandoverError> {
        let stream = match UnixStream::connect(data.join(DIRECTORY).join(SOCKET_FILE)).await {
            Ok(stream) => stream,
            // It listened, and ended before it has answered. If it lives, it has the data directory.
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
        self.stream.send(TAKE_OVER).await?;
        let said = self.stream.receive(REPLY_TIMEOUT).await?;
        let unexpected = || HandoverError::UnexpectedMessage {
            received: said.clone(),
            expected: "sockets …",
        };
        let names = said.strip_prefix("sockets ").ok_or_else(unexpected)?;
        for name in names.split(' ') {
            let role = SocketRole::from_name(name).ok_or_else(unexpected)?;
            let socket = self.stream.next_fd().ok_or_else(unexpected)?;
            sockets.inherit(role, socket)?;
        }
        Ok(())
    }

    /// Says that all is ready to go on, and waits until store and replica are free. None if the
    /// running process is killed meanwhile: they are free then.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub(crate) async fn announce_loaded(mut self) -> Result<Option<Self>, HandoverError> {
        let released = self.stream.exchange(LOADED, RELEASED).await;
        self.none_if_dead(released).await
    }

    /// Says that visitors are served here, and waits until they are not there.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub(crate) async fn announce_serving(mut self) -> Result<(), HandoverError> {
        let left = self.stream.exchange(SERVING, LEFT).await;
        self.none_if_dead(left).await.map(drop)
    }

    /// Goes on alone if the running process has ended.
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
        "the process that was to be taken over from ended in the middle of the hand-over: going on alone with \
         what it has given"
    );
}

/// The process at the other end, to tell its end from its breaking off.
struct PeerProcess {
    id: Option<i32>,
    /// `None` if it cannot be watched, as one of another process namespace.
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

    /// Whether it has ended, or is about to: it may take a moment to give back its memory.
    async fn has_ended(&self) -> bool {
        let Some(watch) = self.pidfd.clone() else {
            return false;
        };
        let ended = move || {
            let patience = Timespec::try_from(REPLY_TIMEOUT).ok();
            let mut events = [PollFd::new(&*watch, PollFlags::IN)];
            poll(&mut events, patience.as_ref()).is_ok_and(|ready| ready > 0)
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
        patience: Duration,
    ) -> Result<(), HandoverError> {
        let said = self.receive(patience).await?;
        if said == expected {
            Ok(())
        } else {
            Err(HandoverError::UnexpectedMessage {
                received: said,
                expected,
            })
        }
    }

    async fn exchange(&mut self, word: &str, expected: &'static str) -> Result<(), HandoverError> {
        self.send(word).await?;
        self.expect(expected, SWITCH_TIMEOUT).await
    }

    async fn receive(&mut self, patience: Duration) -> io::Result<String> {
        let silent = |_| io::Error::new(io::ErrorKind::TimedOut, "is silent");
        timeout(patience, self.read_line()).await.map_err(silent)?
    }
}
