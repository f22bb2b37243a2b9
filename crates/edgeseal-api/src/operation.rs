//! What an operation is: parse, run, answer or refuse.

use std::error::Error;

use edgeseal_core::{Timestamp, domain::Environment};
use edgeseal_store::{
    Fault, Revision,
    catalog::{ChangeError, Deed},
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
    request::{Params, Request},
    warning::Warning,
};

/// One action, whatever its names: five items, in this order, in one file each.
pub trait Operation: 'static {
    /// What the caller asks for, typed.
    type Params: Send;
    /// What the caller is told.
    type Reply: Serialize + Send;
    /// Why not.
    type Error: Failure + 'static;

    /// Every code that [`Operation::Error`] can have; compared with `spec/errors.tsv`.
    const CODES: &'static [Code];

    /// Reads the parameters, without looking at anything that is stored.
    ///
    /// # Errors
    /// The operation's own refusals of parameters.
    fn parse(params: &Params) -> Result<Self::Params, Self::Error>;

    /// Does it.
    fn run<'a>(
        context: &'a Context,
        call: &'a Authorized,
        params: Self::Params,
    ) -> impl Future<Output = Result<Done<Self::Reply>, Self::Error>> + Send + 'a;
}

/// One action on each of several domains. The same five items as [`Operation`], but that the domains
/// are not read from the parameters: they are those that the caller was judged by.
pub trait BatchOperation: 'static {
    /// What the caller asks for, typed.
    type Params: Send;
    /// What the caller is told.
    type Reply: Serialize + Send;
    /// Why not.
    type Error: Failure + 'static;

    /// Every code that [`BatchOperation::Error`] can have; compared with `spec/errors.tsv`.
    const CODES: &'static [Code];

    /// Takes the domains and reads the other parameters, without looking at anything that is
    /// stored.
    ///
    /// # Errors
    /// The operation's own refusals of parameters.
    fn parse(domains: &DomainList, params: &Params) -> Result<Self::Params, Self::Error>;

    /// Does it.
    fn run<'a>(
        context: &'a Context,
        call: &'a Authorized,
        params: Self::Params,
    ) -> impl Future<Output = Result<Done<Self::Reply>, Self::Error>> + Send + 'a;
}

/// One action whose calls are not signed: something among the parameters says who calls. The same
/// five items as [`Operation`], and what guards it in place of a signature.
pub trait Unsigned: 'static {
    /// What the caller asks for, typed.
    type Params: Send;
    /// What the caller is told.
    type Reply: Serialize + Send;
    /// Why not.
    type Error: Failure + 'static;

    /// Every code that [`Unsigned::Error`] can have; compared with `spec/errors.tsv`.
    const CODES: &'static [Code];

    /// Reads the parameters, without looking at anything that is stored.
    ///
    /// # Errors
    /// The operation's own refusals of parameters.
    fn parse(params: &Params) -> Result<Self::Params, Self::Error>;

    /// Finds out who calls, and does it.
    fn run<'a>(
        context: &'a Context,
        call: UnsignedCall<'a>,
        params: Self::Params,
    ) -> impl Future<Output = Result<Done<Self::Reply>, Self::Error>> + Send + 'a;

    /// Whether somebody may be guessing: such failures count against the address.
    fn is_a_guess(error: &Self::Error) -> bool;
}

/// A call that nobody signed.
pub struct UnsignedCall<'a> {
    /// The request.
    pub request: &'a Request,
    /// The action that is called.
    pub action: &'static Action,
    /// What is recorded if the call is refused, and where: to be filled as soon as it is known whom
    /// the call is about.
    pub suspect: &'a mut Option<Deed>,
    /// When the request came.
    pub now: Timestamp,
}

/// An operation that succeeded.
#[derive(Clone, Debug)]
pub struct Done<T> {
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
pub struct Nothing {}

impl<T> Done<T> {
    /// A read.
    pub const fn read(reply: T) -> Self {
        Self {
            reply,
            change: None,
            warnings: Vec::new(),
        }
    }

    /// The same with another reply, made of this one.
    pub fn map<U>(self, reply: impl FnOnce(T) -> U) -> Done<U> {
        Done {
            reply: reply(self.reply),
            change: self.change,
            warnings: self.warnings,
        }
    }

    /// The same, with warnings.
    #[must_use]
    pub fn warned(self, warnings: Vec<Warning>) -> Self {
        Self { warnings, ..self }
    }
}

impl<T> Done<T> {
    /// A change that yields something and that edges serve from `revision` on, where they have to
    /// do with it.
    pub const fn with(reply: T, revision: Revision, environment: Option<Environment>) -> Self {
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

impl Done<Nothing> {
    /// A change that edges have nothing to do with.
    #[must_use]
    pub const fn changed(revision: Revision) -> Self {
        Self {
            reply: Nothing {},
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
            reply: Nothing {},
            change: Some(Change {
                revision,
                environment: Some(environment),
            }),
            warnings: Vec::new(),
        }
    }
}

/// A refusal that knows its row.
pub trait Failure: Error + Send + Sync {
    /// Its row.
    fn code(&self) -> Code;

    /// The code on the wire, where the row's is a template.
    fn wire(&self) -> String {
        self.code().row().wire.to_owned()
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
    fn is_news(&self) -> bool {
        true
    }
}

/// What a caller gave, as a sentence may show it: short, on one line, and never a private key that
/// was sent in the wrong parameter.
pub(crate) fn shown(given: &str) -> String {
    const SHOWN_MAX: usize = 40;
    kept(given, SHOWN_MAX)
}

/// As [`shown`], of up to `characters`: what is kept of something that a caller gave.
pub(crate) fn kept(given: &str, characters: usize) -> String {
    if key_material::is_in(given) {
        return "(a private key)".to_owned();
    }
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    given.chars().take(characters).map(printable).collect()
}

/// An error with all that caused it, for the log.
pub(crate) fn causes(error: &dyn Error) -> String {
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
pub enum Trouble {
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

impl Failure for Trouble {
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
pub const TROUBLE: &[Code] = &[
    Code::ServiceUnavailable,
    Code::ServiceBusy,
    Code::NonceUsed,
    Code::NoPermission,
];

/// Splits a failed change into the operation's own refusal and trouble.
pub fn refused_or<R, E: From<R> + From<Trouble>>(error: ChangeError<R>) -> E {
    match error {
        ChangeError::Refused(refusal) => refusal.into(),
        ChangeError::NonceUsed => Trouble::NonceUsed.into(),
        ChangeError::Contended => Trouble::Contended.into(),
        ChangeError::Fault(fault) => Trouble::Fault(fault).into(),
    }
}

/// What an operation without its types comes to.
type Outcome<'a> = BoxFuture<'a, Result<Done<serde_json::Value>, Box<dyn Failure>>>;

/// An operation without its types, as the table of actions holds it.
#[derive(Clone, Copy)]
pub enum Run {
    /// An [`Operation`].
    Signed(for<'a> fn(&'a Context, &'a Authorized) -> Outcome<'a>),
    /// An [`Unsigned`] one.
    Unsigned(for<'a> fn(&'a Context, UnsignedCall<'a>) -> Outcome<'a>),
}

/// Takes the types off an operation.
#[must_use]
pub fn run<'a, Op: Operation>(context: &'a Context, call: &'a Authorized) -> Outcome<'a> {
    Box::pin(async move {
        let boxed = |error| boxed(call.action, Op::CODES, error);
        let params = Op::parse(call.params()).map_err(boxed)?;
        let done = Op::run(context, call, params).await.map_err(boxed)?;
        untyped(done)
    })
}

/// Takes the types off an operation on several domains.
#[must_use]
pub fn run_batch<'a, Op: BatchOperation>(
    context: &'a Context,
    call: &'a Authorized,
) -> Outcome<'a> {
    Box::pin(async move {
        let boxed = |error| boxed(call.action, Op::CODES, error);
        let params = Op::parse(call.domain_list(), call.params()).map_err(boxed)?;
        let done = Op::run(context, call, params).await.map_err(boxed)?;
        untyped(done)
    })
}

/// Takes the types off an operation that nobody signs, and keeps those from it who failed too often.
#[must_use]
pub fn run_unsigned<'a, Op: Unsigned>(context: &'a Context, call: UnsignedCall<'a>) -> Outcome<'a> {
    Box::pin(async move {
        let (source, action, now) = (call.request.source, call.action, call.now);
        let free = context.failures.check(source, now);
        free.map_err(|retry_after_ms| -> Box<dyn Failure> {
            Box::new(Unauthenticated::Throttled { retry_after_ms })
        })?;
        let boxed = |error| {
            if Op::is_a_guess(&error) {
                context.failures.count(source, now);
            }
            boxed(action, Op::CODES, error)
        };
        let params = Op::parse(&call.request.params).map_err(boxed)?;
        let done = Op::run(context, call, params).await.map_err(boxed)?;
        untyped(done)
    })
}

fn boxed<E: Failure + 'static>(action: &Action, codes: &[Code], error: E) -> Box<dyn Failure> {
    debug_assert!(
        codes.contains(&error.code()) || TROUBLE.contains(&error.code()),
        "{} is not declared to answer {:?}",
        action.name,
        error.code()
    );
    Box::new(error)
}

fn untyped<T: Serialize>(done: Done<T>) -> Result<Done<serde_json::Value>, Box<dyn Failure>> {
    let encoded = serde_json::to_value(&done.reply).map_err(Fault::of("encode a reply"));
    let reply = encoded.map_err(|fault| -> Box<dyn Failure> { Box::new(Trouble::from(fault)) })?;
    Ok(Done {
        reply,
        change: done.change,
        warnings: done.warnings,
    })
}
