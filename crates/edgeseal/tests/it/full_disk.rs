//! A disk that takes no more: it says nothing of what is on it, so what was served is served, and
//! nothing is moved or overwritten.

use std::{collections::BTreeMap, fs, path::Path};

use crate::harness::{Origin, Server, api::told, pki::AUTHORITY, server::by_shell};

const NAMES: [&str; 2] = ["www.full.example", "shop.full.example"];

/// The files of the replica that hold something, with their contents.
fn replica(server: &Server) -> BTreeMap<String, Vec<u8>> {
    let edge = server.data().join("edge");
    let read = |path: &Path| fs::read(path).unwrap();
    let files = fs::read_dir(&edge).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let named = files.map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, read(&path))
    });
    named
        .filter(|(name, content)| !name.ends_with("-shm") && !content.is_empty())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_on_a_full_disk_serve_and_leave_the_replica_alone() {
    let mut server = Server::start();
    let (api, origin) = (server.client(), Origin::start().await);
    let mut leaves = Vec::new();
    for name in NAMES {
        api.add(name, &origin).await;
        let pem = AUTHORITY.issue(&[name]);
        let set = api.set(name, &pem).await;
        set.unwrap_or_else(|error| panic!("{}", told(&error)));
        leaves.push(pem.leaf);
    }
    assert_eq!(server.terminate().code(), Some(0));
    let before = replica(&server);
    assert_eq!(before.len(), 1, "{:?}", before.keys());
    // No file may be longer than 8 KiB. More than once, as a service manager does it.
    for start in 1..=3 {
        let script = "echo full >&2; trap '' XFSZ && ulimit -f 16 && exec \"$@\"";
        server.launch_by(by_shell(script, &server.command()));
        for (name, leaf) in NAMES.iter().zip(&leaves) {
            let served = server.served(name).await;
            let served = served.unwrap_or_else(|why| panic!("{name}, start {start}: {why:?}"));
            assert_eq!(served[0], *leaf, "{name}, start {start}");
        }
        server.terminate();
        assert_eq!(replica(&server), before, "start {start}");
    }
    // With room again nothing is missing.
    server.launch();
    for (name, leaf) in NAMES.iter().zip(&leaves) {
        assert_eq!(server.served(name).await.unwrap()[0], *leaf, "{name}");
    }
    server.stop();
}
