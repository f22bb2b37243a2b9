//! The header of the PROXY protocol: whom a load balancer in front speaks for.
//!
//! Versions 1 and 2 of
//! [the protocol](https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt), told apart by their
//! first bytes. An edge that expects headers takes no connection without one: else everybody who
//! reaches it could say to be anybody.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use ppp::{v1, v2};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpStream,
};

/// Whom a header speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProxyHeader {
    /// This client.
    Proxy(SocketAddr),
    /// Whoever is connected: a probe of the balancer itself, for one.
    Local,
}

/// Who may speak for others; nobody if it is empty, and then there are no headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(Box<[IpNet]>);

/// Why a connection is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    /// It comes from elsewhere.
    #[error("{peer} is no load balancer of this edge")]
    UntrustedPeer {
        /// From where.
        peer: IpAddr,
    },
    /// It ends, or does not begin with a header.
    #[error("no header of the PROXY protocol: {0}")]
    Header(#[from] io::Error),
}

/// Bytes after the fixed part of a header of version 2. Addresses take 216 at most; what follows
/// them is read and ignored.
const REST_MAX: usize = 2048;
/// Bytes of a header of version 1.
const LINE_MAX: usize = 107;
/// What both versions are told apart by.
const BEGIN: usize = 6;
/// Of version 2, up to and with its length.
const FIXED: usize = 16;

impl TrustedProxies {
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// Whether each connection begins with a header.
    pub(crate) const fn is_enabled(&self) -> bool {
        !self.0.is_empty()
    }

    /// The client of a connection. The edge's own prober, which comes from this machine, may say
    /// that it speaks for itself, and nothing else.
    pub(crate) async fn client(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
    ) -> Result<SocketAddr, ProxyHeaderError> {
        if !self.is_enabled() {
            return Ok(peer);
        }
        let ip = peer.ip().to_canonical();
        let speaks_for_others = self.0.iter().any(|network| network.contains(&ip));
        let is_here = ip.is_loopback()
            || stream
                .local_addr()
                .is_ok_and(|local| local.ip().to_canonical() == ip);
        if !speaks_for_others && !is_here {
            return Err(ProxyHeaderError::UntrustedPeer { peer: ip });
        }
        match read(stream).await? {
            ProxyHeader::Local => Ok(peer),
            ProxyHeader::Proxy(client) if speaks_for_others => Ok(client),
            ProxyHeader::Proxy(_) => Err(ProxyHeaderError::UntrustedPeer { peer: ip }),
        }
    }
}

/// Says, before anything else, that a connection speaks for itself.
pub(crate) const fn local_header() -> [u8; FIXED] {
    *b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"
}

/// Reads a header and not a byte more.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<ProxyHeader> {
    let mut header = vec![0; BEGIN];
    stream.read_exact(&mut header).await?;
    if header == b"PROXY " {
        read_line(stream, header).await
    } else if v2::PROTOCOL_PREFIX.starts_with(&header) {
        read_binary(stream, header).await
    } else {
        Err(malformed("it begins otherwise"))
    }
}

async fn read_line(
    stream: &mut (impl AsyncRead + Unpin),
    mut line: Vec<u8>,
) -> io::Result<ProxyHeader> {
    while !line.ends_with(b"\r\n") {
        if line.len() == LINE_MAX {
            return Err(malformed("its line is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    let header = v1::Header::try_from(&line[..]).map_err(malformed)?;
    Ok(match header.addresses {
        v1::Addresses::Unknown => ProxyHeader::Local,
        v1::Addresses::Tcp4(at) => client(at.source_address, at.source_port),
        v1::Addresses::Tcp6(at) => client(at.source_address, at.source_port),
    })
}

async fn read_binary(
    stream: &mut (impl AsyncRead + Unpin),
    mut header: Vec<u8>,
) -> io::Result<ProxyHeader> {
    header.resize(FIXED, 0);
    stream.read_exact(&mut header[BEGIN..]).await?;
    // Before the rest is waited for, which may be the beginning of something else.
    if !header.starts_with(v2::PROTOCOL_PREFIX) {
        return Err(malformed("it begins otherwise"));
    }
    let rest = usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
    if rest > REST_MAX {
        return Err(malformed("it is too long"));
    }
    header.resize(FIXED + rest, 0);
    stream.read_exact(&mut header[FIXED..]).await?;
    let header = v2::Header::try_from(&header[..]).map_err(malformed)?;
    if header.command == v2::Command::Local {
        return Ok(ProxyHeader::Local);
    }
    Ok(match (header.protocol, header.addresses) {
        (v2::Protocol::Datagram, _) => return Err(malformed("it speaks of datagrams")),
        (_, v2::Addresses::IPv4(at)) => client(at.source_address, at.source_port),
        (_, v2::Addresses::IPv6(at)) => client(at.source_address, at.source_port),
        // What cannot be told is not told.
        (_, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => ProxyHeader::Local,
    })
}

fn client(ip: impl Into<IpAddr>, port: u16) -> ProxyHeader {
    ProxyHeader::Proxy(SocketAddr::new(ip.into(), port))
}

fn malformed(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests;
