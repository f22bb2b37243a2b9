//! After a protocol upgrade: copies bytes in both directions.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional},
    sync::oneshot,
    time::sleep,
};

use super::{
    access::AccessRecord,
    stall::{PendingWrites, StallMonitor},
    upstream::UpstreamPermit,
};
use crate::{
    drain::DrainToken,
    limits::{ConnectionPermit, InFlight},
};

/// Copies in both directions between client and origin until both sides have ended, one has failed,
/// no byte was copied for `idle`, the client has stalled for `stall`, the drain aborts, or one of
/// the two connections is evicted: a tunnel holds the permits of both until it ends, and its
/// request is in flight as long.
pub(super) fn spawn(
    (client, origin): (OnUpgrade, OnUpgrade),
    (idle, stall): (Duration, Duration),
    record: Option<Box<AccessRecord>>,
    mut token: DrainToken,
    (permit, upstream_permit, held): (
        Arc<ConnectionPermit>,
        Option<UpstreamPermit>,
        oneshot::Receiver<InFlight>,
    ),
) {
    tokio::spawn(async move {
        let counts = Counts::default();
        // Its own monitor: HTTP/2 streams share a connection with responses that may make progress.
        let stall_monitor = StallMonitor::new(stall);
        let in_flight = held.await;
        let tunnel = async {
            let (client, origin) = futures_util::future::try_join(client, origin).await?;
            let mut client = Counted {
                io: TokioIo::new(client),
                counts: &counts,
                offers: stall_monitor.pending_writes(),
            };
            copy_bidirectional(&mut client, &mut TokioIo::new(origin)).await?;
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        };
        tokio::select! {
            result = tunnel => {
                if let Err(error) = result {
                    tracing::debug!(error = &*error as &dyn std::error::Error, "a tunnel failed");
                }
            }
            () = stall_monitor.stalled() => tracing::debug!("client of a tunnel stalled: connection closed"),
            () = counts.idle(idle) => tracing::debug!("a tunnel was idle for too long"),
            () = token.aborted() => {}
            () = permit.evicted() => {}
            () = evicted(upstream_permit.as_ref()) => {}
        }
        drop((in_flight, upstream_permit));
        if let Some(mut record) = record {
            record.tunnelled(
                counts.received.load(Ordering::Relaxed),
                counts.sent.load(Ordering::Relaxed),
            );
            record.write();
        }
    });
}

/// Holds the connection to the origin, and waits until it is evicted.
async fn evicted(upstream_permit: Option<&UpstreamPermit>) {
    let Some(upstream_permit) = upstream_permit else {
        return std::future::pending().await;
    };
    tokio::select! {
        () = upstream_permit.hold_connection() => {}
        () = upstream_permit.evicted() => {}
    }
}

/// Bytes from and to the client.
#[derive(Debug, Default)]
struct Counts {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Counts {
    /// Waits until no byte was copied for `idle`, and up to twice as long.
    async fn idle(&self, idle: Duration) {
        loop {
            let seen = self.both();
            sleep(idle).await;
            if self.both() == seen {
                return;
            }
        }
    }

    fn both(&self) -> (u64, u64) {
        let both = (&self.received, &self.sent);
        (
            both.0.load(Ordering::Relaxed),
            both.1.load(Ordering::Relaxed),
        )
    }
}

struct Counted<'a> {
    io: TokioIo<Upgraded>,
    counts: &'a Counts,
    /// Writes that wait for the client.
    offers: PendingWrites,
}

impl AsyncRead for Counted<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        let read = (buffer.filled().len() - before) as u64;
        self.counts.received.fetch_add(read, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = Pin::new(&mut self.io).poll_write(cx, bytes) else {
            self.offers.set_blocked();
            return Poll::Pending;
        };
        self.offers.clear();
        let written = written?;
        self.counts
            .sent
            .fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
