//! `DescribeDcdnUserDomains`: the account's domains, filtered and paged.

use edgeseal_core::domain::Domain;
use serde::Serialize;

use crate::ops::cdn::{
    domain_reply::{DomainMembers, DomainRow, ListDomains},
    sources::Sources,
    wire_names::WireName as _,
};

/// `DescribeDcdnUserDomains`.
pub type DescribeDcdnUserDomains = ListDomains<Row>;

/// A domain.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Row {
    #[serde(flatten)]
    members: DomainMembers,
    domain_id: i64,
    #[serde(rename = "SSLProtocol")]
    ssl_protocol: &'static str,
    sandbox: &'static str,
    scene: &'static str,
    function_type: &'static str,
    sources: Sources,
}

impl DomainRow for Row {
    fn of(domain: Domain, cname_suffix: &str) -> Self {
        Self {
            members: DomainMembers::of(&domain, cname_suffix),
            domain_id: domain.id,
            ssl_protocol: domain.is_https_on().wire_name(),
            sandbox: "normal",
            scene: "",
            function_type: "",
            sources: Sources::listed(&domain.origins),
        }
    }
}
