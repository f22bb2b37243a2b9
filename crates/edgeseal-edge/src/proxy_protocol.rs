//! The PROXY protocol header: the client address that a load balancer in front reports.
//!
//! Versions 1 and 2 of [the protocol](https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt),
//! distinguished by their first bytes. An edge that expects headers accepts no connection without
//! one: a peer that may omit the header could forge it.

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

/// What a header reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProxyHeader {
    /// The address of the proxied client.
    Proxy(SocketAddr),
    /// No proxied client: a health check of the load balancer, for example.
    Local,
}

/// Networks whose PROXY protocol headers are trusted; if empty, no headers are expected.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(Box<[IpNet]>);

/// Why a connection is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    /// The peer is not trusted.
    #[error("{peer} is not a trusted proxy")]
    UntrustedPeer {
        /// Its address.
        peer: IpAddr,
    },
    /// The connection ended, or does not begin with a header.
    #[error("no PROXY protocol header: {0}")]
    Header(#[from] io::Error),
}

/// Maximum size, in bytes, of a version 2 header after its fixed part. Addresses take 216 at most;
/// further TLVs are read and ignored.
const REST_MAX: usize = 2048;
/// Maximum size of a version 1 header, in bytes.
const LINE_MAX: usize = 107;
/// The first bytes, which distinguish the versions.
const BEGIN: usize = 6;
/// The fixed part of a version 2 header, up to and including its length.
const FIXED: usize = 16;

impl TrustedProxies {
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// Whether each connection must begin with a header.
    pub(crate) const fn is_enabled(&self) -> bool {
        !self.0.is_empty()
    }

    /// The client of a connection that must begin with a header. The edge's own prober, which
    /// connects from this machine, may only send a `LOCAL` header.
    pub(crate) async fn client(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
    ) -> Result<SocketAddr, ProxyHeaderError> {
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

/// The `LOCAL` header of a connection that is not proxied.
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
        Err(malformed("unknown signature"))
    }
}

async fn read_line(
    stream: &mut (impl AsyncRead + Unpin),
    mut line: Vec<u8>,
) -> io::Result<ProxyHeader> {
    while !line.ends_with(b"\r\n") {
        if line.len() == LINE_MAX {
            return Err(malformed("the line is too long"));
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
    // Before waiting for the rest, which may be the beginning of something else.
    if !header.starts_with(v2::PROTOCOL_PREFIX) {
        return Err(malformed("unknown signature"));
    }
    let rest = usize::from(u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]));
    if rest > REST_MAX {
        return Err(malformed("the header is too long"));
    }
    header.resize(FIXED + rest, 0);
    stream.read_exact(&mut header[FIXED..]).await?;
    let header = v2::Header::try_from(&header[..]).map_err(malformed)?;
    if header.command == v2::Command::Local {
        return Ok(ProxyHeader::Local);
    }
    Ok(match (header.protocol, header.addresses) {
        (v2::Protocol::Datagram, _) => return Err(malformed("datagram protocol")),
        (_, v2::Addresses::IPv4(at)) => client(at.source_address, at.source_port),
        (_, v2::Addresses::IPv6(at)) => client(at.source_address, at.source_port),
        // Addresses that are not IP: the peer counts as the client.
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
