//! Ejected origins, and the probes that find out whether they have recovered.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use edgeseal_testing::{
    origin::{listener, saying},
    raw::get_text,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    time::{interval, timeout},
};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

/// Requests: the method, and the host.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// An origin that responds to the edge's own requests if they are for `welcome`, and closes the
/// connection for all others; its port, and the requests it got.
async fn choosy(welcome: &'static str) -> (u16, Asked) {
    let (listener, address) = listener().await;
    let asked = Asked::default();
    let record = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let record = Arc::clone(&record);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let (mut method, mut host) = (String::new(), String::new());
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await?;
                    let line = line.trim_end();
                    if line.is_empty() {
                        break;
                    }
                    if method.is_empty() {
                        line.split(' ').next().unwrap().clone_into(&mut method);
                    }
                    if let Some(value) = line.strip_prefix("host: ") {
                        value.clone_into(&mut host);
                    }
                }
                let answers = method == "HEAD" && host == welcome;
                record.lock().unwrap().push((method, host));
                if answers {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    stream.write_all(answer).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    (address.port(), asked)
}

/// Below a wildcard any client can send a host that the origin does not know.
#[tokio::test]
async fn the_next_client_does_not_choose_the_probe_host() {
    let (primary, asked) = choosy("one.a.com").await;
    let backup = saying("backup").await;
    let world = Harness::new();
    let domain = domain("*.a.com")
        .with_origin_at("127.0.0.1", primary, 20)
        .with_origin_at("127.0.0.1", backup, 30);
    world.put(&domain).await;
    let edge = world.edge().await;
    let http = edge.http_addr().unwrap();
    for _ in 0..3 {
        assert!(get_text(http, "one.a.com", "/").await.1.ends_with("backup"));
    }
    let get = ("GET".to_owned(), "one.a.com".to_owned());
    assert_eq!(*asked.lock().unwrap(), vec![get; 3]);
    let first_trial = async {
        let mut every = interval(Duration::from_millis(50));
        loop {
            every.tick().await;
            assert!(get_text(http, "two.a.com", "/").await.1.ends_with("backup"));
            if let Some(trial) = asked.lock().unwrap().get(3) {
                return trial.clone();
            }
        }
    };
    let first_trial = timeout(TIMEOUT, first_trial).await.unwrap();
    assert_eq!(first_trial, ("HEAD".to_owned(), "one.a.com".to_owned()));
}
