//! `SetCdnDomainSSLCertificate`, in the DCDN `SetDcdnDomainSSLCertificate`: HTTPS of a domain on or
//! off, and with which certificate.

use edgeseal_core::Pattern;

use super::{
    named_domain,
    set_certificate::{self, Ask, CODES, Error, Spelling},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation},
    request::Params,
};

/// The operation.
pub struct SetCdnDomainSslCertificate;

const SPELLING: Spelling = Spelling {
    switch: "SSLProtocol",
    chain: "SSLPub",
    key: "SSLPri",
    region: "CertRegion",
    has_env: true,
};

impl Operation for SetCdnDomainSslCertificate {
    type Params = (Pattern, Ask);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = CODES;

    fn parse(params: &Params) -> Result<(Pattern, Ask), Error> {
        Ok((named_domain::name(params)?, Ask::of(params, SPELLING)))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, ask): (Pattern, Ask),
    ) -> Result<Done<Nothing>, Error> {
        let names = std::slice::from_ref(&name);
        set_certificate::set(context, call, names, ask).await
    }
}
