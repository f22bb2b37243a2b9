//! `edgeseal cert revoke` and `edgeseal cert reissue`, from the command to the edge and the
//! authority.

use edgeseal_testing::pebble::PebbleOptions;
use x509_parser::prelude::parse_x509_certificate;

use super::{World, issued};
use crate::harness::{eventually, server::binary};

/// What `edgeseal cert …` says.
fn cert(world: &World, args: &[&str]) -> String {
    let mut command = binary();
    command.arg("cert").args(args);
    command.arg("--data").arg(world.server.data());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn another_than(world: &World, domain: &str, leaf: &[u8]) -> Vec<u8> {
    eventually("the edge serves another certificate", async || {
        let served = world.served(domain).await;
        (served != leaf).then_some(served)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compromised_key_is_replaced_and_revoked_and_all_are_replaced() {
    const DOMAIN: &str = "www.acme.example";
    let world = World::start(PebbleOptions::default(), "keep_key = true").await;
    let api = world.server.root_client();
    world.order(&api, DOMAIN).await;
    issued(&api, DOMAIN).await;
    let first = world.served(DOMAIN).await;

    let said = cert(&world, &["revoke", DOMAIN, "--reason", "keyCompromise"]);
    assert!(said.contains("keyCompromise"), "{said}");
    eventually("the certificate is revoked", async || {
        let said = cert(&world, &["revocations", DOMAIN]);
        assert!(!said.contains("Failed"), "{said}");
        said.contains("Revoked").then_some(())
    })
    .await;
    let second = another_than(&world, DOMAIN, &first).await;
    let (_, old) = parse_x509_certificate(&first).unwrap();
    let (_, new) = parse_x509_certificate(&second).unwrap();
    assert_ne!(old.public_key().raw, new.public_key().raw);
    let serial = old.tbs_certificate.raw_serial_as_string().replace(':', "");
    let status = world.pebble.certificate_status(&serial).await;
    assert_eq!(status["Status"], "Revoked");

    let said = cert(&world, &["reissue", "--all", "--dry-run"]);
    assert!(said.contains("Planned: All, 0 of 1 certificate"), "{said}");
    cert(&world, &["reissue", "--all"]);
    another_than(&world, DOMAIN, &second).await;
    eventually("the replacement is finished", async || {
        let said = cert(&world, &["reissue", "status"]);
        said.starts_with("Finished: All, 1 of 1").then_some(())
    })
    .await;
    world.server.stop();
}
