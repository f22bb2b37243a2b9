//! What is written about one request.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use edgeseal_core::Timestamp;
use http::{Method, Request, StatusCode, Version, header};
use serde::Serialize;
use time::{format_description::BorrowedFormatItem, macros::format_description};
use tokio::time::Instant;
use uuid::Uuid;

use super::Log;
use crate::proxy::{Inbound, body::Loan};

/// What is written about one request, when its answer or its tunnel has ended.
#[derive(Debug)]
pub(crate) struct Record {
    log: Arc<Log>,
    id: Uuid,
    began: Instant,
    at: Timestamp,
    client: SocketAddr,
    tls: Option<(&'static str, bool)>,
    version: Version,
    method: Method,
    host: String,
    path: String,
    status: StatusCode,
    reason: Option<&'static str>,
    trace: Trace,
    request_body: Option<Arc<Loan>>,
    bytes_received: u64,
    bytes_sent: u64,
    end: End,
    duration: Duration,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    /// The origin broke off, or was silent for too long.
    OriginBroke,
    /// The client broke off, or was cut.
    ClientLeft,
}

/// What a request met on its way to an origin.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Trace {
    /// Whether anybody wants to know.
    pub(in crate::proxy) wanted: bool,
    /// The origin asked last.
    pub(in crate::proxy) origin: Option<Box<str>>,
    /// Until a connection to it was there.
    pub(in crate::proxy) connect: Option<Duration>,
    /// From then on, until its answer's head was there.
    pub(in crate::proxy) first_byte: Option<Duration>,
}

impl Trace {
    /// An origin is asked.
    pub(in crate::proxy) fn asks(&mut self, origin: &str) -> Option<Instant> {
        self.wanted.then(|| {
            self.origin = Some(origin.into());
            self.connect = None;
            Instant::now()
        })
    }

    /// There is a connection to it.
    pub(in crate::proxy) fn connected(&mut self, began: Option<Instant>) -> Option<Instant> {
        self.connect = began.map(|began| began.elapsed());
        self.wanted.then(Instant::now)
    }

    /// The head of its answer is there.
    pub(in crate::proxy) fn answered(&mut self, connected: Option<Instant>) {
        self.first_byte = connected.map(|connected| connected.elapsed());
    }
}

/// A line. The names and their order are documented.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: String,
    client: SocketAddr,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed: Option<bool>,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    end: &'static str,
    bytes_received: u64,
    bytes_sent: u64,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<f64>,
}

const RFC_3339_MS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A point in time, to the millisecond.
fn time_of(at: Timestamp) -> String {
    let ms = u16::try_from(at.unix_ms().rem_euclid(1000)).unwrap_or_default();
    let seconds = at.utc();
    let utc = seconds.replace_millisecond(ms).unwrap_or(seconds);
    utc.format(RFC_3339_MS).unwrap_or_default()
}

impl Record {
    /// The beginning of a request.
    pub(in crate::proxy) fn new<B>(
        log: &Arc<Log>,
        id: Uuid,
        request: &Request<B>,
        inbound: &Inbound,
        at: Timestamp,
    ) -> Box<Self> {
        let uri = request.uri();
        let host = match (uri.host(), request.headers().get(header::HOST)) {
            (Some(host), _) => host.to_owned(),
            (None, Some(field)) => String::from_utf8_lossy(field.as_bytes()).into_owned(),
            (None, None) => String::new(),
        };
        Box::new(Self {
            log: Arc::clone(log),
            id,
            began: Instant::now(),
            at,
            client: inbound.peer,
            tls: inbound.tls.as_ref().map(|tls| (tls.version, tls.resumed)),
            version: request.version(),
            method: request.method().clone(),
            host,
            path: uri.path().to_owned(),
            status: StatusCode::OK,
            reason: None,
            trace: Trace::default(),
            request_body: None,
            bytes_received: 0,
            bytes_sent: 0,
            end: End::ClientLeft,
            duration: Duration::ZERO,
        })
    }

    /// An origin, or the edge for `reason`, has answered.
    pub(in crate::proxy) fn answered(&mut self, status: StatusCode, reason: Option<&'static str>) {
        self.status = status;
        self.reason = reason;
    }

    /// What the request met, and its body.
    pub(in crate::proxy) fn traced(&mut self, trace: Trace, request_body: Option<Arc<Loan>>) {
        self.trace = trace;
        self.request_body = request_body;
    }

    /// So much of the body goes to the client.
    pub(in crate::proxy) const fn sent(&mut self, bytes: usize) {
        self.bytes_sent += bytes as u64;
    }

    /// So much went through a tunnel, to its end.
    pub(in crate::proxy) fn tunnelled(&mut self, received: u64, sent: u64) {
        self.bytes_received += received;
        self.bytes_sent += sent;
        self.ended();
    }

    /// The origin broke off.
    pub(in crate::proxy) fn broke(&mut self) {
        self.end = End::OriginBroke;
    }

    /// All of the answer was handed over.
    pub(in crate::proxy) fn ended(&mut self) {
        if self.end != End::OriginBroke {
            self.end = End::Complete;
        }
    }

    /// Whether answers to it have no body.
    pub(in crate::proxy) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Writes it.
    pub(in crate::proxy) fn write(mut self: Box<Self>) {
        self.duration = self.began.elapsed();
        let read = self.request_body.take().map_or(0, |body| body.bytes());
        self.bytes_received += read;
        let log = Arc::clone(&self.log);
        log.take(self);
    }

    /// The line, with its end.
    pub(super) fn append_to(&self, lines: &mut Vec<u8>) {
        let ms = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        let line = Line {
            time: time_of(self.at),
            request_id: self.id.to_string(),
            client: self.client,
            protocol: match self.version {
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_10 => "HTTP/1.0",
                _ => "HTTP/1.1",
            },
            tls: self.tls.map(|(version, _)| version),
            resumed: self.tls.map(|(_, resumed)| resumed),
            method: self.method.as_str(),
            host: &self.host,
            path: &self.path,
            status: self.status.as_u16(),
            reason: self.reason,
            end: match self.end {
                End::Complete => "complete",
                End::OriginBroke => "origin_broke",
                End::ClientLeft => "client_left",
            },
            bytes_received: self.bytes_received,
            bytes_sent: self.bytes_sent,
            duration_ms: ms(self.duration),
            origin: self.trace.origin.as_deref(),
            connect_ms: self.trace.connect.map(ms),
            first_byte_ms: self.trace.first_byte.map(ms),
        };
        let before = lines.len();
        match serde_json::to_writer(&mut *lines, &line) {
            Ok(()) => lines.push(b'\n'),
            Err(_) => lines.truncate(before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_milliseconds() {
        for (ms, expected) in [
            (1_800_000_000_123, "2027-01-15T08:00:00.123Z"),
            (1_800_000_000_000, "2027-01-15T08:00:00.000Z"),
            (1_800_000_000_999, "2027-01-15T08:00:00.999Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(time_of(Timestamp::from_unix_ms(ms)), expected);
        }
    }
}
