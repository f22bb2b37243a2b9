//! Processes a call: all steps in the order of their refusals, as one function.

use std::{iter::successors, sync::OnceLock, time::Duration};

use edgeseal_core::{DomainPattern, Timestamp, policy::Principal};
use edgeseal_store::{Fault, catalog::AuditContext};
use serde_json::Value;

use crate::{
    actions::{self, Action},
    authenticate::authenticate,
    authorize::{audit_context, authorize},
    context::Context,
    dry_run,
    error::{ApiError, error_chain},
    operation::{Handler, Success, UnsignedCall},
    rate_limit::check_rates,
    render::{self, ApiResponse, Envelope, Format},
    request::{RawRequest, Request, header_str},
    sanitize::sanitize_to,
    warning::{self, Warning},
};

/// What is known of a call when its response is built, however far it got.
#[derive(Default)]
struct RequestState {
    format: Option<Format>,
    action: Option<&'static Action>,
    audit: Option<AuditContext>,
    /// Whether the caller has proven possession of the key.
    authenticated: bool,
    /// Whether the call changes nothing.
    dry_run: bool,
    /// How long the caller wants to wait for edges, and for which domains.
    wait: Option<(Duration, Vec<DomainPattern>)>,
}

/// Handles a request. Every request gets a response.
pub async fn handle_request(context: &Context, raw: RawRequest) -> ApiResponse {
    let now = (context.clock)();
    let id = raw.id.clone();
    let host = header_str(&raw.headers, "host")
        .unwrap_or_default()
        .to_owned();
    let mut state = RequestState::default();
    let result = process(context, raw, &mut state, now).await;
    let envelope = Envelope {
        request: &id,
        host: host_name(&host),
        action: state.action.map_or("Unknown", |action| action.name),
        docs_base_url: &context.settings.docs_base_url,
        format: state.format.unwrap_or(Format::Json),
    };
    let action = state.action.map_or("unknown", |action| action.name);
    let (mut response, outcome) = match result {
        Ok(done) => {
            state.authenticated = true;
            let warnings = count_warnings(action, &done.warnings);
            let mut response = finish(context, &envelope, done, state.wait).await;
            if state.dry_run {
                response
                    .headers
                    .push(("x-edgeseal-dry-run", "true".to_owned()));
            }
            (response, LogOutcome::success(warnings))
        }
        Err(failure) => {
            let outcome = LogOutcome::refusal(failure.as_ref());
            if let Some(audit) = state.audit.take_if(|_| failure.should_audit()) {
                let detail = outcome.detail.clone();
                context.audit_refusal(audit, outcome.code, detail, state.dry_run);
            }
            if let Some(fault) = store_fault(failure.as_ref()) {
                tracing::error!(
                    request.id = id,
                    code = outcome.code,
                    error = error_chain(fault),
                    "internal error"
                );
            }
            (render::error(&envelope, failure.as_ref()), outcome)
        }
    };
    let LogOutcome {
        code,
        detail: error,
        warnings,
    } = outcome;
    response.headers.push(("x-acs-request-id", id.clone()));
    metrics::counter!("edgeseal_api_requests_total", "action" => action, "code" => code)
        .increment(1);
    let Some(suppressed) = context.unauthenticated_log.check(state.authenticated, now) else {
        return response;
    };
    tracing::info!(
        request.id = id,
        action,
        code,
        http.status = response.status.as_u16(),
        error,
        warnings,
        dry_run = state.dry_run.then_some(true),
        suppressed,
        "api call"
    );
    response
}

/// The outcome of a call, for the log.
struct LogOutcome {
    /// `OK`, or the code of the error.
    code: &'static str,
    /// The detail of the error.
    detail: Option<String>,
    /// The kinds of the warnings.
    warnings: Option<String>,
}

impl LogOutcome {
    const fn success(warnings: Option<String>) -> Self {
        Self {
            code: "OK",
            detail: None,
            warnings,
        }
    }

    fn refusal(failure: &dyn ApiError) -> Self {
        Self {
            code: failure.code().spec().wire_code,
            detail: failure.detail().as_deref().map(truncate_detail),
            warnings: None,
        }
    }
}

/// Counts warnings; returns their kinds for the log.
fn count_warnings(action: &'static str, warnings: &[Warning]) -> Option<String> {
    for warning in warnings {
        let kind = warning.kind.name();
        metrics::counter!("edgeseal_api_warnings_total", "action" => action, "kind" => kind)
            .increment(1);
    }
    warning::kind_list(warnings)
}

async fn process(
    context: &Context,
    raw: RawRequest,
    state: &mut RequestState,
    now: Timestamp,
) -> Result<Success<Value>, Box<dyn ApiError>> {
    let request = Request::parse(raw).map_err(boxed)?;
    state.format = Some(request.format());
    let action = actions::find(&request).map_err(boxed)?;
    state.action = Some(action);
    state.dry_run = dry_run::is_requested(action, &request.params);
    let run = match action.handler {
        Handler::Signed(run) => run,
        Handler::Unsigned(run) => {
            let call = UnsignedCall {
                request,
                action,
                audit: OnceLock::new(),
                now,
            };
            let result = run(context, &call).await;
            state.audit = call.audit.into_inner();
            return result;
        }
    };
    let caller = authenticate(context, request, action, &mut state.audit, now)
        .await
        .map_err(boxed)?;
    state.authenticated = true;
    state.audit = Some(audit_context(&caller));
    if !matches!(caller.principal, Principal::Role { .. }) {
        context.key_uses.record(&caller.access_key, now);
    }
    let within_rate = check_rates(context, caller).map_err(boxed)?;
    let call = authorize(context, within_rate).await.map_err(boxed)?;
    state.wait = call.prefer_wait().map(|wait| (wait, call.domain_names()));
    // `operation::handle`, for the operation in the row of the action.
    run(context, &call).await
}

/// Sends the response to a change once the edge in this process serves it and, if the caller asks
/// for it, once all live edges have proven it for the domains of the call.
async fn finish(
    context: &Context,
    envelope: &Envelope<'_>,
    done: Success<Value>,
    wait: Option<(Duration, Vec<DomainPattern>)>,
) -> ApiResponse {
    let change = done.change;
    let mut response = render::success(envelope, done);
    let Some(change) = change else {
        return response;
    };
    let Some(environment) = change.environment else {
        return response;
    };
    context.settle(change.revision).await;
    // A call without domains has no handshake to prove.
    if let Some((wait, domains)) = wait.filter(|(_, domains)| !domains.is_empty()) {
        let proven = context.count_proven(&domains, change.revision, environment, wait);
        let proven = proven.await;
        response
            .headers
            .push(("preference-applied", format!("wait={}", wait.as_secs())));
        if let Some((proven, live)) = proven {
            response
                .headers
                .push(("x-edgeseal-proven", format!("{proven}/{live}")));
        }
    }
    response
}

/// The host without its port; IPv6 literals keep their brackets.
fn host_name(host: &str) -> &str {
    let end = host
        .rfind(':')
        .filter(|colon| !host[*colon..].contains(']'));
    end.map_or(host, |colon| &host[..colon])
}

/// The detail as the audit log keeps it: short, and without key material.
fn truncate_detail(detail: &str) -> String {
    const KEPT_MAX: usize = 1000;
    sanitize_to(detail, KEPT_MAX)
}

/// The store error, if that is the cause; other errors are the caller's own.
fn store_fault(failure: &dyn ApiError) -> Option<&Fault> {
    successors(failure.source(), |error| error.source()).find_map(|error| error.downcast_ref())
}

fn boxed<F: ApiError + 'static>(failure: F) -> Box<dyn ApiError> {
    Box::new(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::StoreError,
        ops::cdn::domain_lookup::{DomainError, StagingError},
    };

    #[test]
    fn store_faults_are_found_but_not_errors_of_the_caller() {
        let io = std::io::Error::other("disk");
        let error = StoreError::Fault(Fault::of("read")(io));
        let deep = StagingError::Domain(DomainError::Store(error));
        assert_eq!(
            store_fault(&deep)
                .map(|fault| error_chain(fault))
                .as_deref(),
            Some("store failure: read: disk")
        );
        let malformed = DomainPattern::parse("not a name").unwrap_err();
        assert!(store_fault(&DomainError::Malformed(malformed)).is_none());
    }

    #[test]
    fn hosts() {
        for (given, name) in [
            ("a.com", "a.com"),
            ("a.com:80", "a.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_name(given), name);
        }
    }
}
