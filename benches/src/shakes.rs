//! Handshakes one after the other on several connections at a time.

use std::{cell::Cell, net::SocketAddr, rc::Rc};

use rustls::pki_types::ServerName;
use tokio::task::LocalSet;

use crate::{
    Outcome, mass,
    tls::{Client, How, Way},
};

/// What is done in one turn with one server.
#[derive(Clone)]
pub(crate) struct Shakes {
    pub(crate) names: Names,
    pub(crate) way: Way,
    pub(crate) then: Then,
    /// Connections at a time.
    pub(crate) clients: usize,
}

/// Whom the clients ask for.
#[derive(Clone)]
pub(crate) enum Names {
    One(Rc<str>),
    /// Any of so many, uniformly; the same ones in each turn.
    Random(usize),
}

/// What is done on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Close,
    /// One request, and the server closes.
    Request,
}

/// What the clients of a turn share.
struct Turn {
    left: Cell<usize>,
    numbers: Cell<Numbers>,
    address: SocketAddr,
}

impl Shakes {
    /// So many handshakes, all of which succeed, in the wanted way, and show the right certificate.
    pub(crate) async fn turn(&self, address: SocketAddr, handshakes: usize) -> Outcome<()> {
        let turn = Rc::new(Turn {
            left: Cell::new(handshakes),
            numbers: Cell::new(Numbers::default()),
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

    async fn client(&self, turn: &Turn) -> Outcome<()> {
        let client = Client::with(self.way)?;
        if self.way.how == How::Resumed {
            let name = ServerName::try_from(self.names.next(turn))?;
            client.prime(turn.address, &name).await?;
        }
        while let Some(less) = turn.left.get().checked_sub(1) {
            turn.left.set(less);
            let name = self.names.next(turn);
            let connection = client.shows(turn.address, &name).await?;
            match self.then {
                Then::Close => connection.close().await?,
                Then::Request => connection.request(&name).await?,
            }
        }
        Ok(())
    }
}

impl Names {
    fn next(&self, turn: &Turn) -> String {
        match self {
            Self::One(name) => name.to_string(),
            Self::Random(count) => {
                let mut numbers = turn.numbers.get();
                let number = numbers.below(*count);
                turn.numbers.set(numbers);
                mass::name(number)
            }
        }
    }
}

/// xorshift64*: the same numbers in every run.
#[derive(Clone, Copy)]
pub(crate) struct Numbers(u64);

impl Default for Numbers {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Numbers {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let random = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        ((u128::from(random) * limit as u128) >> 64) as usize
    }
}
