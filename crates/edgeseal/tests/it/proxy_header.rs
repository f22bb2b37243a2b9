//! The PROXY protocol: accepted from trusted load balancers only.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Duration, sleep, timeout},
};

use crate::harness::{Origin, Server, TIMEOUT, eventually, raw, tls};

const NAME: &str = "www.balanced.example";
/// Version 2, TCP over IPv4, from 203.0.113.9:4711 to 198.51.100.1:443, and a field that is
/// ignored.
const HEADER: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x10\xcb\x00\x71\x09\xc6\x33\x64\x01\x12\x67\x01\xbb\x04\x00\x01\x2a";
const LINE: &[u8] = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n";
const REQUEST: &str = "GET / HTTP/1.1\r\nhost: www.balanced.example\r\nconnection: close\r\n\r\n";

/// An origin that says for whom it is asked.
async fn echo_origin() -> Origin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let (mut line, mut client) = (String::new(), String::new());
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).await?;
                    let (name, value) = line.split_once(':').unwrap_or_default();
                    if name.eq_ignore_ascii_case("x-forwarded-for") {
                        value.trim().clone_into(&mut client);
                    }
                }
                let length = client.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{client}"
                );
                stream.write_all(answer.as_bytes()).await
            });
        }
    });
    Origin { address }
}

async fn from(source: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(source.parse().unwrap(), 0))
        .unwrap();
    socket.connect(to).await.unwrap()
}

/// What the origin says, or nothing if there is no answer.
async fn send_parts(mut stream: TcpStream, parts: &[&[u8]]) -> String {
    for part in parts {
        if stream.write_all(part).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(5)).await; // so that they come one by one
    }
    let mut answer = Vec::new();
    let read = timeout(TIMEOUT, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("it ends");
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    assert!(
        answer.is_empty() || head.starts_with("HTTP/1.1 200"),
        "{answer}"
    );
    body.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_balancer_can_send_a_proxy_header() {
    let server = Server::start_with(
        "proxy_protocol_from = [\"127.0.0.3\", \"192.0.2.0/24\"]\nclient_hello_timeout_ms = 500\n",
    );
    let (api, origin) = (server.root_client(), echo_origin().await);
    let pem = api.serve(NAME, &origin).await;
    let (http, https) = (server.addresses().http, server.addresses().https);
    let request = REQUEST.as_bytes();

    let whole = [HEADER, request].concat();
    let table: &[(&str, &[&[u8]], &str)] = &[
        ("127.0.0.3", &[&whole], "203.0.113.9"),
        (
            "127.0.0.3",
            &[&HEADER[..5], &HEADER[5..17], &HEADER[17..], request],
            "203.0.113.9",
        ),
        (
            "127.0.0.3",
            &[&LINE[..20], &LINE[20..], request],
            "203.0.113.9",
        ),
        ("127.0.0.3", &[b"PROXY UNKNOWN\r\n", request], "127.0.0.3"),
        // Without a header, with half of one, with another one.
        ("127.0.0.3", &[request], ""),
        ("127.0.0.3", &[&HEADER[..20]], ""),
        (
            "127.0.0.3",
            &[b"\r\n\r\n\0\r\nQUIT\n\x22\x11\x00\x00", request],
            "",
        ),
        // From elsewhere on this machine nobody speaks for others.
        ("127.0.0.1", &[HEADER, request], ""),
        ("127.0.0.4", &[HEADER, request], ""),
        ("127.0.0.4", &[request], ""),
    ];
    for (source, parts, expected) in table {
        let said = send_parts(from(source, http).await, parts).await;
        assert_eq!(said, *expected, "{source}: {parts:?}");
    }

    let mut stream = from("127.0.0.3", https).await;
    stream.write_all(HEADER).await.unwrap();
    let config = tls::client_config(rustls::DEFAULT_VERSIONS, &["http/1.1"]);
    let mut stream = tls::connect_over(stream, NAME, config).await.unwrap();
    assert_eq!(
        stream.get_ref().1.peer_certificates().unwrap()[0].as_ref(),
        pem.leaf
    );
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.ends_with("\r\n\r\n203.0.113.9"), "{answer}");
    assert!(
        tls::connect(https, NAME, &[]).await.is_err(),
        "without a header"
    );

    // The edge is its own client, and still proves what it serves.
    eventually("a proof", async || {
        let metrics = raw::get(server.addresses().admin, "localhost", "/metrics").await;
        let proven = metrics
            .body
            .contains("edgeseal_proofs_total{result=\"match\"}");
        proven.then_some(())
    })
    .await;
    let metrics = raw::get(server.addresses().admin, "localhost", "/metrics").await;
    assert!(
        metrics
            .body
            .contains("edgeseal_shed_total{reason=\"proxy_header\"}")
    );
    server.stop();
}
