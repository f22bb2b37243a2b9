//! The operations on SM2 certificates: known, and refused. The TLS library of the edge speaks no
//! ShangMi cipher suite (RFC 8998), so a certificate that was taken could not be served.

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Nothing, Operation},
    request::Params,
};

/// `SetCdnDomainSMCertificate`, `DescribeCdnSMCertificateList` and `DescribeCdnSMCertificateDetail`.
pub struct SmCertificates;

/// There are no SM2 certificates here.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "SM2 certificates cannot be served by this edge, so none are kept; use SetCdnDomainSSLCertificate with an RSA or ECDSA certificate"
)]
pub struct NoSm2;

impl Operation for SmCertificates {
    type Params = ();
    type Reply = Nothing;
    type Error = NoSm2;

    const CODES: &'static [Code] = &[Code::SmNotSupported];

    fn parse(_: &Params) -> Result<(), NoSm2> {
        Err(NoSm2)
    }

    async fn run(_: &Context, _: &Authorized, (): ()) -> Result<Done<Nothing>, NoSm2> {
        Err(NoSm2)
    }
}

impl Failure for NoSm2 {
    fn code(&self) -> Code {
        Code::SmNotSupported
    }

    fn detail(&self) -> Option<String> {
        Some(self.to_string())
    }
}
