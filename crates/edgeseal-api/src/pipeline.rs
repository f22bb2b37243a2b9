//! The life of a call: the order of refusals as one function.

use std::{iter::successors, time::Duration};

use edgeseal_core::{Pattern, Timestamp, policy::Principal};
use edgeseal_store::{Fault, catalog::Deed};
use serde_json::Value;

use crate::{
    actions::{self, Action},
    admit::admit,
    authenticate::authenticate,
    authorize::{authorize, deed},
    context::Context,
    operation::{Done, Failure, Run, UnsignedCall, causes, kept},
    render::{self, Answer, Envelope, Format},
    request::{RawRequest, Request, text},
    warning::{self, Warning},
};

/// What is known of a call when it is answered, however far it came.
#[derive(Default)]
struct Trail {
    format: Option<Format>,
    action: Option<&'static Action>,
    deed: Option<Deed>,
    /// Whether the caller has proved whose key it has.
    authenticated: bool,
    /// How long the caller wishes to wait for edges, and for which domains.
    wait: Option<(Duration, Vec<Pattern>)>,
}

/// Answers a request. Every request is answered.
pub async fn answer(context: &Context, raw: RawRequest) -> Answer {
    let now = (context.clock)();
    let id = raw.id.clone();
    let host = text(&raw.headers, "host").unwrap_or_default().to_owned();
    let mut trail = Trail::default();
    let result = steps(context, raw, &mut trail, now).await;
    let envelope = Envelope {
        request: &id,
        host: host_name(&host),
        action: trail.action.map_or("Unknown", |action| action.name),
        recommend: &context.settings.recommend,
        format: trail.format.unwrap_or(Format::Json),
    };
    let action = trail.action.map_or("unknown", |action| action.name);
    let (mut answer, said) = match result {
        Ok(done) => {
            trail.authenticated = true;
            let warnings = warned(action, &done.warnings);
            let answer = succeed(context, &envelope, done, trail.wait).await;
            (answer, Said::success(warnings))
        }
        Err(failure) => {
            let said = Said::refusal(failure.as_ref());
            if let Some(deed) = trail.deed.take_if(|_| failure.is_news()) {
                context.audit_refusal(deed, said.code, said.why.clone());
            }
            if let Some(fault) = fault_of(failure.as_ref()) {
                tracing::error!(
                    request.id = id,
                    code = said.code,
                    why = causes(fault),
                    "something inside failed"
                );
            }
            (render::refusal(&envelope, failure.as_ref()), said)
        }
    };
    let Said {
        code,
        why,
        warnings,
    } = said;
    answer.headers.push(("x-acs-request-id", id.clone()));
    metrics::counter!("edgeseal_api_requests_total", "action" => action, "code" => code)
        .increment(1);
    let Some(unlogged) = context.stranger_lines.take(trail.authenticated, now) else {
        return answer;
    };
    tracing::info!(
        request.id = id,
        action,
        code,
        http.status = answer.status.as_u16(),
        why,
        warnings,
        unlogged,
        "api call"
    );
    answer
}

/// What the log says of an answer.
struct Said {
    /// `OK`, or the code of the refusal.
    code: &'static str,
    /// The detail of the refusal.
    why: Option<String>,
    /// The kinds of what the caller is warned of.
    warnings: Option<String>,
}

impl Said {
    const fn success(warnings: Option<String>) -> Self {
        Self {
            code: "OK",
            why: None,
            warnings,
        }
    }

    fn refusal(failure: &dyn Failure) -> Self {
        Self {
            code: failure.code().row().wire,
            why: failure.detail().as_deref().map(clipped),
            warnings: None,
        }
    }
}

/// Counts what a caller is warned of; the kinds for the log.
fn warned(action: &'static str, warnings: &[Warning]) -> Option<String> {
    for warning in warnings {
        let kind = warning.kind.name();
        metrics::counter!("edgeseal_api_warnings_total", "action" => action, "kind" => kind)
            .increment(1);
    }
    warning::kinds(warnings)
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
    let run = match action.run {
        Run::Signed(run) => run,
        Run::Unsigned(run) => {
            let (request, suspect) = (&request, &mut trail.deed);
            let call = UnsignedCall {
                request,
                action,
                suspect,
                now,
            };
            return run(context, call).await;
        }
    };
    let caller = authenticate(context, request, action, &mut trail.deed, now)
        .await
        .map_err(boxed)?;
    trail.authenticated = true;
    trail.deed = Some(deed(&caller));
    if !matches!(caller.principal, Principal::Role { .. }) {
        context.key_uses.note(&caller.access_key, now);
    }
    let admitted = admit(context, caller).map_err(boxed)?;
    let call = authorize(context, admitted).await.map_err(boxed)?;
    trail.wait = call.wait().map(|wait| (wait, call.domains()));
    run(context, &call).await
}

/// A change is answered once the edge in this process serves it; and, if the caller wishes, once
/// all live edges prove it for the domains of the call.
async fn succeed(
    context: &Context,
    envelope: &Envelope<'_>,
    done: Done<Value>,
    wait: Option<(Duration, Vec<Pattern>)>,
) -> Answer {
    let change = done.change;
    let mut answer = render::success(envelope, done);
    let Some(change) = change else { return answer };
    let Some(environment) = change.environment else {
        return answer;
    };
    context.settle(change.revision).await;
    // Of a call that names no domain there is no handshake to prove it by.
    if let Some((wait, domains)) = wait.filter(|(_, domains)| !domains.is_empty()) {
        let proved = context.proved(&domains, change.revision, environment, wait);
        let proved = proved.await;
        answer
            .headers
            .push(("preference-applied", format!("wait={}", wait.as_secs())));
        if let Some((proved, live)) = proved {
            answer
                .headers
                .push(("x-edgeseal-served", format!("{proved}/{live}")));
        }
    }
    answer
}

/// The host without its port; IPv6 literals keep their brackets.
fn host_name(host: &str) -> &str {
    let end = host
        .rfind(':')
        .filter(|colon| !host[*colon..].contains(']'));
    end.map_or(host, |colon| &host[..colon])
}

/// A detail as the audit keeps it: whatever a caller sent, a refusal takes little room and holds no
/// key.
fn clipped(detail: &str) -> String {
    const KEPT_MAX: usize = 1000;
    kept(detail, KEPT_MAX)
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
        let malformed = Pattern::parse("not a name").unwrap_err();
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
