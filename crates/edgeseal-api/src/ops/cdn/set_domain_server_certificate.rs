//! `SetDomainServerCertificate` and `BatchSetCdnDomainServerCertificate`: the elder spellings of
//! `SetCdnDomainSSLCertificate`, gone from the SDKs and still sent by tools in use. `ForceSet=1`
//! takes a name from the certificate that has it.

use edgeseal_core::Pattern;

use super::{
    named_domain,
    named_domains::NoDomains,
    set_certificate::{self, Ask, BATCH_CODES, LEGACY, Legacy, SINGLE_CODES, Spelling},
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    operation::{BatchOperation, Done, Nothing, Operation},
    request::Params,
};

/// The operation for one domain.
pub struct SetDomainServerCertificate;

/// The operation for up to 50 domains: all or none.
pub struct BatchSetCdnDomainServerCertificate;

const SINGLE: Spelling = Spelling {
    switch: "ServerCertificateStatus",
    chain: "ServerCertificate",
    key: "PrivateKey",
    region: "Region",
    has_env: false,
};

impl Operation for SetDomainServerCertificate {
    type Params = (Pattern, Ask);
    type Reply = Nothing;
    type Error = Legacy;

    const CODES: &'static [Code] = SINGLE_CODES;

    fn parse(params: &Params) -> Result<(Pattern, Ask), Legacy> {
        Ok((named_domain::name(params)?, Ask::of(params, SINGLE)))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, ask): (Pattern, Ask),
    ) -> Result<Done<Nothing>, Legacy> {
        let names = std::slice::from_ref(&name);
        Ok(set_certificate::set(context, call, names, ask).await?)
    }
}

impl BatchOperation for BatchSetCdnDomainServerCertificate {
    type Params = (Vec<Pattern>, Ask);
    type Reply = Nothing;
    type Error = Legacy;

    const CODES: &'static [Code] = BATCH_CODES;

    fn parse(domains: &DomainList, params: &Params) -> Result<(Vec<Pattern>, Ask), Legacy> {
        let names = domains.names().map_err(NoDomains::from)?;
        Ok((names, Ask::of(params, LEGACY)))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (names, ask): (Vec<Pattern>, Ask),
    ) -> Result<Done<Nothing>, Legacy> {
        Ok(set_certificate::set(context, call, &names, ask).await?)
    }
}
