//! Whether the calls on a domain are linearizable. A domain is a register: a certificate is written,
//! and read through any node.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use todc_utils::{
    Action::{self, Call as Begin, Response as End},
    History, WGLChecker,
    specifications::register::{
        RegisterOperation::{self, Read, Write},
        RegisterSpecification,
    },
};

use super::load::{Call, Kind, Outcome};

/// Whether the calls could have happened one after the other, each between its begin and its end.
pub(super) fn is_linearizable(calls: &[Call]) -> bool {
    let read: HashSet<u32> = calls
        .iter()
        .filter_map(|call| match call.kind {
            Kind::Read(number) => Some(number),
            Kind::Write(_) => None,
        })
        .collect();
    let mut events: Vec<(Option<Instant>, bool, usize, RegisterOperation<u32>)> = Vec::new();
    for (process, call) in calls.iter().enumerate() {
        let operation = match (call.kind, &call.outcome) {
            (Kind::Read(number), _) => Read(Some(number)),
            (Kind::Write(_), Outcome::Refused(_)) => continue,
            // Nobody can tell whether it happened, so it may as well not have.
            (Kind::Write(number), Outcome::Unknown) if !read.contains(&number) => continue,
            (Kind::Write(number), _) => Write(number),
        };
        let ended = !matches!(call.outcome, Outcome::Unknown);
        events.push((Some(call.called), false, process, operation));
        events.push((ended.then_some(call.returned), true, process, operation));
    }
    // By time, those that never ended last; of one moment, first what begins.
    events.sort_by_key(|&(at, is_end, _, _)| (at.is_none(), at, is_end));
    let actions: Vec<(usize, Action<RegisterOperation<u32>>)> = events
        .into_iter()
        .map(|(_, is_end, process, operation)| {
            (
                process,
                if is_end {
                    End(operation)
                } else {
                    Begin(operation)
                },
            )
        })
        .collect();
    actions.is_empty()
        || WGLChecker::<RegisterSpecification<u32>>::is_linearizable(History::from_actions(actions))
}

/// A read of what another change had replaced, acknowledged, for longer than this. `order` is that of the
/// changes.
pub(super) fn stale_read(calls: &[Call], order: &[u32], longest: Duration) -> Option<u32> {
    let acknowledged = |number: u32| {
        let of_it = calls.iter().filter(|call| match call.kind {
            Kind::Write(written) => written == number && call.is_acknowledged_change(),
            Kind::Read(_) => false,
        });
        of_it.map(|call| call.returned).min()
    };
    let replaced: HashMap<u32, Option<Instant>> = order
        .windows(2)
        .map(|pair| (pair[0], acknowledged(pair[1])))
        .collect();
    calls.iter().find_map(|call| match call.kind {
        Kind::Read(number) => {
            let replaced = replaced.get(&number).copied().flatten()?;
            (call.called > replaced + longest).then_some(number)
        }
        Kind::Write(_) => None,
    })
}

#[test]
fn stale_reads_and_lost_changes_are_found() {
    let start = Instant::now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let call = |kind, (called, returned), outcome| Call {
        kind,
        called: at(called),
        returned: at(returned),
        outcome,
    };
    let done = || Outcome::Done(String::new());
    let write = |number, span| call(Kind::Write(number), span, done());
    let read = |number, span| call(Kind::Read(number), span, done());
    let unknown = |number, span| call(Kind::Write(number), span, Outcome::Unknown);
    for (calls, expected) in [
        (vec![write(1, (0, 1)), read(1, (2, 3))], true),
        // Both orders of concurrent changes are possible, but only one of them is.
        (
            vec![write(1, (0, 9)), write(2, (0, 9)), read(2, (10, 11))],
            true,
        ),
        (
            vec![
                write(1, (0, 9)),
                write(2, (0, 9)),
                read(2, (10, 11)),
                read(1, (12, 13)),
            ],
            false,
        ),
        // Lost.
        (
            vec![write(1, (0, 1)), write(2, (2, 3)), read(1, (4, 5))],
            false,
        ),
        // It happened late, or never.
        (
            vec![
                write(1, (0, 1)),
                unknown(2, (2, 3)),
                read(1, (4, 5)),
                read(2, (6, 7)),
            ],
            true,
        ),
        (
            vec![write(1, (0, 1)), unknown(2, (2, 3)), read(1, (4, 5))],
            true,
        ),
        // It happened, and was lost.
        (
            vec![
                write(1, (0, 1)),
                unknown(2, (2, 3)),
                read(2, (4, 5)),
                read(1, (6, 7)),
            ],
            false,
        ),
    ] {
        assert_eq!(is_linearizable(&calls), expected);
    }
    let old = [write(1, (0, 1)), write(2, (2, 3)), read(1, (5, 6))];
    let stale = |ms| stale_read(&old, &[1, 2], Duration::from_millis(ms));
    assert_eq!((stale(1), stale(3)), (Some(1), None));
}
