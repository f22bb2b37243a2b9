//! What an operation is: parse, run, answer or refuse.

use std::error::Error;

use edgeseal_core::{Timestamp, domain::Environment};
use edgeseal_store::{
    Fault, Revision,
    catalog::{AuditContext, ChangeError},
};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{
    actions::Action,
    authenticate::Unauthenticated,
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    key_material,
    request::{ParamMap, Request},
    warning::Warning,
};

/// One action, whatever its names: five items, in this order, in one file each.
pub trait Operation: 'static {
    /// What the caller asks for, typed.
    type Params: Send;
    /// What the caller is told.
    type Reply: Serialize + Send;
    /// Why not.
    type Error: ApiError + 'static;

    /// Every code that [`Operation::Error`] can have; compared with `spec/errors.tsv`.
    const CODES: &'static [Code];

    /// Reads the parameters, without looking at anything that is stored.
    ///
    /// # Errors
    /// The operation's own refusals of parameters.
    fn parse(params: &ParamMap) -> Result<Self::Params, Self::Error>;

    /// Does it.
    fn run<'a>(
        context: &'a Context,
        call: &'a Authorized,
        params: Self::Params,
    ) -> impl Future<Output = Result<Success<Self::Reply>, Self::Error>> + Send + 'a;
}

/// One action on each of several domains. The same five items as [`Operation`], but that the domains
/// are not read from the parameters: they are those that the caller was judged by.
pub trait BatchOperation: 'static {
    /// What the caller asks for, typed.
    type Params: Send;
    /// What the caller is told.
    type Reply: Serialize + Send;
    /// Why not.
    type Error: ApiError + 'static;

    /// Every code that [`BatchOperation::Error`] can have; compared with `spec/errors.tsv`.
    const CODES: &'static [Code];

    /// Takes the domains and reads the other parameters, without looking at anything that is
    /// stored.
    ///
    /// # Errors
    /// The operation's own refusals of parameters.
    fn parse(domains: &DomainList, params: &ParamMap) -> Result<Self::Params, Self::Error>;

    /// Does it.
    fn run<'a>(
        context: &'a Context,
        call: &'a Authorized,
        params: Self::Params,
    ) -> impl Future<Output = Result<Success<Self::Reply>, Self::Error>> + Send + 'a;
}

/// One action whose calls are not signed: something among the parameters says who calls. The same
/// five items as [`Operation`], and what guards it in place of a signature.
pub trait UnsignedOperation: 'static {
    /// What the caller asks for, typed.
    type Params: Send;
    /// What the caller is told.
    type Reply: Serialize + Send;
    /// Why not.
    type Error: ApiError + 'static;

    /// Every code that [`Unsigned::Error`] can have; compared with `spec/errors.tsv`.
    const CODES: &'static [Code];

    /// Reads the parameters, without looking at anything that is stored.
    ///
    /// # Errors
    /// The operation's own refusals of parameters.
    fn parse(params: &ParamMap) -> Result<Self::Params, Self::Error>;

    /// Finds out who calls, and does it.
    fn run<'a>(
        context: &'a Context,
        call: UnsignedCall<'a>,
        params: Self::Params,
    ) -> impl Future<Output = Result<Success<Self::Reply>, Self::Error>> + Send + 'a;

    /// Whether somebody may be guessing: such failures count against the address.
    fn is_auth_failure(error: &Self::Error) -> bool;
}

/// A call that nobody signed.
pub struct UnsignedCall<'a> {
    /// The request.
    pub request: &'a Request,
    /// The action that is called.
    pub action: &'static Action,
    /// What is recorded if the call is refused, and where: to be filled as soon as it is known whom
    /// the call is about.
    pub audit: &'a mut Option<AuditContext>,
    /// When the request came.
    pub now: Timestamp,
}

/// An operation that succeeded.
#[derive(Clone, Debug)]
pub struct Success<T> {
    /// What the caller is told.
    pub reply: T,
    /// The commit that made it durable, for those that changed something.
    pub change: Option<Change>,
    /// What the caller should look at all the same.
    pub warnings: Vec<Warning>,
}

/// A durable change, and for which edges it is.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The commit.
    pub revision: Revision,
    /// Whose edges will serve it, if edges have to do with it.
    pub environment: Option<Environment>,
}

/// A reply that holds nothing but the request's id.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EmptyReply {}

impl<T> Success<T> {
    /// A read.
    pub const fn read(reply: T) -> Self {
        Self {
            reply,
            change: None,
            warnings: Vec::new(),
        }
    }

    /// The same with another reply, made of this one.
    pub fn map<U>(self, reply: impl FnOnce(T) -> U) -> Success<U> {
        Success {
            reply: reply(self.reply),
            change: self.change,
            warnings: self.warnings,
        }
    }

    /// The same, with warnings.
    #[must_use]
    pub fn with_warnings(self, warnings: Vec<Warning>) -> Self {
        Self { warnings, ..self }
    }
}

impl<T> Success<T> {
    /// A change that yields something and that edges serve from `revision` on, where they have to
    /// do with it.
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
    /// A change that edges have nothing to do with.
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

/// A refusal that knows its row.
pub trait ApiError: Error + Send + Sync {
    /// Its row.
    fn code(&self) -> Code;

    /// The code on the wire, where the row's is a template.
    fn wire_code(&self) -> String {
        self.code().row().wire_code.to_owned()
    }

    /// The message, where the row's is a template.
    fn message(&self) -> String {
        self.code().row().message.to_owned()
    }

    /// One plain sentence that says what is wrong and where. Never key material.
    fn detail(&self) -> Option<String> {
        None
    }

    /// What it is about, for the message of a missing permission.
    fn access_denied(&self) -> Option<AccessDenied> {
        None
    }

    /// Milliseconds after which another try may pass.
    fn retry_after_ms(&self) -> Option<u64> {
        None
    }

    /// Whether the audit needs to hear of it. A flood of the same refusal is heard of once.
    fn should_audit(&self) -> bool {
        true
    }
}

/// What a caller gave, as a sentence may show it: short, on one line, and never a private key that
/// was sent in the wrong parameter.
pub(crate) fn sanitize(given: &str) -> String {
    const SHOWN_MAX: usize = 40;
    sanitize_to(given, SHOWN_MAX)
}

/// As [`shown`], of up to `characters`: what is kept of something that a caller gave.
pub(crate) fn sanitize_to(given: &str, characters: usize) -> String {
    if key_material::contains_private_key(given) {
        return "(a private key)".to_owned();
    }
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    given.chars().take(characters).map(printable).collect()
}

/// An error with all that caused it, for the log.
pub(crate) fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Why a permission is missing, in the cloud's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccessDenied {
    /// The action that was denied.
    pub auth_action: String,
    /// What kind of principal was denied.
    pub auth_principal_type: String,
    /// Its account.
    pub auth_principal_owner_id: String,
    /// Its name.
    pub auth_principal_display_name: String,
    /// Which kind of policy decided.
    pub policy_type: String,
    /// `ImplicitDeny` or `ExplicitDeny`.
    pub no_permission_type: String,
    /// The reason, sealed: `DecodeDiagnosticMessage` opens it for those who may.
    pub encoded_diagnostic_message: String,
}

/// What every operation that touches the store can meet.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store failed.
    #[error("the store failed")]
    Fault(#[from] Fault),
    /// Other changes of the same thing won again and again.
    #[error("other changes of the same thing won again and again; try again")]
    Contended,
    /// The nonce was used before, perhaps at another node.
    #[error("a call with this nonce has changed something before")]
    NonceUsed,
}

impl ApiError for StoreError {
    fn code(&self) -> Code {
        match self {
            Self::Fault(_) => Code::ServiceUnavailable,
            Self::Contended => Code::ServiceBusy,
            Self::NonceUsed => Code::NonceUsed,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            // The cause is logged and stays inside.
            Self::Fault(_) => Some(
                "the store failed; nothing was changed unless a later read shows it".to_owned(),
            ),
            Self::Contended | Self::NonceUsed => Some(self.to_string()),
        }
    }
}

/// Codes that every operation may answer: those of [`Trouble`], and that of a permission which it
/// finds missing once it knows what it acts upon.
pub const STORE_ERROR_CODES: &[Code] = &[
    Code::ServiceUnavailable,
    Code::ServiceBusy,
    Code::NonceUsed,
    Code::NoPermission,
];

/// Splits a failed change into the operation's own refusal and trouble.
pub fn from_change_error<R, E: From<R> + From<StoreError>>(error: ChangeError<R>) -> E {
    match error {
        ChangeError::Refused(refusal) => refusal.into(),
        ChangeError::NonceUsed => StoreError::NonceUsed.into(),
        ChangeError::Contended => StoreError::Contended.into(),
        ChangeError::Fault(fault) => StoreError::Fault(fault).into(),
    }
}

/// What an operation without its types comes to.
type HandlerFuture<'a> = BoxFuture<'a, Result<Success<serde_json::Value>, Box<dyn ApiError>>>;

/// An operation without its types, as the table of actions holds it.
#[derive(Clone, Copy)]
pub enum Handler {
    /// An [`Operation`].
    Signed(for<'a> fn(&'a Context, &'a Authorized) -> HandlerFuture<'a>),
    /// An [`Unsigned`] one.
    Unsigned(for<'a> fn(&'a Context, UnsignedCall<'a>) -> HandlerFuture<'a>),
}

/// Takes the types off an operation.
#[must_use]
pub fn handle<'a, Op: Operation>(context: &'a Context, call: &'a Authorized) -> HandlerFuture<'a> {
    Box::pin(async move {
        let boxed = |error| check_code(call.action, Op::CODES, error);
        let params = Op::parse(call.params()).map_err(boxed)?;
        let done = Op::run(context, call, params).await.map_err(boxed)?;
        into_json(done)
    })
}

/// Takes the types off an operation on several domains.
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

/// Takes the types off an operation that nobody signs, and keeps those from it who failed too often.
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
