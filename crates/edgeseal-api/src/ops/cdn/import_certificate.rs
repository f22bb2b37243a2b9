//! `ImportCertificate`, one of Edgeseal's own actions: binds a certificate of another server to up
//! to 50 domains. It adds missing domains, keeps certificates that were issued later, and changes
//! nothing where the certificate is bound already, so an import can be repeated until it is
//! complete.

use edgeseal_core::{
    DomainPattern,
    certificate::{Certificate, validate_upload},
    domain::{Binding, Domain, DomainState, Environment, Origin},
};
use edgeseal_store::{
    Revision,
    catalog::{ChangeError, Draft},
};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    add_cdn_domain,
    domain_list_error::DomainListError,
    domain_lookup::DomainError,
    set_certificate::{self, CertificateInput, UploadedCertificate, check_covers},
    sources::{self, InvalidSources},
    wire_names::WireName as _,
};
use crate::{
    authorize::Authorized,
    context::Context,
    dry_run,
    error::{StoreError, api_error, from_change_error},
    operation::{Input, Operation, Success},
    warning::Warning,
};

/// `ImportCertificate`.
pub struct ImportCertificate;

/// The parameters.
pub struct Params {
    names: Vec<DomainPattern>,
    /// Origins of missing domains; without them a missing domain is refused.
    origins: Option<Vec<Origin>>,
    chain: String,
    key: Zeroizing<String>,
    /// Whether to report what would be done, without doing it.
    dry_run: bool,
}

/// What was done, or would be done.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Imported {
    domains: Vec<Row>,
}

/// What was done with one domain.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    domain_name: String,
    domain_status: &'static str,
    result: Outcome,
}

/// The effect of an import on one domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Outcome {
    /// The domain was missing.
    Added,
    /// The domain had no certificate, or HTTPS was disabled.
    Bound,
    /// The domain had a certificate that was issued earlier.
    Replaced,
    /// The domain has this certificate already.
    Unchanged,
    /// The domain has a certificate that was issued later, and keeps it.
    Newer,
    /// The domain is stopped, or its mode locks its certificate: nothing changes.
    Held,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list of names is invalid.
    #[error(transparent)]
    Names(#[from] DomainListError),
    /// Not a list of origins.
    #[error(transparent)]
    Sources(#[from] InvalidSources),
    /// A missing domain cannot be added.
    #[error(transparent)]
    Add(#[from] add_cdn_domain::Error),
    /// The certificate cannot be bound.
    #[error(transparent)]
    Set(#[from] set_certificate::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for ImportCertificate {
    type Params = Params;
    type Reply = Imported;
    type Error = Error;

    const HAS_DRY_RUN: bool = true;

    fn parse(Input { params, domains }: Input<'_>) -> Result<Params, Error> {
        let names = domains.names().map_err(DomainListError::from)?;
        let origins = params
            .get_non_empty("Sources")
            .map(sources::parse)
            .transpose()?;
        let dry_run = dry_run::parse(params).map_err(set_certificate::Error::from)?;
        let missing_key = set_certificate::Error::NoKey { param: "SSLPri" };
        let missing_chain = set_certificate::Error::NoChain { param: "SSLPub" };
        let key = params.get_non_empty("SSLPri").ok_or(missing_key)?;
        let chain = params.get_non_empty("SSLPub").ok_or(missing_chain)?;
        Ok(Params {
            names,
            origins,
            chain: chain.to_owned(),
            key: Zeroizing::new(key.to_owned()),
            dry_run,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Imported>, Error> {
        let certificate = validate_upload(&params.chain, &params.key, call.now());
        let certificate = certificate.map_err(set_certificate::Error::from)?;
        check_covers(context, &params.names, &certificate.info)?;
        let mut domains = Vec::with_capacity(params.names.len());
        for name in &params.names {
            let domain = find_owned(context, call, name).await?;
            let outcome = outcome(context, domain.as_ref(), &certificate).await?;
            domains.push(Row::new(name, domain.as_ref(), outcome));
        }
        let of = |wanted_outcomes: &[Outcome]| -> Vec<DomainPattern> {
            let pairs = params.names.iter().zip(&domains);
            let chosen = pairs.filter(|(_, row)| wanted_outcomes.contains(&row.result));
            chosen.map(|(name, _)| name.clone()).collect()
        };
        let (missing, to_bind) = (
            of(&[Outcome::Added]),
            of(&[Outcome::Added, Outcome::Bound, Outcome::Replaced]),
        );
        let reply = Imported { domains };
        let origins = match (missing.first(), params.origins) {
            (Some(name), None) => return Err(not_found(name).into()),
            (_, origins) => origins.unwrap_or_default(),
        };
        if to_bind.is_empty() {
            let warnings = certificate.warnings.iter().map(Warning::from).collect();
            let revision = match params.dry_run {
                true => None,
                false => Some(newest(context, &params.names).await?),
            };
            return Ok(success(reply, revision, warnings));
        }
        let import = &Import {
            context,
            call,
            missing: add_cdn_domain::Params::web(missing, origins),
            to_bind,
            source: CertificateInput::Upload(Box::new(UploadedCertificate::unnamed(certificate))),
        };
        add_cdn_domain::check_ownership(context, call, import.missing.names()).await?;
        let catalog = &context.catalog;
        let (revision, warnings) = if params.dry_run {
            let decided = catalog.dry_run(call.now(), |draft| import.run_in(draft));
            (
                None,
                decided.await.map_err(from_change_error::<Error, Error>)?,
            )
        } else {
            let imported = catalog.transact(&call.audit, |draft| import.run_in(draft));
            let committed = imported.await.map_err(from_change_error::<Error, Error>)?;
            (Some(committed.revision), committed.value)
        };
        Ok(success(reply, revision, warnings))
    }
}

/// The result of an import; without a revision, of a dry run.
fn success(
    reply: Imported,
    revision: Option<Revision>,
    warnings: Vec<Warning>,
) -> Success<Imported> {
    let done = match revision {
        Some(revision) => Success::changed_with(reply, revision, Some(PRODUCTION)),
        None => Success::read(reply),
    };
    done.with_warnings(warnings)
}

/// Missing domains, and the certificate that is bound to them and to others.
struct Import<'a> {
    context: &'a Context,
    call: &'a Authorized,
    missing: add_cdn_domain::Params,
    to_bind: Vec<DomainPattern>,
    source: CertificateInput,
}

impl Import<'_> {
    /// Adds and binds inside a transaction; returns the warnings.
    async fn run_in(&self, mut draft: Draft) -> Result<(Draft, Vec<Warning>), ChangeError<Error>> {
        let (context, call) = (self.context, self.call);
        let added = add_cdn_domain::add_in(&mut draft, context, call, &self.missing).await;
        added.map_err(map_change_error)?;
        let bound = set_certificate::bind_in(draft, context, call, &self.to_bind, &self.source);
        bound.await.map_err(map_change_error)
    }
}

/// Converts the error of a step into the error of the whole change.
fn map_change_error<E: Into<Error>>(error: ChangeError<E>) -> ChangeError<Error> {
    match error {
        ChangeError::Refused(error) => ChangeError::Refused(error.into()),
        ChangeError::NonceUsed => ChangeError::NonceUsed,
        ChangeError::Contended => ChangeError::Contended,
        ChangeError::Fault(fault) => ChangeError::Fault(fault),
    }
}

const PRODUCTION: Environment = Environment::Production;

/// The account's domain of this name; `None` if the account has no such domain. If another account
/// has it, adding it fails, as in any action.
async fn find_owned(
    context: &Context,
    call: &Authorized,
    name: &DomainPattern,
) -> Result<Option<Domain>, Error> {
    let found = context
        .catalog
        .domain(name)
        .await
        .map_err(StoreError::from)?;
    Ok(found.filter(|domain| domain.account == *call.account()))
}

async fn outcome(
    context: &Context,
    domain: Option<&Domain>,
    certificate: &Certificate,
) -> Result<Outcome, Error> {
    let Some(domain) = domain else {
        return Ok(Outcome::Added);
    };
    let binding = domain.binding(PRODUCTION).filter(|it| it.enabled);
    let mut issued_later = false;
    for (id, material) in binding.into_iter().flat_map(Binding::certificates) {
        if material == certificate.digest() {
            return Ok(Outcome::Unchanged);
        }
        let bound = context.catalog.certificate(id).await;
        let bound = bound.map_err(StoreError::from)?;
        issued_later |=
            bound.is_some_and(|bound| bound.info.not_before > certificate.info.not_before);
    }
    Ok(match binding {
        Some(_) if issued_later => Outcome::Newer,
        _ if domain.check_certificate_change().is_err() => Outcome::Held,
        Some(_) => Outcome::Replaced,
        None => Outcome::Bound,
    })
}

/// The latest commit that changed any of the domains.
async fn newest(context: &Context, names: &[DomainPattern]) -> Result<Revision, Error> {
    let mut newest = Revision::default();
    for name in names {
        let target = context.catalog.rollout_target(name, None, PRODUCTION).await;
        let target = target.map_err(StoreError::from)?;
        newest = newest.max(target.map_or(newest, |target| target.revision));
    }
    Ok(newest)
}

fn not_found(name: &DomainPattern) -> set_certificate::Error {
    DomainError::NotFound(name.clone()).into()
}

impl Row {
    fn new(name: &DomainPattern, domain: Option<&Domain>, result: Outcome) -> Self {
        let state = domain.map_or(DomainState::Online, |domain| domain.state);
        Self {
            domain_name: name.to_string(),
            domain_status: state.wire_name(),
            result,
        }
    }
}

api_error!(Error {
    Names(DomainListError),
    Sources(InvalidSources),
    Add(add_cdn_domain::Error),
    Set(set_certificate::Error),
    Store(StoreError),
});
