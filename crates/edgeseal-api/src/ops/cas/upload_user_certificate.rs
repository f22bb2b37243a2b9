//! `UploadUserCertificate` and, in version 2018-07-13, `CreateUserCertificate`: upload a
//! certificate.

use edgeseal_core::certificate::CertificateId;
use serde::Serialize;

use super::{
    instance_id,
    upload::{self, Error, Upload},
};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
};

/// `UploadUserCertificate`.
pub struct UploadUserCertificate;

/// `CreateUserCertificate` of version 2018-07-13.
pub struct CreateUserCertificate;

/// The new certificate.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    cert_id: CertificateId,
    resource_id: String,
}

/// The new certificate.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply2018 {
    cert_id: CertificateId,
}

impl Operation for UploadUserCertificate {
    type Params = Upload;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Upload, Error> {
        upload::parse(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        upload: Upload,
    ) -> Result<Success<Reply>, Error> {
        let done = upload::store(context, call, upload).await?;
        Ok(done.map(|cert_id| Reply {
            cert_id,
            resource_id: instance_id(cert_id),
        }))
    }
}

impl Operation for CreateUserCertificate {
    type Params = Upload;
    type Reply = Reply2018;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Upload, Error> {
        upload::parse(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        upload: Upload,
    ) -> Result<Success<Reply2018>, Error> {
        let done = upload::store(context, call, upload).await?;
        Ok(done.map(|cert_id| Reply2018 { cert_id }))
    }
}
