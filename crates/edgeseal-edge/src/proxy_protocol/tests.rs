use proptest::prelude::*;

use super::*;

/// What a header tells, and what of the bytes is left after it.
fn told(bytes: &[u8]) -> Result<(ProxyHeader, usize), io::ErrorKind> {
    let mut rest = bytes;
    let mut reading = Box::pin(read(&mut rest));
    let waker = std::task::Waker::noop();
    // All bytes are there: it never waits.
    match reading
        .as_mut()
        .poll(&mut std::task::Context::from_waker(waker))
    {
        std::task::Poll::Ready(told) => {
            drop(reading);
            told.map(|told| (told, rest.len())).map_err(|e| e.kind())
        }
        std::task::Poll::Pending => panic!("it waits"),
    }
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = v2::PROTOCOL_PREFIX.to_vec();
    header.extend([0x20 | command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

fn at(address: &str) -> ProxyHeader {
    ProxyHeader::Proxy(address.parse().unwrap())
}

#[test]
fn both_versions_report_the_client() {
    let v4 = [192, 0, 2, 7, 198, 51, 100, 1, 0x1f, 0x90, 1, 0xbb];
    let mut v6 = [0; 36];
    v6[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    v6[15] = 9;
    v6[32..34].copy_from_slice(&8080_u16.to_be_bytes());
    let with_more = [&v4[..], &[4, 0, 3, 1, 2, 3]].concat();
    let table = [
        (
            b"PROXY TCP4 192.0.2.7 198.51.100.1 8080 443\r\n".to_vec(),
            at("192.0.2.7:8080"),
        ),
        (
            b"PROXY TCP6 2001:db8::9 2001:db8::1 8080 443\r\n".to_vec(),
            at("[2001:db8::9]:8080"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), ProxyHeader::Local),
        (
            b"PROXY UNKNOWN anything at all\r\n".to_vec(),
            ProxyHeader::Local,
        ),
        (binary(1, 0x11, &v4), at("192.0.2.7:8080")),
        (binary(1, 0x11, &with_more), at("192.0.2.7:8080")),
        (binary(1, 0x21, &v6), at("[2001:db8::9]:8080")),
        (binary(1, 0x31, &[0; 216]), ProxyHeader::Local),
        (binary(1, 0x00, &[]), ProxyHeader::Local),
        (binary(0, 0x11, &v4), ProxyHeader::Local),
        (local_header().to_vec(), ProxyHeader::Local),
    ];
    for (header, expected) in table {
        let bytes = [&header[..], b"\x16\x03\x01"].concat();
        assert_eq!(told(&bytes), Ok((expected, 3)), "{header:?}");
        // Cut off anywhere, it is no header.
        for end in 0..header.len() {
            let cut = told(&header[..end]);
            assert_eq!(
                cut,
                Err(io::ErrorKind::UnexpectedEof),
                "{end} of {header:?}"
            );
        }
    }
}

#[test]
fn malformed_headers_are_refused() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    let v4 = [0; 12];
    let mut other = binary(1, 0x11, &v4);
    other[8] = b'q';
    let table = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 8080\r\n".to_vec(),
        b"PROXY TCP4 2001:db8::9 198.51.100.1 1 2\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 99999 443\r\n".to_vec(),
        b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n".to_vec(),
        long.into_bytes(),
        other,
        binary(2, 0x11, &v4),
        binary(1, 0x41, &v4),
        binary(1, 0x13, &v4),
        binary(1, 0x12, &v4),
        binary(1, 0x11, &v4[..11]),
        binary(1, 0x21, &[0; 35]),
        binary(1, 0x11, &[0; REST_MAX + 1]),
    ];
    for bytes in table {
        assert_eq!(told(&bytes), Err(io::ErrorKind::InvalidData), "{bytes:?}");
    }
}

proptest! {
    /// Whatever comes, it is a header, none, or not all of one; nothing after it is read.
    #[test]
    fn any_bytes_are_read_without_panic(
        begin in prop_oneof![
            Just(v2::PROTOCOL_PREFIX.to_vec()),
            Just(b"PROXY TCP4 ".to_vec()),
            Just(b"PROXY TCP6 ::1 ".to_vec()),
            Just(Vec::new()),
        ],
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [begin, rest].concat();
        match told(&bytes) {
            Ok((_, left)) => prop_assert!(left + BEGIN <= bytes.len()),
            Err(kind) => prop_assert!(
                [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData].contains(&kind)
            ),
        }
    }
}
