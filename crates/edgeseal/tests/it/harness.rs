//! The test harness: a server process, signed calls, certificates, TLS clients, an origin.

pub(crate) mod api;
pub(crate) mod dns;
pub(crate) mod held_origin;
pub(crate) mod openssl;
pub(crate) mod origin;
pub(crate) mod pki;
pub(crate) mod raw;
pub(crate) mod secrets;
pub(crate) mod server;
pub(crate) mod signed_call;
pub(crate) mod store_dump;
pub(crate) mod tls;

use std::{
    collections::BTreeSet,
    future::Future,
    time::{Duration, Instant},
};

use edgeseal_api::actions::ACTIONS;
use edgeseal_core::Timestamp;

pub(crate) use api::{
    ApiClient, CAS, CAS_2018, CAS_2018_08, CDN_2014, CDN_VERSION, DCDN, EDGESEAL, RAM, SET, STS,
    upload_params,
};
pub(crate) use dns::DnsServer;
pub(crate) use origin::Origin;
pub(crate) use pki::{Authority, TestCertificate};
pub(crate) use server::Server;
pub(crate) use signed_call::{Scheme, Signature, SignedCall};
pub(crate) use store_dump::StoreDump;

/// Configuration without rate limits for the common actions. A TOML table, so it must come last.
pub(crate) const UNLIMITED: &str = "[rate_limits]\nSetCdnDomainSSLCertificate = 100000\n";
/// As [`UNLIMITED`] for all actions.
pub(crate) fn unlimited() -> String {
    let names: BTreeSet<&str> = ACTIONS.iter().map(|action| action.name).collect();
    let lines = names.iter().map(|name| format!("{name} = 100000\n"));
    let lines = lines.collect::<String>();
    format!("denied_calls_per_minute = 100000\n[rate_limits]\n{lines}")
}

/// How long to wait for a condition before the test fails.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The current time of the system's clock.
#[expect(clippy::disallowed_methods, reason = "tests sign for the present")]
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_unix_ms(i64::try_from(since.unwrap().as_millis()).unwrap())
}

/// Asks again and again until the answer is there; fails the test after [`PATIENCE`].
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
