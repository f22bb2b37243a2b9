use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

fn account() -> AccountId {
    AccountId::from_random(7)
}

fn key() -> ChainKey {
    ChainKey::new(&Secret::new(vec![7; 32]))
}

/// An audit log with its chain, as a store holds it.
#[derive(Clone, Debug)]
struct Audit {
    /// Key, bytes, revision.
    records: Vec<(String, Vec<u8>, u64)>,
    links: Vec<Link>,
    head: Option<Head>,
    anchor: Option<Anchor>,
}

impl Audit {
    /// An audit log with links of these sizes.
    fn of(sizes: &[usize]) -> Self {
        let (key, account) = (key(), account());
        let (mut records, mut links, mut end) = (Vec::new(), Vec::new(), (0, Mac::NONE));
        for size in sizes {
            let first = records.len();
            for n in first..first + size {
                let at = NOW.plus_ms(n as i64).unix_ms();
                records.push((
                    format!("{at:015}-request{n}"),
                    format!("record {n}").into_bytes(),
                    n as u64 + 1,
                ));
            }
            let linked = records[first..]
                .iter()
                .map(|(name, value, _)| LinkedRecord::of(name, value))
                .collect();
            let link = Link::after(end, linked, NOW, &account, &key);
            end = (link.n, link.mac);
            links.push(link);
        }
        Self {
            head: Some(Head::new(end, records.len() as u64, &account, &key)),
            anchor: None,
            records,
            links,
        }
    }

    fn report(&self, expected: Option<ExpectedHead>) -> Report {
        self.report_with(expected, &key())
    }

    fn report_with(&self, expected: Option<ExpectedHead>, key: &ChainKey) -> Report {
        let ends = (self.anchor.clone(), self.head.clone());
        let mut walk = ChainVerifier::new(&account(), ends, expected, key);
        let mut links: Vec<&Link> = self.links.iter().collect();
        links.sort_by_key(|link| link.n);
        for link in links {
            let stored: Vec<_> = link
                .records
                .iter()
                .map(|linked| {
                    let found = self.records.iter().find(|(name, ..)| *name == linked.key);
                    found.map(|(_, value, _)| Digest::of(value))
                })
                .collect();
            walk.check_link(link.n, Some(link), &stored);
        }
        for (name, _, revision) in &self.records {
            walk.check_record(name, *revision, NOW.plus_ms(1000));
        }
        walk.finish()
    }

    fn problems(&self) -> Vec<Problem> {
        self.report(None).problems
    }
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..5_usize, 2..8)
}

proptest! {
    #[test]
    fn an_untouched_audit_is_sound(sizes in sizes()) {
        let audit = Audit::of(&sizes);
        let report = audit.report(None);
        prop_assert!(report.is_sound(), "{:?}", report.problems);
        prop_assert_eq!(report.records as usize, audit.records.len());
        prop_assert_eq!(report.links as usize, sizes.len());
        prop_assert_eq!(report.pending, 0);
    }

    #[test]
    fn a_removed_record_is_named(sizes in sizes(), at: prop::sample::Index) {
        let mut audit = Audit::of(&sizes);
        let (name, ..) = audit.records.remove(at.index(audit.records.len()));
        let link = audit.links.iter().find(|link| link.records.iter().any(|r| r.key == name));
        let n = link.unwrap().n;
        prop_assert_eq!(audit.problems(), vec![Problem::MissingRecord { n, key: name }]);
    }

    #[test]
    fn a_changed_record_is_named(sizes in sizes(), at: prop::sample::Index, octet: prop::sample::Index, bit in 0..8_u8) {
        let mut audit = Audit::of(&sizes);
        let at = at.index(audit.records.len());
        let (name, value, _) = &mut audit.records[at];
        let octet = octet.index(value.len());
        value[octet] ^= 1 << bit;
        let name = name.clone();
        let problems = audit.problems();
        prop_assert!(
            matches!(&problems[..], [Problem::ChangedRecord { key, .. }] if *key == name),
            "{:?}", problems
        );
    }

    #[test]
    fn two_records_that_change_places_are_named(sizes in sizes(), one: prop::sample::Index, other: prop::sample::Index) {
        let mut audit = Audit::of(&sizes);
        let (one, other) = (one.index(audit.records.len()), other.index(audit.records.len()));
        prop_assume!(one != other);
        let value = std::mem::take(&mut audit.records[one].1);
        let value = std::mem::replace(&mut audit.records[other].1, value);
        audit.records[one].1 = value;
        let changed = |problem: &Problem| matches!(problem, Problem::ChangedRecord { .. });
        let problems = audit.problems();
        prop_assert!(problems.len() == 2 && problems.iter().all(changed), "{:?}", problems);
    }

    #[test]
    fn an_inserted_record_is_named(sizes in sizes(), ms in 0..40_i64, revision in 1..30_u64) {
        let mut audit = Audit::of(&sizes);
        prop_assume!(revision <= audit.records.len() as u64);
        let name = format!("{:015}-inserted", NOW.plus_ms(ms).unix_ms());
        audit.records.push((name.clone(), b"forged".to_vec(), revision));
        prop_assert_eq!(audit.problems(), vec![Problem::UnlinkedRecord { key: name }]);
    }

    #[test]
    fn a_removed_link_is_named_with_its_records(sizes in sizes(), at: prop::sample::Index) {
        let mut audit = Audit::of(&sizes);
        let link = audit.links.remove(at.index(audit.links.len()));
        let problems = audit.problems();
        let gap = Problem::MissingLinks { from: link.n, to: link.n };
        prop_assert!(problems.contains(&gap), "{:?}", problems);
        for record in link.records {
            let found = problems.contains(&Problem::UnlinkedRecord { key: record.key });
            prop_assert!(found, "{:?}", problems);
        }
    }

    #[test]
    fn a_removed_link_is_found_when_its_records_went_too(sizes in sizes(), at: prop::sample::Index) {
        let mut audit = Audit::of(&sizes);
        let link = audit.links.remove(at.index(audit.links.len()));
        audit.records.retain(|(name, ..)| link.records.iter().all(|record| record.key != *name));
        let gap = Problem::MissingLinks { from: link.n, to: link.n };
        prop_assert_eq!(audit.problems(), vec![gap]);
    }

    #[test]
    fn a_changed_link_is_named(sizes in sizes(), at: prop::sample::Index, how in 0..7_u8) {
        let mut audit = Audit::of(&sizes);
        let at = at.index(audit.links.len());
        let link = &mut audit.links[at];
        match how {
            0 => { link.records.pop(); }
            1 => link.records.push(LinkedRecord::of("000000000000001-x", b"x")),
            2 => link.records[0].sha256 = Digest::of(b"other"),
            3 => link.previous = Mac([9; 32]),
            4 => link.at = None,
            5 => link.at = Some(NOW.plus_ms(1)),
            _ => link.mac = Mac([9; 32]),
        }
        let n = link.n;
        let problems = audit.problems();
        prop_assert!(problems.contains(&Problem::ForgedLink { n }), "{:?}", problems);
    }

    #[test]
    fn links_in_another_order_are_named(sizes in sizes(), at: prop::sample::Index) {
        let mut audit = Audit::of(&sizes);
        let at = at.index(audit.links.len() - 1);
        let (one, other) = (audit.links[at].n, audit.links[at + 1].n);
        audit.links[at].n = other;
        audit.links[at + 1].n = one;
        let problems = audit.problems();
        prop_assert!(problems.contains(&Problem::ForgedLink { n: one }), "{:?}", problems);
        prop_assert!(problems.contains(&Problem::ForgedLink { n: other }), "{:?}", problems);
    }

    #[test]
    fn whoever_has_no_key_cannot_write_a_chain(sizes in sizes()) {
        let audit = Audit::of(&sizes);
        let other = ChainKey::new(&Secret::new(vec![8; 32]));
        let problems = audit.report_with(None, &other).problems;
        prop_assert!(problems.contains(&Problem::ForgedHead));
        let forged = |problem: &&Problem| matches!(problem, Problem::ForgedLink { .. });
        prop_assert_eq!(problems.iter().filter(forged).count(), sizes.len());
    }

    #[test]
    fn a_cut_end_is_found_by_a_head_that_was_kept(sizes in sizes(), cut in 1..8_usize) {
        let whole = Audit::of(&sizes);
        let (n, mac) = whole.report(None).head.unwrap();
        let kept = Some(ExpectedHead { n, mac });
        prop_assert!(whole.report(kept).is_sound());
        let cut = cut.min(sizes.len() - 1);
        // An older state is consistent in itself.
        let older = Audit::of(&sizes[..sizes.len() - cut]);
        prop_assert!(older.report(None).is_sound());
        let last = older.links.len() as u64;
        prop_assert_eq!(older.report(kept).problems, vec![Problem::Truncated { n, last }]);
    }

    #[test]
    fn only_records_before_the_anchor_may_be_missing(sizes in sizes(), gone: prop::sample::Index) {
        let (key, account) = (key(), account());
        let mut audit = Audit::of(&sizes);
        let gone = gone.index(audit.records.len());
        let before = NOW.plus_ms(gone as i64);
        let is_old = |link: &&Link| link.records.iter().all(|r| r.at().unwrap() < before);
        let links = audit.links.iter().take_while(is_old).count();
        let end = audit.links[..links].last().map_or((0, Mac::NONE), |link| (link.n, link.mac));
        audit.anchor = Some(Anchor::new(end, before, &account, &key));
        audit.links.drain(..links);
        audit.records.drain(..gone);
        prop_assert_eq!(audit.problems(), vec![]);
        // One more record than the anchor allows.
        let (name, ..) = audit.records.remove(0);
        let problems = audit.problems();
        prop_assert!(
            matches!(&problems[..], [Problem::MissingRecord { key, .. }] if *key == name),
            "{:?}", problems
        );
    }
}

#[test]
fn pending_records_are_no_problem() {
    let mut audit = Audit::of(&[2, 2]);
    let name = format!("{:015}-new", NOW.plus_ms(900).unix_ms());
    audit.records.push((name, b"new".to_vec(), 100));
    let report = audit.report(None);
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(report.pending, 1);
}

#[test]
fn an_old_pending_record_was_inserted() {
    let mut audit = Audit::of(&[2, 2]);
    let name = format!("{:015}-old", NOW.plus_ms(-CLOCK_TOLERANCE_MS - 1).unix_ms());
    audit.records.push((name.clone(), b"old".to_vec(), 100));
    assert_eq!(
        audit.problems(),
        vec![Problem::UnlinkedRecord { key: name }]
    );
}

#[test]
fn a_record_linked_long_after_its_time_is_reported() {
    let (key, account) = (key(), account());
    let mut audit = Audit::of(&[2, 2]);
    let name = format!("{:015}-old", NOW.plus_ms(-CLOCK_TOLERANCE_MS - 1).unix_ms());
    let end = (2, audit.links[1].mac);
    let late = vec![LinkedRecord::of(&name, b"old")];
    let link = Link::after(end, late, NOW, &account, &key);
    audit.head = Some(Head::new((3, link.mac), 5, &account, &key));
    audit.links.push(link);
    audit.records.push((name.clone(), b"old".to_vec(), 5));
    assert_eq!(
        audit.problems(),
        vec![Problem::LateRecord { n: 3, key: name }]
    );
}

#[test]
fn a_clock_step_back_is_a_warning() {
    const HOUR_MS: i64 = 60 * 60 * 1000;
    let (key, account) = (key(), account());
    let mut audit = Audit::of(&[2, 2]);
    let mut end = (2, audit.links[1].mac);
    // The clock is an hour behind for two links, then correct again.
    for (n, at) in [-HOUR_MS, -HOUR_MS + 1000, 2000].into_iter().enumerate() {
        let at = NOW.plus_ms(at);
        let (name, revision) = (format!("{:015}-step{n}", at.unix_ms()), 10 + n as u64);
        let linked = vec![LinkedRecord::of(&name, b"step")];
        let link = Link::after(end, linked, at.plus_ms(300), &account, &key);
        end = (link.n, link.mac);
        audit.links.push(link);
        audit.records.push((name, b"step".to_vec(), revision));
    }
    audit.head = Some(Head::new(end, 12, &account, &key));
    let report = audit.report(None);
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.records, report.pending), (7, 0));
    let by_ms = HOUR_MS - 300;
    let expected = ChainWarning::ClockSetBack { n: 3, by_ms };
    assert_eq!(report.warnings, vec![expected]);
    // Removed records are reported as missing all the same.
    let (name, ..) = audit.records.remove(4);
    let missing = Problem::MissingRecord { n: 3, key: name };
    assert_eq!(audit.problems(), vec![missing]);
}

#[test]
fn links_of_earlier_releases_hold_and_do_not_tell_of_clocks() {
    let (key, account) = (key(), account());
    let name = |at: i64| format!("{:015}-old", NOW.plus_ms(at).unix_ms());
    let names = [name(0), name(-CLOCK_TOLERANCE_MS - 1)];
    let mut audit = Audit::of(&[]);
    let mut end = (0, Mac::NONE);
    for name in &names {
        let records = vec![LinkedRecord::of(name, b"old")];
        let mut link = Link::after(end, records, NOW, &account, &key);
        link.at = None;
        link.mac = link.computed(&account, &key);
        end = (link.n, link.mac);
        audit.links.push(link);
        audit.records.push((name.clone(), b"old".to_vec(), end.0));
    }
    audit.head = Some(Head::new(end, 2, &account, &key));
    let stored = serde_json::to_string(&audit.links[0]).unwrap();
    assert!(!stored.contains("\"at\""), "{stored}");
    let report = audit.report(None);
    assert!(report.is_sound(), "{:?}", report.problems);
    let [_, late] = names;
    assert_eq!(
        report.warnings,
        vec![ChainWarning::Undated { n: 2, key: late }]
    );
}

#[test]
fn an_anchor_that_is_ahead_of_everything_is_told() {
    let (key, account) = (key(), account());
    let mut audit = Audit::of(&[2, 2]);
    let before = NOW.plus_ms(1_000_000);
    audit.anchor = Some(Anchor::new((0, Mac::NONE), before, &account, &key));
    audit.records.remove(0);
    let report = audit.report(None);
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(
        report.warnings,
        vec![ChainWarning::RetentionAhead { before }]
    );
}

#[test]
fn ends_that_were_tampered_with() {
    let sound = Audit::of(&[1, 2, 3]);
    let mut audit = sound.clone();
    audit.head = None;
    assert_eq!(audit.problems(), vec![Problem::MissingHead]);

    let mut audit = sound.clone();
    audit.head.as_mut().unwrap().through = 1;
    assert_eq!(audit.problems(), vec![Problem::ForgedHead]);

    // An older head, put back.
    let mut audit = sound.clone();
    audit.head = Audit::of(&[1, 2]).head;
    assert!(
        audit
            .problems()
            .contains(&Problem::HeadMismatch { head: 2, last: 3 })
    );

    let mut audit = sound;
    let forged = Anchor::new(
        (0, Mac::NONE),
        NOW.plus_ms(3),
        &account(),
        &ChainKey::new(&Secret::new(vec![8; 32])),
    );
    audit.anchor = Some(forged);
    audit.records.drain(..3);
    let problems = audit.problems();
    assert!(problems.contains(&Problem::ForgedAnchor));
    let missing = |problem: &&Problem| matches!(problem, Problem::MissingRecord { .. });
    assert_eq!(problems.iter().filter(missing).count(), 3);
}

#[test]
fn an_old_audit_that_has_no_chain_at_all_had_one() {
    let mut audit = Audit::of(&[2]);
    audit.head = None;
    audit.links.clear();
    assert!(audit.report(None).is_sound(), "the record is recent");
    let mut walk = ChainVerifier::new(&account(), (None, None), None, &KEY);
    static KEY: std::sync::LazyLock<ChainKey> = std::sync::LazyLock::new(key);
    walk.check_record(&audit.records[0].0, 1, NOW.plus_ms(2 * 60 * 60 * 1000));
    assert!(!walk.finish().is_sound());
}
