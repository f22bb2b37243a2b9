//! `SetDomainServerCertificate` and `BatchSetCdnDomainServerCertificate`: the legacy forms of
//! `SetCdnDomainSSLCertificate`, removed from the SDKs but still used by tools. `ForceSet=1` takes
//! a name from the certificate that has it.

use edgeseal_core::DomainPattern;

use super::{
    domain_list_error::DomainListError,
    domain_lookup,
    set_certificate::{self, LEGACY_PARAM_NAMES, LegacyError, ParamNames, Params},
};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `SetDomainServerCertificate`.
pub struct SetDomainServerCertificate;

/// `BatchSetCdnDomainServerCertificate`: up to 50 domains, all or none.
pub struct BatchSetCdnDomainServerCertificate;

const SINGLE_PARAM_NAMES: ParamNames = ParamNames {
    enabled: "ServerCertificateStatus",
    chain: "ServerCertificate",
    key: "PrivateKey",
    region: "Region",
    has_env: false,
};

impl Operation for SetDomainServerCertificate {
    type Params = (DomainPattern, Params);
    type Reply = EmptyReply;
    type Error = LegacyError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(DomainPattern, Params), LegacyError> {
        Ok((
            domain_lookup::parse_name(params)?,
            Params::parse(params, SINGLE_PARAM_NAMES),
        ))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, ask): (DomainPattern, Params),
    ) -> Result<Success<EmptyReply>, LegacyError> {
        let names = std::slice::from_ref(&name);
        Ok(set_certificate::set(context, call, names, ask).await?)
    }
}

impl Operation for BatchSetCdnDomainServerCertificate {
    type Params = (Vec<DomainPattern>, Params);
    type Reply = EmptyReply;
    type Error = LegacyError;

    fn parse(
        Input { params, domains }: Input<'_>,
    ) -> Result<(Vec<DomainPattern>, Params), LegacyError> {
        let names = domains.names().map_err(DomainListError::from)?;
        Ok((names, Params::parse(params, LEGACY_PARAM_NAMES)))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (names, ask): (Vec<DomainPattern>, Params),
    ) -> Result<Success<EmptyReply>, LegacyError> {
        Ok(set_certificate::set(context, call, &names, ask).await?)
    }
}
