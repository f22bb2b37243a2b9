//! `DescribeDomainHistory`: the changes of a domain, and the orders for it that failed.

use edgeseal_core::{DomainPattern, domain::Environment};
use edgeseal_store::record::HistoryRecord;
use serde::Serialize;

use super::describe_audit_records::is_token;
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::cdn::domain_lookup::{self, DomainError},
};

/// Default number of entries in a response.
const RESULTS: usize = 50;
const RESULTS_MAX: usize = 500;

/// `DescribeDomainHistory`.
pub struct DescribeDomainHistory;

/// The parameters.
pub struct Params {
    name: DomainPattern,
    after: Option<String>,
    results: usize,
}

/// Entries, the newest first.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    domain_name: String,
    entries: Vec<Row>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// A change, or orders that failed one after the other.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    /// Of failed orders: when the first one failed.
    event_time: String,
    event_time_ms: i64,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<&'static str>,
    /// SHA-256 of the leaf before and after; empty if none was served, absent for failed orders.
    #[serde(flatten)]
    leaves: Option<Leaves>,
    #[serde(flatten)]
    failed: Option<Failed>,
    request_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Leaves {
    before_sha256: String,
    after_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before_companion_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_companion_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cert_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    companion_cert_id: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    /// Why the last one failed.
    order_failure: String,
    /// The issuer, by its name in the configuration; empty if none was asked.
    issuer: String,
    /// How many failed.
    times: u32,
    last_time: String,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// Out of range.
    #[error("MaxResults must be a number from 1 to {RESULTS_MAX}")]
    Results,
    /// Not a token from an earlier response.
    #[error("NextToken is not from an earlier response")]
    Token,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for DescribeDomainHistory {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let name = domain_lookup::parse_name(params)?;
        let results = match params.get_non_empty("MaxResults") {
            None => RESULTS,
            Some(text) => match text.trim().parse() {
                Ok(number) if (1..=RESULTS_MAX).contains(&number) => number,
                _ => return Err(Error::Results),
            },
        };
        let after = match params.get_non_empty("NextToken") {
            Some(token) if !is_token(token) => return Err(Error::Token),
            token => token.map(str::to_owned),
        };
        Ok(Params {
            name,
            after,
            results,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Reply>, Error> {
        let catalog = &context.catalog;
        let domain = domain_lookup::find(catalog, call.account(), &params.name).await?;
        let page = catalog
            .domain_history(&domain, params.after.as_deref(), params.results)
            .await
            .map_err(StoreError::from)?;
        let last = page.entries.last().filter(|_| page.has_more);
        Ok(Success::read(Reply {
            domain_name: domain.name.to_string(),
            next_token: last.map(|(name, _)| name.clone()),
            entries: page
                .entries
                .into_iter()
                .map(|(_, it)| Row::of(it))
                .collect(),
        }))
    }
}

impl Row {
    fn of(change: HistoryRecord) -> Self {
        let leaves = Leaves {
            before_sha256: change.before.unwrap_or_default(),
            after_sha256: change.after.unwrap_or_default(),
            before_companion_sha256: change.before_companion,
            after_companion_sha256: change.after_companion,
            cert_id: change.certificate,
            companion_cert_id: change.companion,
        };
        let failed = change.failed.map(|failed| Failed {
            order_failure: failed.last.reason,
            issuer: failed.last.issuer,
            times: failed.times,
            last_time: failed.last.at.to_string(),
        });
        Self {
            event_time: change.at.to_string(),
            event_time_ms: change.at.unix_ms(),
            action: change.action,
            env: change.environment.map(Environment::as_str),
            leaves: failed.is_none().then_some(leaves),
            failed,
            request_id: change.request_id,
        }
    }
}

api_error!(Error {
    Domain(DomainError),
    Results => InvalidMaxResults,
    Token => InvalidNextToken,
    Store(StoreError),
});

#[cfg(test)]
mod tests;
