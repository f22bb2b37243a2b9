//! The trait that an action implements, and its result.

use std::sync::OnceLock;

use edgeseal_core::{Timestamp, domain::Environment};
use edgeseal_store::{Fault, Revision, catalog::AuditContext};
use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::{
    actions::Action,
    authenticate::Unauthenticated,
    authorize::Authorized,
    context::Context,
    domain_list::DomainList,
    dry_run,
    error::{ApiError, StoreError},
    request::{ParamMap, Request},
    warning::Warning,
};

/// One action, or several that differ in spelling only ([`ops`](crate::ops)). `Call` is
/// [`UnsignedCall`] for an action that is authenticated by a parameter instead of a signature.
pub trait Operation<Call: 'static = Authorized>: 'static {
    /// The typed parameters.
    type Params: Send;
    /// The response body.
    type Reply: Serialize + Send;
    /// The errors of the operation.
    type Error: ApiError + 'static;

    /// Whether it can be checked without changing anything, by `DryRun`.
    const HAS_DRY_RUN: bool = false;

    /// Reads the parameters. Does not read the store.
    ///
    /// # Errors
    /// An invalid parameter.
    fn parse(input: Input<'_>) -> Result<Self::Params, Self::Error>;

    /// Runs the operation.
    fn run<'a>(
        context: &'a Context,
        call: &'a Call,
        params: Self::Params,
    ) -> impl Future<Output = Result<Success<Self::Reply>, Self::Error>> + Send + 'a;
}

/// The input of [`Operation::parse`].
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The parameters.
    pub params: &'a ParamMap,
    /// The domains for which the caller was authorized. An action that names several
    /// ([`ResourceKind::EachDomain`](crate::actions::ResourceKind::EachDomain)) takes them from
    /// here and never from the parameters.
    pub domains: &'a DomainList,
}

/// A call without a signature.
pub struct UnsignedCall {
    /// The request.
    pub request: Request,
    /// The called action.
    pub action: &'static Action,
    /// The audit context of a refusal. The operation sets it as soon as it knows which account the
    /// call concerns.
    pub audit: OnceLock<AuditContext>,
    /// When the request arrived.
    pub now: Timestamp,
}

/// The result of an operation that succeeded.
#[derive(Clone, Debug)]
pub struct Success<T> {
    /// The response body.
    pub reply: T,
    /// The commit that made the change durable; `None` for a read.
    pub change: Option<Change>,
    /// Warnings for the caller.
    pub warnings: Vec<Warning>,
}

/// A durable change, and the edges that it concerns.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The revision of the commit.
    pub revision: Revision,
    /// The environment whose edges will serve the change; `None` if it does not concern edges.
    pub environment: Option<Environment>,
}

/// A response body that holds only the request id.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EmptyReply {}

impl<T> Success<T> {
    /// The result of a read.
    pub const fn read(reply: T) -> Self {
        Self {
            reply,
            change: None,
            warnings: Vec::new(),
        }
    }

    /// Replaces the reply with one computed from it.
    pub fn map<U>(self, reply: impl FnOnce(T) -> U) -> Success<U> {
        Success {
            reply: reply(self.reply),
            change: self.change,
            warnings: self.warnings,
        }
    }

    /// Adds warnings.
    #[must_use]
    pub fn with_warnings(self, warnings: Vec<Warning>) -> Self {
        Self { warnings, ..self }
    }
}

impl<T> Success<T> {
    /// A change with a reply. Edges of `environment`, if any, serve it from `revision` on.
    pub const fn changed_with(
        reply: T,
        revision: Revision,
        environment: Option<Environment>,
    ) -> Self {
        Self {
            reply,
            change: Some(Change {
                revision,
                environment,
            }),
            warnings: Vec::new(),
        }
    }
}

impl Success<EmptyReply> {
    /// A change that does not concern edges.
    #[must_use]
    pub const fn changed(revision: Revision) -> Self {
        Self {
            reply: EmptyReply {},
            change: Some(Change {
                revision,
                environment: None,
            }),
            warnings: Vec::new(),
        }
    }

    /// A change that edges serve from `revision` on.
    #[must_use]
    pub const fn served(revision: Revision, environment: Environment) -> Self {
        Self {
            reply: EmptyReply {},
            change: Some(Change {
                revision,
                environment: Some(environment),
            }),
            warnings: Vec::new(),
        }
    }
}

/// The type-erased result of an operation.
type HandlerFuture<'a> = BoxFuture<'a, Result<Success<serde_json::Value>, Box<dyn ApiError>>>;

/// A type-erased operation, as the table of actions holds it.
#[derive(Clone, Copy)]
pub enum Handler {
    /// The call is signed.
    Signed(for<'a> fn(&'a Context, &'a Authorized) -> HandlerFuture<'a>),
    /// The call is not signed.
    Unsigned(for<'a> fn(&'a Context, &'a UnsignedCall) -> HandlerFuture<'a>),
}

/// Runs the operation of a signed call, type-erased.
#[must_use]
pub fn handle<'a, Op: Operation>(context: &'a Context, call: &'a Authorized) -> HandlerFuture<'a> {
    Box::pin(async move {
        let input = Input {
            params: call.params(),
            domains: call.domain_list(),
        };
        dry_run::check_supported(call.action, input.params)
            .map_err(|error| boxed(call.action, error))?;
        let result = run::<Authorized, Op>(context, call, input).await;
        into_json(result.map_err(|error| boxed(call.action, error))?)
    })
}

/// Runs the operation of an unsigned call, type-erased. Refuses sources with too many failed
/// authentications.
#[must_use]
pub fn handle_unsigned<'a, Op: Operation<UnsignedCall>>(
    context: &'a Context,
    call: &'a UnsignedCall,
) -> HandlerFuture<'a> {
    Box::pin(async move {
        let (source, now) = (call.request.source, call.now);
        let free = context.auth_failures.check(source, now);
        free.map_err(|retry_after_ms| -> Box<dyn ApiError> {
            Box::new(Unauthenticated::Throttled { retry_after_ms })
        })?;
        let params = &call.request.params;
        let domains = &DomainList::from_request(call.action, params);
        let result = run::<UnsignedCall, Op>(context, call, Input { params, domains }).await;
        into_json(result.map_err(|error| {
            if error.is_auth_failure() {
                context.auth_failures.count(source, now);
            }
            boxed(call.action, error)
        })?)
    })
}

async fn run<'a, Call: 'static, Op: Operation<Call>>(
    context: &'a Context,
    call: &'a Call,
    input: Input<'_>,
) -> Result<Success<Op::Reply>, Op::Error> {
    Op::run(context, call, Op::parse(input)?).await
}

fn boxed<E: ApiError + 'static>(action: &Action, error: E) -> Box<dyn ApiError> {
    debug_assert!(
        action.is_listed_for(error.code()),
        "spec/errors.tsv does not list {:?} for {}",
        error.code(),
        action.name
    );
    Box::new(error)
}

fn into_json<T: Serialize>(
    done: Success<T>,
) -> Result<Success<serde_json::Value>, Box<dyn ApiError>> {
    let encoded = serde_json::to_value(&done.reply).map_err(Fault::of("encode a reply"));
    let reply =
        encoded.map_err(|fault| -> Box<dyn ApiError> { Box::new(StoreError::from(fault)) })?;
    Ok(Success {
        reply,
        change: done.change,
        warnings: done.warnings,
    })
}
