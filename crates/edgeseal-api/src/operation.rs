//! The traits that an action implements, and its result.

use edgeseal_core::{Timestamp, domain::Environment};
use edgeseal_store::{Fault, Revision, catalog::AuditContext};
use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::{
    actions::Action,
    authenticate::Unauthenticated,
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    error::{ApiError, STORE_ERROR_CODES, StoreError},
    request::{ParamMap, Request},
    warning::Warning,
};

/// One action, under one or more names: five items, in this order, one file per action.
pub trait Operation: 'static {
    /// The typed parameters.
    type Params: Send;
    /// The response body.
    type Reply: Serialize + Send;
    /// The errors of the operation.
    type Error: ApiError + 'static;

    /// Every code that [`Operation::Error`] can have; compared with `spec/errors.tsv`.
    const CODES: &'static [Code];

    /// Reads the parameters. Does not read the store.
    ///
    /// # Errors
    /// An invalid parameter.
    fn parse(params: &ParamMap) -> Result<Self::Params, Self::Error>;

    /// Runs the operation.
    fn run<'a>(
        context: &'a Context,
        call: &'a Authorized,
        params: Self::Params,
    ) -> impl Future<Output = Result<Success<Self::Reply>, Self::Error>> + Send + 'a;
}

/// One action on several domains: the same five items as [`Operation`], except that the domains are
/// not read from the parameters but are those for which the caller was authorized.
pub trait BatchOperation: 'static {
    /// The typed parameters.
    type Params: Send;
    /// The response body.
    type Reply: Serialize + Send;
    /// The errors of the operation.
    type Error: ApiError + 'static;

    /// Every code that [`BatchOperation::Error`] can have; compared with `spec/errors.tsv`.
    const CODES: &'static [Code];

    /// Takes the domains and reads the other parameters. Does not read the store.
    ///
    /// # Errors
    /// An invalid parameter.
    fn parse(domains: &DomainList, params: &ParamMap) -> Result<Self::Params, Self::Error>;

    /// Runs the operation.
    fn run<'a>(
        context: &'a Context,
        call: &'a Authorized,
        params: Self::Params,
    ) -> impl Future<Output = Result<Success<Self::Reply>, Self::Error>> + Send + 'a;
}

/// One action whose calls are not signed: a parameter identifies the caller. The same five items as
/// [`Operation`], and [`UnsignedOperation::is_auth_failure`] to limit guessing.
pub trait UnsignedOperation: 'static {
    /// The typed parameters.
    type Params: Send;
    /// The response body.
    type Reply: Serialize + Send;
    /// The errors of the operation.
    type Error: ApiError + 'static;

    /// Every code that [`UnsignedOperation::Error`] can have; compared with `spec/errors.tsv`.
    const CODES: &'static [Code];

    /// Reads the parameters. Does not read the store.
    ///
    /// # Errors
    /// An invalid parameter.
    fn parse(params: &ParamMap) -> Result<Self::Params, Self::Error>;

    /// Authenticates the caller and runs the operation.
    fn run<'a>(
        context: &'a Context,
        call: UnsignedCall<'a>,
        params: Self::Params,
    ) -> impl Future<Output = Result<Success<Self::Reply>, Self::Error>> + Send + 'a;

    /// Whether the error may come from a guess: such errors count against the source address.
    fn is_auth_failure(error: &Self::Error) -> bool;
}

/// A call without a signature.
pub struct UnsignedCall<'a> {
    /// The request.
    pub request: &'a Request,
    /// The called action.
    pub action: &'static Action,
    /// The audit context of a refusal. The operation sets it as soon as it knows which account the
    /// call concerns.
    pub audit: &'a mut Option<AuditContext>,
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
    /// An [`Operation`].
    Signed(for<'a> fn(&'a Context, &'a Authorized) -> HandlerFuture<'a>),
    /// An [`UnsignedOperation`].
    Unsigned(for<'a> fn(&'a Context, UnsignedCall<'a>) -> HandlerFuture<'a>),
}

/// Runs an operation, type-erased.
#[must_use]
pub fn handle<'a, Op: Operation>(context: &'a Context, call: &'a Authorized) -> HandlerFuture<'a> {
    Box::pin(async move {
        let boxed = |error| check_code(call.action, Op::CODES, error);
        let params = Op::parse(call.params()).map_err(boxed)?;
        let done = Op::run(context, call, params).await.map_err(boxed)?;
        into_json(done)
    })
}

/// Runs a batch operation, type-erased.
#[must_use]
pub fn handle_batch<'a, Op: BatchOperation>(
    context: &'a Context,
    call: &'a Authorized,
) -> HandlerFuture<'a> {
    Box::pin(async move {
        let boxed = |error| check_code(call.action, Op::CODES, error);
        let params = Op::parse(call.domain_list(), call.params()).map_err(boxed)?;
        let done = Op::run(context, call, params).await.map_err(boxed)?;
        into_json(done)
    })
}

/// Runs an unsigned operation, type-erased. Refuses sources with too many failed authentications.
#[must_use]
pub fn handle_unsigned<'a, Op: UnsignedOperation>(
    context: &'a Context,
    call: UnsignedCall<'a>,
) -> HandlerFuture<'a> {
    Box::pin(async move {
        let (source, action, now) = (call.request.source, call.action, call.now);
        let free = context.auth_failures.check(source, now);
        free.map_err(|retry_after_ms| -> Box<dyn ApiError> {
            Box::new(Unauthenticated::Throttled { retry_after_ms })
        })?;
        let boxed = |error| {
            if Op::is_auth_failure(&error) {
                context.auth_failures.count(source, now);
            }
            check_code(action, Op::CODES, error)
        };
        let params = Op::parse(&call.request.params).map_err(boxed)?;
        let done = Op::run(context, call, params).await.map_err(boxed)?;
        into_json(done)
    })
}

fn check_code<E: ApiError + 'static>(
    action: &Action,
    codes: &[Code],
    error: E,
) -> Box<dyn ApiError> {
    debug_assert!(
        codes.contains(&error.code()) || STORE_ERROR_CODES.contains(&error.code()),
        "{} is not declared to answer {:?}",
        action.name,
        error.code()
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
