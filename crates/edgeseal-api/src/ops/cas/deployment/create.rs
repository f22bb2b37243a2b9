//! `CreateDeploymentJob` and, for what failed, `UpdateDeploymentJobStatus`.

use edgeseal_core::{Pattern, certificate::CertificateId, domain::Environment};
use edgeseal_store::{
    catalog::{ChangeError, Draft, Span},
    record::{CertificateRecord, DeployedDomain, DeploymentRecord},
};
use serde::Serialize;

use super::{CERTIFICATES_MAX, KIND, NoJob, job_id, numbers};
use crate::{
    admit,
    authorize::{Authorized, Unauthorized},
    code::Code,
    context::Context,
    operation::{AccessDenied, Done, Failure, Nothing, Operation, Trouble, refused_or, shown},
    ops::{
        cas::upload::{self, BadName},
        cdn::{
            named_domain::{self, NoDomain},
            set_certificate,
        },
        named_certificate::NoCertificate,
    },
    request::Params,
    warning::Warning,
};

/// The operation that makes a job and carries it out.
pub struct CreateDeploymentJob;

/// The operation that starts a job: what failed is tried again.
pub struct UpdateDeploymentJobStatus;

/// Domains that a job may have, as many as other calls on several.
const DOMAINS_MAX: usize = 50;
/// What binding a certificate to a domain needs beside the job.
const PERMISSION: &str = "cdn:SetCdnDomainSSLCertificate";

/// What is to be deployed where.
pub struct JobRequest {
    name: String,
    certificates: Vec<CertificateId>,
    /// Numbers of domains.
    resources: Vec<i64>,
}

/// A domain of a job, and whether the caller may bind a certificate to it.
struct Target {
    id: i64,
    name: Pattern,
    allowed: bool,
}

/// The job.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Created {
    job_id: i64,
}

/// Why there is no job.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No name.
    #[error("give the job a name in Name")]
    NoName,
    /// Not a name.
    #[error(transparent)]
    Name(#[from] BadName),
    /// No kind.
    #[error("JobType is absent or empty; use {KIND}")]
    NoKind,
    /// No such kind.
    #[error("JobType is {given:?}; use {KIND}")]
    Kind {
        /// What was given.
        given: String,
    },
    /// No certificates.
    #[error("name the certificates in CertIds, by their numbers with commas between them")]
    NoCertificates,
    /// Not numbers of certificates.
    #[error("CertIds is {given:?}; it must be 1 to {CERTIFICATES_MAX} numbers with commas between")]
    Certificates {
        /// What was given.
        given: String,
    },
    /// No resources.
    #[error("name the domains in ResourceIds, by the Id that ListCloudResources has for them")]
    NoResources,
    /// Not numbers of domains.
    #[error("ResourceIds is {given:?}; it must be 1 to {DOMAINS_MAX} numbers with commas between")]
    Resources {
        /// What was given.
        given: String,
    },
    /// To be done later.
    #[error("ScheduleTime is to come, or no time: a job runs at once; leave it out")]
    Schedule,
    /// There is no such certificate.
    #[error(transparent)]
    Certificate(#[from] NoCertificate),
    /// There is no such resource.
    #[error("your account has no domain with the number {id}")]
    NoResource {
        /// The number.
        id: i64,
    },
    /// There is no such job.
    #[error(transparent)]
    Job(#[from] NoJob),
    /// No status that a job can be given.
    #[error("Status is {given:?}; use pending, which tries again what failed")]
    Status {
        /// What was given.
        given: String,
    },
    /// The caller may bind a certificate to none of the domains.
    #[error(transparent)]
    Unauthorized(#[from] Unauthorized),
    /// What every operation can meet.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for CreateDeploymentJob {
    type Params = JobRequest;
    type Reply = Created;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingName,
        Code::InvalidName,
        Code::MissingJobType,
        Code::InvalidJobType,
        Code::MissingCertIds,
        Code::InvalidCertIds,
        Code::MissingResourceIds,
        Code::InvalidResourceIds,
        Code::InvalidScheduleTime,
        Code::ResourceNotFound,
        Code::NotInCertificateCentre,
    ];

    fn parse(params: &Params) -> Result<JobRequest, Error> {
        let name = upload::checked(params.given("Name").ok_or(Error::NoName)?)?;
        match params.given("JobType").ok_or(Error::NoKind)? {
            KIND => {}
            other => {
                let given = shown(other);
                return Err(Error::Kind { given });
            }
        }
        let given = params.given("CertIds").ok_or(Error::NoCertificates)?;
        let certificates = numbers(given, CERTIFICATES_MAX);
        let certificates = certificates.ok_or_else(|| Error::Certificates {
            given: shown(given),
        })?;
        let given = params.given("ResourceIds").ok_or(Error::NoResources)?;
        let resources = numbers(given, DOMAINS_MAX).ok_or_else(|| Error::Resources {
            given: shown(given),
        })?;
        Ok(JobRequest {
            name,
            certificates,
            resources,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        request: JobRequest,
    ) -> Result<Done<Created>, Error> {
        if let Some(given) = call.params().given("ScheduleTime") {
            // Clients say 0 for at once.
            let at: Option<i64> = given.trim().parse().ok();
            at.filter(|at| *at <= call.now().unix_ms())
                .ok_or(Error::Schedule)?;
        }
        let targets = domains(context, call, &request.resources).await?;
        let targets = targets_of(context, call, targets).await?;
        let (request, targets) = (&request, &targets);
        let made = context
            .catalog
            .transact(&call.deed, |mut draft| async move {
                let certificates = stored(&mut draft, call, &request.certificates).await?;
                let id = draft.new_deployment_id().await?;
                let mut job = DeploymentRecord {
                    id,
                    name: request.name.clone(),
                    certificates: request.certificates.clone(),
                    domains: Vec::with_capacity(targets.len()),
                    created: call.now(),
                    changed: call.now(),
                    created_by: admit::number(call.principal()),
                };
                let mut warnings = Vec::new();
                for target in targets {
                    let bound = deploy(draft, context, call, &certificates, target);
                    let (next, domain, warned) = bound.await?;
                    draft = next;
                    job.domains.push(domain);
                    warnings.extend(warned);
                }
                draft.add_deployment(call.account(), &job).await?;
                Ok((draft, (id, warnings)))
            });
        let committed = made.await.map_err(refused_or::<Error, Error>)?;
        let (job_id, warnings) = committed.value;
        let done = Done::with(
            Created { job_id },
            committed.revision,
            Some(Environment::Production),
        );
        Ok(done.warned(warnings))
    }
}

impl Operation for UpdateDeploymentJobStatus {
    type Params = i64;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingJobId,
        Code::InvalidJobId,
        Code::JobNotFound,
        Code::InvalidStatus,
        Code::NotInCertificateCentre,
    ];

    fn parse(params: &Params) -> Result<i64, Error> {
        let id = job_id(params)?;
        match params.given("Status").unwrap_or_default() {
            "pending" | "scheduling" => Ok(id),
            other => Err(Error::Status {
                given: shown(other),
            }),
        }
    }

    async fn run(context: &Context, call: &Authorized, id: i64) -> Result<Done<Nothing>, Error> {
        let account = call.account();
        let found = context.catalog.deployment(account, id).await;
        let job = found.map_err(Trouble::from)?;
        let job = job.ok_or(Error::Job(NoJob::NotFound { id }))?;
        let failed = job.domains.iter().filter(|domain| domain.failure.is_some());
        let failed = failed.map(|domain| (domain.id, domain.name.clone()));
        let targets = &targets_of(context, call, failed.collect()).await?;
        let tried = context
            .catalog
            .transact(&call.deed, |mut draft| async move {
                let Some(mut job) = draft.deployment(account, id).await? else {
                    return Err(ChangeError::Refused(NoJob::NotFound { id }.into()));
                };
                let certificates = stored(&mut draft, call, &job.certificates).await?;
                let mut warnings = Vec::new();
                for target in targets {
                    let bound = deploy(draft, context, call, &certificates, target);
                    let (next, tried, warned) = bound.await?;
                    draft = next;
                    let mut domains = job.domains.iter_mut();
                    if let Some(domain) = domains.find(|domain| domain.id == target.id) {
                        *domain = tried;
                    }
                    warnings.extend(warned);
                }
                job.changed = call.now();
                draft.put_deployment(account, &job)?;
                Ok((draft, warnings))
            });
        let committed = tried.await.map_err(refused_or::<Error, Error>)?;
        let done = Done::served(committed.revision, Environment::Production);
        Ok(done.warned(committed.value))
    }
}

/// The domains of these numbers, in the order in which they were named.
async fn domains(
    context: &Context,
    call: &Authorized,
    resources: &[i64],
) -> Result<Vec<(i64, Pattern)>, Error> {
    let wanted = resources.to_vec();
    let found = context
        .catalog
        .domains_where(
            call.account(),
            move |_, domain| wanted.contains(&domain.id),
            Span::of_page(1, DOMAINS_MAX),
        )
        .await
        .map_err(Trouble::from)?;
    let named = |id: &i64| {
        let mut items = found.items.iter();
        let found = items.find(|domain| domain.id == *id);
        let found = found.map(|domain| (*id, domain.name.clone()));
        found.ok_or(Error::NoResource { id: *id })
    };
    resources.iter().map(named).collect()
}

/// With whether the caller may bind a certificate to each, beside making jobs. Whoever may so to none
/// of them is refused as of any other call.
async fn targets_of(
    context: &Context,
    call: &Authorized,
    domains: Vec<(i64, Pattern)>,
) -> Result<Vec<Target>, Unauthorized> {
    let names = domains.iter().map(|(_, name)| name);
    let allowed = call.may_with_domains(context, PERMISSION, names).await?;
    let domains = domains.into_iter().zip(allowed);
    let targets = domains.map(|((id, name), allowed)| Target { id, name, allowed });
    Ok(targets.collect())
}

async fn stored(
    draft: &mut Draft,
    call: &Authorized,
    ids: &[CertificateId],
) -> Result<Vec<CertificateRecord>, ChangeError<Error>> {
    let mut certificates = Vec::with_capacity(ids.len());
    for id in ids {
        let found = draft.certificate(*id).await?;
        let own = found.filter(|found| found.account == *call.account() && !found.removed);
        let which = || NoCertificate::NotInCentre {
            which: format!("with the number {id}"),
        };
        certificates.push(own.ok_or_else(|| ChangeError::Refused(which().into()))?);
    }
    Ok(certificates)
}

/// Binds to a domain the first of the certificates that is for it. What refuses that is how it ends
/// for this domain, and nothing of it is written.
async fn deploy(
    mut draft: Draft,
    context: &Context,
    call: &Authorized,
    certificates: &[CertificateRecord],
    &Target {
        id,
        ref name,
        allowed,
    }: &Target,
) -> Result<(Draft, DeployedDomain, Vec<Warning>), ChangeError<Error>> {
    let covers = |certificate: &&CertificateRecord| certificate.facts.covers(name);
    let mut fitting = certificates.iter().filter(covers);
    let certificate = fitting.next().unwrap_or(&certificates[0]);
    let found = named_domain::find_in(&mut draft, call.account(), name).await;
    let before = match &found {
        Ok(domain) if allowed => domain.binding(Environment::Production),
        _ => None,
    };
    let mut domain = DeployedDomain {
        id,
        name: name.clone(),
        certificate: certificate.id,
        before: before.map(|bound| bound.certificate),
        failure: None,
    };
    match found {
        // Chosen by its number, which a domain that was added again does not have.
        Ok(found) if found.id != id => {
            domain.before = None;
            let failure = format!("your account has no domain with the number {id} any more");
            domain.failure = Some(failure);
            return Ok((draft, domain, Vec::new()));
        }
        Ok(_) => {}
        Err(NoDomain::Trouble(trouble)) => return Err(ChangeError::Refused(trouble.into())),
        Err(why) => {
            domain.failure = why.detail();
            return Ok((draft, domain, Vec::new()));
        }
    }
    if !allowed {
        domain.failure = Some(format!("{PERMISSION} is not allowed for this domain"));
        draft.note(format!("{PERMISSION} is not allowed for {name}"));
        return Ok((draft, domain, Vec::new()));
    }
    let unchanged = draft.clone();
    match set_certificate::bind_stored(draft, context, call, name, certificate).await {
        Ok((draft, warnings)) => Ok((draft, domain, warnings)),
        Err(ChangeError::Refused(why)) => {
            let detail = why.detail();
            domain.failure = Some(detail.unwrap_or_else(|| why.to_string()));
            Ok((unchanged, domain, Vec::new()))
        }
        Err(ChangeError::NonceUsed) => Err(ChangeError::NonceUsed),
        Err(ChangeError::Contended) => Err(ChangeError::Contended),
        Err(ChangeError::Fault(fault)) => Err(ChangeError::Fault(fault)),
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::NoName => Code::MissingName,
            Self::Name(why) => why.code(),
            Self::NoKind => Code::MissingJobType,
            Self::Kind { .. } => Code::InvalidJobType,
            Self::NoCertificates => Code::MissingCertIds,
            Self::Certificates { .. } => Code::InvalidCertIds,
            Self::NoResources => Code::MissingResourceIds,
            Self::Resources { .. } => Code::InvalidResourceIds,
            Self::Schedule => Code::InvalidScheduleTime,
            Self::Certificate(why) => why.code(),
            Self::NoResource { .. } => Code::ResourceNotFound,
            Self::Job(why) => why.code(),
            Self::Status { .. } => Code::InvalidStatus,
            Self::Unauthorized(why) => why.code(),
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Unauthorized(why) => why.message(),
            other => other.code().row().message.to_owned(),
        }
    }

    fn access_denied(&self) -> Option<AccessDenied> {
        match self {
            Self::Unauthorized(why) => why.access_denied(),
            _ => None,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Certificate(why) => why.detail(),
            Self::Job(why) => why.detail(),
            Self::Unauthorized(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
