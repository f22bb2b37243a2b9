use std::io::{IoSlice, Write as _};

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{PrivateKeyDer, ServerName},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::{TlsConnector, client};

use super::*;
use crate::tls::provider;

type Client<S> = client::TlsStream<S>;

/// A client that writes this many bytes at a time.
struct Dribbling(TcpStream, usize);

impl AsyncRead for Dribbling {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Dribbling {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let length = bytes.len().min(self.1);
        Pin::new(&mut self.0).poll_write(cx, &bytes[..length])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn configs(version: &'static SupportedProtocolVersion) -> (ClientConfig, ServerConfig) {
    let certified = rcgen::generate_simple_self_signed(["a.com".to_owned()]).unwrap();
    let leaf = certified.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(leaf).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (client, server)
}

/// Both ends after the handshake; the client writes `step` bytes at a time.
async fn pair(
    version: &'static SupportedProtocolVersion,
    step: usize,
) -> (Client<Dribbling>, Box<TlsStream>) {
    let (client, server) = configs(version);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    socket.set_nodelay(true).unwrap();
    let name = ServerName::try_from("a.com").unwrap();
    let connecting = TlsConnector::from(Arc::new(client)).connect(name, Dribbling(socket, step));
    let accepting = async {
        let (socket, _) = listener.accept().await?;
        TlsStream::accept(socket, Vec::new(), Arc::new(server)).await
    };
    let (client, server) = tokio::join!(connecting, accepting);
    (client.unwrap(), server.unwrap())
}

/// The heap memory of a connection's buffers.
fn held(stream: &TlsStream) -> usize {
    let pending = stream.plain.bytes.capacity() + stream.outgoing.bytes.capacity();
    stream.incoming.capacity() + pending
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 / 7) as u8).collect()
}

#[tokio::test]
async fn bytes_flow_both_ways_and_idle_holds_nothing() {
    for (version, step) in [(&TLS13, 1), (&TLS12, 1), (&TLS13, 70_000), (&TLS12, 70_000)] {
        let (client, mut server) = pair(version, step).await;
        assert_eq!(server.protocol_version(), Some(version.version));
        assert_eq!(held(&server), 0, "after the handshake");
        let (mut read, mut write) = tokio::io::split(client);
        for length in [1, 100, 16_384, 16_385, 300_000] {
            let length = if step == 1 {
                length.min(20_000)
            } else {
                length
            };
            let sent = noise(length);
            let there = async {
                write.write_all(&sent).await.unwrap();
                write.flush().await.unwrap();
            };
            let mut got = vec![0; length];
            let echo = async {
                let mut received = vec![0; length];
                for part in received.chunks_mut(5000) {
                    server.read_exact(part).await.unwrap();
                }
                server.write_all(&received).await.unwrap();
                server.flush().await.unwrap();
            };
            let back = async { read.read_exact(&mut got).await.unwrap() };
            tokio::join!(there, echo, back);
            assert!(got == sent, "{length}");
            assert_eq!(held(&server), 0, "after {length}");
        }
    }
}

#[tokio::test]
async fn parts_that_are_written_at_once_stay_in_order() {
    let (mut client, mut server) = pair(&TLS13, 70_000).await;
    let whole = noise(60_000);
    let cuts = [0, 0, 200, 200, 16_000, 50_000, 60_000];
    let writing = async {
        let mut at = 0;
        while at < whole.len() {
            let slices: Vec<IoSlice<'_>> = cuts
                .windows(2)
                .map(|cut| IoSlice::new(&whole[cut[0].max(at)..cut[1].max(at)]))
                .collect();
            at += server.write_vectored(&slices).await.unwrap();
        }
        server.flush().await.unwrap();
    };
    let mut got = vec![0; whole.len()];
    let (read, ()) = tokio::join!(client.read_exact(&mut got), writing);
    read.unwrap();
    assert!(got == whole);
}

#[tokio::test]
async fn a_reader_that_does_not_read_stops_the_writer() {
    let (mut client, mut server) = pair(&TLS13, 70_000).await;
    let part = noise(100_000);
    let mut written = Vec::new();
    loop {
        let write = poll_fn(|cx| Poll::Ready(Pin::new(&mut *server).poll_write(cx, &part))).await;
        assert!(
            held(&server) <= 2 * RECORDS_PER_WRITE * ENCRYPTED_RECORD_MAX,
            "{}",
            held(&server)
        );
        match write {
            Poll::Ready(length) => written.extend_from_slice(&part[..length.unwrap()]),
            Poll::Pending => break,
        }
    }
    let reading = async {
        let mut got = vec![0; written.len()];
        client.read_exact(&mut got).await.unwrap();
        assert!(got == written);
    };
    let (flushed, ()) = tokio::join!(server.flush(), reading);
    flushed.unwrap();
    assert_eq!(held(&server), 0);
}

#[tokio::test]
async fn only_close_notify_is_a_clean_end() {
    for version in [&TLS13, &TLS12] {
        let (mut client, mut server) = pair(version, 70_000).await;
        client.write_all(b"last").await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"last");
        assert_eq!(server.read(&mut [0; 4]).await.unwrap(), 0);
        // The other direction is still open.
        server.write_all(b"bye").await.unwrap();
        server.shutdown().await.unwrap();
        assert!(server.write(b"more").await.is_err());
        got.clear();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"bye");

        let (mut client, mut server) = pair(version, 70_000).await;
        client.write_all(b"last").await.unwrap();
        client.get_mut().0.shutdown().await.unwrap();
        got.clear();
        let error = server.read_to_end(&mut got).await.unwrap_err();
        assert_eq!(
            (got.as_slice(), error.kind()),
            (&b"last"[..], io::ErrorKind::UnexpectedEof)
        );
    }
}

#[tokio::test]
async fn a_forged_record_ends_the_connection_with_an_alert() {
    for version in [&TLS13, &TLS12] {
        let (mut client, mut server) = pair(version, 70_000).await;
        let mut forged = vec![23, 3, 3, 0, 40];
        forged.extend([0x5a; 40]);
        client.get_mut().0.write_all(&forged).await.unwrap();
        for _ in 0..2 {
            let error = server.read(&mut [0; 8]).await.unwrap_err();
            let error: &Error = error.get_ref().unwrap().downcast_ref().unwrap();
            assert_eq!(*error, Error::DecryptError);
        }
        assert!(server.write(b"no").await.is_err());
        let error = client.read(&mut [0; 8]).await.unwrap_err();
        let error: &Error = error.get_ref().unwrap().downcast_ref().unwrap();
        let alert = rustls::AlertDescription::BadRecordMac;
        assert_eq!(*error, Error::AlertReceived(alert));
    }
}

#[tokio::test]
async fn a_forged_record_found_while_writing_gets_an_alert_too() {
    for (version, writes) in [(&TLS13, true), (&TLS13, false), (&TLS12, false)] {
        let (client, mut server) = pair(version, 70_000).await;
        let (Dribbling(mut socket, _), mut tls) = client.into_inner();
        tls.writer().write_all(b"good").unwrap();
        let mut bytes = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut bytes).unwrap();
        }
        bytes.extend([23, 3, 3, 0, 40]);
        bytes.extend([0x5a; 40]);
        socket.write_all(&bytes).await.unwrap();
        // Both records have arrived, and the first one fills the reader.
        server.read_exact(&mut [0; 4]).await.unwrap();
        if writes {
            assert!(server.write(b"no").await.is_err());
        }
        server.shutdown().await.unwrap();
        let mut told = Vec::new();
        socket.read_to_end(&mut told).await.unwrap();
        let mut told = told.as_slice();
        let heard = loop {
            tls.read_tls(&mut told).unwrap();
            match tls.process_new_packets() {
                Ok(_) => assert!(!told.is_empty(), "no alert"),
                Err(error) => break error,
            }
        };
        let alert = rustls::AlertDescription::BadRecordMac;
        assert_eq!(heard, Error::AlertReceived(alert));
    }
}

#[tokio::test]
async fn key_updates_are_handled() {
    let (mut client, mut server) = pair(&TLS13, 3).await;
    for round in 0..5_u8 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        client.write_all(&[round; 10]).await.unwrap();
        client.flush().await.unwrap();
        let mut got = [0; 10];
        server.read_exact(&mut got).await.unwrap();
        server.write_all(&got).await.unwrap();
        server.flush().await.unwrap();
        let mut got = [0; 10];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(got, [round; 10]);
        assert_eq!(held(&server), 0);
    }
}
