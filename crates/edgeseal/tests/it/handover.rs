//! One process takes over from another: no connection is refused, reset or left without a response,
//! and every certificate is served from the moment its call returns.

use std::{
    future::Future,
    io::Read as _,
    net::SocketAddr,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::harness::{
    ApiClient, CDN_VERSION, HttpConnection, Origin, Server, TIMEOUT, UNLIMITED,
    pki::AUTHORITY,
    server::{via_shell, wait_for_exit},
    tls,
};

mod failures;

const NAME: &str = "www.handed.example";

/// An origin with an ordinary page, a download that ends on request, and an echo.
struct Site {
    origin: Origin,
    finish: watch::Sender<bool>,
}

impl Site {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (finish, finished) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Self::answer(stream, finished.clone()));
            }
        });
        let origin = Origin { address };
        Self { origin, finish }
    }

    async fn answer(stream: TcpStream, finished: watch::Receiver<bool>) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            if head.starts_with("GET /echo") {
                let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                              upgrade: websocket\r\n\r\n";
                stream.write_all(switch.as_bytes()).await?;
                let (mut from, mut to) = tokio::io::split(stream);
                tokio::io::copy(&mut from, &mut to).await?;
                return Ok(());
            }
            if head.starts_with("GET /download") {
                let begin = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(begin.as_bytes()).await?;
                while !*finished.borrow() {
                    stream.write_all(b"5\r\nparts\r\n").await?;
                    stream.flush().await?;
                    sleep(Duration::from_millis(5)).await;
                }
                stream.write_all(b"3\r\nend\r\n0\r\n\r\n").await?;
            } else {
                let page = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
                stream.write_all(page.as_bytes()).await?;
            }
            stream.flush().await?;
        }
    }
}

/// State that the clients share.
#[derive(Default)]
struct ClientStats {
    stop: AtomicBool,
    failures: Mutex<Vec<String>>,
}

/// A client that repeats the same action, on a new connection each time.
struct Client {
    what: &'static str,
    done: Arc<AtomicU64>,
    /// In milliseconds.
    slowest: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Client {
    fn start<F>(
        what: &'static str,
        met: &Arc<ClientStats>,
        mut act: impl FnMut() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + Send,
    {
        let (done, slowest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (met, count, longest) = (Arc::clone(met), Arc::clone(&done), Arc::clone(&slowest));
        let task = tokio::spawn(async move {
            while !met.stop.load(Ordering::SeqCst) {
                let began = Instant::now();
                let result = timeout(TIMEOUT, act()).await;
                let result = result.unwrap_or_else(|_| Err("no answer".to_owned()));
                longest.fetch_max(began.elapsed().as_millis() as u64, Ordering::SeqCst);
                match result {
                    Ok(()) => drop(count.fetch_add(1, Ordering::SeqCst)),
                    Err(why) => met.failures.lock().unwrap().push(format!("{what}: {why}")),
                }
                sleep(Duration::from_millis(2)).await;
            }
        });
        Self {
            what,
            done,
            slowest,
            task,
        }
    }
}

async fn get_page(edge: SocketAddr, alpn: &str) -> Result<(), String> {
    let stream = tls::connect(edge, NAME, &[alpn]).await;
    let stream = stream.map_err(|why| format!("{why:?}"))?;
    let mut connection = match alpn {
        "h2" => HttpConnection::h2_over(stream).await,
        _ => HttpConnection::h1_over(stream).await,
    };
    match connection.try_get(NAME, "/").await? {
        (200, body) if body == "hello" => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

async fn get_plain_page(edge: SocketAddr) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(edge).await.map_err(failed)?;
    let request = format!("GET / HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(failed)?;
    let whole = answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello");
    whole.then_some(()).ok_or(answer)
}

/// An API call on a connection of its own.
async fn call(api: SocketAddr, of: &ApiClient) -> Result<(), String> {
    let secret = String::from_utf8_lossy(of.secret.expose()).into_owned();
    let fresh = ApiClient::new(&api.to_string(), &of.account, &of.key, &secret);
    let called = fresh.call(CDN_VERSION, "DescribeUserDomains", &[]).await;
    called.map(drop).map_err(|error| format!("{error:?}"))
}

/// Sets a new certificate and checks at once that it is served.
async fn change(addresses: (SocketAddr, SocketAddr), of: &ApiClient) -> Result<(), String> {
    let secret = String::from_utf8_lossy(of.secret.expose()).into_owned();
    let fresh = ApiClient::new(&addresses.0.to_string(), &of.account, &of.key, &secret);
    let pem = AUTHORITY.issue(&[NAME]);
    let set = fresh.set(NAME, &pem).await;
    set.map_err(|error| format!("{error:?}"))?;
    // Either process may accept the connection.
    for _ in 0..4 {
        match tls::served_chain(addresses.1, NAME).await {
            Ok(chain) if chain[0] == pem.leaf => {}
            Ok(_) => return Err("the certificate of before is served".to_owned()),
            Err(why) => return Err(format!("{why:?}")),
        }
    }
    Ok(())
}

async fn download(edge: SocketAddr) -> Result<(), String> {
    let stream = tls::connect(edge, NAME, &["http/1.1"]).await.unwrap();
    let mut connection = HttpConnection::h1_over(stream).await;
    let (status, body) = connection.try_get(NAME, "/download").await?;
    let whole = body.starts_with("parts") && body.ends_with("partsend");
    (status == 200 && whole)
        .then_some(())
        .ok_or_else(|| format!("{status} {} bytes", body.len()))
}

/// Echoes messages until it is told to stop.
async fn echo(edge: SocketAddr, met: &ClientStats) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = tls::connect(edge, NAME, &["http/1.1"]).await.unwrap();
    let head = format!(
        "GET /echo HTTP/1.1\r\nhost: {NAME}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.map_err(failed)?;
    let mut stream = BufReader::new(stream);
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        if stream.read_line(&mut answer).await.map_err(failed)? == 0 {
            return Err(format!("it ends after {answer:?}"));
        }
    }
    if !answer.starts_with("HTTP/1.1 101") {
        return Err(answer);
    }
    while !met.stop.load(Ordering::SeqCst) {
        stream.write_all(b"ping\n").await.map_err(failed)?;
        let mut line = String::new();
        stream.read_line(&mut line).await.map_err(failed)?;
        if line != "ping\n" {
            return Err(format!("the echo says {line:?}"));
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hand_overs_under_load_fail_no_request() {
    let mut server = Server::start_with(UNLIMITED);
    let (api, site) = (server.root_client(), Site::start().await);
    api.serve(NAME, &site.origin).await;
    let addresses = server.addresses();
    let (https, http, calls) = (addresses.https, addresses.http, addresses.api);
    let met = Arc::new(ClientStats::default());
    let long = tokio::spawn(download(https));
    let talk = tokio::spawn({
        let met = Arc::clone(&met);
        async move { echo(https, &met).await }
    });
    let (caller, changer) = (api.clone(), api.clone());
    let clients = [
        Client::start("HTTP/1.1", &met, move || get_page(https, "http/1.1")),
        Client::start("HTTP/2", &met, move || get_page(https, "h2")),
        Client::start("plain", &met, move || get_plain_page(http)),
        Client::start("calls", &met, move || {
            let caller = caller.clone();
            async move { call(calls, &caller).await }
        }),
        Client::start("changes", &met, move || {
            let changer = changer.clone();
            async move { change((calls, https), &changer).await }
        }),
    ];
    let mut before = Vec::new();
    for _ in 0..3 {
        let enough: Vec<u64> = clients
            .iter()
            .map(|c| c.done.load(Ordering::SeqCst))
            .collect();
        before.push(server.hand_over());
        assert_eq!(server.addresses(), addresses, "the sockets are the same");
        for (client, seen) in clients.iter().zip(enough) {
            let deadline = Instant::now() + TIMEOUT;
            while client.done.load(Ordering::SeqCst) < seen + 5 {
                assert!(Instant::now() < deadline, "{}: no progress", client.what);
                sleep(Duration::from_millis(5)).await;
            }
        }
    }
    assert!(!long.is_finished() && !talk.is_finished());
    let first = before[0].try_wait().unwrap();
    assert_eq!(first, None, "it still serves the download and the echo");
    site.finish.send_replace(true);
    met.stop.store(true, Ordering::SeqCst);
    long.await.unwrap().unwrap();
    talk.await.unwrap().unwrap();
    for client in clients {
        client.task.await.unwrap();
        let (done, slowest) = (&client.done, &client.slowest);
        println!(
            "{}: {done:?} times, the slowest in {slowest:?} ms",
            client.what
        );
    }
    let failures = std::mem::take(&mut *met.failures.lock().unwrap());
    assert!(failures.is_empty(), "{failures:#?}");
    for mut process in before {
        assert_eq!(
            wait_for_exit(&mut process).code(),
            Some(0),
            "{}",
            server.log()
        );
    }
    server.stop();
}

/// The server uses inherited listening sockets and responds to connections made earlier.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_a_service_manager_are_served_on() {
    let mut server = Server::start();
    let (api, site) = (server.root_client(), Site::start().await);
    api.serve(NAME, &site.origin).await;
    assert_eq!(server.terminate().code(), Some(0));

    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let early = tokio::spawn(async move { get_page(address, "h2").await });
    let with = |names: &str, socket: &std::net::TcpListener| {
        let edgeseal = server.command();
        let script = format!(
            "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={names} exec \"$@\" 3<&0 </dev/null"
        );
        let mut command = via_shell(&script, &edgeseal);
        let socket = OwnedFd::from(socket.try_clone().unwrap());
        command.stdin(socket);
        command
    };
    let mut unknown = with("web", &socket).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(wait_for_exit(&mut unknown).code(), Some(64));
    let mut said = String::new();
    let mut stderr = unknown.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert!(said.contains("FileDescriptorName="), "{said}");

    let command = with("https", &socket);
    server.launch_with(command);
    assert_eq!(server.addresses().https, address);
    early.await.unwrap().unwrap();
    // They are handed over like any other socket.
    let mut before = server.hand_over();
    assert_eq!(server.addresses().https, address);
    assert_eq!(
        wait_for_exit(&mut before).code(),
        Some(0),
        "{}",
        server.log()
    );
    get_page(address, "http/1.1").await.unwrap();
    server.stop();
}
