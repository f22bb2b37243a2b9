//! Faults of a database that is replicated by Patroni, and of the nodes on it, under load.
//!
//! [`load`] calls the API of two nodes and observes their edges, a test here causes a fault and heals
//! it, and [`verdict`] decides what must hold: nothing acknowledged is lost, an error is a change or
//! none, edges never go back, and the calls on each domain are linearizable. All but one take long:
//! `./test faults` runs them, each fault `EDGESEAL_FAULT_ROUNDS` times.

mod example;
mod guide;
mod history;
mod load;
mod report;
mod verdict;
mod world;

use std::time::Duration;

use edgeseal_core::Timestamp;
use edgeseal_testing::patroni::{MACHINES, PatroniCluster, rerun_in_a_namespace};
use tokio::time::sleep;

use crate::harness::{SplitMix, now};
use load::Load;
use report::Report;
use world::{BOTH, NODES, World};

/// How often each fault happens.
fn rounds() -> usize {
    let given = std::env::var("EDGESEAL_FAULT_ROUNDS");
    given.map_or(10, |rounds| {
        rounds.parse().expect("EDGESEAL_FAULT_ROUNDS is a number")
    })
}

/// Calls at each node before and after a fault.
const ACKNOWLEDGED: usize = 6;

/// Runs a fault in rounds, each with a load of its own. `fault` returns once all is healed.
async fn run(
    name: &'static str,
    rounds: usize,
    world: &mut World,
    mut fault: impl AsyncFnMut(&mut World, &Load, &mut SplitMix),
) {
    let seed = now().unix_ms().unsigned_abs();
    let mut random = SplitMix(seed);
    let mut report = Report::new(name);
    for round in 0..rounds {
        let load = Load::start(world, &format!("r{round}")).await;
        load.wait_for_acknowledged(&BOTH, ACKNOWLEDGED).await;
        let begun = std::time::Instant::now();
        fault(world, &load, &mut random).await;
        let healed = std::time::Instant::now();
        load.wait_for_acknowledged(&BOTH, ACKNOWLEDGED).await;
        let records = load.stop().await;
        let verdict = verdict::of(world, &records).await;
        println!("{name}, round {}: {verdict}", round + 1);
        report.add(&verdict, records.longest_gap(begun, healed));
    }
    report.finish();
}

/// As [`run`], on a cluster of its own.
async fn run_alone(
    name: &'static str,
    rounds: usize,
    fault: impl AsyncFnMut(&mut World, &Load, &mut SplitMix),
) {
    let Some(mut world) = world().await else {
        return;
    };
    run(name, rounds, &mut world, fault).await;
    world.stop();
}

/// A cluster, or nothing if this machine cannot run one and the suite is not asked for.
fn cluster(start: impl FnOnce() -> PatroniCluster) -> Option<PatroniCluster> {
    match PatroniCluster::unavailable() {
        None => Some(start()),
        Some(why) if std::env::var_os("EDGESEAL_FAULT_ROUNDS").is_none() => {
            eprintln!("skipped: {why}");
            None
        }
        Some(why) => panic!("{why}"),
    }
}

async fn world() -> Option<World> {
    Some(World::start(cluster(PatroniCluster::start)?).await)
}

async fn kill_primary(world: &mut World, load: &Load, machine_too: bool) {
    let primary = world.cluster.wait_for_primary();
    if machine_too {
        world.cluster.kill(primary);
        world.cluster.wait_for_primary_but(primary);
    } else {
        // Patroni makes a standby the primary, or starts this one again if that is faster.
        world.cluster.kill_postgres(primary);
    }
    load.wait_for_acknowledged(&BOTH, ACKNOWLEDGED).await;
    if machine_too {
        world.cluster.start_again(primary);
    }
    world.cluster.wait_until_whole();
}

/// The short run of the suite.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_killed_loses_nothing() {
    if rerun_in_a_namespace("faults::a_primary_that_is_killed_loses_nothing") {
        return;
    }
    run_alone("primary killed", 1, async |world, load, _| {
        kill_primary(world, load, false).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./test faults"]
async fn primary_is_killed() {
    let Some(mut world) = world().await else {
        return;
    };
    run(
        "PostgreSQL of the primary killed",
        rounds(),
        &mut world,
        async |world, load, _| {
            kill_primary(world, load, false).await;
        },
    )
    .await;
    run(
        "machine of the primary lost",
        rounds(),
        &mut world,
        async |world, load, _| {
            kill_primary(world, load, true).await;
        },
    )
    .await;
    world.stop();
}

/// The primary cannot reach the arbiter and the standbys, but the nodes reach it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./test faults"]
async fn primary_is_cut_off() {
    let Some(mut world) = world().await else {
        return;
    };
    run(
        "primary cut off",
        rounds(),
        &mut world,
        async |world, load, _| {
            cut_off(world, load, false).await;
        },
    )
    .await;
    // Nothing demotes the old primary for a while, as if Patroni hung, so two servers take writes. A
    // node notices within five seconds, here with some for a busy machine.
    world.staleness = Duration::from_secs(8);
    run(
        "primary cut off, not demoted",
        rounds(),
        &mut world,
        async |world, load, _| {
            cut_off(world, load, true).await;
        },
    )
    .await;
    world.stop();
}

async fn cut_off(world: &mut World, load: &Load, stays_primary: bool) {
    let primary = world.cluster.wait_for_primary();
    if stays_primary {
        world.cluster.stop_process(primary, "patroni");
    }
    world.cluster.partition(primary);
    world.cluster.wait_for_primary_but(primary);
    load.wait_for_acknowledged(&BOTH, ACKNOWLEDGED).await;
    if stays_primary {
        // Its watchdog resets it, see below.
        world.cluster.kill(primary);
    }
    world.cluster.heal(primary);
    if stays_primary {
        world.cluster.start_again(primary);
    }
    world.cluster.wait_until_whole();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./test faults"]
async fn primary_is_frozen() {
    run_alone("primary frozen", rounds(), async |world, load, _| {
        let primary = world.cluster.wait_for_primary();
        world.cluster.stop(primary);
        world.cluster.wait_for_primary_but(primary);
        load.wait_for_acknowledged(&BOTH, ACKNOWLEDGED).await;
        // Its watchdog resets it. If it went on, Patroni 3.0 would overwrite the leader key, and what
        // the new primary has acknowledged would be lost.
        world.cluster.kill(primary);
        world.cluster.start_again(primary);
        world.cluster.wait_until_whole();
    })
    .await;
}

/// As the guide sets it up: the watchdog resets the primary before another one can be promoted.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./test faults"]
async fn primary_is_frozen_and_reset() {
    let Some(cluster) = cluster(PatroniCluster::start_with_watchdogs) else {
        return;
    };
    let mut world = World::start(cluster).await;
    run(
        "primary frozen, reset by its watchdog",
        rounds(),
        &mut world,
        async |world, load, _| {
            let primary = world.cluster.wait_for_primary();
            world.cluster.stop(primary);
            world.cluster.wait_for_reset(primary);
            let promoted = world.cluster.primary();
            assert_eq!(promoted, None, "promoted before the reset");
            load.wait_for_acknowledged(&BOTH, ACKNOWLEDGED).await;
            world.cluster.start_again(primary);
            world.cluster.wait_until_whole();
        },
    )
    .await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./test faults"]
async fn primary_is_switched() {
    run_alone("planned switchover", rounds(), async |world, _, _| {
        world.cluster.switchover();
        world.cluster.wait_until_whole();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./test faults"]
async fn standby_is_lost() {
    let Some(mut world) = world().await else {
        return;
    };
    run(
        "synchronous standby lost",
        rounds(),
        &mut world,
        async |world, load, _| {
            let standby = world.cluster.synchronous_standby().unwrap();
            world.cluster.kill(standby);
            load.wait_for_acknowledged(&BOTH, ACKNOWLEDGED).await;
            world.cluster.start_again(standby);
            world.cluster.wait_until_whole();
        },
    )
    .await;
    // Strict: a commit that no standby has is not acknowledged.
    run(
        "both standbys lost",
        rounds(),
        &mut world,
        async |world, load, _| {
            let primary = world.cluster.wait_for_primary();
            let standbys = MACHINES.into_iter().filter(|&it| it != primary);
            for standby in standbys.clone() {
                world.cluster.stop_process(standby, "postgres");
            }
            let since = std::time::Instant::now();
            // Not a wait for a condition: this long nothing must be acknowledged.
            sleep(Duration::from_secs(3)).await;
            let until = std::time::Instant::now();
            for standby in standbys {
                world.cluster.cont(standby);
            }
            load.wait_for_acknowledged(&BOTH, ACKNOWLEDGED).await;
            world.cluster.wait_until_whole();
            let silent = load.acknowledged_within(since, until);
            assert_eq!(
                silent, 0,
                "calls that were made and acknowledged without a standby"
            );
        },
    )
    .await;
    world.stop();
}

/// The primary ends while commits wait for a standby, which has some of them or none.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./test faults"]
async fn commit_is_interrupted() {
    run_alone(
        "fail-over within COMMIT",
        5 * rounds(),
        async |world, load, random| {
            let primary = world.cluster.wait_for_primary();
            let standbys = MACHINES.into_iter().filter(|&it| it != primary);
            for standby in standbys.clone() {
                world.cluster.stop_process(standby, "walreceiver");
            }
            let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
            world.until("a commit that waits for a standby", |world| {
                let waiting = world.cluster.sql(primary, waits).ok()?;
                (waiting != "0").then_some(())
            });
            let received_first = random.below(2) == 0;
            if !received_first {
                world.cluster.kill_postgres(primary);
            }
            for standby in standbys {
                world.cluster.cont(standby);
            }
            if received_first {
                // Not a wait for a condition: a random moment.
                sleep(Duration::from_micros(random.below(20_000) as u64)).await;
                world.cluster.kill_postgres(primary);
            }
            load.wait_for_acknowledged(&BOTH, ACKNOWLEDGED).await;
            world.cluster.wait_until_whole();
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./test faults"]
async fn disk_of_the_primary_is_full() {
    let small = || PatroniCluster::start_on_small_disks(400);
    let Some(cluster) = cluster(small) else {
        return;
    };
    let mut world = World::start(cluster).await;
    run(
        "disk of the primary full",
        rounds(),
        &mut world,
        async |world, load, _| {
            let primary = world.cluster.wait_for_primary();
            world.cluster.fill(primary);
            // It goes on with the files that it has, and ends when it needs another one.
            world.until("a server without room", |world| {
                world.cluster.sql(primary, "SELECT pg_switch_wal()").err()
            });
            load.wait_for_acknowledged(&BOTH, ACKNOWLEDGED).await;
            world.cluster.empty(primary);
            load.wait_for_acknowledged(&BOTH, ACKNOWLEDGED).await;
            world.cluster.wait_until_whole();
        },
    )
    .await;
    world.stop();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./test faults"]
async fn node_is_frozen() {
    // Its batches are one statement each, so it never holds the lock while it computes.
    run_alone("node frozen", rounds(), async |world, load, random| {
        // Not a wait for a condition: a random moment, in the middle of its commits.
        sleep(Duration::from_micros(random.below(100_000) as u64)).await;
        let node = random.below(2);
        world.is_faulty(node, true);
        world.nodes[node].signal("STOP");
        load.wait_for_acknowledged(&[1 - node], 4 * ACKNOWLEDGED)
            .await;
        world.nodes[node].signal("CONT");
        load.wait_for_acknowledged(&BOTH, ACKNOWLEDGED).await;
        world.is_faulty(node, false);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./test faults"]
async fn node_is_killed() {
    run_alone("node killed", rounds(), async |world, load, random| {
        // Not a wait for a condition: a random moment.
        sleep(Duration::from_micros(random.below(100_000) as u64)).await;
        let node = random.below(2);
        world.kill_and_start_again(node, &[]);
        load.wait_for_acknowledged(&BOTH, ACKNOWLEDGED).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ./test faults"]
async fn clock_of_a_node_is_off() {
    /// What the node's clock says, so that it accepts the time of the calls.
    fn ahead() -> Timestamp {
        now().plus_ms(3_600_000)
    }
    let Some(mut world) = world().await else {
        return;
    };
    let [right, wrong] = NODES;
    let mut report = Report::new("clock of a node an hour ahead");
    for round in 0..rounds() {
        let library = world::faketime();
        world.kill_and_start_again(
            wrong,
            &[
                ("LD_PRELOAD", &library),
                ("FAKETIME", "+3600s"),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ],
        );
        world.set_clock(wrong, ahead);
        let load = Load::start(&world, &format!("r{round}")).await;
        let begun = std::time::Instant::now();
        load.wait_for_acknowledged(&[right], 4 * ACKNOWLEDGED).await;
        assert_eq!(
            load.acknowledged_at(wrong),
            0,
            "changes of a node whose clock is off"
        );
        let healed = std::time::Instant::now();
        let records = load.stop().await;
        let verdict = verdict::of(&world, &records).await;
        report.add(&verdict, records.longest_gap(begun, healed));
        world.kill_and_start_again(wrong, &[]);
        world.set_clock(wrong, now);
    }
    report.finish();
    world.stop();
}
