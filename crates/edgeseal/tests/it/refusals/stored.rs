//! Refusals by records that no call of this release writes: certificates of the certificate centre,
//! revoked ones, ones without a key; domains under preparation.

use std::collections::BTreeSet;

use edgeseal_core::{
    DomainPattern,
    certificate::CertificateId,
    domain::{DomainState, Environment},
};
use edgeseal_store::{
    Key,
    record::{self, CertificateRecord, CertificateSource},
};
use serde_json::json;

use super::node::{NAME, Node};
use crate::harness::{api::upload_params, now, pki::AUTHORITY};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What is wrong with a stored certificate, and which code says so.
type Defect = (&'static str, fn(&mut CertificateRecord));

const FLAWS: [Defect; 5] = [
    ("Certificate.StatusError", |row| row.revoked = true),
    ("Certificate.StatusError", |row| {
        row.info.not_before = now().plus_ms(DAY_MS);
    }),
    ("Certificate.KeyNull", |row| row.has_key = false),
    ("Certificate.Expired", |row| {
        row.info.chain_not_after = now().plus_ms(-DAY_MS);
    }),
    ("Certificate.NotFind", |row| {
        row.region = "ap-southeast-1".to_owned();
    }),
];

/// The codes that were seen.
pub(super) async fn collect_codes(node: &Node) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    let sound = valid_record(node).await;
    for (position, (code, spoil)) in FLAWS.into_iter().enumerate() {
        let id = 9000 + CertificateId::try_from(position).unwrap();
        let mut row = CertificateRecord {
            id,
            ..sound.clone()
        };
        spoil(&mut row);
        let value = record::encode(&row).unwrap();
        node.put(Key::certificate(id), value).await;
        let id = id.to_string();
        let params = [("DomainName", NAME), ("SSLProtocol", "on"), ("CertId", &id)];
        seen.insert(node.refused(code, &params).await);
    }
    seen.insert(name_of_the_centre(node, &sound).await);
    seen.insert(under_preparation(node).await);
    seen
}

/// The record of what is bound.
async fn valid_record(node: &Node) -> CertificateRecord {
    let name = DomainPattern::parse(NAME).unwrap();
    let domain = node.catalog.domain(&name).await.unwrap().unwrap();
    let bound = domain.binding(Environment::Production).unwrap();
    let found = node.catalog.certificate(bound.certificate).await.unwrap();
    found.unwrap()
}

async fn name_of_the_centre(node: &Node, sound: &CertificateRecord) -> &'static str {
    const CENTRE: &str = "in-the-centre";
    let row = CertificateRecord {
        id: 9100,
        name: CENTRE.to_owned(),
        source: CertificateSource::Cas,
        has_key: false,
        ..sound.clone()
    };
    let pointer = record::encode(&json!({ "certificate": row.id })).unwrap();
    let name = Key::certificate_name(&row.account, CENTRE);
    node.put(name, pointer).await;
    let value = record::encode(&row).unwrap();
    node.put(Key::certificate(row.id), value).await;

    let fresh = AUTHORITY.issue(&[NAME]);
    let mut params = upload_params(NAME, &fresh).to_vec();
    params.push(("CertName", CENTRE));
    node.refused("Certificate.Duplicated", &params).await
}

async fn under_preparation(node: &Node) -> &'static str {
    let name = DomainPattern::parse(NAME).unwrap();
    let online = node.catalog.domain(&name).await.unwrap().unwrap();
    let fresh = AUTHORITY.issue(&[NAME]);
    for state in [
        DomainState::Configuring,
        DomainState::ConfigureFailed,
        DomainState::Checking,
        DomainState::CheckFailed,
        DomainState::Deleting,
    ] {
        let mut held = online.clone();
        held.state = state;
        node.put(Key::domain(&name), record::encode(&held).unwrap())
            .await;
        let params = upload_params(NAME, &fresh);
        let refusal = node
            .api
            .refused(crate::harness::CDN_VERSION, crate::harness::SET, &params)
            .await;
        super::assert_documented(&refusal, "InvalidDomain.notOnline", &format!("{state:?}"));
        let revision = node
            .put(Key::domain(&name), record::encode(&online).unwrap())
            .await;
        node.served(revision).await;
        node.assert_serves_bound(&format!("{state:?}")).await;
    }
    "InvalidDomain.notOnline"
}
