//! The origins' side: pooled HTTP/1.1 connections, timeouts, the next origin when one cannot be
//! connected to.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, Method, Request, Response, Uri, uri::PathAndQuery};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tower_service::Service;

use super::{
    Patience,
    body::{Lent, Loan},
};
use crate::entry::{Origin, Origins};

/// Sends requests to origins.
#[derive(Debug)]
pub(super) struct Upstream {
    client: Client<Dial, Lent>,
    patience: Patience,
}

/// The head of a request, the same for each origin that is tried.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
}

/// Why no origin answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The domain has none.
    NoOrigin,
    /// It wants TLS.
    TlsOrigin,
    /// Its name does not resolve, or it refuses connections.
    Unreachable,
    /// No connection in time.
    ConnectTimedOut,
    /// It took the request and did not answer in time.
    HeadTimedOut,
    /// The client did not send the rest of its body.
    ClientTooSlow,
    /// It broke off, or what it said was no HTTP.
    Broken,
}

/// An idle connection is closed after this long. Below the shortest keep-alive that is usual among
/// origins would be best (5 s), but a request without a body survives a stale connection anyway.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// Idle connections kept to one origin.
const POOL_SIZE: usize = 256;

impl Upstream {
    pub(super) fn new(patience: Patience) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.set_keepalive(Some(Duration::from_secs(60)));
        let dial = Dial {
            http,
            patience: patience.connect,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_SIZE)
            .build(dial);
        Self { client, patience }
    }

    pub(super) const fn patience(&self) -> &Patience {
        &self.patience
    }

    /// The head of the first answer. The next origin is tried if one cannot be connected to and
    /// nothing of the body has been read.
    pub(super) async fn send(
        &self,
        head: &Head,
        loan: &Arc<Loan>,
        origins: &Origins,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let mut last = NoAnswer::NoOrigin;
        for origin in origins.in_turn() {
            match self.send_to(origin, head, loan).await {
                Err(
                    why @ (NoAnswer::Unreachable | NoAnswer::ConnectTimedOut | NoAnswer::TlsOrigin),
                ) if loan.is_whole() => {
                    tracing::warn!(origin = %origin.authority, ?why, "an origin is passed over");
                    last = why;
                }
                answer => return answer,
            }
        }
        Err(last)
    }

    async fn send_to(
        &self,
        origin: &Origin,
        head: &Head,
        loan: &Arc<Loan>,
    ) -> Result<Response<Incoming>, NoAnswer> {
        if origin.tls {
            return Err(NoAnswer::TlsOrigin);
        }
        match self.attempt(origin, head, loan).await {
            // A kept connection that the origin closed meanwhile looks like this. Asking again is
            // harmless for safe methods (RFC 9110 §9.2.2) without a body, and is done once.
            Err(NoAnswer::Broken) if head.method.is_safe() && loan.is_empty() => {
                self.attempt(origin, head, loan).await
            }
            answer => answer,
        }
    }

    async fn attempt(
        &self,
        origin: &Origin,
        head: &Head,
        loan: &Arc<Loan>,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(&*origin.authority)
            .path_and_query(head.target.clone())
            .build()
            .map_err(|_| NoAnswer::Unreachable)?;
        let mut request = Request::new(loan.lend());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = head.headers.clone();
        let answer = self.client.request(request);
        tokio::select! {
            answer = answer => answer.map_err(|error| classify(&origin.authority, &error)),
            why = self.give_up(loan) => Err(why),
        }
    }

    /// Waits until nothing has moved for too long: neither a part of the request's body nor, else
    /// this would not be polled any more, the head of the response.
    async fn give_up(&self, loan: &Loan) -> NoAnswer {
        let mut seen = loan.progress();
        loop {
            sleep_until(Instant::now() + self.patience.head).await;
            let now = loan.progress();
            if now == seen {
                return if loan.awaits_client() {
                    NoAnswer::ClientTooSlow
                } else {
                    NoAnswer::HeadTimedOut
                };
            }
            seen = now;
        }
    }
}

fn classify(authority: &str, error: &Error) -> NoAnswer {
    let why = match (error.is_connect(), is_timeout(error)) {
        (true, true) => NoAnswer::ConnectTimedOut,
        (true, false) => NoAnswer::Unreachable,
        (false, _) => NoAnswer::Broken,
    };
    tracing::warn!(
        origin = authority,
        error = error as &dyn std::error::Error,
        "an origin did not answer"
    );
    why
}

fn is_timeout(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Connects, name resolution included, in bounded time.
#[derive(Clone, Debug)]
struct Dial {
    http: HttpConnector,
    patience: Duration,
}

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.http.call(uri);
        let patience = self.patience;
        Box::pin(async move {
            match timeout(patience, connecting).await {
                Ok(connected) => Ok(connected?),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}
