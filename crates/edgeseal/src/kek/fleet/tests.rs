//! Nodes that are late, and keys that are read, named and removed at once.

use std::{fs, path::PathBuf, sync::Arc};

use edgeseal_api::key_encryption::KeyEncryption as _;
use edgeseal_core::Timestamp;
use edgeseal_store::{
    SharedStore,
    memory::MemoryStore,
    nodes::{NodeRecord, NodeStatus},
};
use tempfile::TempDir;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

/// A node of several, with its key file.
struct World {
    store: SharedStore,
    rotator: KekRotator,
    nodes: watch::Sender<Nodes>,
    keyring: Keyring,
    old: KeyId,
    new: KeyId,
    /// Both keys, the old one first.
    both: String,
    file: PathBuf,
    _files: TempDir,
}

impl World {
    /// The old key seals; everything is sealed under it.
    async fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("kek");
        let (first, second) = (Keyring::generate(), Keyring::generate());
        let [old, new] = [&first, &second].map(|it| Keyring::parse(it).unwrap().active());
        let both = format!("{}\n{}\n", *first, *second);
        fs::write(&file, &both).unwrap();
        let keyring = Keyring::parse(&both).unwrap();
        let store: SharedStore = Arc::new(MemoryStore::new());
        let epoch = SealingEpoch::read_or_begin(&*store, old).await.unwrap();
        let epoch = epoch.restart(&*store).await.unwrap();
        epoch.finish(&*store, NOW).await.unwrap();
        let nodes = watch::Sender::new(Nodes::default());
        let fleet = Fleet {
            nodes: nodes.subscribe(),
            keeper: watch::Sender::new(false).subscribe(),
        };
        let keys = (keyring.clone(), vec![KekSource::File(file.clone())]);
        let clock = || NOW;
        let rotator = KekRotator::new(keys, Arc::clone(&store), None, 1000, clock, Some(fleet));
        let world = Self {
            store,
            rotator,
            nodes,
            keyring,
            old,
            new,
            both,
            file,
            _files: files,
        };
        world.finished();
        world
    }

    /// As the task that reseals says.
    fn finished(&self) {
        let finished = ResealState::Finished;
        self.rotator.update_progress(|it| it.state = finished);
    }

    async fn epoch(&self) -> SealingEpoch {
        SealingEpoch::read(&*self.store).await.unwrap().unwrap()
    }

    /// Other nodes let the new key seal; as far as `until` says, the keeper has resealed.
    async fn rotate(&self, until: Until) {
        let store = &*self.store;
        self.epoch().await.propose(store, self.new).await.unwrap();
        self.epoch().await.advance(store, self.new).await.unwrap();
        if until == Until::Named {
            return;
        }
        let epoch = self.epoch().await.restart(store).await.unwrap();
        if until == Until::Finished {
            epoch.finish(store, NOW).await.unwrap();
        }
    }

    async fn follow(&self) {
        let nodes = self.nodes.borrow().clone();
        let mut last_load = LastLoad::default();
        self.rotator.follow(&nodes, &mut last_load).await.unwrap();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Named,
    Begun,
    Finished,
}

fn list(nodes: Vec<NodeStatus>) -> NodeList {
    NodeList {
        nodes,
        collected_ms: i64::MAX,
    }
}

fn node(id: &str, keys: &[KeyId]) -> NodeStatus {
    NodeStatus {
        node: NodeRecord {
            id: id.to_owned(),
            keys: keys.iter().map(ToString::to_string).collect(),
            ..NodeRecord::default()
        },
        age_ms: Some(0),
        ..NodeStatus::default()
    }
}

#[tokio::test]
async fn what_a_late_node_stored_is_resealed() {
    for (until, expect_again) in [
        (Until::Named, false),
        (Until::Begun, true),
        (Until::Finished, true),
    ] {
        let world = World::new().await;
        let in_flight = world.keyring.seal_guard();
        world.rotate(until).await;
        let before = world.epoch().await;
        world.follow().await;
        assert_eq!(world.keyring.active(), world.new);
        assert_eq!(world.rotator.sealing_key(), None, "something is in flight");
        assert_eq!(
            world.epoch().await,
            before,
            "{until:?}: it is not stored yet"
        );
        drop(in_flight);
        world.follow().await;
        let after = world.epoch().await;
        assert_eq!(after != before, expect_again, "{until:?}");
        assert!(!after.is_finished, "{until:?}");
        assert_eq!(world.rotator.sealing_key(), Some(world.new));
        // Once is enough.
        world.follow().await;
        assert_eq!(world.epoch().await, after);
    }
}

/// Whoever finished is asked to go on by another node's change of the marker.
#[tokio::test]
async fn the_keeper_notices_that_resealing_begins_again() {
    let world = World::new().await;
    world.follow().await;
    let state = || world.rotator.status().resealing.state;
    assert_eq!(state(), ResealState::Finished);
    world.epoch().await.restart(&*world.store).await.unwrap();
    world.follow().await;
    assert_eq!(state(), ResealState::Running);
}

#[tokio::test]
async fn a_key_seals_once_every_member_has_it_and_all_are_known() {
    let world = World::new().await;
    let (old, new) = (world.old, world.new);
    world
        .epoch()
        .await
        .propose(&*world.store, new)
        .await
        .unwrap();
    let unknown = NodeStatus {
        age_ms: None,
        ..node("unknown", &[])
    };
    let has = |id: &str| node(id, &[old, new]);
    for (nodes, expected) in [
        (list(vec![has("one"), node("two", &[old])]), "two"),
        (list(vec![has("one"), unknown]), "unknown"),
        (
            NodeList {
                collected_ms: 1000,
                ..list(vec![has("one"), has("two")])
            },
            "report again",
        ),
    ] {
        world.nodes.send_replace(Arc::new(nodes));
        world.follow().await;
        assert_eq!(world.epoch().await.under, old, "{expected}");
        let why = world.rotator.status().resealing.error;
        assert!(why.contains(expected), "{why}");
    }
    let all = list(vec![has("one"), has("two")]);
    world.nodes.send_replace(Arc::new(all));
    world.follow().await;
    assert_eq!(world.epoch().await.under, new);
    assert_eq!(world.keyring.active(), new);
}

/// Between two reports, this node does not know yet that another key seals.
#[tokio::test]
async fn a_key_that_the_store_names_is_not_retired() {
    let world = World::new().await;
    let refused = async || {
        world
            .rotator
            .retire(world.new)
            .await
            .unwrap_err()
            .to_string()
    };
    world
        .epoch()
        .await
        .propose(&*world.store, world.new)
        .await
        .unwrap();
    assert!(refused().await.contains("is the one that seals"));
    world
        .epoch()
        .await
        .advance(&*world.store, world.new)
        .await
        .unwrap();
    assert!(refused().await.contains("is the one that seals"));
    assert_eq!(world.keyring.ids(), [world.old, world.new]);
    assert_eq!(fs::read_to_string(&world.file).unwrap(), world.both);
}

/// A call that began before this node followed to another key does not take it back.
#[tokio::test]
async fn a_proposal_does_not_undo_a_change_of_the_key() {
    let world = World::new().await;
    let (version, read) = (
        world.rotator.keyring.version(),
        Keyring::parse(&world.both).unwrap(),
    );
    world.rotate(Until::Finished).await;
    world.follow().await;
    let proposed = world.rotator.propose(&read, version).await;
    assert!(proposed.is_err(), "{proposed:?}");
    assert_eq!(world.keyring.active(), world.new);
    // The keys of the file in their order there: the old one could be proposed again.
    world.follow().await;
    let epoch = world.epoch().await;
    let epoch = epoch.restart(&*world.store).await.unwrap();
    epoch.finish(&*world.store, NOW).await.unwrap();
    world.finished();
    assert_eq!(world.rotator.rotate().await.unwrap(), world.old);
    assert_eq!(world.keyring.active(), world.new, "until all have it");
}

/// Reading the sources may take long; what reports say meanwhile is not delayed.
#[tokio::test]
async fn a_source_that_hangs_does_not_hold_the_keyring() {
    let world = World::new().await;
    let third = Keyring::generate();
    let added = Keyring::parse(&third).unwrap().active();
    let gate = world.file.with_extension("gate");
    let made = std::process::Command::new("mkfifo").arg(&gate).status();
    assert!(made.unwrap().success());
    // Another process named a key that this one lacks.
    world
        .epoch()
        .await
        .propose(&*world.store, added)
        .await
        .unwrap();
    let mut rotator = world.rotator;
    rotator.sources = vec![KekSource::File(gate.clone())];
    let mut last_load = LastLoad::default();
    let nodes = NodeList::default();
    let mut following = Box::pin(rotator.follow(&nodes, &mut last_load));
    assert!(
        timeout(Duration::from_millis(50), &mut following)
            .await
            .is_err()
    );
    assert_eq!(rotator.sealing_key(), Some(world.old));
    let text = format!("{}{}\n", world.both, *third);
    let written = tokio::fs::write(&gate, text);
    let (followed, written) = tokio::join!(following, written);
    followed.unwrap();
    written.unwrap();
    assert_eq!(rotator.keyring.ids(), [world.old, world.new, added]);
}
