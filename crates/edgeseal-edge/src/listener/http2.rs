//! HTTP/2 on one connection.

use std::{sync::Arc, time::Duration};

use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{RequestBudget, Server, log_end};
use crate::{
    limits::{ConnectionPermit, HEADER_SIZE_MAX},
    proxy::Inbound,
    telemetry,
};

/// Maximum concurrent streams of one connection (RFC 9113 §6.5.2 advises 100 or more).
const STREAMS_MAX: u32 = 128;
/// Bytes of a response that may wait to be sent, for each stream. hyper's default, 400 KiB, is more
/// than connections of many streams may hold.
const UNSENT_MAX: usize = 32 * 1024;
/// Time for a client to notice GOAWAY on a connection without streams.
const FAREWELL: Duration = Duration::from_secs(5);

impl Server {
    /// Serves requests until the connection ends: closed by its client, drained, after
    /// [`keepalive_requests`](Server::keepalive_requests), or when no request was in progress for
    /// the header timeout.
    pub(super) async fn http2<S>(self: Arc<Self>, stream: S, inbound: Inbound)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut token = inbound.token.clone();
        let stall_monitor = inbound.stall_monitor.clone();
        let permit = Arc::clone(&inbound.permit);
        let inbound = Arc::new(inbound);
        let timeout = self.header_timeout;
        let request_budget = RequestBudget::new(self.keepalive_requests);
        let counted = Arc::clone(&request_budget);
        let service = service_fn(move |request| {
            counted.consume();
            let in_flight = inbound.permit.stream();
            let (this, inbound) = (Arc::clone(&self), Arc::clone(&inbound));
            // Boxed: an HTTP/2 stream is a task, which hyper and tokio move several times.
            Box::pin(async move {
                // The request was not processed, so the client may retry (RFC 9113 §8.7).
                let in_flight = in_flight.map_err(|reason| {
                    telemetry::shed(reason);
                    h2::Error::from(h2::Reason::REFUSED_STREAM)
                })?;
                let mut response = this.proxy.serve(request, &inbound).await;
                response
                    .body_mut()
                    .hold_until_sent(in_flight, &inbound.stall_monitor);
                Ok::<_, h2::Error>(response)
            })
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .enable_connect_protocol()
            .max_send_buf_size(UNSENT_MAX)
            .max_header_list_size(u32::try_from(HEADER_SIZE_MAX).unwrap_or(u32::MAX))
            .keep_alive_interval(timeout)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stall_monitor.stalled() => return tracing::debug!("client stalled: connection closed"),
            () = ends(&request_budget, &mut token, &permit, timeout) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = stall_monitor.stalled() => return,
                    () = permit.idle(FAREWELL) => return,
                }
            }
        };
        log_end(result);
    }
}

/// Waits until GOAWAY should be sent.
async fn ends(
    request_budget: &RequestBudget,
    token: &mut crate::drain::DrainToken,
    permit: &ConnectionPermit,
    idle: Duration,
) {
    tokio::select! {
        () = request_budget.exhausted(token) => {}
        () = permit.idle(idle) => tracing::debug!("idle HTTP/2 connection closed"),
    }
}
