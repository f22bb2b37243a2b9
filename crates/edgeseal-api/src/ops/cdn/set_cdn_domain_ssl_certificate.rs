//! `SetCdnDomainSSLCertificate`, in the DCDN `SetDcdnDomainSSLCertificate`: enables HTTPS of a
//! domain with a certificate, or disables it.

use edgeseal_core::DomainPattern;

use super::{
    domain_lookup,
    set_certificate::{self, Error, ParamNames, Params},
};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `SetCdnDomainSSLCertificate`.
pub struct SetCdnDomainSslCertificate;

const PARAM_NAMES: ParamNames = ParamNames {
    enabled: "SSLProtocol",
    chain: "SSLPub",
    key: "SSLPri",
    region: "CertRegion",
    has_env: true,
};

impl Operation for SetCdnDomainSslCertificate {
    type Params = (DomainPattern, Params);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(DomainPattern, Params), Error> {
        Ok((
            domain_lookup::parse_name(params)?,
            Params::parse(params, PARAM_NAMES),
        ))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, ask): (DomainPattern, Params),
    ) -> Result<Success<EmptyReply>, Error> {
        let names = std::slice::from_ref(&name);
        set_certificate::set(context, call, names, ask).await
    }
}
