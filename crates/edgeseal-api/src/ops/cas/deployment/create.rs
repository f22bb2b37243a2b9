//! `CreateDeploymentJob`, and `UpdateDeploymentJobStatus`, which retries failed deployments.

use edgeseal_core::{DomainPattern, certificate::CertificateId, domain::Environment};
use edgeseal_store::{
    catalog::{ChangeError, Draft, Pagination},
    filter::{DomainCondition, DomainFilter},
    record::{CertificateRecord, DeployedDomain, DeploymentRecord},
};
use serde::Serialize;

use super::{CERTIFICATES_MAX, JOB_TYPE, JobError, job_id, parse_ids};
use crate::{
    authorize::{Authorized, Unauthorized},
    context::Context,
    error::{ApiError, StoreError, api_error, from_change_error},
    operation::{EmptyReply, Input, Operation, Success},
    ops::{
        cas::upload::{self, InvalidCertificateName},
        cdn::{
            domain_lookup::{self, DomainError},
            set_certificate,
        },
        certificate_lookup::{self, CertificateError},
    },
    rate_limit,
    sanitize::sanitize,
    warning::Warning,
};

/// `CreateDeploymentJob`: creates a job and runs it.
pub struct CreateDeploymentJob;

/// `UpdateDeploymentJobStatus`: starts a job again, which retries failed deployments.
pub struct UpdateDeploymentJobStatus;

/// Most domains of a job, as in other batch calls.
const DOMAINS_MAX: usize = 50;
/// The permission to bind a certificate to a domain: needed in addition to the one to create jobs.
const PERMISSION: &str = "cdn:SetCdnDomainSSLCertificate";

/// The parameters.
pub struct CreateParams {
    name: String,
    certificates: Vec<CertificateId>,
    /// Domain ids.
    resources: Vec<i64>,
}

/// A domain of a job, and whether the caller may bind a certificate to it.
struct DeploymentTarget {
    id: i64,
    name: DomainPattern,
    allowed: bool,
}

/// The job.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Created {
    job_id: i64,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No name.
    #[error("give the job a name in Name")]
    NoName,
    /// The name is invalid.
    #[error(transparent)]
    Name(#[from] InvalidCertificateName),
    /// No job type.
    #[error("JobType is absent or empty; use {JOB_TYPE}")]
    NoKind,
    /// No such job type.
    #[error("JobType is {given:?}; use {JOB_TYPE}")]
    Kind {
        /// The value given.
        given: String,
    },
    /// No certificates.
    #[error("name the certificates in CertIds, by their numbers, separated by commas")]
    NoCertificates,
    /// Not certificate ids.
    #[error(
        "CertIds is {given:?}; it must be 1 to {CERTIFICATES_MAX} numbers, separated by commas"
    )]
    Certificates {
        /// The value given.
        given: String,
    },
    /// No resources.
    #[error("name the domains in ResourceIds, by the Id that ListCloudResources shows for them")]
    NoResources,
    /// Not domain ids.
    #[error("ResourceIds is {given:?}; it must be 1 to {DOMAINS_MAX} numbers, separated by commas")]
    Resources {
        /// The value given.
        given: String,
    },
    /// The job is scheduled for later.
    #[error("ScheduleTime is in the future, or not a time: a job runs at once; leave it out")]
    Schedule,
    /// There is no such certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// There is no such resource.
    #[error("your account has no domain with the number {id}")]
    NoResource {
        /// The id.
        id: i64,
    },
    /// There is no such job.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Not a status that a job can be set to.
    #[error("Status is {given:?}; use pending, which retries failed deployments")]
    Status {
        /// The value given.
        given: String,
    },
    /// The caller may not bind a certificate to any of the domains.
    #[error(transparent)]
    Unauthorized(#[from] Unauthorized),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for CreateDeploymentJob {
    type Params = CreateParams;
    type Reply = Created;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<CreateParams, Error> {
        let name = upload::parse_name(params.get_non_empty("Name").ok_or(Error::NoName)?)?;
        match params.get_non_empty("JobType").ok_or(Error::NoKind)? {
            JOB_TYPE => {}
            other => {
                let given = sanitize(other);
                return Err(Error::Kind { given });
            }
        }
        let given = params
            .get_non_empty("CertIds")
            .ok_or(Error::NoCertificates)?;
        let certificates = parse_ids(given, CERTIFICATES_MAX);
        let certificates = certificates.ok_or_else(|| Error::Certificates {
            given: sanitize(given),
        })?;
        let given = params
            .get_non_empty("ResourceIds")
            .ok_or(Error::NoResources)?;
        let resources = parse_ids(given, DOMAINS_MAX).ok_or_else(|| Error::Resources {
            given: sanitize(given),
        })?;
        Ok(CreateParams {
            name,
            certificates,
            resources,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        request: CreateParams,
    ) -> Result<Success<Created>, Error> {
        if let Some(given) = call.params().get_non_empty("ScheduleTime") {
            // Clients send 0 for immediately.
            let at: Option<i64> = given.trim().parse().ok();
            at.filter(|at| *at <= call.now().unix_ms())
                .ok_or(Error::Schedule)?;
        }
        let targets = domains(context, call, &request.resources).await?;
        let targets = with_permissions(context, call, targets).await?;
        let (request, targets) = (&request, &targets);
        let made = context
            .catalog
            .transact(&call.audit, |mut draft| async move {
                let certificates = stored(&mut draft, call, &request.certificates).await?;
                let id = draft.new_deployment_id().await?;
                let mut job = DeploymentRecord {
                    id,
                    name: request.name.clone(),
                    certificates: request.certificates.clone(),
                    domains: Vec::with_capacity(targets.len()),
                    created: call.now(),
                    changed: call.now(),
                    created_by: rate_limit::principal_key(call.principal()),
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
        let committed = made.await.map_err(from_change_error::<Error, Error>)?;
        let (job_id, warnings) = committed.value;
        let done = Success::changed_with(
            Created { job_id },
            committed.revision,
            Some(Environment::Production),
        );
        Ok(done.with_warnings(warnings))
    }
}

impl Operation for UpdateDeploymentJobStatus {
    type Params = i64;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<i64, Error> {
        let id = job_id(params)?;
        match params.get_non_empty("Status").unwrap_or_default() {
            "pending" | "scheduling" => Ok(id),
            other => Err(Error::Status {
                given: sanitize(other),
            }),
        }
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        id: i64,
    ) -> Result<Success<EmptyReply>, Error> {
        let account = call.account();
        let found = context.catalog.deployment(account, id).await;
        let job = found.map_err(StoreError::from)?;
        let job = job.ok_or(Error::Job(JobError::NotFound { id }))?;
        let failed = job.domains.iter().filter(|domain| domain.failure.is_some());
        let failed = failed.map(|domain| (domain.id, domain.name.clone()));
        let targets = &with_permissions(context, call, failed.collect()).await?;
        let tried = context
            .catalog
            .transact(&call.audit, |mut draft| async move {
                let Some(mut job) = draft.deployment(account, id).await? else {
                    return Err(ChangeError::Refused(JobError::NotFound { id }.into()));
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
        let committed = tried.await.map_err(from_change_error::<Error, Error>)?;
        let done = Success::served(committed.revision, Environment::Production);
        Ok(done.with_warnings(committed.value))
    }
}

/// The domains with these ids, in the order given.
async fn domains(
    context: &Context,
    call: &Authorized,
    resources: &[i64],
) -> Result<Vec<(i64, DomainPattern)>, Error> {
    let found = context
        .catalog
        .domains_where(
            call.account(),
            DomainFilter::of(DomainCondition::Id(resources.to_vec())),
            Pagination::of_page(1, DOMAINS_MAX),
        )
        .await
        .map_err(StoreError::from)?;
    let named = |id: &i64| {
        let mut items = found.items.iter();
        let found = items.find(|domain| domain.id == *id);
        let found = found.map(|domain| (*id, domain.name.clone()));
        found.ok_or(Error::NoResource { id: *id })
    };
    resources.iter().map(named).collect()
}

/// Determines for each domain whether the caller may bind a certificate to it. A caller that may
/// bind to none of them is refused.
async fn with_permissions(
    context: &Context,
    call: &Authorized,
    domains: Vec<(i64, DomainPattern)>,
) -> Result<Vec<DeploymentTarget>, Unauthorized> {
    let names = domains.iter().map(|(_, name)| name);
    let allowed = call
        .are_allowed_on_domains(context, PERMISSION, names)
        .await?;
    let domains = domains.into_iter().zip(allowed);
    let targets = domains.map(|((id, name), allowed)| DeploymentTarget { id, name, allowed });
    Ok(targets.collect())
}

async fn stored(
    draft: &mut Draft,
    call: &Authorized,
    ids: &[CertificateId],
) -> Result<Vec<CertificateRecord>, ChangeError<Error>> {
    let mut certificates = Vec::with_capacity(ids.len());
    for id in ids {
        let found = certificate_lookup::find_in_cas_for_change(draft, call.account(), *id);
        certificates.push(found.await?);
    }
    Ok(certificates)
}

/// Binds the first matching certificate to a domain. An error is the result for this domain, and
/// nothing is written for it.
async fn deploy(
    mut draft: Draft,
    context: &Context,
    call: &Authorized,
    certificates: &[CertificateRecord],
    &DeploymentTarget {
        id,
        ref name,
        allowed,
    }: &DeploymentTarget,
) -> Result<(Draft, DeployedDomain, Vec<Warning>), ChangeError<Error>> {
    let covers = |certificate: &&CertificateRecord| certificate.info.covers(name);
    let mut fitting = certificates.iter().filter(covers);
    let certificate = fitting.next().unwrap_or(&certificates[0]);
    let found = domain_lookup::find_in(&mut draft, call.account(), name).await;
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
        // Domains are selected by id: one that was deleted and added again has another id.
        Ok(found) if found.id != id => {
            domain.before = None;
            let failure = format!("your account has no domain with the number {id} any more");
            domain.failure = Some(failure);
            return Ok((draft, domain, Vec::new()));
        }
        Ok(_) => {}
        Err(DomainError::Store(error)) => return Err(ChangeError::Refused(error.into())),
        Err(error) => {
            domain.failure = error.detail();
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
        Err(ChangeError::Refused(error)) => {
            let detail = error.detail();
            domain.failure = Some(detail.unwrap_or_else(|| error.to_string()));
            Ok((unchanged, domain, Vec::new()))
        }
        Err(ChangeError::NonceUsed) => Err(ChangeError::NonceUsed),
        Err(ChangeError::Contended) => Err(ChangeError::Contended),
        Err(ChangeError::Fault(fault)) => Err(ChangeError::Fault(fault)),
    }
}

api_error!(Error {
    NoName => MissingName,
    Name(InvalidCertificateName),
    NoKind => MissingJobType,
    Kind => InvalidJobType,
    NoCertificates => MissingCertIds,
    Certificates => InvalidCertIds,
    NoResources => MissingResourceIds,
    Resources => InvalidResourceIds,
    Schedule => InvalidScheduleTime,
    Certificate(CertificateError),
    NoResource => ResourceNotFound,
    Job(JobError),
    Status => InvalidStatus,
    Unauthorized(Unauthorized),
    Store(StoreError),
});
