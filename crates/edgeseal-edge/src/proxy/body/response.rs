//! The body of a response.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep},
};

use super::{BoxError, ReplayableBody};
use crate::{
    limits::InFlight,
    proxy::{
        StallMonitor,
        access::AccessRecord,
        stall::{PendingWrite, PendingWrites},
        upstream::{StreamGuard, UpstreamPermit},
    },
};

/// The body of a response.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    kind: Kind,
    /// The record written when the response ends, or is dropped.
    record: Option<Box<AccessRecord>>,
    held: InFlightHold,
}

/// How long a request stays in flight.
#[derive(Debug)]
enum InFlightHold {
    Nothing,
    /// Until the tunnel after the response ends.
    ByTunnel(oneshot::Sender<InFlight>),
    /// Until it is dropped.
    Whole(#[expect(dead_code, reason = "dropped in time")] InFlight),
    /// Until the last part of it is dropped, which may wait in an HTTP/2 buffer.
    Parts(Arc<InFlight>, StallMonitor),
}

/// A part of a response, with what is held until it is sent.
struct HeldChunk {
    data: Bytes,
    _in_flight: Arc<InFlight>,
    _offered: PendingWrite,
}

#[derive(Debug)]
enum Kind {
    Fixed(Full<Bytes>),
    Streamed(Box<Streamed>),
}

/// An origin's body. Fails if the origin pauses for too long; time that the client takes to read
/// does not count.
#[derive(Debug)]
struct Streamed {
    body: StreamedSource,
    idle: Duration,
    /// Created at the first wait: most bodies arrive with their headers.
    silence: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    offers: PendingWrites,
    /// The request body, whose rest is not needed after this.
    request_body: Option<Arc<ReplayableBody>>,
}

/// The source of a response body.
#[derive(Debug)]
enum StreamedSource {
    /// An HTTP/2 stream, or a body without a length.
    Stream(
        Incoming,
        #[expect(dead_code, reason = "dropped in time")] Option<StreamGuard>,
    ),
    /// A dedicated connection, while it lasts.
    Exchange(UpstreamPermit),
    /// Read to its end.
    Ended,
}

impl ResponseBody {
    pub(in crate::proxy) fn empty() -> Self {
        Self::fixed(Bytes::new())
    }

    /// For a response that switches protocols: it has no body. The tunnel gets what would be held
    /// until the end of the body.
    pub(in crate::proxy) fn tunnel() -> (Self, oneshot::Receiver<InFlight>) {
        let (to_tunnel, held) = oneshot::channel();
        let mut reply = Self::empty();
        reply.held = InFlightHold::ByTunnel(to_tunnel);
        (reply, held)
    }

    pub(in crate::proxy) fn fixed(content: Bytes) -> Self {
        Self {
            kind: Kind::Fixed(Full::new(content)),
            record: None,
            held: InFlightHold::Nothing,
        }
    }

    /// An origin's body, which may pause for `idle`, and the permit, which is released at its end.
    /// The end also stops the wait for the rest of the request body.
    pub(in crate::proxy) fn streamed(
        body: Incoming,
        (permit, stream): (Option<UpstreamPermit>, Option<StreamGuard>),
        idle: Duration,
        offers: PendingWrites,
        rest: Option<Arc<ReplayableBody>>,
    ) -> Self {
        let body = match permit {
            Some(permit) if !body.is_end_stream() => {
                permit.set_body(body);
                StreamedSource::Exchange(permit)
            }
            _ => StreamedSource::Stream(body, stream),
        };
        Self {
            kind: Kind::Streamed(Box::new(Streamed {
                body,
                idle,
                silence: None,
                waiting: false,
                offers,
                request_body: rest,
            })),
            record: None,
            held: InFlightHold::Nothing,
        }
    }

    /// Writes `record` when the response ends.
    pub(in crate::proxy) fn record(&mut self, record: Box<AccessRecord>) {
        self.record = Some(record);
    }

    /// Keeps the request in flight until the response ends.
    pub(crate) fn hold(&mut self, in_flight: InFlight) {
        if let Some(in_flight) = self.pass_on(in_flight) {
            self.held = InFlightHold::Whole(in_flight);
        }
    }

    /// Keeps the request in flight until the last part of the response has left the HTTP/2 buffers,
    /// and each part pending in `stall_monitor` while it waits there.
    pub(crate) fn hold_until_sent(&mut self, in_flight: InFlight, stall_monitor: &StallMonitor) {
        if let Some(in_flight) = self.pass_on(in_flight) {
            self.held = InFlightHold::Parts(Arc::new(in_flight), stall_monitor.clone());
        }
    }

    /// Passes it to the tunnel, if there is one.
    fn pass_on(&mut self, in_flight: InFlight) -> Option<InFlight> {
        match std::mem::replace(&mut self.held, InFlightHold::Nothing) {
            // A tunnel that has ended already drops it at once.
            InFlightHold::ByTunnel(to_tunnel) => drop(to_tunnel.send(in_flight)),
            _ => return Some(in_flight),
        }
        None
    }
}

impl InFlightHold {
    fn keep(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let Self::Parts(in_flight, stall_monitor) = self else {
            return frame;
        };
        frame.map_data(|data| {
            if data.is_empty() {
                return data;
            }
            Bytes::from_owner(HeldChunk {
                data,
                _in_flight: Arc::clone(in_flight),
                _offered: stall_monitor.pending_write(),
            })
        })
    }
}

impl AsRef<[u8]> for HeldChunk {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(match &mut self.kind {
            Kind::Fixed(page) => Pin::new(page)
                .poll_frame(cx)
                .map_err(|never: Infallible| match never {}),
            Kind::Streamed(streamed) => streamed.poll(cx),
        });
        if let Some(record) = &mut self.record {
            match &frame {
                Some(Ok(frame)) => record.sent(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(_)) => record.origin_aborted(),
                None => record.ended(),
            }
        }
        let held = &self.held;
        Poll::Ready(frame.map(|frame| frame.map(|frame| held.keep(frame))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Fixed(page) => page.is_end_stream(),
            Kind::Streamed(streamed) => streamed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Fixed(page) => page.size_hint(),
            Kind::Streamed(streamed) => streamed.body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            if self.is_end_stream() || record.is_head() {
                record.ended();
            }
            record.write();
        }
    }
}

impl Streamed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.offers.clear();
        if let Poll::Ready(frame) = self.body.poll_frame(cx) {
            self.waiting = false;
            if frame.is_none() || self.body.is_end_stream() {
                self.body = StreamedSource::Ended;
            } else {
                self.offers.set_pending();
            }
            return Poll::Ready(frame);
        }
        let idle = self.idle;
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(idle)));
        if !self.waiting {
            self.waiting = true;
            silence.as_mut().reset(Instant::now() + idle);
        }
        ready!(silence.as_mut().poll(cx));
        Poll::Ready(Some(Err(
            "the origin paused the response for too long".into()
        )))
    }
}

impl StreamedSource {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self {
            Self::Stream(body, _) => {
                let polled = Pin::new(body).poll_frame(cx);
                polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            Self::Exchange(permit) => permit.poll_frame(cx),
            Self::Ended => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Stream(body, _) => body.is_end_stream(),
            Self::Exchange(permit) => permit.is_end_stream(),
            Self::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Stream(body, _) => body.size_hint(),
            Self::Exchange(permit) => permit.size_hint(),
            Self::Ended => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        if let Some(request_body) = &self.request_body {
            request_body.abandon();
        }
    }
}
