//! Bodies: requests, read into one buffer, and responses, written in frames.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use zeroize::Zeroize as _;

use super::budget::Reservation;
use crate::request::BODY_MAX;

/// Why a body is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is longer than [`BODY_MAX`].
    TooLong,
    /// The connection closed early.
    CutOff,
}

/// Initial capacity of the buffer for a body, in bytes.
const INITIAL_CAPACITY: usize = 16 * 1024;
/// Bytes per frame of a response.
const FRAME_MAX: usize = 64 * 1024;

/// Reads the body of a request into one buffer. It may hold a private key, so buffers that are
/// outgrown are zeroized.
pub(super) async fn read(mut body: Incoming) -> Result<Bytes, BodyError> {
    let mut read: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = match frame.map(Frame::into_data) {
            Ok(Ok(data)) => data,
            Ok(Err(_)) => continue, // trailers
            Err(_) => return Err(BodyError::CutOff),
        };
        let length = read.len() + data.len();
        if length > BODY_MAX {
            read.zeroize();
            return Err(BodyError::TooLong);
        }
        if length > read.capacity() {
            let capacity = length.max(2 * read.capacity()).max(INITIAL_CAPACITY);
            let mut larger = Vec::with_capacity(capacity.min(BODY_MAX));
            larger.extend_from_slice(&read);
            read.zeroize();
            read = larger;
        }
        read.extend_from_slice(&data);
    }
    Ok(read.into())
}

/// The body of a response. Each frame releases memory once it is written.
#[derive(Default)]
pub(super) struct ResponseBody(Bytes);

/// Bytes of a response, and their reservation until the last of them is written.
struct BudgetedBytes {
    bytes: Bytes,
    _reservation: Reservation,
}

impl ResponseBody {
    pub(super) fn new(bytes: Bytes, held: Option<Reservation>) -> Self {
        Self(match held {
            Some(held) => Bytes::from_owner(BudgetedBytes {
                bytes,
                _reservation: held,
            }),
            None => bytes,
        })
    }
}

impl AsRef<[u8]> for BudgetedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let rest = &mut self.0;
        Poll::Ready(rest.has_remaining().then(|| {
            let piece = rest.split_to(rest.len().min(FRAME_MAX));
            if rest.is_empty() {
                *rest = Bytes::new();
            }
            Ok(Frame::data(piece))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}
