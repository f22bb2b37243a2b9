use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// What comes of asking a responder that says this.
async fn asked(says: &'static str, length: usize) -> Result<Bytes, FetchError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let responder = format!("http://{}/ocsp?x=1", listener.local_addr().unwrap());
    let answering = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..read]).into_owned();
        assert!(
            request.starts_with("POST /ocsp?x=1 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("content-type: application/ocsp-request\r\n"));
        let answer = format!("{says}\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Whoever asked may have heard enough.
        let _ = stream.write_all(&vec![7; length]).await;
    };
    tokio::join!(ask(&responder, vec![1], true), answering).0
}

#[tokio::test]
async fn responses_are_limited_in_size_and_redirects_not_followed() {
    let read = asked("HTTP/1.1 200 OK", RESPONSE_MAX).await.unwrap();
    assert_eq!(read.len(), RESPONSE_MAX);
    let long = asked("HTTP/1.1 200 OK", RESPONSE_MAX + 1).await;
    assert!(matches!(long, Err(FetchError::TooLong)), "{long:?}");
    let to = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/";
    let moved = asked(to, 0).await;
    assert!(matches!(moved, Err(FetchError::Status(StatusCode::FOUND))));
    let broken = asked("SMTP", 0).await;
    assert!(matches!(broken, Err(FetchError::Broken(_))), "{broken:?}");
}

#[tokio::test]
async fn only_port_80_of_public_addresses_is_contacted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "0x7f.1",
        "2130706433",
    ] {
        let found = ask(&format!("http://{host}:{port}/"), vec![1], false).await;
        assert!(found.is_err(), "{host}");
    }
    // Nothing of these is a matter of the network.
    for address in [
        "http://127.0.0.1/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/",
        "http://[::1]/",
        "http://8.8.8.8:22/",
    ] {
        let found = ask(address, vec![1], false).await;
        assert!(
            matches!(found, Err(FetchError::NotPublic)),
            "{address}: {found:?}"
        );
    }
    for address in [
        "https://o.example/",
        "http://user@o.example/",
        "ftp://o.example/",
        "/path",
        "o.example",
        "",
    ] {
        let found = ask(address, vec![1], true).await;
        assert!(
            matches!(found, Err(FetchError::Address)),
            "{address}: {found:?}"
        );
    }
    let nobody = timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err(), "nobody may have connected");
}
