//! The life of a call: the order of refusals as one function.

use std::{iter::successors, time::Duration};

use edgeseal_core::{Timestamp, domain::Environment};
use edgeseal_store::{Fault, Revision, catalog::Deed};
use serde_json::Value;

use crate::{
    actions::{self, Action},
    admit::admit,
    authenticate::authenticate,
    authorize::{authorize, deed},
    context::Context,
    operation::{Done, Failure, causes},
    render::{self, Answer, Envelope, Format},
    request::{RawRequest, Request, text},
};

/// Longest wait that a caller may ask for (RFC 7240 §4.3), in seconds.
const WAIT_MAX_S: u64 = 30;

/// What is known of a call when it is answered, however far it came.
#[derive(Default)]
struct Trail {
    format: Option<Format>,
    action: Option<&'static Action>,
    deed: Option<Deed>,
}

/// Answers a request. Every request is answered.
pub async fn answer(context: &Context, raw: RawRequest) -> Answer {
    let now = (context.clock)();
    let id = raw.id.clone();
    let host = text(&raw.headers, "host").unwrap_or_default().to_owned();
    let wait = wait_wished(&raw);
    let mut trail = Trail::default();
    let result = steps(context, raw, &mut trail, now).await;
    let envelope = Envelope {
        request: &id,
        host: host_name(&host),
        action: trail.action.map_or("Unknown", |action| action.name),
        recommend: &context.settings.recommend,
        format: trail.format.unwrap_or(Format::Json),
    };
    let (mut answer, code) = match result {
        Ok(done) => (succeed(context, &envelope, done, wait).await, "OK"),
        Err(failure) => {
            let code = failure.code().row().wire;
            if let Some(deed) = trail.deed.take_if(|_| failure.is_news()) {
                context.audit_refusal(deed, code, failure.detail().map(clipped));
            }
            if let Some(fault) = fault_of(failure.as_ref()) {
                tracing::error!(
                    request.id = id,
                    code,
                    why = causes(fault),
                    "something inside failed"
                );
            }
            (render::refusal(&envelope, failure.as_ref()), code)
        }
    };
    answer.headers.push(("x-acs-request-id", id.clone()));
    let action = trail.action.map_or("unknown", |action| action.name);
    metrics::counter!("edgeseal_api_requests_total", "action" => action, "code" => code)
        .increment(1);
    tracing::info!(
        request.id = id,
        action,
        code,
        http.status = answer.status.as_u16(),
        "api call"
    );
    answer
}

async fn steps(
    context: &Context,
    raw: RawRequest,
    trail: &mut Trail,
    now: Timestamp,
) -> Result<Done<Value>, Box<dyn Failure>> {
    let request = Request::parse(raw).map_err(boxed)?;
    trail.format = Some(request.format());
    let action = actions::find(&request).map_err(boxed)?;
    trail.action = Some(action);
    let caller = authenticate(context, request, action, &mut trail.deed, now)
        .await
        .map_err(boxed)?;
    trail.deed = Some(deed(&caller));
    let admitted = admit(context, caller).map_err(boxed)?;
    let call = authorize(context, admitted).await.map_err(boxed)?;
    (action.run)(context, &call).await
}

/// A change is answered once the edge in this process serves it; and, if the caller wishes, once
/// all live edges do.
async fn succeed(
    context: &Context,
    envelope: &Envelope<'_>,
    done: Done<Value>,
    wait: Option<Duration>,
) -> Answer {
    let change = done.change;
    let mut answer = render::success(envelope, done);
    let Some(change) = change else { return answer };
    let Some(environment) = change.environment else {
        return answer;
    };
    context.settle(change.revision).await;
    if let Some(wait) = wait {
        let served = wait_until_served(context, environment, change.revision, wait).await;
        answer
            .headers
            .push(("preference-applied", format!("wait={}", wait.as_secs())));
        if let Some((served, total)) = served {
            answer
                .headers
                .push(("x-edgeseal-served", format!("{served}/{total}")));
        }
    }
    answer
}

/// How many edges serve `revision` once all do or the time is over; `None` if the store failed.
async fn wait_until_served(
    context: &Context,
    environment: Environment,
    revision: Revision,
    wait: Duration,
) -> Option<(usize, usize)> {
    let all_serve = async {
        // First, so that no report comes between the look and the wait.
        let mut news = context.reports.subscribe();
        loop {
            let (served, total) = context.catalog.served(environment, revision).await.ok()?;
            if served == total {
                return Some(());
            }
            news.changed().await.ok()?;
        }
    };
    // However the wait ends, what counts is what the edges say then.
    let _ = tokio::time::timeout(wait, all_serve).await;
    context.catalog.served(environment, revision).await.ok()
}

/// `Prefer: wait=N` (RFC 7240 §4.3).
fn wait_wished(raw: &RawRequest) -> Option<Duration> {
    let values = raw
        .headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok());
    let seconds = values
        .flat_map(|value| value.split([',', ';']))
        .find_map(|preference| {
            preference
                .trim()
                .strip_prefix("wait=")?
                .trim()
                .parse::<u64>()
                .ok()
        })?;
    Some(Duration::from_secs(seconds.min(WAIT_MAX_S)))
}

/// The host without its port; IPv6 literals keep their brackets.
fn host_name(host: &str) -> &str {
    let end = host
        .rfind(':')
        .filter(|colon| !host[*colon..].contains(']'));
    end.map_or(host, |colon| &host[..colon])
}

/// A detail as the audit keeps it: whatever a caller sent, a refusal takes little room.
fn clipped(mut detail: String) -> String {
    const KEPT_MAX: usize = 1000;
    if let Some((at, _)) = detail.char_indices().nth(KEPT_MAX) {
        detail.truncate(at);
    }
    detail
}

/// What failed inside, if that is why; the rest is the caller's own doing.
fn fault_of(failure: &dyn Failure) -> Option<&Fault> {
    successors(failure.source(), |error| error.source()).find_map(|error| error.downcast_ref())
}

fn boxed<F: Failure + 'static>(failure: F) -> Box<dyn Failure> {
    Box::new(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        operation::Trouble,
        ops::cdn::named_domain::{NoDomain, Staged},
    };

    #[test]
    fn what_failed_inside_is_found_and_what_the_caller_did_is_not() {
        let io = std::io::Error::other("disk");
        let trouble = Trouble::Fault(Fault::of("read")(io));
        let deep = Staged::Domain(NoDomain::Trouble(trouble));
        assert_eq!(
            fault_of(&deep).map(|fault| causes(fault)).as_deref(),
            Some("store failure: read: disk")
        );
        let malformed = edgeseal_core::Pattern::parse("not a name").unwrap_err();
        assert!(fault_of(&NoDomain::Malformed(malformed)).is_none());
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
