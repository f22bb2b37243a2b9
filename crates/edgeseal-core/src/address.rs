//! IP addresses: which ones an origin may have, and which ones count as one source.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Whether the address is on the public Internet, so that anybody could connect to it as well as
/// this process.
///
/// For IPv6: the assigned unicast space (2000::/3) and public IPv4 addresses in their NAT64 form
/// (RFC 6052), without the special-purpose blocks of RFC 6890's registries.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    // An IPv4-mapped IPv6 address is connected to as IPv4.
    match address.to_canonical() {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => match nat64_target(address) {
            Some(address) => is_public(IpAddr::V4(address)),
            None => {
                UNICAST.contains(&address) && !SPECIAL_V6.iter().any(|net| net.contains(&address))
            }
        },
    }
}

/// Why an address is refused as an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginAddressError {
    /// Not a host's address: unspecified, multicast, broadcast or reserved.
    #[error("it is not the address of a host")]
    NotAHost,
    /// Link-local, where clouds put their metadata services, which hand out credentials; or a known
    /// metadata service elsewhere.
    #[error("it is link-local, or a metadata service")]
    Metadata,
    /// A listener of this process.
    #[error("it is a listener of this very process")]
    OwnListener,
    /// Loopback, a private network, or another non-public block.
    #[error("it is not a public address, and private ones are not allowed here")]
    Private,
}

/// Whether an origin at `address` may be connected to.
///
/// `listeners` are the sockets on which this process listens. A listener on the unspecified address
/// is reachable at any address of this machine; `is_local` tells whether an address is one.
/// Addresses that no host has, metadata services and own listeners are refused whatever `private`
/// is.
///
/// # Errors
/// [`OriginAddressError`].
pub fn check_origin(
    address: SocketAddr,
    private: bool,
    listeners: &[SocketAddr],
    is_local: impl FnOnce(IpAddr) -> bool,
) -> Result<(), OriginAddressError> {
    let ip = effective_ip(address.ip());
    if is_not_a_host(ip) {
        return Err(OriginAddressError::NotAHost);
    }
    if METADATA.iter().any(|net| net.contains(&ip)) {
        return Err(OriginAddressError::Metadata);
    }
    let on_port = |listener: &&SocketAddr| listener.port() == address.port();
    let mut on_port = listeners
        .iter()
        .filter(on_port)
        .map(|listener| listener.ip().to_canonical());
    if on_port.clone().any(|listener| listener == ip)
        || on_port.any(|listener| listener.is_unspecified()) && (ip.is_loopback() || is_local(ip))
    {
        return Err(OriginAddressError::OwnListener);
    }
    if !private && !is_public(ip) {
        return Err(OriginAddressError::Private);
    }
    Ok(())
}

/// The network that counts as one source: an IPv4 address, or an IPv6 /64, because a client that
/// has one address of a /64 has them all.
#[must_use]
pub fn source_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The networks that contain a source, the widest first, the source itself last.
///
/// Hosters and tunnel brokers assign a /48 or a /56 of IPv6 to each customer (RFC 6177), and with
/// it thousands of sources. Few customers have more IPv4 than a /24, the smallest network that is
/// routed.
pub fn enclosing_networks(source: IpAddr) -> impl Iterator<Item = IpNet> {
    let source = source_network(source);
    let lengths: &[u8] = match source {
        IpAddr::V4(_) => &[24, 32],
        IpAddr::V6(_) => &[48, 56, 64],
    };
    let network = move |length: &u8| IpNet::new_assert(source, *length).trunc();
    lengths.iter().map(network)
}

/// The address that is connected to: IPv4 for an IPv4 address in IPv6 form.
fn effective_ip(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => nat64_target(v6).map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn is_not_a_host(address: IpAddr) -> bool {
    match address {
        // 0.0.0.0/8 reaches this machine on Linux; 240.0.0.0/4 holds the broadcast address.
        IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.octets()[0] >= 224,
        // The deprecated form ::a.b.c.d (RFC 4291 section 2.5.5.1) holds `::` too; `::1` is
        // loopback.
        IpAddr::V6(v6) => v6.is_multicast() || (v6.to_bits() >> 32 == 0 && !v6.is_loopback()),
    }
}

/// The IPv4 address to which a NAT64 gateway translates.
fn nat64_target(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    WELL_KNOWN_PREFIX
        .contains(&address)
        .then(|| Ipv4Addr::new(a, b, c, d))
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(a: u16, b: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), length)
}

/// <https://www.iana.org/assignments/iana-ipv4-special-registry>, multicast, and Azure's platform
/// address.
const SPECIAL_V4: &[Ipv4Net] = &[
    v4(0, 0, 0, 0, 8),        // this network
    v4(10, 0, 0, 0, 8),       // private use
    v4(100, 64, 0, 0, 10),    // shared by carriers; clouds put their metadata there
    v4(127, 0, 0, 0, 8),      // loopback
    v4(168, 63, 129, 16, 32), // looks public, is the platform's own on Azure machines
    v4(169, 254, 0, 0, 16),   // link local, metadata of clouds
    v4(172, 16, 0, 0, 12),    // private use
    v4(192, 0, 0, 0, 24),     // protocol assignments
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 88, 99, 0, 24),   // 6to4 relays, deprecated
    v4(192, 168, 0, 0, 16),   // private use
    v4(198, 18, 0, 0, 15),    // benchmarks
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved, broadcast
];

/// Link-local networks (RFC 3927, RFC 4291 section 2.5.6) and the metadata services that clouds
/// have elsewhere. Alibaba Cloud: 100.100.100.200; Azure: 168.63.129.16; Oracle Cloud: 192.0.0.192;
/// AWS: fd00:ec2::254; Google Cloud: fd20:ce::254.
const METADATA: &[IpNet] = &[
    IpNet::V4(v4(169, 254, 0, 0, 16)),
    IpNet::V4(v4(100, 100, 100, 200, 32)),
    IpNet::V4(v4(168, 63, 129, 16, 32)),
    IpNet::V4(v4(192, 0, 0, 192, 32)),
    IpNet::V6(v6(0xfe80, 0, 10)),
    IpNet::V6(v6(0xfd00, 0x0ec2, 32)),
    IpNet::V6(v6(0xfd20, 0x00ce, 32)),
];

/// RFC 4291 §2.4: the unicast space assigned so far. Loopback, unique local, link-local and
/// multicast are outside it.
const UNICAST: Ipv6Net = v6(0x2000, 0, 3);
/// RFC 6052 §2.1.
const WELL_KNOWN_PREFIX: Ipv6Net = v6(0x64, 0xff9b, 96);

/// <https://www.iana.org/assignments/iana-ipv6-special-registry>, where it overlaps [`UNICAST`].
const SPECIAL_V6: &[Ipv6Net] = &[
    v6(0x2001, 0, 23),      // protocol assignments, Teredo
    v6(0x2001, 0x0db8, 32), // documentation
    v6(0x2002, 0, 16),      // 6to4: holds an IPv4 address of any kind
    v6(0x3fff, 0, 20),      // documentation
];

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "
        8.8.8.8 1.1.1.1 47.88.0.1 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0
        223.255.255.255 168.63.129.17 2606:4700::1111 2400:3200::1 ::ffff:8.8.8.8
        64:ff9b::808:808";
    const SPECIAL: &str = "
        0.0.0.0 10.1.2.3 100.64.0.0 100.100.100.200 100.127.255.255 127.0.0.1 127.255.0.1
        168.63.129.16 169.254.169.254 172.16.0.0 172.31.255.255 192.0.0.170 192.0.2.1
        192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
        239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1 ::ffff:127.0.0.1
        ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b:1::1
        100::1 2001::1 2001:1ff::1 2001:db8::1 2002:7f00:1::1 3fff::1 5f00::1 fc00::1
        fd00:ec2::254 fe80::1 fec0::1 ff02::1";

    #[test]
    fn addresses() {
        for (addresses, expected) in [(PUBLIC, true), (SPECIAL, false)] {
            for address in addresses.split_whitespace() {
                let parsed: IpAddr = address.parse().unwrap();
                assert_eq!(is_public(parsed), expected, "{address}");
            }
        }
    }

    #[test]
    fn origins() {
        use OriginAddressError::{Metadata, NotAHost, OwnListener, Private};
        let listeners: Vec<SocketAddr> = ["127.0.0.1:7081", "[::]:7080", "192.0.2.7:443"]
            .map(|listener| listener.parse().unwrap())
            .to_vec();
        // This machine has these addresses besides loopback.
        let is_local = |ip: IpAddr| ["10.0.0.5", "8.8.4.4"].contains(&ip.to_string().as_str());
        // Address, result with private addresses allowed, result without.
        let table = [
            ("8.8.8.8:80", Ok(()), Ok(())),
            ("[2606:4700::1111]:443", Ok(()), Ok(())),
            ("10.0.0.5:80", Ok(()), Err(Private)),
            ("100.64.0.1:80", Ok(()), Err(Private)),
            ("[fd00::1]:80", Ok(()), Err(Private)),
            ("127.0.0.1:80", Ok(()), Err(Private)),
            ("[::ffff:127.0.0.1]:80", Ok(()), Err(Private)),
            ("[64:ff9b::7f00:1]:80", Ok(()), Err(Private)),
            ("[::1]:80", Ok(()), Err(Private)),
            ("0.0.0.0:80", Err(NotAHost), Err(NotAHost)),
            ("0.1.2.3:80", Err(NotAHost), Err(NotAHost)),
            ("[::]:80", Err(NotAHost), Err(NotAHost)),
            ("[::127.0.0.1]:80", Err(NotAHost), Err(NotAHost)),
            ("[::ffff:0.0.0.0]:80", Err(NotAHost), Err(NotAHost)),
            ("224.0.0.1:80", Err(NotAHost), Err(NotAHost)),
            ("255.255.255.255:80", Err(NotAHost), Err(NotAHost)),
            ("[ff02::1]:80", Err(NotAHost), Err(NotAHost)),
            ("169.254.169.254:80", Err(Metadata), Err(Metadata)),
            ("[::ffff:169.254.169.254]:80", Err(Metadata), Err(Metadata)),
            ("[64:ff9b::a9fe:a9fe]:80", Err(Metadata), Err(Metadata)),
            ("100.100.100.200:80", Err(Metadata), Err(Metadata)),
            ("168.63.129.16:80", Err(Metadata), Err(Metadata)),
            ("[fe80::1]:80", Err(Metadata), Err(Metadata)),
            ("[fd00:ec2::254]:80", Err(Metadata), Err(Metadata)),
            ("127.0.0.1:7081", Err(OwnListener), Err(OwnListener)),
            (
                "[::ffff:127.0.0.1]:7081",
                Err(OwnListener),
                Err(OwnListener),
            ),
            ("127.0.0.2:7081", Ok(()), Err(Private)),
            ("127.0.0.2:7080", Err(OwnListener), Err(OwnListener)),
            ("[::1]:7080", Err(OwnListener), Err(OwnListener)),
            ("10.0.0.5:7080", Err(OwnListener), Err(OwnListener)),
            ("8.8.4.4:7080", Err(OwnListener), Err(OwnListener)),
            ("8.8.8.8:7080", Ok(()), Ok(())),
            ("192.0.2.7:443", Err(OwnListener), Err(OwnListener)),
        ];
        for (address, with, without) in table {
            let parsed: SocketAddr = address.parse().unwrap();
            for (private, expected) in [(true, with), (false, without)] {
                let found = check_origin(parsed, private, &listeners, is_local);
                assert_eq!(found, expected, "{address}, private: {private}");
            }
        }
    }

    #[test]
    fn a_source_is_in_networks() {
        let table = [
            ("192.0.2.1", "192.0.2.0/24 192.0.2.1/32"),
            ("::ffff:192.0.2.1", "192.0.2.0/24 192.0.2.1/32"),
            (
                "2001:db8:1:abcd::5",
                "2001:db8:1::/48 2001:db8:1:ab00::/56 2001:db8:1:abcd::/64",
            ),
        ];
        for (source, expected) in table {
            let networks = enclosing_networks(source.parse().unwrap());
            let networks: Vec<String> = networks.map(|network| network.to_string()).collect();
            assert_eq!(networks.join(" "), expected);
        }
    }

    #[test]
    fn an_ipv6_source_is_its_network() {
        let table = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ];
        for (address, network) in table {
            let network: IpAddr = network.parse().unwrap();
            assert_eq!(source_network(address.parse().unwrap()), network);
        }
    }
}
