//! `DescribeAuditRecords`: the changes and refused calls in the caller's account, by whom and when.

use edgeseal_core::Timestamp;
use edgeseal_store::{
    Fault,
    catalog::{AuditPage, AuditQuery},
    record::AuditRecord,
};
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    request::ParamMap,
};

/// Default number of records in a response.
const RESULTS: usize = 50;
const RESULTS_MAX: usize = 500;
/// Most records that a call scans: some 50 ms. If few of them match, the response is short and
/// still has a token.
const SCANNED_MAX: usize = 5000;
const PAGE: usize = 500;

/// `DescribeAuditRecords`.
pub struct DescribeAuditRecords;

/// The parameters.
#[derive(Clone, Debug)]
pub struct Params {
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    newest_first: bool,
    after: Option<String>,
    results: usize,
    filter: Filter,
}

/// The filter; `None` matches everything, and a `*` at the end matches any suffix.
#[derive(Clone, Debug)]
struct Filter {
    principal: Option<String>,
    action: Option<String>,
    resource: Option<String>,
    code: Option<String>,
    source: Option<String>,
    request: Option<String>,
}

/// A page of records, with the token of the next page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    records: Vec<Row>,
    max_results: usize,
    /// Number of records scanned for this response.
    scanned: usize,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// A record.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    event_time: String,
    event_time_ms: i64,
    principal: String,
    access_key_id: String,
    source_ip: String,
    action: String,
    resource: String,
    code: String,
    bindings: Vec<BindingChangeRow>,
    notes: Vec<String>,
    request_id: String,
}

/// The certificates that a domain served before and after a change.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BindingChangeRow {
    domain_name: String,
    environment: &'static str,
    before_sha256: String,
    after_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before_companion_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_companion_sha256: Option<String>,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a time.
    #[error("StartTime must be a time in UTC such as 2026-01-02T03:04:05Z")]
    Start,
    /// Not a time.
    #[error("EndTime must be a time in UTC such as 2026-01-02T03:04:05Z")]
    End,
    /// The end is not after the start.
    #[error("EndTime must be after StartTime")]
    ReversedTimeRange,
    /// Out of range.
    #[error("MaxResults must be a number from 1 to {RESULTS_MAX}")]
    Results,
    /// Not a direction.
    #[error("Direction must be BACKWARD or FORWARD")]
    Direction,
    /// Not a token from an earlier response.
    #[error("NextToken is not from an earlier response")]
    Token,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for DescribeAuditRecords {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let from = time(params, "StartTime").ok_or(Error::Start)?;
        let until = time(params, "EndTime").ok_or(Error::End)?;
        if from.is_some_and(|from| until.is_some_and(|until| until <= from)) {
            return Err(Error::ReversedTimeRange);
        }
        let given = |name| params.get_non_empty(name).map(str::to_owned);
        Ok(Params {
            from,
            until,
            results: results(params)?,
            newest_first: match params.get_non_empty("Direction") {
                None | Some("BACKWARD") => true,
                Some("FORWARD") => false,
                Some(_) => return Err(Error::Direction),
            },
            after: match given("NextToken") {
                Some(token) if !is_token(&token) => return Err(Error::Token),
                after => after,
            },
            filter: Filter {
                principal: given("Principal"),
                action: given("ActionName"),
                resource: given("Resource"),
                code: given("Code"),
                source: given("SourceIp"),
                request: given("RequestId"),
            },
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        query: Params,
    ) -> Result<Success<Reply>, Error> {
        let reply = find(context, call, &query).await;
        Ok(Success::read(reply.map_err(StoreError::from)?))
    }
}

async fn find(context: &Context, call: &Authorized, query: &Params) -> Result<Reply, Fault> {
    let mut reply = Reply {
        records: Vec::new(),
        max_results: query.results,
        scanned: 0,
        next_token: query.after.clone(),
    };
    while reply.scanned < SCANNED_MAX {
        let span = AuditQuery {
            from: query.from,
            until: query.until,
            newest_first: query.newest_first,
            after: reply.next_token.as_deref(),
        };
        let page = context.catalog.audit(call.account(), span, PAGE).await?;
        let AuditPage {
            records,
            has_more: more,
        } = page;
        for (name, record) in records {
            // A record that cannot be decoded does not match; `edgeseal audit verify` reports it.
            let wanted = record.filter(|record| query.filter.matches(record));
            if wanted.is_some() && reply.records.len() == query.results {
                return Ok(reply);
            }
            reply.records.extend(wanted.map(Row::of));
            reply.scanned += 1;
            reply.next_token = Some(name);
        }
        if !more {
            reply.next_token = None;
            break;
        }
    }
    Ok(reply)
}

impl Filter {
    fn matches(&self, record: &AuditRecord) -> bool {
        let principal = |wanted: &String| {
            // `root`, `user/alice` and `assumed-role/r/s` are unambiguous within an account.
            let local = record.principal.rsplit(':').next().unwrap_or_default();
            matches_pattern(wanted, &record.principal) || matches_pattern(wanted, local)
        };
        let resource = |wanted: &String| {
            let mut bound = record.bindings.iter();
            matches_pattern(wanted, &record.resource)
                || bound.any(|change| matches_pattern(wanted, &change.domain.to_string()))
        };
        let is = |wanted: &Option<String>, found: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| matches_pattern(wanted, found))
        };
        self.principal.as_ref().is_none_or(principal)
            && self.resource.as_ref().is_none_or(resource)
            && is(&self.action, &record.action)
            && is(&self.code, &record.code)
            && is(&self.source, &record.source)
            && is(&self.request, &record.request_id)
    }
}

fn matches_pattern(wanted: &str, found: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => found.starts_with(start),
        None => found == wanted,
    }
}

/// A time parameter: `None` if it is not a time, `Some(None)` if it is absent.
fn time(params: &ParamMap, name: &str) -> Option<Option<Timestamp>> {
    match params.get_non_empty(name) {
        None => Some(None),
        Some(text) => Timestamp::parse_iso(text).map(Some),
    }
}

fn results(params: &ParamMap) -> Result<usize, Error> {
    let Some(text) = params.get_non_empty("MaxResults") else {
        return Ok(RESULTS);
    };
    let number = text.trim().parse().ok();
    number
        .filter(|number| (1..=RESULTS_MAX).contains(number))
        .ok_or(Error::Results)
}

/// Whether this has the form of a record's name: milliseconds, `-`, request id.
pub(super) fn is_token(text: &str) -> bool {
    let is_id = |id: &str| {
        !id.is_empty()
            && id.len() <= 64
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.split_once('-').is_some_and(|(ms, id)| {
        ms.len() == 15 && ms.bytes().all(|b| b.is_ascii_digit()) && is_id(id)
    })
}

impl Row {
    fn of(record: AuditRecord) -> Self {
        let bindings = record.bindings.into_iter().map(|change| BindingChangeRow {
            domain_name: change.domain.to_string(),
            environment: change.environment.as_str(),
            before_sha256: change.before.unwrap_or_default(),
            after_sha256: change.after.unwrap_or_default(),
            before_companion_sha256: change.before_companion,
            after_companion_sha256: change.after_companion,
        });
        Self {
            event_time: record.at.to_string(),
            event_time_ms: record.at.unix_ms(),
            principal: record.principal,
            access_key_id: record.access_key,
            source_ip: record.source,
            action: record.action,
            resource: record.resource,
            code: record.code,
            bindings: bindings.collect(),
            notes: record.notes,
            request_id: record.request_id,
        }
    }
}

api_error!(Error {
    Start => InvalidStartTime,
    End | ReversedTimeRange => InvalidEndTime,
    Results => InvalidMaxResults,
    Direction => InvalidDirection,
    Token => InvalidNextToken,
    Store(StoreError),
});
