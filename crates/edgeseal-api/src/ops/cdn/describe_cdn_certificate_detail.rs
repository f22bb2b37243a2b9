//! `DescribeCdnCertificateDetail` and `DescribeCdnCertificateDetailById`: one certificate with its
//! text, by name or by number.

use edgeseal_core::certificate::CertificateId;
use edgeseal_store::{Catalog, record::CertificateRecord};
use serde::Serialize;

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble, shown},
    ops::{
        issued::public_pem,
        named_certificate::{self, By, NoCertificate},
        region,
    },
    request::Params,
};

/// The operation that takes a name.
pub struct DescribeCdnCertificateDetail;

/// The operation that takes a number.
pub struct DescribeCdnCertificateDetailById;

/// The certificate.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    cert_id: CertificateId,
    cert_name: String,
    cert: String,
    /// Never shown.
    key: &'static str,
}

impl Operation for DescribeCdnCertificateDetail {
    type Params = String;
    type Reply = Reply;
    type Error = NoCertificate;

    const CODES: &'static [Code] = &[Code::MissingCertName, Code::NoSuchCertificate];

    fn parse(params: &Params) -> Result<String, NoCertificate> {
        named_certificate::name(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: String,
    ) -> Result<Done<Reply>, NoCertificate> {
        let catalog = &context.catalog;
        let found = catalog.certificate_named(call.account(), &name).await;
        let certificate = found
            .map_err(Trouble::from)?
            .ok_or_else(|| NoCertificate::NotFound {
                which: format!("named {:?}", shown(&name)),
            })?;
        Ok(Done::read(Reply::of(catalog, certificate).await?))
    }
}

impl Operation for DescribeCdnCertificateDetailById {
    type Params = (CertificateId, String);
    type Reply = Reply;
    type Error = NoCertificate;

    const CODES: &'static [Code] = &[
        Code::MissingCertId,
        Code::InvalidCertId,
        Code::InvalidCertRegionParameter,
        Code::NoSuchCertificate,
    ];

    fn parse(params: &Params) -> Result<(CertificateId, String), NoCertificate> {
        let id = named_certificate::number(params, By::CertId)?;
        let region = params.given("CertRegion").unwrap_or(region::HOME);
        if !region::REGIONS.contains(&region) {
            return Err(NoCertificate::Region {
                given: shown(region),
            });
        }
        Ok((id, region.to_owned()))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (id, region): (CertificateId, String),
    ) -> Result<Done<Reply>, NoCertificate> {
        let catalog = &context.catalog;
        let found = named_certificate::find(catalog, call.account(), id).await?;
        let certificate = found
            .filter(|found| found.region == region)
            .ok_or_else(|| NoCertificate::NotFound {
                which: format!("with CertId {id} in region {region}"),
            })?;
        Ok(Done::read(Reply::of(catalog, certificate).await?))
    }
}

impl Reply {
    async fn of(catalog: &Catalog, certificate: CertificateRecord) -> Result<Self, Trouble> {
        Ok(Self {
            cert: public_pem(catalog, &certificate).await?,
            cert_id: certificate.id,
            cert_name: certificate.name,
            key: "",
        })
    }
}
