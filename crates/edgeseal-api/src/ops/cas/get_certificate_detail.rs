//! `GetCertificateDetail`: one certificate, as CAS's newer actions represent it, without PEM.

use edgeseal_core::{
    Timestamp,
    certificate::{CertificateId, CertificateInfo},
};
use edgeseal_store::{Catalog, Fault, record::CertificateRecord};
use serde::Serialize;

use super::{algorithm, get_user_certificate_detail::days_left, identifier, instance_id};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
    ops::{
        certificate_lookup::{self, CertificateError, CertificateParam},
        certificate_view::{CertificateStatus, chain_facts},
    },
};

/// `GetCertificateDetail`.
pub struct GetCertificateDetail;

/// The certificate.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    certificate_id: CertificateId,
    certificate_chain_list: Vec<Link>,
    #[serde(flatten)]
    shown: CertificateView,
}

/// The members that lists contain as well.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CertificateView {
    certificate_name: String,
    cert_identifier: String,
    certificate_source: &'static str,
    certificate_status: &'static str,
    common_name: String,
    domain: String,
    subject_alternative_names: Vec<String>,
    issuer: String,
    not_before: i64,
    not_after: i64,
    serial: String,
    finger_print: String,
    algorithm: &'static str,
    key_size: u32,
    exist_private_key: bool,
    instance_id: String,
    using_product_list: Vec<&'static str>,
}

/// One certificate of the chain, the leaf first.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Link {
    subject: String,
    issuer: String,
    not_before: i64,
    not_after: i64,
    remain_day: i64,
}

impl Operation for GetCertificateDetail {
    type Params = CertificateId;
    type Reply = Reply;
    type Error = CertificateError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<CertificateId, CertificateError> {
        certificate_lookup::parse_id(params, CertificateParam::CertificateId)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        id: CertificateId,
    ) -> Result<Success<Reply>, CertificateError> {
        let catalog = &context.catalog;
        let certificate = certificate_lookup::find_in_cas(catalog, call.account(), id).await?;
        let reply = Reply::of(catalog, &certificate, call.now()).await;
        Ok(Success::read(reply.map_err(StoreError::from)?))
    }
}

impl Reply {
    async fn of(
        catalog: &Catalog,
        certificate: &CertificateRecord,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let chain = chain_facts(catalog, certificate).await?;
        Ok(Self {
            certificate_id: certificate.id,
            certificate_chain_list: chain.iter().map(|facts| Link::of(facts, now)).collect(),
            shown: CertificateView::of(catalog, certificate, now).await?,
        })
    }
}

impl CertificateView {
    pub(super) async fn of(
        catalog: &Catalog,
        certificate: &CertificateRecord,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let is_used = catalog.is_certificate_used(certificate.id).await?;
        let facts = &certificate.info;
        let names: Vec<String> = facts.names.iter().map(|name| name.to_san()).collect();
        let standing = CertificateStatus::of(facts.not_after, certificate.revoked, now);
        Ok(Self {
            certificate_name: certificate.name.clone(),
            cert_identifier: identifier(certificate),
            certificate_source: "UPLOAD",
            certificate_status: standing.certificate_status(),
            common_name: facts.common_name.clone(),
            domain: names.join(","),
            subject_alternative_names: names,
            issuer: facts.issuer.clone(),
            not_before: facts.not_before.unix_ms(),
            not_after: facts.not_after.unix_ms(),
            serial: facts.serial.clone(),
            finger_print: facts.sha1.to_uppercase(),
            algorithm: algorithm(facts.key),
            key_size: facts.key_bits,
            exist_private_key: certificate.has_key,
            instance_id: instance_id(certificate.id),
            using_product_list: if is_used { vec!["CDN"] } else { Vec::new() },
        })
    }
}

impl Link {
    fn of(facts: &CertificateInfo, now: Timestamp) -> Self {
        Self {
            subject: facts.common_name.clone(),
            issuer: facts.issuer.clone(),
            not_before: facts.not_before.unix_ms(),
            not_after: facts.not_after.unix_ms(),
            remain_day: days_left(facts.not_after, now),
        }
    }
}
