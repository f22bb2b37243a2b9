use proptest::prelude::*;

use super::*;

fn ip(source: &str) -> IpAddr {
    source.parse().unwrap()
}

/// How many places each source holds.
type Held = &'static [(&'static str, usize)];

fn shares(total: usize, per_source: usize, held: Held) -> FairLimiter {
    let mut shares = FairLimiter::new(Capacity { total, per_source });
    for (source, count) in held {
        for _ in 0..*count {
            assert_eq!(shares.acquire(ip(source)), Ok(Acquired::Free));
        }
    }
    shares
}

/// Total capacity and capacity per source, the places held, the newcomer, and its result (`Ok("")`:
/// a free place).
type Row = (
    usize,
    usize,
    Held,
    &'static str,
    Result<&'static str, AcquireError>,
);

const A: &str = "192.0.2.1";
const B: &str = "198.51.100.1";
const C: &str = "203.0.113.1";
const D: &str = "2001:db8:d::";

#[test]
fn the_largest_source_is_evicted() {
    let table: &[Row] = &[
        (4, 2, &[], A, Ok("")),
        (4, 2, &[(A, 1)], A, Ok("")),
        (4, 2, &[(A, 2)], A, Err(AcquireError::SourceLimit)),
        (4, 4, &[(A, 4)], B, Ok(A)),
        (4, 4, &[(A, 3), (B, 1)], B, Ok(A)),
        (4, 4, &[(A, 2), (B, 2)], B, Err(AcquireError::Exhausted)),
        (4, 4, &[(A, 2), (B, 2)], C, Ok(B)),
        (
            3,
            3,
            &[(A, 1), (B, 1), (C, 1)],
            D,
            Err(AcquireError::Exhausted),
        ),
        (5, 5, &[(A, 3), (B, 2)], B, Err(AcquireError::Exhausted)),
        (0, 1, &[], A, Err(AcquireError::Exhausted)),
        (1, 0, &[], A, Err(AcquireError::SourceLimit)),
    ];
    assert_table(table);
}

fn assert_table(table: &[Row]) {
    for (total, per_source, held, source, expected) in table {
        let mut shares = shares(*total, *per_source, held);
        let expected = expected.map(|payer| match payer {
            "" => Acquired::Free,
            payer => Acquired::Revoked(ip(payer)),
        });
        let acquired = shares.acquire(ip(source));
        assert_eq!(acquired, expected, "{held:?} and {source}");
    }
}

#[test]
fn the_largest_source_of_the_largest_network_is_evicted() {
    const A2: &str = "192.0.2.2";
    const A3: &str = "192.0.2.3";
    const A4: &str = "192.0.2.4";
    // All in one /48: two /64 in one /56, two in another.
    const D11: &str = "2001:db8:d:1101::";
    const D12: &str = "2001:db8:d:1102::";
    const D21: &str = "2001:db8:d:2201::";
    const D22: &str = "2001:db8:d:2202::";
    let table: &[Row] = &[
        // Each source holds one place: the network that holds most loses one.
        (4, 4, &[(D11, 1), (D12, 1), (D21, 1), (A, 1)], B, Ok(D12)),
        (4, 4, &[(A, 1), (A2, 1), (A3, 1), (B, 1)], C, Ok(A3)),
        // Within the largest network the largest subnet, and within that the largest source.
        (6, 6, &[(D11, 2), (D12, 1), (D21, 2), (A, 1)], B, Ok(D11)),
        // The largest source is in a smaller network.
        (5, 5, &[(B, 2), (A, 1), (A2, 1), (A3, 1)], C, Ok(A3)),
        // A newcomer from the largest network can only replace a source of its own network.
        (5, 5, &[(A, 3), (A2, 1), (B, 1)], A4, Ok(A)),
        (
            4,
            4,
            &[(A, 1), (A2, 1), (A3, 1), (B, 1)],
            A4,
            Err(AcquireError::Exhausted),
        ),
        (
            4,
            4,
            &[(D11, 1), (D12, 1), (D21, 1), (A, 1)],
            D22,
            Err(AcquireError::Exhausted),
        ),
        (4, 4, &[(D11, 2), (D12, 1), (A, 1)], D21, Ok(D11)),
        // Both networks hold the same, and the newcomer's network has a source that holds more than
        // the newcomer.
        (4, 4, &[(A, 2), (B, 2)], A2, Ok(A)),
    ];
    assert_table(table);
}

#[test]
fn only_who_holds_less_replaces_an_idle_connection() {
    const A2: &str = "192.0.2.2";
    const D2: &str = "2001:db8:d:1::";
    let shares = shares(100, 100, &[(A, 1), (A2, 2), (B, 1), (D, 3), (D2, 1)]);
    let table = [
        (C, A, true),
        (C, B, true),
        (B, A, true), // one place against the three of A's network
        (A, B, false),
        (B, B, false),
        (D, A, false),
        (D2, D, true),
        (D, D2, false),
        (D2, A, false),
        (A, A2, true),
        (A2, A, false),
        ("192.0.2.9", A, true),
        (B, "2001:db8:e::", false),
    ];
    for (source, other, expected) in table {
        let may = shares.may_replace_idle(ip(source), ip(other));
        assert_eq!(may, expected, "{source} {other}");
    }
}

#[test]
fn a_revoked_slot_is_counted_once() {
    let mut shares = shares(3, 3, &[(A, 3)]);
    assert_eq!(shares.acquire(ip(B)), Ok(Acquired::Revoked(ip(A))));
    assert_eq!((shares.held_by(ip(A)), shares.held_by(ip(B))), (2, 1));
    assert_eq!(shares.largest(), Some((ip(A), 2)));
    assert_eq!(shares.total(), 3);
    for source in [A, A, B, B] {
        shares.release(ip(source));
    }
    assert_eq!((shares.total(), shares.largest()), (0, None));
    assert!(shares.held.is_empty() && shares.ranking.is_empty());
}

#[test]
fn an_unused_connection_gives_way() {
    let usage = |served, idle: i64| ConnectionUsage {
        served,
        idle: u64::try_from(idle).ok().map(Duration::from_secs),
    };
    // Whether a request was served, and seconds idle or -1 if busy; the index of the evicted
    // connection.
    type Connections = &'static [(bool, i64)];
    let table: &[(Connections, Option<usize>)] = &[
        (&[], None),
        (&[(false, 1), (true, 4), (false, -1), (true, -1)], None),
        (&[(false, 2)], Some(0)),
        (&[(false, 2), (false, 3), (false, 2)], Some(1)),
        (&[(true, 3600), (false, 2)], Some(1)),
        (&[(true, 5), (true, 60), (true, 7), (false, 1)], Some(1)),
        (&[(true, -1), (true, 5), (false, -1)], Some(1)),
    ];
    for (connections, expected) in table {
        let usages = connections
            .iter()
            .map(|(served, idle)| usage(*served, *idle));
        let found = longest_idle(usages.enumerate());
        assert_eq!(found, *expected, "{connections:?}");
    }
}

/// Sources that share networks of every prefix length.
const SOURCES: [&str; 8] = [
    A,
    "192.0.2.2",
    B,
    D,
    "2001:db8:d:1::",
    "2001:db8:d:101::",
    "2001:db8:e::",
    "2001:db8:e:1::",
];

proptest! {
    /// After any sequence of steps the counts match a plain list of holders, and a source is
    /// refused only if no sibling of a network around it holds two places more than that network.
    #[test]
    fn counts_agree_with_a_list(
        total in 0_usize..16,
        per_source in 0_usize..12,
        steps in prop::collection::vec((0_usize..SOURCES.len(), any::<bool>()), 0..200),
    ) {
        let mut shares = FairLimiter::new(Capacity { total, per_source });
        let mut held: Vec<IpAddr> = Vec::new();
        let from = |held: &[IpAddr], network: IpNet| {
            held.iter().filter(|one| network.contains(*one)).count()
        };
        for (source, comes) in steps {
            let source = ip(SOURCES[source]);
            let own = held.iter().filter(|one| **one == source).count();
            if comes {
                let beside = |length: usize| {
                    let all: Vec<IpNet> = enclosing_networks(source).collect();
                    let others = held.iter().filter(|one| {
                        length == 0 || all[length - 1].contains(*one)
                    });
                    others.filter_map(|one| enclosing_networks(*one).nth(length))
                        .map(|network| from(&held, network)).max().unwrap_or_default()
                };
                let differs = enclosing_networks(source).enumerate()
                    .any(|(length, network)| beside(length) > from(&held, network) + 1);
                match shares.acquire(source) {
                    Ok(Acquired::Free) => held.push(source),
                    Ok(Acquired::Revoked(payer)) => {
                        prop_assert!(differs);
                        let at = held.iter().position(|one| *one == payer).unwrap();
                        held[at] = source;
                    }
                    Err(AcquireError::SourceLimit) => prop_assert!(own >= per_source),
                    Err(AcquireError::Exhausted) => prop_assert!(!differs),
                }
            } else {
                if let Some(at) = held.iter().position(|one| *one == source) {
                    held.swap_remove(at);
                }
                shares.release(source);
            }
            prop_assert_eq!(shares.total(), held.len());
            prop_assert!(held.len() <= total);
            for one in SOURCES {
                let count = held.iter().filter(|held| **held == ip(one)).count();
                prop_assert_eq!(shares.held_by(ip(one)), count);
            }
            let widest = held.iter().filter_map(|one| enclosing_networks(*one).next());
            let most = widest.map(|network| from(&held, network)).max().unwrap_or_default();
            prop_assert_eq!(shares.largest().map_or(0, |(_, held)| held), most);
        }
    }
}
