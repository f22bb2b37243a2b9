//! `ListWorkerResource`: the result of a job for each of its domains.

use edgeseal_store::record::{CertificateRecord, DeployedDomain, DeploymentRecord};
use serde::Serialize;

use super::{
    InvalidStatus, JobError, JobOutcome, PRODUCT, PROVIDER, StatusFilter, job_id, jobs,
    status_filter,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::{
        cas::instance_id,
        certificate_view::names,
        paging::{InvalidPage, Page, PageParamNames},
        region,
    },
};

/// `ListWorkerResource`.
pub struct ListWorkerResource;

/// The parameters.
pub struct Params {
    job: i64,
    page: Page,
    status: StatusFilter,
    product: Option<String>,
}

/// A page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    current_page: usize,
    show_size: usize,
    total: usize,
    data: Vec<Worker>,
}

/// The result of a job for one domain. Times are milliseconds as strings.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Worker {
    id: i64,
    job_id: i64,
    status: &'static str,
    /// An addition of Edgeseal: why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    resource_id: i64,
    resource_domain: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_cert_id: Option<i64>,
    cert_id: i64,
    cert_name: String,
    cert_domain: String,
    cert_instance_id: String,
    cloud_name: &'static str,
    cloud_product: &'static str,
    region_id: &'static str,
    instance_id: String,
    default_resource: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<i64>,
    gmt_create: String,
    gmt_modified: String,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such job.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Out of range.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// No such status.
    #[error(transparent)]
    Status(#[from] InvalidStatus),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for ListWorkerResource {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        Ok(Params {
            job: job_id(params)?,
            page: Page::parse_with(PageParamNames::CurrentShow, params, 50, 100)?,
            status: status_filter(params)?,
            product: params.get_non_empty("CloudProduct").map(str::to_owned),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        search: Params,
    ) -> Result<Success<Reply>, Error> {
        let job = jobs::find(&context.catalog, call.account(), search.job).await?;
        let product = search.product.as_deref().unwrap_or(PRODUCT);
        let is_wanted = |(_, domain): &(usize, &DeployedDomain)| {
            product == PRODUCT && search.status.matches(JobOutcome::of(domain))
        };
        let found: Vec<_> = job.domains.iter().enumerate().filter(is_wanted).collect();
        let total = found.len();
        let mut data = Vec::new();
        for (index, domain) in search.page.of(found) {
            let certificate = context.catalog.certificate(domain.certificate).await;
            let certificate = certificate.map_err(StoreError::from)?;
            data.push(Worker::of(call, &job, (index, domain), certificate));
        }
        Ok(Success::read(Reply {
            current_page: search.page.number,
            show_size: search.page.size,
            total,
            data,
        }))
    }
}

impl Worker {
    fn of(
        call: &Authorized,
        job: &DeploymentRecord,
        (index, domain): (usize, &DeployedDomain),
        certificate: Option<CertificateRecord>,
    ) -> Self {
        // A certificate deleted since then has no name.
        let (cert_name, cert_domain) = certificate.map_or_else(Default::default, |certificate| {
            let domains = names(&certificate.info);
            (certificate.name, domains)
        });
        let name = domain.name.to_string();
        Self {
            id: job.id * 100 + i64::try_from(index).unwrap_or_default(),
            job_id: job.id,
            status: JobOutcome::of(domain).wire_name(),
            detail: domain.failure.clone(),
            resource_id: domain.id,
            instance_id: name.clone(),
            resource_domain: name,
            resource_cert_id: domain.before,
            cert_id: domain.certificate,
            cert_name,
            cert_domain,
            cert_instance_id: instance_id(domain.certificate),
            cloud_name: PROVIDER,
            cloud_product: PRODUCT,
            region_id: region::DEFAULT,
            default_resource: false,
            user_id: call.account().as_str().parse().ok(),
            gmt_create: job.created.unix_ms().to_string(),
            gmt_modified: job.changed.unix_ms().to_string(),
        }
    }
}

api_error!(Error {
    Job(JobError),
    Page(InvalidPage),
    Status(InvalidStatus),
    Store(StoreError),
});
