//! The log record of one request.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use edgeseal_core::Timestamp;
use http::{Method, Request, StatusCode, Version, header};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use time::{format_description::BorrowedFormatItem, macros::format_description};
use tokio::time::Instant;
use uuid::Uuid;

use super::AccessLogger;
use crate::proxy::{Inbound, body::ReplayableBody};

/// The log record of one request, written when its response or its tunnel has ended.
#[derive(Debug)]
pub(crate) struct AccessRecord {
    log: Arc<AccessLogger>,
    id: Uuid,
    began: Instant,
    at: Timestamp,
    client: SocketAddr,
    tls: Option<(&'static str, bool)>,
    version: Version,
    is_head: bool,
    method: Box<str>,
    host: Box<str>,
    path: Box<str>,
    /// Whether one of these three was longer.
    truncated: bool,
    status: StatusCode,
    reason: Option<&'static str>,
    trace: UpstreamTiming,
    request_body: Option<Arc<ReplayableBody>>,
    bytes_received: u64,
    bytes_sent: u64,
    end: End,
    duration: Duration,
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    /// The origin closed the connection, or paused for too long.
    OriginAborted,
    /// The client disconnected, or was disconnected.
    ClientAborted,
}

/// Timing of a request on its way to an origin.
#[derive(Debug, Default)]
pub(in crate::proxy) struct UpstreamTiming {
    /// Whether it is logged.
    pub(in crate::proxy) wanted: bool,
    /// The origin tried last.
    pub(in crate::proxy) origin: Option<Box<str>>,
    /// Time until it was connected.
    pub(in crate::proxy) connect: Option<Duration>,
    /// Time from then on until the response headers arrived.
    pub(in crate::proxy) first_byte: Option<Duration>,
}

impl UpstreamTiming {
    /// An attempt at an origin begins.
    pub(in crate::proxy) fn start_attempt(&mut self, origin: &str) -> Option<Instant> {
        self.wanted.then(|| {
            self.origin = Some(origin.into());
            self.connect = None;
            Instant::now()
        })
    }

    /// The connection is established.
    pub(in crate::proxy) fn connected(&mut self, began: Option<Instant>) -> Option<Instant> {
        self.connect = began.map(|began| began.elapsed());
        self.wanted.then(Instant::now)
    }

    /// The response headers have arrived.
    pub(in crate::proxy) fn response_received(&mut self, connected: Option<Instant>) {
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
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
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

/// Maximum length of a logged method, host and path. Clients choose their length, up to that of all
/// headers; a DNS name has 253 bytes.
const METHOD_MAX: usize = 32;
const HOST_MAX: usize = 256;
const PATH_MAX: usize = 2048;

/// At most `most` bytes from the start of a text; a character that does not fit is dropped as a
/// whole, and invalid UTF-8 is replaced.
fn head_of(text: &[u8], most: usize) -> Box<str> {
    let cut = &text[..text.len().min(most)];
    let whole = match std::str::from_utf8(cut) {
        // Its end is cut off.
        Err(error) if error.error_len().is_none() && cut.len() < text.len() => {
            &cut[..error.valid_up_to()]
        }
        _ => cut,
    };
    String::from_utf8_lossy(whole).into()
}

/// JSON without characters that control a terminal or the text direction.
struct EscapingFormatter;

impl Formatter for EscapingFormatter {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unsafe) {
            let (harmless, from) = rest.split_at(at);
            writer.write_all(harmless.as_bytes())?;
            let mut characters = from.chars();
            for character in characters.by_ref().take(1) {
                // All of them are below U+10000.
                write!(writer, "\\u{:04x}", u32::from(character))?;
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Whether a character is a control character (those of ASCII are escaped anyway, except DEL), a
/// line separator, or one that changes the text direction (Unicode, Bidi_Control).
const fn is_unsafe(character: char) -> bool {
    matches!(
        character,
        '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// A timestamp, in milliseconds.
fn time_of(at: Timestamp) -> String {
    let ms = u16::try_from(at.unix_ms().rem_euclid(1000)).unwrap_or_default();
    let seconds = at.utc();
    let utc = seconds.replace_millisecond(ms).unwrap_or(seconds);
    utc.format(RFC_3339_MS).unwrap_or_default()
}

impl AccessRecord {
    /// The start of a request.
    pub(in crate::proxy) fn new<B>(
        log: &Arc<AccessLogger>,
        id: Uuid,
        request: &Request<B>,
        inbound: &Inbound,
        at: Timestamp,
    ) -> Box<Self> {
        let uri = request.uri();
        let host = match (uri.host(), request.headers().get(header::HOST)) {
            (Some(host), _) => host.as_bytes(),
            (None, Some(field)) => field.as_bytes(),
            (None, None) => b"",
        };
        let (method, path) = (request.method(), uri.path());
        let lengths = [
            (method.as_str().len(), METHOD_MAX),
            (host.len(), HOST_MAX),
            (path.len(), PATH_MAX),
        ];
        Box::new(Self {
            log: Arc::clone(log),
            id,
            began: Instant::now(),
            at,
            client: inbound.peer,
            tls: inbound.tls.as_ref().map(|tls| (tls.version, tls.resumed)),
            version: request.version(),
            is_head: method == Method::HEAD,
            method: head_of(method.as_str().as_bytes(), METHOD_MAX),
            host: head_of(host, HOST_MAX),
            path: head_of(path.as_bytes(), PATH_MAX),
            truncated: lengths.iter().any(|(length, most)| length > most),
            status: StatusCode::OK,
            reason: None,
            trace: UpstreamTiming::default(),
            request_body: None,
            bytes_received: 0,
            bytes_sent: 0,
            end: End::ClientAborted,
            duration: Duration::ZERO,
        })
    }

    /// An origin, or the edge for `reason`, has responded.
    pub(in crate::proxy) fn set_response(
        &mut self,
        status: StatusCode,
        reason: Option<&'static str>,
    ) {
        self.status = status;
        self.reason = reason;
    }

    /// The upstream timing of the request, and its body.
    pub(in crate::proxy) fn traced(
        &mut self,
        trace: UpstreamTiming,
        request_body: Option<Arc<ReplayableBody>>,
    ) {
        self.trace = trace;
        self.request_body = request_body;
    }

    /// This many bytes of the body go to the client.
    pub(in crate::proxy) const fn sent(&mut self, bytes: usize) {
        self.bytes_sent += bytes as u64;
    }

    /// This many bytes went through a tunnel, which has ended.
    pub(in crate::proxy) fn tunnelled(&mut self, received: u64, sent: u64) {
        self.bytes_received += received;
        self.bytes_sent += sent;
        self.ended();
    }

    /// The origin aborted the response.
    pub(in crate::proxy) fn origin_aborted(&mut self) {
        self.end = End::OriginAborted;
    }

    /// All of the response was handed over.
    pub(in crate::proxy) fn ended(&mut self) {
        if self.end != End::OriginAborted {
            self.end = End::Complete;
        }
    }

    /// Whether its response has no body.
    pub(in crate::proxy) fn is_head(&self) -> bool {
        self.is_head
    }

    /// Approximate memory use.
    pub(super) fn cost(&self) -> usize {
        let origin = self.trace.origin.as_ref().map_or(0, |origin| origin.len());
        size_of::<Self>() + self.method.len() + self.host.len() + self.path.len() + origin
    }

    /// Sends it to the log.
    pub(in crate::proxy) fn write(mut self: Box<Self>) {
        self.duration = self.began.elapsed();
        let read = self.request_body.take().map_or(0, |body| body.bytes());
        self.bytes_received += read;
        let log = Arc::clone(&self.log);
        log.enqueue(self);
    }

    /// Appends the line with its newline.
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
            method: &self.method,
            host: &self.host,
            path: &self.path,
            truncated: self.truncated.then_some(true),
            status: self.status.as_u16(),
            reason: self.reason,
            end: match self.end {
                End::Complete => "complete",
                End::OriginAborted => "origin_aborted",
                End::ClientAborted => "client_aborted",
            },
            bytes_received: self.bytes_received,
            bytes_sent: self.bytes_sent,
            duration_ms: ms(self.duration),
            origin: self.trace.origin.as_deref(),
            connect_ms: self.trace.connect.map(ms),
            first_byte_ms: self.trace.first_byte.map(ms),
        };
        let before = lines.len();
        let mut serializer = Serializer::with_formatter(&mut *lines, EscapingFormatter);
        match line.serialize(&mut serializer) {
            Ok(()) => lines.push(b'\n'),
            Err(_) => lines.truncate(before),
        }
    }
}

#[cfg(test)]
impl AccessRecord {
    /// For an ordinary request for `path`.
    pub(super) fn of_path(log: &Arc<AccessLogger>, path: &str) -> Box<Self> {
        Box::new(Self {
            log: Arc::clone(log),
            id: Uuid::nil(),
            began: Instant::now(),
            at: Timestamp::from_unix_ms(0),
            client: SocketAddr::from(([192, 0, 2, 1], 4711)),
            tls: Some(("1.3", false)),
            version: Version::HTTP_2,
            is_head: false,
            method: "GET".into(),
            host: "www.example.com".into(),
            path: head_of(path.as_bytes(), PATH_MAX),
            truncated: path.len() > PATH_MAX,
            status: StatusCode::OK,
            reason: None,
            trace: UpstreamTiming::default(),
            request_body: None,
            bytes_received: 0,
            bytes_sent: 0,
            end: End::Complete,
            duration: Duration::ZERO,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        for (ms, expected) in [
            (1_800_000_000_123, "2027-01-15T08:00:00.123Z"),
            (1_800_000_000_000, "2027-01-15T08:00:00.000Z"),
            (1_800_000_000_999, "2027-01-15T08:00:00.999Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(time_of(Timestamp::from_unix_ms(ms)), expected);
        }
    }

    #[test]
    fn texts_are_truncated_between_characters() {
        let table: [(&[u8], usize, &str); 8] = [
            (b"", 4, ""),
            (b"abcd", 4, "abcd"),
            (b"abcde", 4, "abcd"),
            ("ab\u{e9}".as_bytes(), 4, "ab\u{e9}"),
            ("ab\u{e9}".as_bytes(), 3, "ab"),
            ("ab\u{1f600}".as_bytes(), 5, "ab"),
            (b"a\xff\xfeb", 3, "a\u{fffd}\u{fffd}"),
            (b"ab\xc3", 3, "ab\u{fffd}"),
        ];
        for (text, most, expected) in table {
            assert_eq!(&*head_of(text, most), expected, "{text:?} {most}");
        }
    }

    #[test]
    fn control_characters_are_escaped_without_changing_the_json() {
        let table = [
            ("plain /path", "plain /path"),
            ("\u{9b}31m", "\\u009b31m"),
            ("a\u{202e}b\u{2066}c", "a\\u202eb\\u2066c"),
            (
                "\u{7f}\u{85}\u{2028}\u{200f}\u{61c}",
                "\\u007f\\u0085\\u2028\\u200f\\u061c",
            ),
            ("\u{1b}\"\\\n", "\\u001b\\\"\\\\\\n"),
            (
                "\u{a0}\u{e9}\u{4e2d}\u{1f600}",
                "\u{a0}\u{e9}\u{4e2d}\u{1f600}",
            ),
        ];
        for (text, expected) in table {
            let mut written = Vec::new();
            let mut serializer = Serializer::with_formatter(&mut written, EscapingFormatter);
            text.serialize(&mut serializer).unwrap();
            let written = String::from_utf8(written).unwrap();
            assert_eq!(written, format!("\"{expected}\""));
            assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
