use edgeseal_core::rate::{RateDecision, RateLimit, SharedUsage};
use edgeseal_store::nodes::NodeRecord;
use proptest::prelude::*;

use super::*;

const LIMIT: RateLimit = RateLimit::per_second(1000);
const NOW: Timestamp = Timestamp::from_unix_seconds(1_000_000);

fn account(number: u64) -> AccountId {
    AccountId::from_random(number)
}

fn status(id: &str, run: u64, uses: &[(u64, UsageReport)]) -> NodeStatus {
    let rates = uses.iter().map(|&(number, usage)| RateUse {
        account: account(number),
        action: "Action".to_owned(),
        usage,
    });
    NodeStatus {
        node: NodeRecord {
            id: id.to_owned(),
            rates: rates.collect(),
            ..NodeRecord::default()
        },
        run: RunId(run),
        age_ms: Some(0),
    }
}

fn charged(exchange: &mut RateExchange, report: &NodeStatus) -> u64 {
    let read = exchange.read(std::iter::once(report));
    read.values().map(|it| it.allowed).sum()
}

#[test]
fn what_a_report_adds() {
    let usage = |allowed| UsageReport { demand: 1, allowed };
    let mut exchange = RateExchange::default();
    for (run, uses, expected, what) in [
        (1, &[(1, usage(50))][..], 0, "the first report of a process"),
        (1, &[(1, usage(55))], 5, "more calls"),
        (1, &[(1, usage(55))], 0, "the same report again"),
        (
            1,
            &[(1, usage(58)), (2, usage(4))],
            7,
            "a limit that begins",
        ),
        (1, &[(2, usage(6))], 2, "a limit that is left out"),
        (1, &[(1, usage(3)), (2, usage(6))], 3, "it begins anew"),
        (2, &[(1, usage(9)), (2, usage(9))], 0, "a restart"),
        (
            2,
            &[(1, usage(10)), (2, usage(9))],
            1,
            "more calls after it",
        ),
        (
            1,
            &[(1, usage(5)), (2, usage(6))],
            0,
            "the other process of that id",
        ),
    ] {
        let added = charged(&mut exchange, &status("other", run, uses));
        assert_eq!(added, expected, "{what}");
    }
    // This node has restarted: what it read before is not known.
    let mut restarted = RateExchange::default();
    let report = status("other", 1, &[(1, usage(70))]);
    assert_eq!(charged(&mut restarted, &report), 0);
}

fn candidate(number: u64, demand: u32, was_reported: bool) -> Candidate {
    Candidate {
        account: account(number),
        action: "Action",
        usage: UsageReport { demand, allowed: 0 },
        was_reported,
    }
}

#[test]
fn the_busiest_limits_are_reported_and_stay() {
    for (limits, expected, what) in [
        (vec![(1, 5, false), (2, 9, false)], vec![1, 2], "all fit"),
        (
            vec![(1, 5, false), (2, 9, false), (3, 7, false)],
            vec![2, 3],
            "the busiest",
        ),
        (
            vec![(3, 5, false), (1, 5, false), (2, 5, false)],
            vec![1, 2],
            "by name",
        ),
        (
            vec![(1, 20, false), (2, 5, true), (3, 5, true)],
            vec![2, 3],
            "four times as much is not enough",
        ),
        (
            vec![(1, 21, false), (2, 5, true), (3, 6, true)],
            vec![1, 3],
            "more than that is",
        ),
    ] {
        let mut limits: Vec<_> = limits
            .into_iter()
            .map(|(number, demand, reported)| candidate(number, demand, reported))
            .collect();
        let all = limits.len();
        let surplus = split_off_surplus(&mut limits, 2);
        assert_eq!(limits.len() + surplus.len(), all);
        let mut kept: Vec<AccountId> = limits.into_iter().map(|it| it.account).collect();
        kept.sort();
        let mut expected: Vec<AccountId> = expected.into_iter().map(account).collect();
        expected.sort();
        assert_eq!(kept, expected, "{what}");
    }
}

/// What happens to a node in a second, and whether another one reads its report.
#[derive(Clone, Copy, Debug)]
enum Second {
    Calls {
        calls: u8,
        refunds: u8,
    },
    /// The limit finds no room in the report.
    LeftOut {
        calls: u8,
    },
    Idle,
    Restart,
    /// The one that reads restarts.
    ReaderRestarts,
}

fn second() -> impl Strategy<Value = Second> {
    prop_oneof![
        4 => (0..20_u8, 0..5_u8).prop_map(|(calls, refunds)| Second::Calls { calls, refunds }),
        2 => (0..20_u8).prop_map(|calls| Second::LeftOut { calls }),
        1 => Just(Second::Idle),
        1 => Just(Second::Restart),
        1 => Just(Second::ReaderRestarts),
    ]
}

proptest! {
    /// Whatever is missed, left out or restarted: no call is charged twice.
    #[test]
    fn no_call_is_charged_twice(seconds in prop::collection::vec((second(), any::<bool>()), 1..60)) {
        let (mut usage, mut run, mut allowed, mut total) = (SharedUsage::default(), 1, 0_u64, 0_u64);
        let mut reader = RateExchange::default();
        for (n, (second, is_read)) in seconds.into_iter().enumerate() {
            let now = NOW.plus_ms(1000 * i64::try_from(n).unwrap());
            let (calls, refunds) = match second {
                Second::Calls { calls, refunds } => (calls, refunds.min(calls)),
                Second::LeftOut { calls } => (calls, 0),
                Second::Idle => (0, 0),
                Second::Restart => {
                    (usage, run) = (SharedUsage::default(), run + 1);
                    (0, 0)
                }
                Second::ReaderRestarts => {
                    reader = RateExchange::default();
                    (0, 0)
                }
            };
            for _ in 0..calls {
                if let RateDecision::Allowed(_) = usage.spend(LIMIT, now) {
                    allowed += 1;
                }
            }
            (0..refunds).for_each(|_| usage.refund(LIMIT));
            let mut report = usage.report(LIMIT);
            if matches!(second, Second::LeftOut { .. }) {
                usage.leave_out();
                report = None;
            }
            if is_read {
                let uses: Vec<_> = report.into_iter().map(|usage| (1, usage)).collect();
                total += charged(&mut reader, &status("other", run, &uses));
            }
            prop_assert!(total <= allowed, "{total} calls were charged, {allowed} were allowed");
        }
    }
}
