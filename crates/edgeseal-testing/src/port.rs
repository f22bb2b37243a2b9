//! Ports for servers that cannot be told to choose one themselves.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
};

/// Below the ports that the system gives to outgoing connections and to port 0 (32768 and up, unless
/// configured otherwise): such a port could be taken before the server listens.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A loopback address that nothing listens on now, neither over TCP nor over UDP.
pub fn free_address() -> SocketAddr {
    let random = RandomState::new();
    (0..1000)
        .map(|attempt: u32| {
            let ports = u64::from(PORTS.end - PORTS.start);
            let offset = u16::try_from(random.hash_one(attempt) % ports).unwrap();
            SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + offset))
        })
        .find(|address| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok())
        .expect("a port is free")
}
