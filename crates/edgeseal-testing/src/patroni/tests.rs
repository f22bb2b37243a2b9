//! Patroni itself: a fail-over, and what it does without its watchdog.

use super::{MACHINES, PatroniCluster};

#[test]
#[ignore = "takes a minute: ./test faults"]
fn a_new_primary_takes_over_and_the_old_one_comes_back() {
    if let Some(why) = PatroniCluster::unavailable() {
        eprintln!("skipped: {why}");
        return;
    }
    let mut cluster = PatroniCluster::start();
    let first = cluster.wait_for_primary();
    cluster
        .sql(first, "CREATE TABLE t AS SELECT 1 AS n")
        .unwrap();
    cluster.kill(first);
    let second = cluster.wait_for_primary_but(first);
    assert_eq!(cluster.sql(second, "SELECT n FROM t").unwrap(), "1");
    cluster.start_again(first);
    cluster.wait_until_whole();

    cluster.partition(second);
    let third = cluster.wait_for_primary_but(second);
    assert_eq!(cluster.sql(third, "SELECT n FROM t").unwrap(), "1");
    cluster.heal(second);
    cluster.wait_until_whole();
    cluster.switchover();
    cluster.wait_until_whole();
}

/// Whoever cannot be reset in time is not to become the primary.
#[test]
#[ignore = "takes a minute: ./test faults"]
fn without_its_watchdog_no_standby_becomes_the_primary() {
    if let Some(why) = PatroniCluster::unavailable() {
        eprintln!("skipped: {why}");
        return;
    }
    let mut cluster = PatroniCluster::start_with_watchdogs();
    let first = cluster.wait_for_primary();
    let standbys = MACHINES.into_iter().filter(|&it| it != first);
    for standby in standbys.clone() {
        cluster.remove_watchdog(standby);
    }
    cluster.kill(first);
    cluster.until("refusal of each standby", || {
        let refuses = |it| cluster.has_logged(it, "Watchdog device is not usable");
        standbys.clone().all(refuses).then_some(())
    });
    assert_eq!(cluster.primary(), None);
    for standby in standbys {
        cluster.add_watchdog(standby);
    }
    cluster.wait_for_primary_but(first);
}
