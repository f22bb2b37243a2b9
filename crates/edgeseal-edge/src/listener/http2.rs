//! HTTP/2 on one connection.

use std::sync::Arc;

use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Allowance, HEAD_BYTES_MAX, Server, log_end};
use crate::proxy::Inbound;

/// Streams of one HTTP/2 connection at a time (RFC 9113 §6.5.2 advises 100 or more).
const STREAMS_MAX: u32 = 128;

impl Server {
    /// Serves requests until the connection ends.
    pub(super) async fn http2<S>(self: Arc<Self>, stream: S, inbound: Inbound)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut token = inbound.token.clone();
        let flow = inbound.flow.clone();
        let inbound = Arc::new(inbound);
        let timeout = self.header_timeout;
        let allowance = Allowance::new(self.connection_requests);
        let counted = Arc::clone(&allowance);
        let service = service_fn(move |request| {
            counted.take();
            // In a box: a stream of HTTP/2 is a task, which hyper and tokio move several times.
            Box::pin(Self::answer(&self, &inbound, request))
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .keep_alive_interval(timeout)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = flow.stalled() => return tracing::debug!("a client takes nothing: cut"),
            () = allowance.ends(&mut token) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = flow.stalled() => return,
                }
            }
        };
        log_end(result);
    }
}
