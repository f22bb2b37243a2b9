//! HTTP/2 frames in bulk: what is lawful one by one and costs the server much. hyper and h2 have
//! the limits; that they hold in here is what these tests show.

use std::{collections::BTreeSet, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::{BackgroundClients, NAME, Target};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(40);
/// What an attack may take over what a connection needs: windows, buffers and an allocator's slack.
/// Each attack sends or requests several times as much.
const GROWTH_MAX_KIB: u64 = 24 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The headers of a request in HPACK, without the dynamic table (RFC 7541): `:method`, `:scheme:
/// https`, `:path: /` by index, `:authority` as a literal.
fn request(method: u8) -> Vec<u8> {
    let length = u8::try_from(NAME.len()).unwrap();
    [&[method, 0x87, 0x84, 0x01, length], NAME.as_bytes()].concat()
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// The id of a client's stream number `index`.
fn stream(index: usize) -> u32 {
    u32::try_from(index).unwrap() * 2 + 1
}

/// How an attack ended.
#[derive(Debug)]
struct Outcome {
    /// The code of a received GOAWAY.
    goaway: Option<u32>,
    /// The edge closed the connection.
    closed: bool,
    /// Received frames, by type.
    frames: [usize; 256],
    /// The codes of received RST_STREAMs.
    resets: BTreeSet<u32>,
}

/// Sends the parts one after another until the edge closes the connection, and reads everything;
/// once all is sent, it reads until nothing arrives for a second.
async fn attack(target: &Target, parts: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Outcome {
    let (mut reader, mut writer) = tokio::io::split(target.connect("h2").await);
    let sender = tokio::spawn(async move {
        writer.write_all(PREFACE).await.ok()?;
        writer.write_all(&frame(SETTINGS, 0, 0, &[])).await.ok()?;
        for part in parts {
            writer.write_all(&part).await.ok()?;
        }
        writer.flush().await.ok()?;
        // Kept open: the edge must close it.
        Some(writer)
    });
    let (mut outcome, mut got) = (
        Outcome {
            goaway: None,
            closed: false,
            frames: [0; 256],
            resets: BTreeSet::new(),
        },
        Vec::new(),
    );
    let read = async {
        loop {
            let silence = Duration::from_secs(if sender.is_finished() { 1 } else { 20 });
            match timeout(silence, reader.read_buf(&mut got)).await {
                Err(_) => return,
                Ok(Ok(some)) if some > 0 => outcome.parse_frames(&mut got),
                Ok(_) => {
                    outcome.closed = true;
                    return;
                }
            }
        }
    };
    timeout(PATIENCE, read)
        .await
        .expect("the attack has an end");
    sender.abort();
    outcome
}

impl Outcome {
    /// Removes the complete frames from `got`.
    fn parse_frames(&mut self, got: &mut Vec<u8>) {
        let mut at = 0;
        while let Some(head) = got.get(at..at + 9) {
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let kind = head[3];
            let Some(payload) = got.get(at + 9..at + 9 + length) else {
                break;
            };
            let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match kind {
                GOAWAY => self.goaway = Some(code(4)),
                RST_STREAM => {
                    self.resets.insert(code(0));
                }
                _ => {}
            }
            self.frames[usize::from(kind)] += 1;
            at += 9 + length;
        }
        got.drain(..at);
    }

    fn assert_ended(&self, what: &str) {
        let ended = self.goaway.is_some_and(|code| code != 0) || self.closed;
        assert!(ended, "{what}: {:?} {:?}", self.goaway, self.resets);
    }
}

/// Runs one attack while other clients are served, and bounds its cost.
async fn run(
    what: &str,
    ends: bool,
    parts: impl Iterator<Item = Vec<u8>> + Send + 'static,
) -> Outcome {
    let target = Target::start("").await;
    let visitors = BackgroundClients::begin(&target).await;
    let (before, descriptors) = (target.baseline_kib(), target.descriptors());
    let outcome = attack(&target, parts).await;
    if ends {
        outcome.assert_ended(what);
    }
    target.assert_memory(before, GROWTH_MAX_KIB);
    target.assert_descriptors_back(descriptors).await;
    visitors.end(2).await;
    target.stop().await;
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_the_connection() {
    // CVE-2023-44487. Several pairs in a write, as the attackers did.
    let parts = (0..4000).map(|part| {
        let pair = |index: usize| {
            let open = frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                stream(index),
                &request(GET),
            );
            [open, frame(RST_STREAM, 0, stream(index), &[0, 0, 0, 8])].concat()
        };
        (part * 50..part * 50 + 50).flat_map(pair).collect()
    });
    run("rapid resets", true, parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_continuations_end_the_connection() {
    // CVE-2024-27316 and similar: 64 MiB of headers in one request.
    let field = [&[0x00, 1, b'x', 0x7f, 0x81, 0x7e][..], &[b'y'; 16_256][..]].concat();
    let parts = std::iter::once(frame(HEADERS, END_STREAM, 1, &request(GET)))
        .chain(std::iter::repeat_n(frame(CONTINUATION, 0, 1, &field), 4000));
    run("continuations", true, parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_continuations_end_the_connection() {
    let many = frame(CONTINUATION, 0, 1, &[]).repeat(1000);
    let parts = std::iter::once(frame(HEADERS, END_STREAM, 1, &request(GET)))
        .chain(std::iter::repeat_n(many, 2000));
    run("empty continuations", true, parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hpack_bomb_is_bounded() {
    // One header of 4,000 bytes goes into the table; 16,000 references to it are 64 MB of headers.
    let value = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4000][..]].concat();
    let bomb = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        3,
        &[request(GET), vec![0xbe; 16_000]].concat(),
    );
    let first = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &[request(GET), value].concat(),
    );
    let parts = std::iter::once(first).chain((1..100).map(move |index| {
        let mut bomb = bomb.clone();
        bomb[5..9].copy_from_slice(&stream(index).to_be_bytes());
        bomb
    }));
    let outcome = run("a bomb", false, parts).await;
    let answered = outcome.frames[usize::from(HEADERS)] > 1;
    assert!(
        answered || !outcome.resets.is_empty() || outcome.goaway.is_some(),
        "refused one by one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_and_settings_leave_nothing_behind() {
    // A million each would be 8 and 17 MB of queued replies.
    let pings = frame(PING, 0, 0, b"12345678").repeat(1000);
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).repeat(1000);
    let parts = std::iter::repeat_n([pings, settings], 300).flatten();
    run("pings and settings", false, parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn priorities_and_windows_leave_nothing_behind() {
    let parts = (0..300).map(|part| {
        let some = |index: usize| frame(PRIORITY, 0, stream(index), &[0, 0, 0, 0, 200]);
        (part * 1000..part * 1000 + 1000).flat_map(some).collect()
    });
    run("priorities", false, parts).await;
    let overflow = frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2);
    let outcome = run("windows", true, std::iter::once(overflow)).await;
    assert_eq!(outcome.goaway, Some(3), "FLOW_CONTROL_ERROR");
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_data_frames_leave_nothing_behind() {
    let parts = std::iter::once(frame(HEADERS, END_HEADERS, 1, &request(POST))).chain(
        std::iter::repeat_n(frame(DATA, 0, 1, &[]).repeat(1000), 500),
    );
    run("empty data", false, parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_streams_are_limited() {
    let open = |index: usize| frame(HEADERS, END_HEADERS, stream(index), &request(POST));
    let outcome = run("streams", false, (0..1000).map(open)).await;
    let refused = outcome.resets.contains(&7); // REFUSED_STREAM
    assert!(refused || outcome.goaway.is_some(), "{outcome:?}");
}
