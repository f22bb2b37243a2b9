//! Sequential handshakes on several concurrent connections.

use std::{cell::Cell, net::SocketAddr, rc::Rc};

use edgeseal_testing::random::SplitMix;
use rustls::pki_types::ServerName;
use tokio::task::LocalSet;

use crate::{
    BenchResult, bulk_store,
    tls::{Client, HandshakeMode, HandshakeProfile},
};

/// The load of one turn with one server.
#[derive(Clone)]
pub(crate) struct HandshakeLoad {
    pub(crate) names: ServerNames,
    pub(crate) profile: HandshakeProfile,
    pub(crate) then: AfterHandshake,
    /// Concurrent connections.
    pub(crate) clients: usize,
}

/// The names that the clients send.
#[derive(Clone)]
pub(crate) enum ServerNames {
    One(Rc<str>),
    /// Uniformly random ones of this many; the same in each turn.
    Random(usize),
}

/// What is done on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterHandshake {
    Close,
    /// One request, and the server closes.
    Request,
}

/// State that the clients of a turn share.
struct LoadState {
    remaining: Cell<usize>,
    numbers: Cell<SplitMix>,
    address: SocketAddr,
}

impl HandshakeLoad {
    /// Makes this many handshakes; all must succeed in the requested mode and show the right
    /// certificate.
    pub(crate) async fn run(&self, address: SocketAddr, handshakes: usize) -> BenchResult<()> {
        let turn = Rc::new(LoadState {
            remaining: Cell::new(handshakes),
            numbers: Cell::new(SplitMix(1)),
            address,
        });
        let tasks = LocalSet::new();
        tasks
            .run_until(async {
                let clients = (0..self.clients).map(|_| {
                    let (work, turn) = (self.clone(), Rc::clone(&turn));
                    tokio::task::spawn_local(async move { work.client(&turn).await })
                });
                for client in clients.collect::<Vec<_>>() {
                    client.await??;
                }
                Ok(())
            })
            .await
    }

    async fn client(&self, turn: &LoadState) -> BenchResult<()> {
        let client = Client::with(self.profile)?;
        if self.profile.mode == HandshakeMode::Resumed {
            let name = ServerName::try_from(self.names.next(turn))?;
            client.obtain_ticket(turn.address, &name).await?;
        }
        while let Some(less) = turn.remaining.get().checked_sub(1) {
            turn.remaining.set(less);
            let name = self.names.next(turn);
            let connection = client.connect_expecting(turn.address, &name).await?;
            match self.then {
                AfterHandshake::Close => connection.close().await?,
                AfterHandshake::Request => connection.request(&name).await?,
            }
        }
        Ok(())
    }
}

impl ServerNames {
    fn next(&self, turn: &LoadState) -> String {
        match self {
            Self::One(name) => name.to_string(),
            Self::Random(count) => {
                let mut numbers = turn.numbers.get();
                let number = numbers.below(*count);
                turn.numbers.set(numbers);
                bulk_store::domain_name(number)
            }
        }
    }
}
