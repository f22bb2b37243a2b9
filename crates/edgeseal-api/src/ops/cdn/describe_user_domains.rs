//! `DescribeUserDomains`: the account's domains, filtered and paged.

use edgeseal_core::domain::Domain;
use serde::Serialize;

use super::{
    domain_reply::{DomainMembers, DomainRow, ListDomains},
    sources::Sources,
    wire_names::WireName as _,
};

/// `DescribeUserDomains`.
pub type DescribeUserDomains = ListDomains<Row>;

/// A domain.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Row {
    #[serde(flatten)]
    members: DomainMembers,
    domain_id: i64,
    cdn_type: &'static str,
    coverage: &'static str,
    ssl_protocol: &'static str,
    sandbox: &'static str,
    sources: Sources,
}

impl DomainRow for Row {
    fn of(domain: Domain, cname_suffix: &str) -> Self {
        Self {
            members: DomainMembers::of(&domain, cname_suffix),
            domain_id: domain.id,
            cdn_type: domain.service.wire_name(),
            coverage: domain.coverage.wire_name(),
            ssl_protocol: domain.is_https_on().wire_name(),
            sandbox: "normal",
            sources: Sources::listed(&domain.origins),
        }
    }
}
