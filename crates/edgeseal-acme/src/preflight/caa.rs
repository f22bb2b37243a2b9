//! CAA records: which authorities may issue for a name (RFC 8659), by which accounts and challenges
//! (RFC 8657).

use edgeseal_core::DomainName;
use hickory_proto::rr::{RData, RecordType};

use super::Obstacle;
use crate::dns::{DnsClient, DnsError, absolute};

/// Properties that restrict nothing here; an authority knows them, so they may be critical.
const HARMLESS: [&str; 5] = [
    "iodef",
    "issuemail",
    "issuevmc",
    "contactemail",
    "contactphone",
];

/// One CAA record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CaaRecord {
    pub(super) is_critical: bool,
    /// The property in lower case.
    pub(super) tag: String,
    pub(super) value: String,
}

/// Who would issue.
#[derive(Clone, Copy, Debug)]
pub(super) struct CaaRequest<'a> {
    /// The issuer's names in CAA records.
    pub(super) identities: &'a [String],
    pub(super) is_wildcard: bool,
    /// The URL of the account; `None` matches any.
    pub(super) account: Option<&'a str>,
    /// The challenges that may be used.
    pub(super) methods: &'a [&'a str],
}

/// The value of an `issue` or `issuewild` property (RFC 8659 §4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Grant {
    /// The authority; empty: none.
    issuer: String,
    parameters: Vec<(String, String)>,
}

/// The records that apply to a name, and the name that has them: its own, or those of the nearest
/// ancestor (RFC 8659 §3).
///
/// # Errors
/// [`DnsError`].
pub(super) async fn find(
    dns: &DnsClient,
    name: &DomainName,
) -> Result<Option<(String, Vec<CaaRecord>)>, DnsError> {
    let mut at = name.as_str();
    loop {
        let answer = dns.query(&absolute(at)?, RecordType::CAA).await?;
        // Records behind a CNAME record count as those of the name.
        let records = answer
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::CAA(caa) => Some(CaaRecord {
                    is_critical: caa.issuer_critical,
                    tag: caa.tag.to_ascii_lowercase(),
                    value: String::from_utf8_lossy(&caa.value).into_owned(),
                }),
                _ => None,
            });
        let records: Vec<CaaRecord> = records.collect();
        if !records.is_empty() {
            return Ok(Some((at.to_owned(), records)));
        }
        match at.split_once('.') {
            Some((_, parent)) => at = parent,
            None => return Ok(None),
        }
    }
}

/// Whether the records, which `at` has, allow the request.
pub(super) fn check(
    at: &str,
    records: &[CaaRecord],
    request: &CaaRequest<'_>,
) -> Result<(), Obstacle> {
    let at = at.to_owned();
    let has = |tag: &str| records.iter().any(|record| record.tag == tag);
    let unknown = records.iter().find(|record| {
        let tag = record.tag.as_str();
        record.is_critical && !["issue", "issuewild"].contains(&tag) && !HARMLESS.contains(&tag)
    });
    if let Some(unknown) = unknown {
        let tag = unknown.tag.clone();
        return Err(Obstacle::Critical { at, tag });
    }
    let property = if request.is_wildcard && has("issuewild") {
        "issuewild"
    } else {
        "issue"
    };
    if !has(property) {
        return Ok(());
    }
    let granted = records.iter().filter(|record| record.tag == property);
    let grants: Vec<Grant> = granted.map(|record| Grant::parse(&record.value)).collect();
    let is_ours = |grant: &&Grant| {
        let mut identities = request.identities.iter();
        identities.any(|identity| identity.eq_ignore_ascii_case(&grant.issuer))
    };
    let mut refusal = None;
    for grant in grants.iter().filter(is_ours) {
        match grant.check(&at, request) {
            Ok(()) => return Ok(()),
            Err(obstacle) => refusal = Some(obstacle),
        }
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let allowed: Vec<&str> = grants.iter().map(|grant| grant.issuer.as_str()).collect();
    let allowed: Vec<&str> = allowed.into_iter().filter(|it| !it.is_empty()).collect();
    if allowed.is_empty() {
        return Err(Obstacle::NoIssuer { at });
    }
    Err(Obstacle::OtherIssuer {
        at,
        allowed: allowed.join(", "),
        issuer: request.identities.first().cloned().unwrap_or_default(),
    })
}

impl Grant {
    /// A value that breaks the grammar names no authority.
    fn parse(value: &str) -> Self {
        let (issuer, parameters) = value.split_once(';').unwrap_or((value, ""));
        let issuer = issuer.trim();
        let in_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if !issuer.chars().all(in_name) {
            return Self::default();
        }
        let mut parsed = Vec::new();
        for parameter in parameters.split(';').map(str::trim) {
            if parameter.is_empty() {
                continue;
            }
            let Some((tag, value)) = parameter.split_once('=') else {
                return Self::default();
            };
            parsed.push((tag.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        Self {
            issuer: issuer.to_ascii_lowercase(),
            parameters: parsed,
        }
    }

    fn check(&self, at: &str, request: &CaaRequest<'_>) -> Result<(), Obstacle> {
        let values = |wanted: &'static str| {
            let parameters = self.parameters.iter();
            parameters.filter_map(move |(tag, value)| (tag == wanted).then_some(value.as_str()))
        };
        // Two of them cannot both be met (RFC 8657 §3, §4).
        let other = values("accounturi").find(|uri| request.account.is_some_and(|it| it != *uri));
        if let Some(account) = other {
            return Err(Obstacle::OtherAccount {
                at: at.to_owned(),
                issuer: self.issuer.clone(),
                account: account.to_owned(),
            });
        }
        let other = values("validationmethods").find(|list| {
            let mut listed = list.split(',').map(str::trim);
            !listed.any(|method| request.methods.contains(&method))
        });
        match other {
            Some(methods) => Err(Obstacle::OtherMethod {
                at: at.to_owned(),
                issuer: self.issuer.clone(),
                methods: methods.to_owned(),
            }),
            None => Ok(()),
        }
    }
}
