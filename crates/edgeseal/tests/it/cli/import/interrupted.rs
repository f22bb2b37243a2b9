//! Imports that wait, continue or stop.

use std::process::{Child, Stdio};

use super::*;
use crate::harness::{eventually, raw, server::signal};

/// An import that exceeds the rate limit waits, and is complete.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_through_the_rate_limit() {
    let server = Server::start_with("[rate_limits]\nImportCertificate = 10\n");
    let found = server.home().join("found");
    for n in 0..40 {
        let pem = AUTHORITY.issue(&[&format!("{n}.many.example")]);
        put(
            &found,
            &[
                (&format!("{n}.pem"), &pem.chain),
                (&format!("{n}.key"), &pem.key),
            ],
        );
    }
    let said = import(&server, "found").success();
    assert!(said.ends_with("40 of 40 domains are served\n"), "{said}");
    let metrics = raw::get(server.addresses().admin, "localhost", "/metrics")
        .await
        .body;
    let throttled =
        r#"edgeseal_api_requests_total{action="ImportCertificate",code="Throttling.User"}"#;
    assert!(metrics.contains(throttled), "it was never throttled");
    server.stop();
}

/// Writes files of this many sites to `found` and returns their names.
fn many_sites(server: &Server, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|n| format!("{n}.many.example")).collect();
    for name in &names {
        let pem = AUTHORITY.issue(&[name]);
        let text = format!("{}{}", pem.chain, pem.key);
        put(
            &server.home().join("found"),
            &[(&format!("{name}.pem"), &text)],
        );
    }
    names
}

/// Starts an import of `found` and waits until it has served something.
async fn under_way(server: &Server) -> Child {
    let mut import = command(server, "import found --origin 127.0.0.1:1");
    import.stdin(Stdio::null()).stdout(Stdio::piped());
    let import = import.stderr(Stdio::piped()).spawn().unwrap();
    eventually("the import has begun", async || {
        (domains(server) > 2).then_some(())
    })
    .await;
    import
}

/// The result of an import once it has exited.
fn ended(import: Child) -> (Option<i32>, String, String) {
    let output = import.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Calls that the killed process did not answer are repeated without effect, and the import waits
/// for the restarted server, which has reported nothing yet.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_through_a_restart_of_the_server() {
    let mut server = Server::start_with("[rate_limits]\nImportCertificate = 20\n");
    let names = many_sites(&server, 60);
    let import = under_way(&server).await;
    let at = server.addresses();
    server.kill();
    let same = [
        ("--api", at.api),
        ("--https", at.https),
        ("--http", at.http),
        ("--admin", at.admin),
    ];
    server.launch_with(server.command_at(&same));
    let (code, said, errors) = tokio::task::block_in_place(|| ended(import));
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{said}");
    assert!(
        said.ends_with("60 of 60 domains are served\n"),
        "{said}{errors}"
    );
    for name in &names {
        assert!(server.served(name).await.is_ok(), "{name}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_says_how_far_it_came() {
    let server = Server::start_with("[rate_limits]\nImportCertificate = 2\n");
    many_sites(&server, 60);
    let import = under_way(&server).await;
    signal(&import, "INT");
    let (code, said, errors) = ended(import);
    assert_eq!(code, Some(130), "{said}{errors}");
    let served = said.lines().last().unwrap();
    let served = served
        .strip_suffix(" of 60 domains are served")
        .unwrap_or_else(|| panic!("{said}"));
    let served: usize = served.parse().unwrap();
    assert!((1..60).contains(&served), "{said}");
    assert!(errors.contains("start it again"), "{errors}");
    let left = format!("of {} of 60 domains", 60 - served);
    assert!(errors.contains(&left), "{left}: {errors}");
    server.stop();
}
