//! `DescribeDeploymentJob`, `DescribeDeploymentJobStatus` and `ListDeploymentJob`.

use std::collections::BTreeSet;

use edgeseal_core::AccountId;
use edgeseal_store::{Catalog, Listing, catalog::Pagination, record::DeploymentRecord};
use serde::Serialize;

use super::{
    InvalidStatus, JOB_TYPE, JobError, JobOutcome, PRODUCT, StatusFilter, job_id, status_filter,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::{
        certificate_page::NameBudget,
        paging::{InvalidPage, Page, PageParamNames},
    },
    sanitize::sanitize,
};

/// `DescribeDeploymentJob`.
pub struct DescribeDeploymentJob;

/// `DescribeDeploymentJobStatus`.
pub struct DescribeDeploymentJobStatus;

/// `ListDeploymentJob`.
pub struct ListDeploymentJob;

/// A job. Times are milliseconds as strings.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Job {
    id: i64,
    name: String,
    job_type: &'static str,
    status: &'static str,
    product_name: &'static str,
    instance_id: String,
    cert_type: &'static str,
    cert_domain: String,
    user_id: Option<i64>,
    gmt_create: String,
    gmt_modified: String,
    start_time: String,
    end_time: String,
    rollback: i32,
    del: i32,
}

/// The job.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeReply {
    #[serde(flatten)]
    job: Job,
    /// Always empty: nobody is notified.
    cas_contacts: [(); 0],
}

/// Counts by result.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StatusReply {
    cert_count: usize,
    resource_count: usize,
    worker_count: usize,
    match_worker_count: usize,
    success_count: usize,
    failed_count: usize,
    rollback_count: usize,
    rollback_success_count: usize,
    rollback_failed_count: usize,
    product_worker_count: Vec<OfProduct>,
    /// Always 0: nothing is sold here.
    buy_count: usize,
    use_count: usize,
    cost_count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OfProduct {
    product_name: &'static str,
    count: usize,
}

/// The parameters.
pub struct ListParams {
    page: Page,
    /// Whether jobs of the requested type exist here.
    any_match: bool,
    status: StatusFilter,
    /// The id of a certificate in the job.
    certificate: Option<String>,
    /// The instance id of the job.
    instance: Option<String>,
}

/// A page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListReply {
    current_page: usize,
    show_size: usize,
    total: usize,
    data: Vec<Job>,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// No such status.
    #[error(transparent)]
    Status(#[from] InvalidStatus),
    /// No such type.
    #[error("JobType is {given:?}; use user, cloud or trustee")]
    Kind {
        /// The value given.
        given: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for DescribeDeploymentJob {
    type Params = i64;
    type Reply = DescribeReply;
    type Error = JobError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<i64, JobError> {
        job_id(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        id: i64,
    ) -> Result<Success<DescribeReply>, JobError> {
        let record = find(&context.catalog, call.account(), id).await?;
        let mut names = NameBudget::for_rows(record.certificates.len());
        let job = Job::of(&context.catalog, call.account(), record, &mut names).await?;
        Ok(Success::read(DescribeReply {
            job,
            cas_contacts: [],
        }))
    }
}

impl Operation for DescribeDeploymentJobStatus {
    type Params = i64;
    type Reply = StatusReply;
    type Error = JobError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<i64, JobError> {
        job_id(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        id: i64,
    ) -> Result<Success<StatusReply>, JobError> {
        let job = find(&context.catalog, call.account(), id).await?;
        let count = job.domains.len();
        let failed = job.domains.iter().filter(|domain| domain.failure.is_some());
        let failed_count = failed.count();
        Ok(Success::read(StatusReply {
            cert_count: job.certificates.len(),
            resource_count: count,
            worker_count: count,
            match_worker_count: count,
            success_count: count - failed_count,
            failed_count,
            product_worker_count: vec![OfProduct {
                product_name: PRODUCT,
                count,
            }],
            ..StatusReply::default()
        }))
    }
}

impl Operation for ListDeploymentJob {
    type Params = ListParams;
    type Reply = ListReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<ListParams, Error> {
        let here = match params.get_non_empty("JobType").unwrap_or(JOB_TYPE) {
            JOB_TYPE => true,
            // The types of jobs that the cloud creates itself.
            "cloud" | "trustee" => false,
            other => {
                let given = sanitize(other);
                return Err(Error::Kind { given });
            }
        };
        Ok(ListParams {
            page: Page::parse_with(PageParamNames::CurrentShow, params, 50, 100)?,
            any_match: here,
            status: status_filter(params)?,
            certificate: params
                .get_non_empty("CertId")
                .map(|id| id.trim().to_owned()),
            instance: params.get_non_empty("InstanceId").map(str::to_owned),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: ListParams,
    ) -> Result<Success<ListReply>, Error> {
        let (catalog, account, page) = (&context.catalog, call.account(), search.page);
        let span = Pagination::of_page(page.number, page.size);
        let found = match search {
            ListParams {
                any_match: false, ..
            } => Ok(Listing::default()),
            search if search.finds_all() => catalog.deployments(account, span).await,
            search => {
                let wanted = move |job: &DeploymentRecord| search.matches(job);
                catalog.deployments_where(account, wanted, span).await
            }
        };
        let Listing { items, total } = found.map_err(StoreError::from)?;
        let mut names = NameBudget::for_rows(items.iter().map(|job| job.certificates.len()).sum());
        let mut data = Vec::with_capacity(items.len());
        for job in items {
            data.push(Job::of(catalog, account, job, &mut names).await?);
        }
        Ok(Success::read(ListReply {
            current_page: page.number,
            show_size: page.size,
            total,
            data,
        }))
    }
}

/// The account's job of this id.
pub(super) async fn find(
    catalog: &Catalog,
    account: &AccountId,
    id: i64,
) -> Result<DeploymentRecord, JobError> {
    let found = catalog.deployment(account, id).await;
    let found = found.map_err(StoreError::from)?;
    found.ok_or(JobError::NotFound { id })
}

impl ListParams {
    /// Whether the filter matches all jobs.
    fn finds_all(&self) -> bool {
        let nothing = self.certificate.is_none() && self.instance.is_none();
        nothing && self.status == StatusFilter::All
    }

    fn matches(&self, job: &DeploymentRecord) -> bool {
        let has = |wanted: &String| job.certificates.iter().any(|id| id.to_string() == *wanted);
        self.status.matches(JobOutcome::of_job(job))
            && self.certificate.as_ref().is_none_or(has)
            && self
                .instance
                .as_ref()
                .is_none_or(|instance| *instance == job_instance_id(job))
    }
}

fn job_instance_id(job: &DeploymentRecord) -> String {
    format!("cas-job-user-{}", job.id)
}

impl Job {
    async fn of(
        catalog: &Catalog,
        account: &AccountId,
        job: DeploymentRecord,
        names: &mut NameBudget,
    ) -> Result<Self, StoreError> {
        let mut domains = BTreeSet::new();
        for id in &job.certificates {
            // Certificates deleted since then are skipped.
            if let Some(certificate) = catalog.certificate(*id).await? {
                domains.insert(names.take_names(&certificate.info));
            }
        }
        let domains: Vec<String> = domains.into_iter().collect();
        let changed = job.changed.unix_ms().to_string();
        Ok(Self {
            id: job.id,
            job_type: JOB_TYPE,
            status: JobOutcome::of_job(&job).wire_name(),
            product_name: PRODUCT,
            instance_id: job_instance_id(&job),
            cert_type: "upload",
            cert_domain: domains.join(","),
            user_id: account.as_str().parse().ok(),
            gmt_create: job.created.unix_ms().to_string(),
            gmt_modified: changed.clone(),
            start_time: changed.clone(),
            end_time: changed,
            rollback: 0,
            del: 0,
            name: job.name,
        })
    }
}

api_error!(Error {
    Page(InvalidPage),
    Status(InvalidStatus),
    Kind => InvalidJobType,
    Store(StoreError),
});
