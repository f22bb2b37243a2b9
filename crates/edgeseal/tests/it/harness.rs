//! The test harness: a server process and its API client, beside what `edgeseal_testing` has.

pub(crate) mod api;
pub(crate) mod server;
pub(crate) mod store_dump;

use std::collections::BTreeSet;

use edgeseal_api::actions::ACTIONS;

pub(crate) use api::{
    ApiClient, CAS, CAS_2018, CAS_2018_08, CDN_2014, CDN_VERSION, DCDN, EDGESEAL, RAM, SET, STS,
    add_params, upload_params,
};
pub(crate) use edgeseal_testing::{
    clock::now,
    dns::DnsServer,
    held_origin,
    http::HttpConnection,
    openssl,
    origin::{self, Origin},
    pem,
    pki::{self, Authority, TestCertificate},
    process,
    random::SplitMix,
    raw, secrets,
    signed_call::{Scheme, Signature, SignedCall},
    tls,
    wait::{TIMEOUT, eventually},
};
pub(crate) use server::Server;
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
