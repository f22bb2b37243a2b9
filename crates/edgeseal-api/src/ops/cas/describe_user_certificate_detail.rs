//! `DescribeUserCertificateDetail` of 2018: one certificate with its text.

use edgeseal_core::certificate::CertificateId;
use serde::Serialize;

use super::describe_user_certificate_list::Row;
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
    ops::{
        certificate_lookup::{self, CertificateError, CertificateParam},
        certificate_view::{names, public_pem},
    },
};

/// `DescribeUserCertificateDetail`.
pub struct DescribeUserCertificateDetail;

/// The certificate.
#[derive(Serialize)]
pub struct Reply {
    #[serde(flatten)]
    row: Row,
    cert: String,
    /// Always empty: the key is never returned.
    key: &'static str,
}

impl Operation for DescribeUserCertificateDetail {
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
        let certificate = certificate_lookup::find_in_cas(catalog, call.account(), id).await?;
        let cert = public_pem(catalog, &certificate).await;
        let names = names(&certificate.info);
        Ok(Success::read(Reply {
            cert: cert.map_err(StoreError::from)?,
            row: Row::of(certificate, names, call.now()),
            key: "",
        }))
    }
}
