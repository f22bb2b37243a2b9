//! `DescribeUserCertificateDetail` of 2018: one certificate with its text.

use edgeseal_core::certificate::CertificateId;
use serde::Serialize;

use super::describe_user_certificate_list::Row;
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble},
    ops::{
        issued::{names, public_pem},
        named_certificate::{self, By, NoCertificate},
    },
    request::Params,
};

/// The operation.
pub struct DescribeUserCertificateDetail;

/// The certificate.
#[derive(Serialize)]
pub struct Reply {
    #[serde(flatten)]
    row: Row,
    cert: String,
    /// Never shown.
    key: &'static str,
}

impl Operation for DescribeUserCertificateDetail {
    type Params = CertificateId;
    type Reply = Reply;
    type Error = NoCertificate;

    const CODES: &'static [Code] = &[
        Code::MissingCertId,
        Code::InvalidCertId,
        Code::NotInCertificateCentre,
    ];

    fn parse(params: &Params) -> Result<CertificateId, NoCertificate> {
        named_certificate::number(params, By::CertId)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        id: CertificateId,
    ) -> Result<Done<Reply>, NoCertificate> {
        let catalog = &context.catalog;
        let certificate = named_certificate::in_centre(catalog, call.account(), id).await?;
        let cert = public_pem(catalog, &certificate).await;
        let names = names(&certificate.facts);
        Ok(Done::read(Reply {
            cert: cert.map_err(Trouble::from)?,
            row: Row::of(certificate, names, call.now()),
            key: "",
        }))
    }
}
