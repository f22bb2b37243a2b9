//! Deployments in CAS: one call binds certificates to many domains, and reports the result for
//! each. The cloud deploys to many products; here the edge is the only one, and its domains are the
//! resources.
//!
//! A job runs while it is created: every later read sees its result.

mod contacts;
mod create;
mod delete;
mod jobs;
mod resources;
mod workers;

pub use contacts::ListContact;
pub use create::{CreateDeploymentJob, UpdateDeploymentJobStatus};
pub use delete::DeleteDeploymentJob;
pub use jobs::{DescribeDeploymentJob, DescribeDeploymentJobStatus, ListDeploymentJob};
pub use resources::ListCloudResources;
pub use workers::ListWorkerResource;

use edgeseal_core::{AccountId, certificate::CertificateId};
use edgeseal_store::{
    Catalog,
    record::{DeployedDomain, DeploymentRecord},
};

use crate::{
    error::{StoreError, api_error},
    request::ParamMap,
    sanitize::sanitize,
};

/// The action that creates a job.
pub(crate) const CREATE: &str = "CreateDeploymentJob";
/// CAS's name of the product whose resources are domains.
const PRODUCT: &str = "CDN";
/// CAS's name of the provider.
const PROVIDER: &str = "aliyun";
/// The type of jobs that callers create.
const JOB_TYPE: &str = "user";
/// Most certificates of a job.
const CERTIFICATES_MAX: usize = 20;

/// Why a job is not found.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// No id.
    #[error("name the job in JobId")]
    Missing,
    /// Not an id.
    #[error("JobId is {given:?}; it must be a positive number")]
    Malformed {
        /// The value given.
        given: String,
    },
    /// No such job in the account.
    #[error("your account has no deployment job {id}; jobs are shown for 30 days")]
    NotFound {
        /// Its id.
        id: i64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of a job or of a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JobOutcome {
    Success,
    Error,
}

/// Valid statuses that no job here has.
const UNUSED_STATUSES: [&str; 4] = ["editing", "pending", "scheduling", "processing"];

/// The jobs or parts to return; `None` for all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StatusFilter {
    All,
    Of(JobOutcome),
    None,
}

/// `JobId`.
fn job_id(params: &ParamMap) -> Result<i64, JobError> {
    let given = params
        .get_non_empty("JobId")
        .ok_or(JobError::Missing)?
        .trim();
    let id = given.parse().ok().filter(|id| *id > 0);
    id.ok_or_else(|| JobError::Malformed {
        given: sanitize(given),
    })
}

/// The certificates named by a call of [`CREATE`]; none if the parameter is invalid.
pub(crate) fn certificates_wanted(params: &ParamMap) -> Vec<CertificateId> {
    let given = params.get_non_empty("CertIds");
    let numbers = given.and_then(|given| parse_ids(given, CERTIFICATES_MAX));
    numbers.unwrap_or_default()
}

/// The certificates of the account's job that `JobId` names; none if there is no such job.
///
/// # Errors
/// The store failed.
pub(crate) async fn certificates_of_job(
    catalog: &Catalog,
    account: &AccountId,
    params: &ParamMap,
) -> Result<Vec<CertificateId>, StoreError> {
    let Ok(id) = job_id(params) else {
        return Ok(Vec::new());
    };
    let job = catalog.deployment(account, id).await?;
    Ok(job.map(|job| job.certificates).unwrap_or_default())
}

/// Distinct positive numbers separated by commas, one to `max` of them.
fn parse_ids(given: &str, max: usize) -> Option<Vec<i64>> {
    let mut numbers = Vec::new();
    for part in given.split(',') {
        let number = part
            .trim()
            .parse()
            .ok()
            .filter(|number: &i64| *number > 0)?;
        if !numbers.contains(&number) {
            numbers.push(number);
        }
        if numbers.len() > max {
            return None;
        }
    }
    Some(numbers)
}

/// No such status.
#[derive(Debug, thiserror::Error)]
#[error("Status is {given:?}; use editing, pending, scheduling, processing, error or success")]
pub struct InvalidStatus {
    given: String,
}

api_error!(InvalidStatus => InvalidStatus);

/// Reads `Status` as a filter.
fn status_filter(params: &ParamMap) -> Result<StatusFilter, InvalidStatus> {
    let Some(given) = params.get_non_empty("Status") else {
        return Ok(StatusFilter::All);
    };
    match given {
        "success" => Ok(StatusFilter::Of(JobOutcome::Success)),
        "error" => Ok(StatusFilter::Of(JobOutcome::Error)),
        other if UNUSED_STATUSES.contains(&other) => Ok(StatusFilter::None),
        other => Err(InvalidStatus {
            given: sanitize(other),
        }),
    }
}

impl StatusFilter {
    fn matches(self, outcome: JobOutcome) -> bool {
        match self {
            Self::All => true,
            Self::Of(status) => status == outcome,
            Self::None => false,
        }
    }
}

impl JobOutcome {
    fn of_job(job: &DeploymentRecord) -> Self {
        let failed = job.domains.iter().any(|domain| domain.failure.is_some());
        if failed { Self::Error } else { Self::Success }
    }

    const fn of(domain: &DeployedDomain) -> Self {
        match domain.failure {
            Some(_) => Self::Error,
            None => Self::Success,
        }
    }

    const fn wire_name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
        }
    }
}

api_error!(JobError {
    Missing => MissingJobId,
    Malformed => InvalidJobId,
    NotFound => JobNotFound,
    Store(StoreError),
});

#[cfg(test)]
mod tests;
