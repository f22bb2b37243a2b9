//! A proxy that cuts connections in the middle of a commit.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Where a connection is cut.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    /// The server never gets the request.
    Request,
    /// The client gets so many bytes of the answer.
    Answer(usize),
}

/// Between the store and the server; cuts the connection of the next request that has the marker in
/// it.
pub(super) struct Cutter {
    pub(super) port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    marker: &'static [u8],
    armed: Option<Cut>,
    cuts: u32,
}

impl Cutter {
    pub(super) async fn start(to: u16, marker: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            marker: marker.as_bytes(),
            armed: None,
            cuts: 0,
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                tokio::spawn(forward(client, server, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    pub(super) fn arm(&self, cut: Cut) {
        self.state.lock().unwrap().armed = Some(cut);
    }

    /// How many connections were cut.
    pub(super) fn cuts(&self) -> u32 {
        self.state.lock().unwrap().cuts
    }
}

async fn forward(mut client: TcpStream, mut server: TcpStream, state: Arc<Mutex<State>>) {
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut cut = None;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                cut = cut.or_else(|| state.lock().unwrap().cut(&asked[..length]));
                if matches!(cut, Some(Cut::Request)) || server.write_all(&asked[..length]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                let passes = match cut {
                    Some(Cut::Answer(bytes)) => bytes.min(length),
                    _ => length,
                };
                if client.write_all(&answered[..passes]).await.is_err() || cut.is_some() {
                    return;
                }
            }
        }
    }
}

impl State {
    /// Whether the connection of this request is to be cut.
    fn cut(&mut self, request: &[u8]) -> Option<Cut> {
        let mut parts = request.windows(self.marker.len());
        let cut = self
            .armed
            .filter(|_| parts.any(|part| part == self.marker))?;
        self.armed = None;
        self.cuts += 1;
        Some(cut)
    }
}
