//! `DescribeDeploymentJob`, `DescribeDeploymentJobStatus` and `ListDeploymentJob`.

use std::collections::BTreeSet;

use edgeseal_core::AccountId;
use edgeseal_store::{
    Catalog,
    catalog::{Listing, Span},
    record::DeploymentRecord,
};
use serde::Serialize;

use super::{KIND, NoJob, Outcome, PRODUCT, StatusFilter, job_id, status_filter};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Operation, Trouble, shown},
    ops::{
        certificate_page::Names,
        paging::{BadPage, Page, Spelling},
    },
    request::Params,
};

/// The operation that shows one.
pub struct DescribeDeploymentJob;

/// The operation that counts how one ended.
pub struct DescribeDeploymentJobStatus;

/// The operation that lists all.
pub struct ListDeploymentJob;

/// A job. Times are milliseconds in text.
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

/// The one job.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Described {
    #[serde(flatten)]
    job: Job,
    /// Nobody is written to.
    cas_contacts: [(); 0],
}

/// How it ended, in numbers.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Counts {
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
    /// Nothing is sold.
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

/// What is looked for.
pub struct Search {
    page: Page,
    /// Whether jobs of this kind are here.
    here: bool,
    status: StatusFilter,
    /// Number of a certificate.
    certificate: Option<String>,
    /// The job's other name.
    instance: Option<String>,
}

/// A page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    current_page: usize,
    show_size: usize,
    total: usize,
    data: Vec<Job>,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] BadPage),
    /// No such status.
    #[error("Status is {given:?}; use editing, pending, scheduling, processing, error or success")]
    Status {
        /// What was given.
        given: String,
    },
    /// No such kind.
    #[error("JobType is {given:?}; use user, cloud or trustee")]
    Kind {
        /// What was given.
        given: String,
    },
    /// The store failed.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for DescribeDeploymentJob {
    type Params = i64;
    type Reply = Described;
    type Error = NoJob;

    const CODES: &'static [Code] = &[Code::MissingJobId, Code::InvalidJobId, Code::JobNotFound];

    fn parse(params: &Params) -> Result<i64, NoJob> {
        job_id(params)
    }

    async fn run(context: &Context, call: &Authorized, id: i64) -> Result<Done<Described>, NoJob> {
        let record = find(&context.catalog, call.account(), id).await?;
        let mut names = Names::of_page(record.certificates.len());
        let job = Job::of(&context.catalog, call.account(), record, &mut names).await?;
        Ok(Done::read(Described {
            job,
            cas_contacts: [],
        }))
    }
}

impl Operation for DescribeDeploymentJobStatus {
    type Params = i64;
    type Reply = Counts;
    type Error = NoJob;

    const CODES: &'static [Code] = &[Code::MissingJobId, Code::InvalidJobId, Code::JobNotFound];

    fn parse(params: &Params) -> Result<i64, NoJob> {
        job_id(params)
    }

    async fn run(context: &Context, call: &Authorized, id: i64) -> Result<Done<Counts>, NoJob> {
        let job = find(&context.catalog, call.account(), id).await?;
        let count = job.domains.len();
        let failed = job.domains.iter().filter(|domain| domain.failure.is_some());
        let failed_count = failed.count();
        Ok(Done::read(Counts {
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
            ..Counts::default()
        }))
    }
}

impl Operation for ListDeploymentJob {
    type Params = Search;
    type Reply = Listed;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::InvalidCurrentPage,
        Code::InvalidShowSize,
        Code::InvalidJobType,
        Code::InvalidStatus,
    ];

    fn parse(params: &Params) -> Result<Search, Error> {
        let here = match params.given("JobType").unwrap_or(KIND) {
            KIND => true,
            // Jobs that the cloud makes by itself.
            "cloud" | "trustee" => false,
            other => {
                let given = shown(other);
                return Err(Error::Kind { given });
            }
        };
        Ok(Search {
            page: Page::spelt(Spelling::Show, params, 50, 100)?,
            here,
            status: status_filter(params).map_err(|given| Error::Status { given })?,
            certificate: params.given("CertId").map(|id| id.trim().to_owned()),
            instance: params.given("InstanceId").map(str::to_owned),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: Search,
    ) -> Result<Done<Listed>, Error> {
        let (catalog, account, page) = (&context.catalog, call.account(), search.page);
        let span = Span::of_page(page.number, page.size);
        let found = match search {
            Search { here: false, .. } => Ok(Listing::default()),
            search if search.finds_all() => catalog.deployments(account, span).await,
            search => {
                let wanted = move |job: &DeploymentRecord| search.finds(job);
                catalog.deployments_where(account, wanted, span).await
            }
        };
        let Listing { items, total } = found.map_err(Trouble::from)?;
        let mut names = Names::of_page(items.iter().map(|job| job.certificates.len()).sum());
        let mut data = Vec::with_capacity(items.len());
        for job in items {
            data.push(Job::of(catalog, account, job, &mut names).await?);
        }
        Ok(Done::read(Listed {
            current_page: page.number,
            show_size: page.size,
            total,
            data,
        }))
    }
}

/// The account's job of this number.
pub(super) async fn find(
    catalog: &Catalog,
    account: &AccountId,
    id: i64,
) -> Result<DeploymentRecord, NoJob> {
    let found = catalog.deployment(account, id).await;
    let found = found.map_err(Trouble::from)?;
    found.ok_or(NoJob::NotFound { id })
}

impl Search {
    /// Whether it looks for no jobs in particular.
    fn finds_all(&self) -> bool {
        let nothing = self.certificate.is_none() && self.instance.is_none();
        nothing && self.status == StatusFilter::All
    }

    fn finds(&self, job: &DeploymentRecord) -> bool {
        let has = |wanted: &String| job.certificates.iter().any(|id| id.to_string() == *wanted);
        self.status.matches(Outcome::of_job(job))
            && self.certificate.as_ref().is_none_or(has)
            && self
                .instance
                .as_ref()
                .is_none_or(|instance| *instance == instance_of(job))
    }
}

fn instance_of(job: &DeploymentRecord) -> String {
    format!("cas-job-user-{}", job.id)
}

impl Job {
    async fn of(
        catalog: &Catalog,
        account: &AccountId,
        job: DeploymentRecord,
        names: &mut Names,
    ) -> Result<Self, Trouble> {
        let mut domains = BTreeSet::new();
        for id in &job.certificates {
            // One that was removed since is left out.
            if let Some(certificate) = catalog.certificate(*id).await? {
                domains.insert(names.next(&certificate.facts));
            }
        }
        let domains: Vec<String> = domains.into_iter().collect();
        let changed = job.changed.unix_ms().to_string();
        Ok(Self {
            id: job.id,
            job_type: KIND,
            status: Outcome::of_job(&job).word(),
            product_name: PRODUCT,
            instance_id: instance_of(&job),
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

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Page(why) => why.code(),
            Self::Status { .. } => Code::InvalidStatus,
            Self::Kind { .. } => Code::InvalidJobType,
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
