//! The listening sockets of a process: bound by itself, or inherited from a service manager or
//! from the process that it takes over from.

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

/// The listening sockets of a process. It keeps a handle to each, so that it can hand them over.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    inherited: BTreeMap<SocketRole, InheritedSocket>,
    bound: BTreeMap<SocketRole, TcpListener>,
    own_addresses: OwnListeners,
}

/// A socket that was listening before this process started.
#[derive(Debug)]
struct InheritedSocket {
    listener: TcpListener,
    /// Whether it is used whatever its address, because the service manager decides.
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

    /// The name in `LISTEN_FDNAMES`, in hand-over messages and in the configuration.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Api => "api",
            Self::ApiTls => "api_tls",
            Self::Admin => "admin",
        }
    }

    /// The name in messages.
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
    /// The sockets that a service manager passed on (`LISTEN_FDS` with `LISTEN_FDNAMES`, see
    /// `sd_listen_fds(3)`). Call it once.
    ///
    /// # Errors
    /// [`StartError::SocketActivation`] for a descriptor that is no socket or has an unknown name.
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
                let any_address = true;
                sockets.inherited.insert(
                    role,
                    InheritedSocket {
                        listener,
                        any_address,
                    },
                );
            }
        }
        Ok(sockets)
    }

    /// Adds a socket of the predecessor. It is used if its address is the configured one.
    pub(crate) fn inherit(&mut self, role: SocketRole, socket: OwnedFd) -> io::Result<()> {
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(true)?;
        let any_address = false;
        self.inherited.insert(
            role,
            InheritedSocket {
                listener,
                any_address,
            },
        );
        Ok(())
    }

    /// Binds a socket to `address`, unless this role has one already. Port 0 is any port.
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
                    tracing::info!(role = role.name(), from = %at, to = %address, "binding a new socket: the address has changed");
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

    /// The addresses that this process listens on, now and later. They are not valid origins.
    pub(crate) fn own_addresses(&self) -> OwnListeners {
        self.own_addresses.clone()
    }

    /// A handle to a bound socket, to accept from.
    ///
    /// # Errors
    /// [`StartError::Io`]; also if the role has no bound socket.
    pub(crate) fn try_clone(&self, role: SocketRole) -> Result<TcpListener, StartError> {
        let open = self.bound.get(&role);
        let open = open.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        Ok(open.try_clone()?)
    }

    /// As [`try_clone`](Self::try_clone), for tokio.
    ///
    /// # Errors
    /// [`StartError::Io`].
    pub(crate) fn tokio_listener(&self, role: SocketRole) -> Result<AsyncListener, StartError> {
        Ok(AsyncListener::from_std(self.try_clone(role)?)?)
    }

    /// All bound sockets.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketRole, &TcpListener)> {
        self.bound.iter().map(|(role, listener)| (*role, listener))
    }

    /// Closes all sockets, including unused inherited ones.
    pub(crate) fn close(&mut self) {
        self.inherited.clear();
        self.bound.clear();
    }

    /// Closes inherited sockets that are not used.
    pub(crate) fn close_unused(&mut self) {
        for role in self.inherited.keys() {
            tracing::info!(role = role.name(), "an inherited socket is not used");
        }
        self.inherited.clear();
    }
}
