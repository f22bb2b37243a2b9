//! An HTTP server that records what it is sent, such as a webhook's.

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::{sync::watch, time::timeout};

use crate::{origin::origin, wait::TIMEOUT};

/// The server.
pub struct Receiver {
    pub address: SocketAddr,
    requests: watch::Receiver<Vec<Received>>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Receiver {
    /// A server that answers with these statuses in turn, then with 200.
    pub async fn start(statuses: &[u16]) -> Self {
        let (sender, requests) = watch::channel(Vec::new());
        let (sender, statuses) = (Arc::new(sender), statuses.to_vec());
        let port = origin(move |request: Request<Incoming>| {
            let (sender, statuses) = (Arc::clone(&sender), statuses.clone());
            async move {
                let (head, body) = request.into_parts();
                let received = Received {
                    path: head.uri.path().to_owned(),
                    headers: head.headers,
                    body: body.collect().await.unwrap().to_bytes().to_vec(),
                };
                let mut number = 0;
                sender.send_modify(|all: &mut Vec<Received>| {
                    number = all.len();
                    all.push(received);
                });
                let status = statuses.get(number).copied().unwrap_or(200);
                let mut response = Response::new(Full::<bytes::Bytes>::default());
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                response
            }
        })
        .await;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { address, requests }
    }

    /// All requests so far, at least so many.
    pub async fn at_least(&self, count: usize) -> Vec<Received> {
        let mut requests = self.requests.clone();
        let enough = requests.wait_for(|all| all.len() >= count);
        let all = timeout(TIMEOUT, enough).await;
        all.unwrap_or_else(|_| panic!("{count} requests did not come"))
            .unwrap()
            .clone()
    }

    /// The number of requests so far.
    pub fn count(&self) -> usize {
        self.requests.borrow().len()
    }
}

impl Received {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// A header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}
