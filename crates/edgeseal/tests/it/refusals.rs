//! Every documented code of `SetCdnDomainSSLCertificate`, provoked by its cause. After each refusal
//! the old certificate is still served.
//!
//! Most are provoked in the binary ([`wire`]). Causes that cannot be provoked from outside (a
//! failing store, a state that only a review creates) are provoked in this process, over a store
//! that fails on demand ([`node`]).

mod node;
mod stored;
mod wire;

use std::collections::BTreeSet;

use edgeseal_api::client::ErrorResponse;

use crate::harness::SET;

/// Codes of the operation besides those of its own reference page.
const NAME_CODES: [&str; 4] = [
    "MissingDomainName",
    "InvalidDomainName.Malformed",
    "InvalidDomain.NotFound",
    "MissingSSLProtocol",
];
/// Answered as `CreateCertificateFailed` by this operation, which says more.
const UNREACHABLE: [&str; 1] = ["ServiceBusy"];

/// Of Edgeseal's own; see the tests of quotas.
const ADDED: [&str; 1] = ["QuotaExceeded.Certificate"];

/// A row of `spec/errors.tsv`.
struct Row {
    status: u16,
    code: &'static str,
    message: &'static str,
    /// Whether it is of the operation's own reference page.
    is_operation_specific: bool,
}

/// The rows that name the operation.
fn rows() -> Vec<Row> {
    let lines = include_str!("../../../../spec/errors.tsv").lines();
    let rows = lines.filter(|line| !line.starts_with('#')).skip(1);
    let rows = rows.filter_map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [status, code, message, actions, ..] = columns[..] else {
            panic!("not a row: {line}")
        };
        let named = actions.split(',').any(|action| action == SET);
        named.then(|| Row {
            status: status.parse().unwrap(),
            code,
            message,
            is_operation_specific: ![&NAME_CODES[..], &UNREACHABLE, &ADDED]
                .concat()
                .contains(&code),
        })
    });
    rows.collect()
}

/// Asserts that a refusal is the row of its code, and that it says more than the row.
#[track_caller]
fn assert_documented(refusal: &ErrorResponse, expected: &str, how: &str) {
    assert_eq!(refusal.code, expected, "{how}: {refusal:?}");
    let rows = rows();
    let row = rows.iter().find(|row| row.code == refusal.code);
    let row = row.unwrap_or_else(|| panic!("{expected} is not documented for {SET}"));
    assert_eq!(refusal.status, row.status, "{how}");
    assert_eq!(refusal.message, row.message, "{how}");
    assert!(refusal.detail.len() >= 20, "{how}: {:?}", refusal.detail);
    assert!(refusal.recommend.ends_with(expected), "{how}");
    assert!(!refusal.request.is_empty(), "{how}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_code_has_a_cause() {
    let mut seen = wire::collect_codes().await;
    seen.extend(node::collect_codes().await);

    let rows = rows();
    let own: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row.is_operation_specific)
        .map(|row| row.code)
        .collect();
    assert_eq!(own.len(), 32, "the reference page has 32 codes");
    let documented: BTreeSet<&str> = rows.iter().map(|row| row.code).collect();
    let expected: BTreeSet<&str> = own.iter().chain(&NAME_CODES).copied().collect();
    assert_eq!(seen, expected);
    let never: BTreeSet<&str> = documented.difference(&expected).copied().collect();
    assert_eq!(never, UNREACHABLE.into_iter().chain(ADDED).collect());
}
