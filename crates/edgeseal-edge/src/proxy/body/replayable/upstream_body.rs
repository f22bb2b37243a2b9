//! What one origin gets of a request body.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{super::BoxError, ReplayableBody, discard_or_reset};

/// The body as sent in one attempt.
#[derive(Debug)]
pub(in crate::proxy) struct UpstreamBody {
    pub(super) number: u64,
    pub(super) body: Arc<ReplayableBody>,
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self {
            number,
            body: request_body,
        } = self.get_mut();
        let mut source = request_body.source.lock();
        if source.attempt != *number {
            return Poll::Ready(Some(Err("the body was sent to another origin".into())));
        }
        if !ready!(request_body.gate.poll(cx)) {
            return Poll::Ready(Some(Err("the origin responded without the body".into())));
        }
        if let Some(part) = source.replay() {
            return Poll::Ready(Some(Ok(part.frame())));
        }
        let frame = ready!(request_body.poll_next(&mut source, cx));
        if let Some(Ok(frame)) = &frame {
            source.keep(frame);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let source = self.body.source.lock();
        let ended = || source.ended || source.body.as_ref().is_some_and(Body::is_end_stream);
        self.body.empty || (source.replayed == source.buffered.len() && ended())
    }

    fn size_hint(&self) -> SizeHint {
        let source = self.body.source.lock();
        match &source.body {
            Some(body) if source.replayed == source.buffered.len() => body.size_hint(),
            _ => self.body.hint,
        }
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        let mut source = self.body.source.lock();
        if source.attempt != self.number {
            return;
        }
        // Until the next attempt nothing waits for the client.
        self.body.note_wait(false);
        if !source.replayable {
            // The rest will not be read: the client may be told so.
            discard_or_reset(source.body.take(), self.body.discards);
        }
    }
}
