//! The operations on SM2 certificates, which are refused: the TLS library of the edge has no
//! ShangMi cipher suite (RFC 8998), so such a certificate could not be served.

use crate::{
    authorize::Authorized,
    context::Context,
    error::api_error,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `SetCdnDomainSMCertificate`, `DescribeCdnSMCertificateList` and
/// `DescribeCdnSMCertificateDetail`.
pub struct SmCertificates;

/// SM2 certificates are not supported.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "this edge cannot serve SM2 certificates, so they are not stored; use SetCdnDomainSSLCertificate with an RSA or ECDSA certificate"
)]
pub struct Sm2NotSupported;

impl Operation for SmCertificates {
    type Params = ();
    type Reply = EmptyReply;
    type Error = Sm2NotSupported;

    fn parse(_: Input<'_>) -> Result<(), Sm2NotSupported> {
        Err(Sm2NotSupported)
    }

    async fn run(
        _: &Context,
        _: &Authorized,
        (): (),
    ) -> Result<Success<EmptyReply>, Sm2NotSupported> {
        Err(Sm2NotSupported)
    }
}

api_error!(Sm2NotSupported => SmNotSupported);
