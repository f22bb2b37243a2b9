//! Overload: new connections wait or are closed, established ones continue, and the API responds.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::harness::{
    CDN_VERSION, HttpConnection, Origin, Server, eventually, process, server::via_shell, tls,
};

const NAME: &str = "www.crowded.example";

/// A server that serves [`NAME`].
async fn serving(config: &str) -> Server {
    let server = Server::start_with(config);
    let (api, origin) = (server.root_client(), Origin::start().await);
    api.serve(NAME, &origin).await;
    server
}

async fn connect_h1(edge: SocketAddr) -> Result<HttpConnection, String> {
    let stream = tls::connect(edge, NAME, &["http/1.1"]).await;
    let stream = stream.map_err(|why| format!("{why:?}"))?;
    Ok(HttpConnection::h1_over(stream).await)
}

async fn assert_answers(connection: &mut HttpConnection, when: &str) {
    let answer = connection.try_get(NAME, "/").await;
    assert_eq!(answer, Ok((200, Origin::page(NAME, "/"))), "{when}");
}

async fn assert_api_answers(server: &Server, when: &str) {
    let api = server.root_client();
    let called = api.call(CDN_VERSION, "DescribeUserDomains", &[]);
    let called = timeout(Duration::from_secs(5), called).await;
    let called = called.unwrap_or_else(|_| panic!("no answer {when}"));
    called.unwrap_or_else(|error| panic!("{when}: {error:?}"));
}

/// File descriptors that a process has open.
/// The number of the next file descriptor that it opens.
fn next_descriptor(server: &Server) -> u32 {
    let open = PathBuf::from(format!("/proc/{}/fd", server.id()));
    let is_free = |number: &u32| fs::symlink_metadata(open.join(number.to_string())).is_err();
    (0..).find(is_free).unwrap()
}

/// It opens none of this number or a higher one from now on.
fn set_nofile_limit(server: &Server, below: u32) {
    let status = Command::new("prlimit")
        .args(["--pid", &server.id().to_string()])
        .arg(format!("--nofile={below}:"))
        .status();
    assert!(status.unwrap().success());
}

/// Starts it again with so few file descriptors.
async fn with_descriptors(server: &mut Server, descriptors: u32) {
    assert_eq!(server.terminate().code(), Some(0));
    let script = format!("ulimit -n {descriptors} && exec \"$@\"");
    server.launch_with(via_shell(&script, &server.command()));
    assert!(server.log().contains("too few file descriptors"));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_do_not_exhaust_reserved_descriptors() {
    let mut server = serving("").await;
    with_descriptors(&mut server, 256).await;
    let edge = server.addresses().https;
    let mut first = connect_h1(edge).await.unwrap();
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(TcpStream::connect(edge).await.unwrap());
    }
    // (256 - 64 for itself - 32 for the API) / 2, since each may need one to the origin. One place
    // is kept by whichever listener has nobody to accept.
    eventually("79 connections are open", async || {
        let open = server.metric("edgeseal_connections ").await;
        let open = open.unwrap();
        assert!(open <= 80, "{open}");
        (open >= 79).then_some(())
    })
    .await;
    assert_answers(&mut first, "among a crowd").await;
    assert_api_answers(&server, "beside a crowd").await;
    drop(crowd);
    // The edge sees the end of each when it sees it.
    let next = eventually("room after a crowd", async || connect_h1(edge).await.ok());
    assert_answers(&mut next.await, "after a crowd").await;
    let failures = server.metric("edgeseal_accept_failures_total{reason=\"descriptors\"} ");
    assert_eq!(
        failures.await,
        None,
        "it never had to be refused by the system"
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_nothing_spins_and_what_is_open_goes_on() {
    let mut server = serving("").await;
    with_descriptors(&mut server, 256).await;
    let edge = server.addresses().https;
    let mut first = connect_h1(edge).await.unwrap();
    assert_answers(&mut first, "before").await;
    let began = Instant::now();
    set_nofile_limit(&server, next_descriptor(&server));
    // Several: one may find the place of what the process itself has just closed.
    let waiting = [(); 8].map(|()| tokio::spawn(connect_h1(edge)));
    eventually("the system refuses", async || {
        server
            .log()
            .contains("connections cannot be accepted")
            .then_some(())
    })
    .await;
    assert_answers(&mut first, "on a kept connection").await;
    set_nofile_limit(&server, 256);
    for waited in waiting {
        let mut waited = waited.await.unwrap().unwrap();
        assert_answers(&mut waited, "once there is room").await;
    }
    let series = "edgeseal_accept_failures_total{reason=\"descriptors\"} ";
    let failures = eventually("the metrics", async || server.metric(series).await).await;
    let most = began.elapsed().as_millis() as u64 / 50 + 2;
    assert!((1..=most).contains(&failures), "{failures} of {most}");
    let told = server
        .log()
        .matches("connections cannot be accepted")
        .count();
    assert!(told <= 4, "it was told {told} times");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_flood_from_one_address_affects_only_that_address() {
    let server = serving("handshakes = 16\n").await;
    let edge = server.addresses().https;
    let mut flood = Vec::new();
    for _ in 0..40 {
        let socket = TcpSocket::new_v4().unwrap();
        let from: IpAddr = "127.0.0.2".parse().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        let mut stream = socket.connect(edge).await.unwrap();
        // The head of a record, and no more of it.
        let _ = stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).await;
        flood.push(stream);
    }
    let series = "edgeseal_shed_total{reason=\"handshakes_per_source\"} ";
    eventually("32 are closed", async || {
        (server.metric(series).await == Some(32)).then_some(())
    })
    .await;
    for _ in 0..5 {
        let mut other = connect_h1(edge).await.unwrap();
        assert_answers(&mut other, "beside a flood").await;
    }
    assert_api_answers(&server, "beside a flood").await;
    drop(flood);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_per_address_are_limited() {
    let server = serving("connections_per_source = 3\n").await;
    let edge = server.addresses().https;
    // The edge's own prober comes from there too, and ends.
    let mut open = Vec::new();
    eventually("three connections", async || {
        TcpStream::connect(edge).await.ok().map(drop)
    })
    .await;
    while open.len() < 3 {
        if let Ok(connection) = connect_h1(edge).await {
            open.push(connection);
        }
    }
    let refused = connect_h1(edge).await;
    assert!(refused.is_err());
    for connection in &mut open {
        assert_answers(connection, "of three").await;
    }
    open.pop();
    loop {
        if let Ok(mut next) = connect_h1(edge).await {
            break assert_answers(&mut next, "in the place of another").await;
        }
    }
    server.stop();
}

/// Bytes that a process has in memory.
fn resident_bytes(server: &Server) -> u64 {
    process::resident_kib(server.id()).unwrap().0 * 1024
}

/// A connection of HTTP/2 from this address.
async fn established_from(source: &str, edge: SocketAddr) -> Result<HttpConnection, String> {
    let socket = TcpSocket::new_v4().unwrap();
    let source: IpAddr = source.parse().unwrap();
    socket.bind(SocketAddr::new(source, 0)).unwrap();
    let stream = socket.connect(edge).await.map_err(|why| why.to_string())?;
    let config = tls::client_config(rustls::DEFAULT_VERSIONS, &["h2"]);
    let stream = tls::connect_over(stream, NAME, config).await;
    let stream = stream.map_err(|why| format!("{why:?}"))?;
    let connection = HttpConnection::try_h2_over(stream).await;
    connection.map_err(|why| why.to_string())
}

/// Who takes the memory loses some of it, everybody else is served meanwhile, and once it is let go
/// of it is there again.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_user_of_memory_is_evicted() {
    let mut server = serving("").await;
    let mut warm = connect_h1(server.addresses().https).await.unwrap();
    assert_answers(&mut warm, "at first").await;
    let most = (resident_bytes(&server) + (16 << 20)) * 100 / 85;
    drop(warm);
    assert_eq!(server.terminate().code(), Some(0));
    let config = format!("memory_max = {most}\nheader_timeout_ms = 600000\n");
    fs::write(server.home().join("edgeseal.toml"), config).unwrap();
    server.launch();
    let edge = server.addresses().https;
    let mut first = connect_h1(edge).await.unwrap();
    let mut crowd = Vec::new();
    let shed = "edgeseal_shed_total{reason=\"memory\"} ";
    let mut attempts = 0;
    let refused = loop {
        match established_from("127.0.0.2", edge).await {
            Ok(mut connection) => {
                let _ = connection.try_get(NAME, "/").await;
                crowd.push(connection);
            }
            // Otherwise it was evicted before it was established, in place of another.
            Err(why) if server.metric(shed).await >= Some(1) => break why,
            Err(_) => {}
        }
        attempts += 1;
        assert!(
            attempts < 5000,
            "memory is never short: {}",
            resident_bytes(&server)
        );
    };
    let short = server.metric("edgeseal_memory_pressure ").await;
    assert_eq!(short, Some(1), "{refused}");
    assert_answers(&mut first, "on an open connection").await;
    let mut visitor = established_from("127.0.0.3", edge).await.unwrap();
    assert_answers(&mut visitor, "while memory is short").await;
    assert_api_answers(&server, "while memory is short").await;
    assert!(server.log().contains("memory use is above the limit"));
    let revoked = server
        .metric("edgeseal_connections_evicted_total{reason=\"memory\"} ")
        .await;
    assert!(revoked.is_some_and(|revoked| revoked >= 1));
    assert!(
        resident_bytes(&server) < most,
        "{} of {most}",
        resident_bytes(&server)
    );
    drop(crowd);
    eventually("everybody is served again", async || {
        let mut next = established_from("127.0.0.2", edge).await.ok()?;
        next.try_get(NAME, "/").await.ok()
    })
    .await;
    eventually("the memory is back", async || {
        (resident_bytes(&server) < most / 100 * 80).then_some(())
    })
    .await;
    server.stop();
}

/// A connection over plain HTTP on which a part of a long head was sent.
async fn unfinished_head(source: [u8; 4], edge: SocketAddr, head: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(source.into(), 0)).unwrap();
    let mut stream = socket.connect(edge).await.unwrap();
    // It may be closed before it has taken everything.
    let _ = stream.write_all(head).await;
    stream
}

/// Heads without an end from everywhere, a few each: memory is for those who ask.
#[tokio::test(flavor = "multi_thread")]
async fn long_headers_from_many_sources_do_not_exhaust_memory() {
    const SOURCES: u8 = 200;
    let mut server = serving("").await;
    let mut warm = connect_h1(server.addresses().https).await.unwrap();
    assert_answers(&mut warm, "at first").await;
    let most = resident_bytes(&server) + (48 << 20);
    drop(warm);
    assert_eq!(server.terminate().code(), Some(0));
    let config = format!("memory_max = {most}\nheader_timeout_ms = 600000\n");
    fs::write(server.home().join("edgeseal.toml"), config).unwrap();
    server.launch();
    let edge = server.addresses();
    let fields = format!("X: {}\r\n", "x".repeat(3000)).repeat(20);
    let head = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n{fields}");
    let mut crowd = Vec::new();
    for round in 1..=5 {
        for source in 1..=SOURCES {
            let source = [127, source, round, 1];
            crowd.push(unfinished_head(source, edge.http, head.as_bytes()).await);
        }
        let mut visitor = connect_h1(edge.https).await.unwrap();
        assert_answers(&mut visitor, "beside unfinished heads").await;
        let taken = resident_bytes(&server);
        assert!(taken < most / 100 * 95, "{taken} of {most} after {round}");
    }
    let refused = server
        .metric("edgeseal_shed_total{reason=\"large_headers\"} ")
        .await;
    assert!(refused.is_some_and(|refused| refused > 0));
    drop(crowd);
    server.stop();
}
