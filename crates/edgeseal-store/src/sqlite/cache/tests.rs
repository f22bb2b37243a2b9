use super::*;
use crate::conformance::{delete, key, put};

fn entry(name: &str, value: &'static str, changed: u64) -> Entry {
    Entry {
        key: key(name),
        value: Bytes::from_static(value.as_bytes()),
        revision: Revision(changed),
    }
}

/// One commit after `before`.
fn commit(recent: &ReadCache, before: u64, writes: &[Write]) {
    recent.begin(writes.iter().map(Write::key));
    visible(recent, before, writes);
}

fn visible(recent: &ReadCache, before: u64, writes: &[Write]) {
    let revision = Revision(before + 1);
    let writes = writes.iter().map(|write| (revision, Cow::Borrowed(write)));
    let writes: Vec<_> = writes.collect();
    recent.commit((Revision(before), revision), &writes);
}

fn value(recent: &ReadCache, name: &str) -> Option<(Bytes, u64)> {
    let entry = recent.get(&key(name))?;
    assert_eq!(entry.key, key(name));
    Some((entry.value, entry.revision.0))
}

fn known(value: &'static str, changed: u64) -> Option<(Bytes, u64)> {
    Some((Bytes::from_static(value.as_bytes()), changed))
}

#[test]
fn reads_and_writes_are_cached_and_deletes_are_not() {
    let recent = ReadCache::new(Revision(0));
    assert_eq!(value(&recent, "a"), None);
    recent.insert_read(recent.generation(), &entry("a", "read", 0));
    assert_eq!(value(&recent, "a"), known("read", 0));
    commit(&recent, 0, &[put("a", "written"), put("b", "1")]);
    assert_eq!(value(&recent, "a"), known("written", 1));
    commit(&recent, 1, &[delete("a")]);
    assert_eq!(value(&recent, "a"), None);
    commit(&recent, 2, &[put("b", "2"), delete("b")]);
    assert_eq!(
        value(&recent, "b"),
        None,
        "the last write of a batch counts"
    );
    let expiring = Write::Put {
        key: key("n"),
        value: Bytes::from_static(b"1"),
        expires: Some(edgeseal_core::Timestamp::from_unix_seconds(1)),
    };
    commit(&recent, 3, &[put("n", "1"), expiring]);
    assert_eq!(value(&recent, "n"), None, "expiring records are not cached");
    commit(&recent, 4, &[put("other", "1")]);
    recent.insert_read(recent.generation(), &entry("n", "1", 4));
    assert_eq!(value(&recent, "n"), known("1", 4), "unless they were read");
    recent.begin([key("n")].iter());
    recent.swept(&[key("n")], None);
    assert_eq!(value(&recent, "n"), None, "swept records are dropped");
}

/// Each step of a read against each step of a commit.
#[test]
fn a_read_during_a_commit_caches_nothing_stale() {
    let old = entry("a", "old", 0);
    let new = [put("a", "new")];

    let recent = ReadCache::new(Revision(0));
    let turn = recent.generation();
    recent.begin(new.iter().map(Write::key));
    recent.insert_read(turn, &old);
    assert_eq!(value(&recent, "a"), None, "being committed");
    recent.insert_read(turn, &entry("b", "other", 0));
    assert_eq!(
        value(&recent, "b"),
        known("other", 0),
        "not being committed"
    );
    visible(&recent, 0, &new);
    recent.insert_read(turn, &old);
    assert_eq!(
        value(&recent, "a"),
        known("new", 1),
        "the read began before the commit"
    );

    let recent = ReadCache::new(Revision(0));
    recent.insert_read(recent.generation(), &old);
    recent.begin(new.iter().map(Write::key));
    assert_eq!(
        value(&recent, "a"),
        None,
        "the commit may be visible from now on"
    );
    recent.invalidate();
    assert_eq!(value(&recent, "a"), None, "the outcome is unknown");
    recent.insert_read(recent.generation(), &old);
    assert_eq!(value(&recent, "a"), known("old", 0), "a new read is cached");
}

#[test]
fn several_values_are_known_together_or_not_at_all() {
    let recent = ReadCache::new(Revision(0));
    commit(&recent, 0, &[put("a", "1"), put("b", "1")]);
    let (a, b) = (entry("a", "1", 1), entry("b", "1", 1));
    let both = recent.get_many(&[key("a"), key("b")]);
    assert_eq!(both, Some(vec![Some(a), Some(b)]));
    assert_eq!(recent.get_many(&[key("a"), key("c")]), None);
    recent.begin([key("b")].iter());
    assert_eq!(recent.get_many(&[key("a"), key("b")]), None);
}

fn changed(recent: &ReadCache, after: u64, prefix: &str, limit: usize) -> Option<(String, u64)> {
    let changes = recent.changes(Revision(after), &[prefix], limit)?;
    let shown = |change: &Change| {
        let sign = if change.value.is_some() { '+' } else { '-' };
        format!("{sign}{}@{}", change.key, change.revision.0)
    };
    let items: Vec<String> = changes.items.iter().map(shown).collect();
    Some((items.join(" "), changes.through.0))
}

#[test]
fn changes_are_whole_commits_with_the_latest_value() {
    let recent = ReadCache::new(Revision(10));
    commit(&recent, 10, &[put("d/a", "1"), put("x", "1")]);
    commit(&recent, 11, &[put("d/b", "1"), put("d/c", "1")]);
    commit(&recent, 12, &[delete("d/a")]);
    commit(&recent, 13, &[put("x", "2")]);
    for (after, prefix, limit, shown, through) in [
        (10, "d/", 9, "+d/b@12 +d/c@12 -d/a@13", 14),
        (12, "d/", 9, "-d/a@13", 14),
        (13, "", 9, "+x@14", 14),
        (10, "d/", 1, "+d/b@12 +d/c@12", 12),
        (10, "d/", 2, "+d/b@12 +d/c@12", 12),
        (11, "d/", 1, "+d/b@12 +d/c@12", 12),
        (13, "d/", 1, "", 14),
    ] {
        let expected = Some((shown.to_owned(), through));
        let found = changed(&recent, after, prefix, limit);
        assert_eq!(found, expected, "after {after}, {limit} of {prefix}");
    }
    assert_eq!(
        changed(&recent, 9, "d/", 9),
        None,
        "before the cache begins"
    );
    assert_eq!(
        changed(&recent, 14, "d/", 9),
        None,
        "what another process has committed is in the file only"
    );
    recent.swept(&[key("d/b")], Some(Revision(11)));
    assert_eq!(changed(&recent, 10, "d/", 9), None, "compacted");
    let rest = Some(("+d/c@12 -d/a@13".to_owned(), 14));
    assert_eq!(changed(&recent, 11, "d/", 9), rest, "d/b has expired");
}

#[test]
fn changes_restart_after_a_gap() {
    let recent = ReadCache::new(Revision(0));
    commit(&recent, 0, &[put("d/a", "1")]);
    recent.begin([key("d/b")].iter());
    recent.invalidate();
    assert_eq!(changed(&recent, 0, "d/", 9), None);
    assert_eq!(changed(&recent, 1, "d/", 9), None);
    // The commit that was reported as failed happened after all.
    commit(&recent, 2, &[put("d/c", "1")]);
    assert_eq!(changed(&recent, 1, "d/", 9), None);
    assert_eq!(changed(&recent, 2, "d/", 9), Some(("+d/c@3".to_owned(), 3)));
}

#[test]
fn memory_is_bounded() {
    let recent = ReadCache::new(Revision(0));
    let long = "x".repeat(100_000);
    for n in 0..100 {
        commit(&recent, n, &[put(&format!("d/{n}"), &long)]);
    }
    assert!(recent.values.weight() <= VALUES_BYTES_MAX);
    let log = recent.log();
    assert!(log.bytes <= CHANGES_BYTES_MAX);
    assert_eq!(
        log.bytes,
        log.changes.iter().map(weight_bytes).sum::<usize>()
    );
    assert_eq!(log.changes.front().unwrap().revision.0, log.after.0 + 1);
    assert_eq!(log.through, Revision(100));
}
