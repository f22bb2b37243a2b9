//! One rate limit over several nodes.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use edgeseal_api::client::CallError;

use super::{Cluster, at};
use crate::harness::{ApiClient, CDN_VERSION, Server};

/// Calls a second that the account may make.
const LIMIT: u32 = 20;
/// How long the account calls.
const SPAN: Duration = Duration::from_secs(12);

#[derive(Default)]
struct Counts {
    allowed: AtomicU32,
    refused: AtomicU32,
}

/// Calls through four connections, each with a pause after a call.
async fn flood(api: &ApiClient, until: Instant, counts: &Counts) {
    let caller = async || {
        while Instant::now() < until {
            match api.call(CDN_VERSION, "DescribeCdnService", &[]).await {
                Ok(_) => counts.allowed.fetch_add(1, Ordering::Relaxed),
                Err(CallError::Api(refusal)) if refusal.code == "Throttling.User" => {
                    counts.refused.fetch_add(1, Ordering::Relaxed)
                }
                Err(error) => panic!("{error}"),
            };
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(caller(), caller(), caller(), caller());
}

/// Asserts that what nodes allow together is within a tenth of the limit.
async fn assert_limit(clients: &[ApiClient], what: &str) {
    let (counts, began) = (Counts::default(), Instant::now());
    let floods = clients.iter().map(|api| flood(api, began + SPAN, &counts));
    futures_util::future::join_all(floods).await;
    let elapsed = began.elapsed().as_secs_f64();
    let (allowed, refused) = (counts.allowed.into_inner(), counts.refused.into_inner());
    // The burst comes on top.
    let expected = f64::from(LIMIT) * (elapsed + 1.0);
    let said = format!("{what}: {allowed} allowed, {refused} refused, {expected} are the limit");
    assert!(f64::from(allowed) <= expected * 1.1, "{said}");
    // A machine that is too busy to make enough calls proves nothing about the lower bound.
    if f64::from(refused) > expected {
        assert!(f64::from(allowed) >= expected * 0.9, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_keep_the_limit_of_an_account() {
    let cluster = Cluster::new("rates");
    let config = cluster.config(&format!("[rate_limits]\nDescribeCdnService = {LIMIT}\n"));
    let nodes: [Server; 3] = std::array::from_fn(|_| Server::start_quiet(&config));
    let api = nodes[0].create_account("alice").await;
    let everywhere: Vec<ApiClient> = nodes.iter().map(|node| at(node, &api)).collect();
    assert_limit(&everywhere, "spread evenly").await;
    // Another account begins with its whole limit.
    let other = nodes[0].create_account("bob").await;
    assert_limit(&[at(&nodes[2], &other)], "all at one node").await;
    for node in nodes {
        node.stop();
    }
}
