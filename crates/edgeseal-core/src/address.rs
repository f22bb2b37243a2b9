//! Whether an address is anybody's to ask: for requests that somebody else can aim.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Whether the address is one of the public Internet, which anybody could ask as well as this
/// process can.
///
/// Of IPv6 that is the unicast space that is assigned (2000::/3) and the translated form of public
/// IPv4 addresses (RFC 6052); less the special-purpose blocks of RFC 6890's registries.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    // An IPv4 address in IPv6 clothes is connected to as IPv4.
    match address.to_canonical() {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => match translated(address) {
            Some(address) => is_public(IpAddr::V4(address)),
            None => {
                UNICAST.contains(&address) && !SPECIAL_V6.iter().any(|net| net.contains(&address))
            }
        },
    }
}

/// The IPv4 address that a NAT64 would connect to.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
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

/// <https://www.iana.org/assignments/iana-ipv4-special-registry>, multicast, and one more.
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

/// RFC 4291 §2.4: what is assigned so far. Loopback, unique local, link local and multicast are
/// outside.
const UNICAST: Ipv6Net = v6(0x2000, 0, 3);
/// RFC 6052 §2.1.
const WELL_KNOWN_PREFIX: Ipv6Net = v6(0x64, 0xff9b, 96);

/// <https://www.iana.org/assignments/iana-ipv6-special-registry>, as far as it is in [`UNICAST`].
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
}
