//! The sockets that a process listens on: bound by itself, or listening already when it came: by a
//! service manager that passes them on, or by the process that it takes over from.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
};

use edgeseal_edge::OwnListeners;
use listenfd::ListenFd;
use tokio::net::TcpListener as AsyncListener;

use crate::node::StartError;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SocketRole {
    Https,
    Http,
    Api,
    ApiTls,
    Admin,
}

/// The sockets of a process. It keeps a handle to each, so that it can hand them over.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    inherited: BTreeMap<SocketRole, InheritedSocket>,
    bound: BTreeMap<SocketRole, TcpListener>,
    own_addresses: OwnListeners,
}

/// A socket that listened before this process.
#[derive(Debug)]
struct InheritedSocket {
    listener: TcpListener,
    /// Whether it is used wherever it listens: whoever passed it on has decided.
    any_address: bool,
}

impl SocketRole {
    pub(crate) const ALL: [Self; 5] = [
        Self::Https,
        Self::Http,
        Self::Api,
        Self::ApiTls,
        Self::Admin,
    ];

    /// As a service manager and the hand-over call it; also the key of the configuration.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Api => "api",
            Self::ApiTls => "api_tls",
            Self::Admin => "admin",
        }
    }

    /// As messages call it.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::Https => "HTTPS",
            Self::Http => "HTTP",
            Self::Api => "the API",
            Self::ApiTls => "the API in TLS",
            Self::Admin => "the admin pages",
        }
    }

    pub(crate) fn from_name(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == key)
    }
}

impl Sockets {
    /// Takes what a service manager passed on: `LISTEN_FDS` with `LISTEN_FDNAMES`, see
    /// `sd_listen_fds(3)`. To be called once.
    ///
    /// # Errors
    /// [`StartError::SocketActivation`] names a socket that is none or has no role.
    pub(crate) fn from_service_manager() -> Result<Self, StartError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut passed = ListenFd::from_env();
        let mut names = names.split(':');
        let mut sockets = Self::default();
        for number in 0..passed.len() {
            let name = names.next().unwrap_or_default();
            let failed = |cause| StartError::SocketActivation {
                name: name.to_owned(),
                cause,
            };
            let unknown = || {
                let why =
                    "its name must be https, http, api, api_tls or admin (FileDescriptorName=)";
                failed(io::Error::other(why))
            };
            let role = SocketRole::from_name(name).ok_or_else(unknown)?;
            if let Some(listener) = passed.take_tcp_listener(number).map_err(failed)? {
                listener.set_nonblocking(true).map_err(failed)?;
                let decided = true;
                sockets.inherited.insert(
                    role,
                    InheritedSocket {
                        listener,
                        any_address: decided,
                    },
                );
            }
        }
        Ok(sockets)
    }

    /// Adds a socket of the process that is taken over from. It is used if it listens where this
    /// process is to listen.
    pub(crate) fn inherit(&mut self, role: SocketRole, socket: OwnedFd) -> io::Result<()> {
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(true)?;
        let decided = false;
        self.inherited.insert(
            role,
            InheritedSocket {
                listener,
                any_address: decided,
            },
        );
        Ok(())
    }

    /// Has a socket listen at `address`, unless this role has one that does. Port 0 is any port.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub(crate) fn bind(
        &mut self,
        role: SocketRole,
        address: SocketAddr,
    ) -> Result<SocketAddr, StartError> {
        let failed = |cause| StartError::Listen {
            role: role.description(),
            address,
            cause,
        };
        if let Some(open) = self.bound.get(&role) {
            return open.local_addr().map_err(failed);
        }
        let (bound, listener) = match self.inherited.remove(&role) {
            Some(found) => {
                let at = found.listener.local_addr().map_err(failed)?;
                let fits = at.ip() == address.ip() && [0, at.port()].contains(&address.port());
                if found.any_address || fits {
                    (at, found.listener)
                } else {
                    tracing::info!(role = role.name(), from = %at, to = %address, "a socket is bound anew");
                    let listener = edgeseal_edge::bind(address).map_err(failed)?;
                    (listener.local_addr().map_err(failed)?, listener)
                }
            }
            None => {
                let listener = edgeseal_edge::bind(address).map_err(failed)?;
                (listener.local_addr().map_err(failed)?, listener)
            }
        };
        self.bound.insert(role, listener);
        self.own_addresses.add(bound);
        Ok(bound)
    }

    /// Where this process listens, now and later: no origin is there.
    pub(crate) fn own_addresses(&self) -> OwnListeners {
        self.own_addresses.clone()
    }

    /// A handle to an open socket, to accept from.
    ///
    /// # Errors
    /// [`StartError::System`]; also if none is open.
    pub(crate) fn try_clone(&self, role: SocketRole) -> Result<TcpListener, StartError> {
        let open = self.bound.get(&role);
        let open = open.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        Ok(open.try_clone()?)
    }

    /// As [`handle`](Self::handle), for tasks.
    ///
    /// # Errors
    /// [`StartError::System`].
    pub(crate) fn tokio_listener(&self, role: SocketRole) -> Result<AsyncListener, StartError> {
        Ok(AsyncListener::from_std(self.try_clone(role)?)?)
    }

    /// All open sockets.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketRole, &TcpListener)> {
        self.bound.iter().map(|(role, listener)| (*role, listener))
    }

    /// Closes them, and what was passed on and not used.
    pub(crate) fn close(&mut self) {
        self.inherited.clear();
        self.bound.clear();
    }

    /// Closes what was passed on and not used.
    pub(crate) fn close_unused(&mut self) {
        for role in self.inherited.keys() {
            tracing::info!(
                role = role.name(),
                "a socket that was passed on is not used"
            );
        }
        self.inherited.clear();
    }
}
