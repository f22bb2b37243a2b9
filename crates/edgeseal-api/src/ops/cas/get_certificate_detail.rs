//! `GetCertificateDetail`: one certificate in the centre's newer words, without its text.

use edgeseal_core::{
    Timestamp,
    certificate::{CertificateId, Facts},
};
use edgeseal_store::{Catalog, Fault, record::CertificateRecord};
use serde::Serialize;

use super::{algorithm, get_user_certificate_detail::days_left, identifier, instance};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble},
    ops::{
        issued::{Standing, chain_facts},
        named_certificate::{self, By, NoCertificate},
    },
    request::Params,
};

/// The operation.
pub struct GetCertificateDetail;

/// The certificate.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    certificate_id: CertificateId,
    certificate_chain_list: Vec<Link>,
    #[serde(flatten)]
    shown: Shown,
}

/// What lists show of a certificate too.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
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
    type Error = NoCertificate;

    const CODES: &'static [Code] = &[
        Code::MissingCertificateId,
        Code::InvalidCertificateId,
        Code::NotInCertificateCentre,
    ];

    fn parse(params: &Params) -> Result<CertificateId, NoCertificate> {
        named_certificate::number(params, By::CertificateId)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        id: CertificateId,
    ) -> Result<Done<Reply>, NoCertificate> {
        let catalog = &context.catalog;
        let certificate = named_certificate::in_centre(catalog, call.account(), id).await?;
        let reply = Reply::of(catalog, &certificate, call.now()).await;
        Ok(Done::read(reply.map_err(Trouble::from)?))
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
            shown: Shown::of(catalog, certificate, now).await?,
        })
    }
}

impl Shown {
    pub(super) async fn of(
        catalog: &Catalog,
        certificate: &CertificateRecord,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let is_used = catalog.is_certificate_used(certificate.id).await?;
        let facts = &certificate.facts;
        let names: Vec<String> = facts.names.iter().map(|name| name.display_star()).collect();
        let standing = Standing::of(facts.not_after, certificate.revoked, now);
        Ok(Self {
            certificate_name: certificate.name.clone(),
            cert_identifier: identifier(certificate),
            certificate_source: "UPLOAD",
            certificate_status: standing.newer_word(),
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
            instance_id: instance(certificate.id),
            using_product_list: if is_used { vec!["CDN"] } else { Vec::new() },
        })
    }
}

impl Link {
    fn of(facts: &Facts, now: Timestamp) -> Self {
        Self {
            subject: facts.common_name.clone(),
            issuer: facts.issuer.clone(),
            not_before: facts.not_before.unix_ms(),
            not_after: facts.not_after.unix_ms(),
            remain_day: days_left(facts.not_after, now),
        }
    }
}
