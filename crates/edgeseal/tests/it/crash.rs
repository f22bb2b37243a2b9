//! Kills the process at random moments while certificates are set. Acknowledged changes survive
//! each restart, and each domain serves a certificate that was acknowledged or in flight.

use std::{sync::Arc, time::Duration};

use crate::harness::{
    ApiClient, Origin, Server, SplitMix, TestCertificate, UNLIMITED, now, pki::AUTHORITY,
};

const KILLS: usize = 50;
const DOMAINS: [&str; 4] = [
    "a.crash.example",
    "b.crash.example",
    "c.crash.example",
    "d.crash.example",
];

/// What a domain may serve.
#[derive(Clone, Default)]
struct Expected {
    /// The newest acknowledged certificate.
    acknowledged: Vec<u8>,
    /// Sent, but not acknowledged when the process was killed.
    in_flight: Option<Vec<u8>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_in_fifty_kills() {
    // EDGESEAL_IT_SEED repeats a run's kill moments as far as the machine allows.
    let seed = std::env::var("EDGESEAL_IT_SEED").ok();
    let seed = seed.map_or_else(
        || now().unix_ms().unsigned_abs(),
        |seed| seed.parse().unwrap(),
    );
    println!("EDGESEAL_IT_SEED={seed}");
    let mut random = SplitMix(seed);
    let mut server = Server::start_with(UNLIMITED);
    let (api, origin) = (server.root_client(), Origin::start().await);
    let mut expected = Vec::new();
    for domain in DOMAINS {
        let pem = api.serve(domain, &origin).await;
        expected.push(Expected {
            acknowledged: pem.leaf,
            in_flight: None,
        });
    }

    let (mut acknowledged, mut caught) = (0, 0);
    for kill in 0..KILLS {
        // Issued in advance, so that kills hit the calls and not the key generation.
        let streams = DOMAINS.map(|domain| (0..60).map(|_| AUTHORITY.issue(&[domain])).collect());
        let api = Arc::new(server.root_client());
        let writers = DOMAINS.iter().zip(streams).zip(expected);
        let writers: Vec<_> = writers
            .map(|((domain, pems), state)| {
                tokio::spawn(write(Arc::clone(&api), domain, pems, state))
            })
            .collect();
        // Not a wait for a condition: this is the random moment.
        tokio::time::sleep(Duration::from_micros(random.below(100_000) as u64)).await;
        server.kill();
        expected = Vec::new();
        for writer in writers {
            let (state, done) = writer.await.unwrap();
            acknowledged += done;
            caught += usize::from(state.in_flight.is_some());
            expected.push(state);
        }
        server.launch();
        for (domain, state) in DOMAINS.iter().zip(&mut expected) {
            *state = check(&server, domain, state, kill).await;
        }
    }
    println!("{acknowledged} acknowledged, {caught} in flight at a kill");
    assert!(acknowledged > KILLS, "only {acknowledged} changes");
    assert!(caught > KILLS / 2, "only {caught} were in flight");
    server.stop();
}

/// Sets one certificate after the other until the process is gone. Returns how many were
/// acknowledged.
async fn write(
    api: Arc<ApiClient>,
    domain: &str,
    pems: Vec<TestCertificate>,
    mut state: Expected,
) -> (Expected, usize) {
    let mut acknowledged = 0;
    for pem in pems {
        state.in_flight = Some(pem.leaf.clone());
        match api.set(domain, &pem).await {
            Ok(_) => {
                state.acknowledged = pem.leaf;
                state.in_flight = None;
                acknowledged += 1;
            }
            Err(edgeseal_api::client::CallError::Api(refusal)) => {
                panic!("{domain} is refused: {refusal:?}")
            }
            Err(_) => break,
        }
    }
    (state, acknowledged)
}

/// Checks what the restarted process reports and serves, and returns it as the new baseline.
async fn check(server: &Server, domain: &str, state: &Expected, kill: usize) -> Expected {
    let bound = server.root_client().bound_leaf(domain).await;
    let is_acknowledged = bound == state.acknowledged;
    assert!(
        is_acknowledged || state.in_flight.as_ref() == Some(&bound),
        "after kill {kill}, {domain} has a certificate that was neither acknowledged nor in flight"
    );
    let when = format!("after kill {kill}, as the API says");
    server.assert_serves(domain, &bound, &when).await;
    Expected {
        acknowledged: bound,
        in_flight: None,
    }
}
