use proptest::prelude::*;

use super::*;

/// Nodes that enforce one limit, in virtual time.
struct Nodes {
    limit: RateLimit,
    nodes: Vec<Node>,
    now: Timestamp,
}

struct Node {
    usage: SharedUsage,
    /// When it exchanges, in milliseconds of each second.
    phase_ms: i64,
    /// What it reported last, and when.
    reported: Option<(UsageReport, Timestamp)>,
    /// The last report of each other node that it has read.
    read: Vec<Option<UsageReport>>,
    is_alive: bool,
    allowed: u32,
}

/// After this time without a report, a node counts no more.
const LIVE_MS: i64 = 5000;

impl Nodes {
    fn new(limit: RateLimit, phases_ms: &[i64]) -> Self {
        let nodes = phases_ms.iter().map(|phase_ms| Node {
            usage: SharedUsage::default(),
            phase_ms: *phase_ms,
            reported: None,
            read: vec![None; phases_ms.len()],
            is_alive: true,
            allowed: 0,
        });
        Self {
            limit,
            nodes: nodes.collect(),
            now: Timestamp::from_unix_seconds(1_000_000),
        }
    }

    /// Runs for a time; each node gets its number of calls a second, evenly. Returns how many
    /// calls were allowed.
    fn run(&mut self, seconds: u32, calls: &[u32]) -> u32 {
        let before: u32 = self.nodes.iter().map(|node| node.allowed).sum();
        for ms in 0..i64::from(seconds) * 1000 {
            self.now = self.now.plus_ms(1);
            for (n, &per_second) in calls.iter().enumerate() {
                let per_second = i64::from(per_second);
                // As many as are due by now.
                let due = (ms + 1) * per_second / 1000 - ms * per_second / 1000;
                for _ in 0..due {
                    self.call(n);
                }
                if ms % 1000 == self.nodes[n].phase_ms {
                    self.exchange(n);
                }
            }
        }
        self.nodes.iter().map(|node| node.allowed).sum::<u32>() - before
    }

    fn call(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if node.is_alive
            && let RateDecision::Allowed(_) = node.usage.spend(self.limit, self.now)
        {
            node.allowed += 1;
        }
    }

    fn exchange(&mut self, n: usize) {
        if !self.nodes[n].is_alive {
            return;
        }
        let mut others = OthersUsage::default();
        for m in 0..self.nodes.len() {
            let Some((report, at)) = self.nodes[m].reported.filter(|_| m != n) else {
                continue;
            };
            let live = self.now.since_ms(at) <= LIVE_MS;
            others.demand += if live { report.demand } else { 0 };
            others.allowed += report.allowed_since(self.nodes[n].read[m].as_ref());
            self.nodes[n].read[m] = Some(report);
        }
        let (limit, now) = (self.limit, self.now);
        let node = &mut self.nodes[n];
        let report = node.usage.report(limit).unwrap_or_default();
        node.usage.learn(limit, others, now);
        node.reported = Some((report, now));
    }
}

fn assert_near(allowed: u32, expected: u32, what: &str) {
    let off = i64::from(allowed) - i64::from(expected);
    assert!(
        off.abs() * 10 <= i64::from(expected),
        "{what}: {allowed} calls were allowed, {expected} are the limit"
    );
}

const LIMIT: RateLimit = RateLimit::per_second(30);

#[test]
fn a_node_alone_applies_the_whole_limit() {
    let mut shared = Nodes::new(LIMIT, &[500]);
    let mut alone = GcraState::default();
    let mut expected = 0;
    for ms in 0..20_000_i64 {
        shared.now = shared.now.plus_ms(1);
        if ms % 7 == 0 {
            shared.call(0);
            if let RateDecision::Allowed(next) = spend(LIMIT, alone, shared.now) {
                (alone, expected) = (next, expected + 1);
            }
        }
        if ms % 1000 == 500 {
            shared.exchange(0);
        }
    }
    assert_eq!(shared.nodes[0].allowed, expected);
}

#[test]
fn three_nodes_keep_one_limit() {
    for calls in [[100, 100, 100], [300, 0, 0], [0, 60, 20], [29, 29, 29]] {
        let mut nodes = Nodes::new(LIMIT, &[100, 450, 800]);
        // The burst of the first second comes on top.
        assert_near(nodes.run(20, &calls), 30 + 20 * 30, &format!("{calls:?}"));
        // From then on in each span of a few seconds.
        assert_near(nodes.run(5, &calls), 5 * 30, &format!("{calls:?}, later"));
    }
}

#[test]
fn calls_within_the_limit_are_not_refused() {
    let mut nodes = Nodes::new(LIMIT, &[100, 450, 800]);
    assert_eq!(nodes.run(20, &[9, 9, 9]), 20 * 27);
    assert_eq!(nodes.run(20, &[24, 1, 1]), 20 * 26);
}

#[test]
fn a_share_follows_the_calls() {
    let mut nodes = Nodes::new(LIMIT, &[100, 450, 800]);
    nodes.run(10, &[100, 0, 0]);
    // What the other node was asked for counts for a few seconds more.
    let moved = nodes.run(5, &[0, 0, 100]);
    assert!(moved >= 100, "{moved} of 150 calls were allowed meanwhile");
    assert_near(nodes.run(10, &[0, 0, 100]), 300, "all at another node");
    nodes.run(5, &[100, 100, 0]);
    assert_near(nodes.run(10, &[100, 100, 0]), 300, "half moved back");
}

#[test]
fn a_node_that_dies_gives_back_its_share() {
    let mut nodes = Nodes::new(LIMIT, &[100, 450, 800]);
    nodes.run(10, &[100, 100, 100]);
    nodes.nodes[1].is_alive = false;
    // Until it counts as gone, and two more exchanges.
    nodes.run(8, &[100, 100, 100]);
    assert_near(nodes.run(10, &[100, 100, 100]), 300, "one died");
}

#[test]
fn a_flood_at_one_node_leaves_the_others_their_part() {
    let mut nodes = Nodes::new(LIMIT, &[100, 450]);
    nodes.run(5, &[10_000, 15]);
    let before = nodes.nodes[1].allowed;
    nodes.run(10, &[10_000, 15]);
    let polite = nodes.nodes[1].allowed - before;
    assert!(polite >= 80, "{polite} of 150 calls were allowed");
}

#[test]
fn a_limit_of_less_than_a_call_a_node_is_shared_too() {
    let limit = RateLimit::per_second(1);
    let mut nodes = Nodes::new(limit, &[100, 450, 800]);
    nodes.run(10, &[5, 5, 5]);
    let allowed = nodes.run(60, &[5, 5, 5]);
    assert!((54..=66).contains(&allowed), "{allowed}");
}

#[test]
fn a_refund_does_not_charge_the_others_again() {
    let mut usage = SharedUsage::default();
    let now = Timestamp::from_unix_seconds(1_000_000);
    let spend = |usage: &mut SharedUsage, calls: u32| {
        for _ in 0..calls {
            assert!(matches!(usage.spend(LIMIT, now), RateDecision::Allowed(_)));
        }
    };
    spend(&mut usage, 10);
    let first = usage.report(LIMIT).unwrap();
    usage.refund(LIMIT);
    usage.refund(LIMIT);
    let second = usage.report(LIMIT).unwrap();
    assert_eq!(second.allowed_since(Some(&first)), 0);
    spend(&mut usage, 3);
    let third = usage.report(LIMIT).unwrap();
    assert_eq!(third.allowed_since(Some(&second)), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However calls are spread over nodes, whenever these exchange: what they allow together is
    /// within a tenth of what one node would have allowed.
    #[test]
    fn together_they_allow_what_one_node_would(
        per_second in 10_u32..200,
        spread in prop::collection::vec((0_u32..400, 0_i64..1000), 1..6),
    ) {
        let limit = RateLimit::per_second(per_second);
        let (calls, phases_ms): (Vec<u32>, Vec<i64>) = spread.into_iter().unzip();
        let asked: u32 = calls.iter().sum();
        let mut nodes = Nodes::new(limit, &phases_ms);
        let allowed = nodes.run(30, &calls);
        let expected = (asked * 30).min(31 * per_second);
        let off = i64::from(allowed) - i64::from(expected);
        prop_assert!(
            off.abs() * 10 <= i64::from(expected),
            "{allowed} were allowed, {expected} would have been"
        );
    }
}
