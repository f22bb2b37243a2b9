//! `GetUserCertificateDetail`: one certificate, with its PEM unless excluded.

use edgeseal_core::{
    Timestamp,
    certificate::{CertificateId, CertificateInfo, key_to_pem},
};
use edgeseal_store::{
    Catalog, Fault,
    record::{CertificateRecord, CertificateSource},
};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{algorithm, identifier, instance_id};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, from_change_error},
    operation::{Input, Operation, Success},
    ops::{
        certificate_lookup::{self, CertificateError, CertificateParam},
        certificate_view::{chain_facts, date, names, public_pem},
    },
};

/// The permission that a user or session needs in addition to get a private key.
const READ_PRIVATE_KEY: &str = "edgeseal:GetPrivateKey";
/// The note in the audit log.
const KEY_RETURNED_NOTE: &str = "the private key was given back";

/// `GetUserCertificateDetail`.
pub struct GetUserCertificateDetail;

/// The parameters.
pub struct Params {
    id: CertificateId,
    with_text: bool,
}

/// The certificate.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    id: CertificateId,
    name: String,
    common: String,
    sans: String,
    issuer: String,
    org_name: String,
    country: String,
    province: String,
    city: String,
    start_date: String,
    end_date: String,
    not_before: i64,
    not_after: i64,
    fingerprint: String,
    sha2: String,
    cert_sha2: String,
    serial_no: String,
    algorithm: &'static str,
    expired: bool,
    buy_in_aliyun: bool,
    order_id: i64,
    instance_id: String,
    resource_group_id: String,
    tags: Vec<Tag>,
    cert_identifier: String,
    #[serde(flatten)]
    text: Option<Text>,
    cert_chain: Vec<Link>,
}

/// The members that can be excluded.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Text {
    cert: String,
    /// Empty, unless the operator enables returning keys and the caller may read them.
    key: Zeroizing<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    tag_key: String,
    tag_value: String,
}

/// One certificate of the chain, the leaf first.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Link {
    common_name: String,
    issuer_common_name: String,
    not_before: i64,
    not_after: i64,
    remain_day: i64,
}

impl Operation for GetUserCertificateDetail {
    type Params = Params;
    type Reply = Reply;
    type Error = CertificateError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, CertificateError> {
        let filtered = params.flag("CertFilter") == Ok(true);
        Ok(Params {
            id: certificate_lookup::parse_id(params, CertificateParam::CertId)?,
            with_text: !filtered,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Reply>, CertificateError> {
        let catalog = &context.catalog;
        let certificate =
            certificate_lookup::find_in_cas(catalog, call.account(), params.id).await?;
        let text = if params.with_text {
            let cert = public_pem(catalog, &certificate).await;
            let cert = cert.map_err(StoreError::from)?;
            let key = private_key(context, call, &certificate).await?;
            Some(Text { cert, key })
        } else {
            None
        };
        let reply = Reply::of(catalog, certificate, text, call.now()).await;
        Ok(Success::read(reply.map_err(StoreError::from)?))
    }
}

/// The private key as uploaded, if keys are returned; audited before the response is sent.
async fn private_key(
    context: &Context,
    call: &Authorized,
    certificate: &CertificateRecord,
) -> Result<Zeroizing<String>, CertificateError> {
    let given_back = context.settings.return_private_keys
        && certificate.source == CertificateSource::Cas
        && call
            .is_allowed_on_certificate(context, READ_PRIVATE_KEY, certificate)
            .await?;
    if !given_back {
        return Ok(Zeroizing::default());
    }
    let catalog = &context.catalog;
    let text = match catalog.original_key(certificate.id).await {
        Ok(Some(text)) => Zeroizing::new(String::from_utf8_lossy(text.expose()).into_owned()),
        Ok(None) => {
            let key = catalog.private_key(certificate).await;
            let key = key.map_err(StoreError::from)?;
            key.as_ref().map(key_to_pem).unwrap_or_default()
        }
        Err(fault) => return Err(StoreError::from(fault).into()),
    };
    let audited = catalog.transact(&call.audit, |mut draft| async move {
        draft.note(KEY_RETURNED_NOTE.to_owned());
        Ok((draft, ()))
    });
    audited
        .await
        .map_err(from_change_error::<StoreError, CertificateError>)?;
    Ok(text)
}

impl Reply {
    async fn of(
        catalog: &Catalog,
        certificate: CertificateRecord,
        text: Option<Text>,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let chain = chain_facts(catalog, &certificate).await?;
        let cert_identifier = identifier(&certificate);
        let facts = certificate.info;
        Ok(Self {
            id: certificate.id,
            name: certificate.name,
            sans: names(&facts),
            common: facts.common_name,
            issuer: facts.issuer,
            org_name: facts.subject.organization,
            country: facts.subject.country,
            province: facts.subject.province,
            city: facts.subject.locality,
            start_date: date(facts.not_before),
            end_date: date(facts.not_after),
            not_before: facts.not_before.unix_ms(),
            not_after: facts.not_after.unix_ms(),
            fingerprint: facts.sha1.to_uppercase(),
            sha2: facts.sha256.to_uppercase(),
            cert_sha2: facts.sha256.to_uppercase(),
            serial_no: facts.serial,
            algorithm: algorithm(facts.key),
            expired: facts.not_after < now,
            buy_in_aliyun: false,
            order_id: 0,
            instance_id: instance_id(certificate.id),
            resource_group_id: certificate.resource_group,
            tags: certificate.tags.into_iter().map(Tag::of).collect(),
            cert_identifier,
            text,
            cert_chain: chain.iter().map(|facts| Link::of(facts, now)).collect(),
        })
    }
}

impl Tag {
    fn of((tag_key, tag_value): (String, String)) -> Self {
        Self { tag_key, tag_value }
    }
}

impl Link {
    fn of(facts: &CertificateInfo, now: Timestamp) -> Self {
        Self {
            common_name: facts.common_name.clone(),
            issuer_common_name: facts.issuer.clone(),
            not_before: facts.not_before.unix_ms(),
            not_after: facts.not_after.unix_ms(),
            remain_day: days_left(facts.not_after, now),
        }
    }
}

/// Whole days left; 0 if expired.
pub(super) fn days_left(end: Timestamp, now: Timestamp) -> i64 {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    end.since_ms(now).max(0) / DAY_MS
}
