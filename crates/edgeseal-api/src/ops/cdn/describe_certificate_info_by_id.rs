//! `DescribeCertificateInfoByID`: a certificate, and the domains that it serves.

use edgeseal_core::{
    Timestamp,
    certificate::CertificateId,
    domain::{Binding, Domain},
};
use edgeseal_store::{Catalog, Fault, record::CertificateRecord};
use serde::Serialize;

use super::wire_names::WireName as _;
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
    ops::{
        certificate_lookup::{self, CertificateError, CertificateParam},
        certificate_view::{date_time, public_pem},
    },
};

/// `DescribeCertificateInfoByID`.
pub struct DescribeCertificateInfoById;

/// Most domains in a response.
const DOMAINS_MAX: usize = 1000;
/// Most domains that are scanned for a response: some have the certificate bound with HTTPS
/// disabled.
const SCANNED_MAX: usize = 5000;

/// The certificate.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    cert_infos: CertInfos,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CertInfos {
    cert_info: [CertInfo; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CertInfo {
    cert_id: String,
    cert_name: String,
    cert_type: &'static str,
    create_time: String,
    cert_expire_time: String,
    /// A JSON list in a string.
    domain_list: String,
    https_crt: String,
}

impl Operation for DescribeCertificateInfoById {
    type Params = CertificateId;
    type Reply = Reply;
    type Error = CertificateError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<CertificateId, CertificateError> {
        certificate_lookup::parse_id(params, CertificateParam::CertId)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        id: CertificateId,
    ) -> Result<Success<Reply>, CertificateError> {
        let catalog = &context.catalog;
        let missing = || CertificateError::NotFound {
            which: format!("with CertId {id} in use for HTTPS"),
        };
        // A certificate that was deleted while bound is still served, so it is shown here.
        let found = catalog.certificate(id).await.map_err(StoreError::from)?;
        let own = found.filter(|found| found.account == *call.account());
        let certificate = own.ok_or_else(missing)?;
        let domains = served_on(catalog, id).await.map_err(StoreError::from)?;
        if domains.is_empty() {
            return Err(missing());
        }
        let info = CertInfo::of(catalog, certificate, &domains).await;
        Ok(Success::read(Reply {
            cert_infos: CertInfos {
                cert_info: [info.map_err(StoreError::from)?],
            },
        }))
    }
}

/// Names of the domains that use it on the production edges.
async fn served_on(catalog: &Catalog, id: CertificateId) -> Result<Vec<String>, Fault> {
    let serves = |domain: &Domain| {
        let on = domain.production.iter().filter(|binding| binding.enabled);
        on.flat_map(Binding::certificates)
            .any(|(bound, _)| bound == id)
    };
    let users = catalog.domains_using_certificate(id, SCANNED_MAX).await?;
    let serving = users.iter().filter(|domain| serves(domain));
    let names = serving.map(|domain| domain.name.to_string());
    Ok(names.take(DOMAINS_MAX).collect())
}

impl CertInfo {
    async fn of(
        catalog: &Catalog,
        certificate: CertificateRecord,
        domains: &[String],
    ) -> Result<Self, Fault> {
        let domain_list =
            serde_json::to_string(domains).map_err(Fault::of("encode a list of names"))?;
        Ok(Self {
            https_crt: public_pem(catalog, &certificate).await?,
            cert_id: certificate.id.to_string(),
            cert_name: certificate.name,
            cert_type: certificate.source.wire_name(),
            create_time: go_time(certificate.created),
            cert_expire_time: go_time(certificate.info.not_after),
            domain_list,
        })
    }
}

/// `2098-02-08 08:02:07 +0000 UTC`.
fn go_time(at: Timestamp) -> String {
    format!("{} +0000 UTC", date_time(at))
}
