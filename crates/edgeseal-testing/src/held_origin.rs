//! An origin that holds its responses until the test releases them, to keep requests in flight.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
};

use crate::origin::Origin;

/// The body of its responses.
pub const HELD_BODY: &str = "held until now\n";

/// The origin.
pub struct HeldOrigin {
    pub origin: Origin,
    requested: watch::Receiver<bool>,
    release: watch::Sender<bool>,
}

impl HeldOrigin {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ask, asked) = watch::channel(false);
        let (release, released) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (ask, mut released) = (ask.clone(), released.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await?);
                    }
                    ask.send_replace(true);
                    if released.wait_for(|released| *released).await.is_ok() {
                        let length = HELD_BODY.len();
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{HELD_BODY}"
                        );
                        stream.write_all(answer.as_bytes()).await?;
                    }
                    std::io::Result::Ok(())
                });
            }
        });
        Self {
            origin: Origin { address },
            requested: asked,
            release,
        }
    }

    /// Waits until a request has arrived.
    pub async fn wait_for_request(&self) {
        let mut asked = self.requested.clone();
        asked.wait_for(|asked| *asked).await.unwrap();
    }

    /// Releases all responses.
    pub fn release(&self) {
        self.release.send_replace(true);
    }
}
