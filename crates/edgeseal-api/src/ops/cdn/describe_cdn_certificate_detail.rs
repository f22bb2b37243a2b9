//! `DescribeCdnCertificateDetail` and `DescribeCdnCertificateDetailById`: one certificate with its
//! PEM, by name or by id.

use edgeseal_core::certificate::CertificateId;
use edgeseal_store::{Catalog, record::CertificateRecord};
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
    ops::{
        certificate_lookup::{self, CertificateError, CertificateParam},
        certificate_view::public_pem,
        region,
    },
    sanitize::sanitize,
};

/// `DescribeCdnCertificateDetail`: by name.
pub struct DescribeCdnCertificateDetail;

/// `DescribeCdnCertificateDetailById`: by id.
pub struct DescribeCdnCertificateDetailById;

/// The certificate.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    cert_id: CertificateId,
    cert_name: String,
    cert: String,
    /// Never returned.
    key: &'static str,
}

impl Operation for DescribeCdnCertificateDetail {
    type Params = String;
    type Reply = Reply;
    type Error = CertificateError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<String, CertificateError> {
        certificate_lookup::parse_name(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: String,
    ) -> Result<Success<Reply>, CertificateError> {
        let catalog = &context.catalog;
        let found = catalog.certificate_by_name(call.account(), &name).await;
        let certificate =
            found
                .map_err(StoreError::from)?
                .ok_or_else(|| CertificateError::NotFound {
                    which: format!("named {:?}", sanitize(&name)),
                })?;
        Ok(Success::read(Reply::of(catalog, certificate).await?))
    }
}

impl Operation for DescribeCdnCertificateDetailById {
    type Params = (CertificateId, String);
    type Reply = Reply;
    type Error = CertificateError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(CertificateId, String), CertificateError> {
        let id = certificate_lookup::parse_id(params, CertificateParam::CertId)?;
        let region = params
            .get_non_empty("CertRegion")
            .unwrap_or(region::DEFAULT);
        if !region::REGIONS.contains(&region) {
            return Err(CertificateError::Region {
                given: sanitize(region),
            });
        }
        Ok((id, region.to_owned()))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (id, region): (CertificateId, String),
    ) -> Result<Success<Reply>, CertificateError> {
        let catalog = &context.catalog;
        let found = certificate_lookup::find(catalog, call.account(), id).await?;
        let certificate = found
            .filter(|found| found.region == region)
            .ok_or_else(|| CertificateError::NotFound {
                which: format!("with CertId {id} in region {region}"),
            })?;
        Ok(Success::read(Reply::of(catalog, certificate).await?))
    }
}

impl Reply {
    async fn of(catalog: &Catalog, certificate: CertificateRecord) -> Result<Self, StoreError> {
        Ok(Self {
            cert: public_pem(catalog, &certificate).await?,
            cert_id: certificate.id,
            cert_name: certificate.name,
            key: "",
        })
    }
}
