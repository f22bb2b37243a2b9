//! The actions that set a certificate: one operation; each action has its own parameter names and
//! codes.
//!
//! | action | parameter names | codes |
//! |---|---|---|
//! | `SetCdnDomainSSLCertificate`, `SetDcdnDomainSSLCertificate` | current | current |
//! | `SetDomainServerCertificate`, `BatchSetCdnDomainServerCertificate` | legacy | of 2014 |
//! | `SetDcdnDomainCertificate`, `BatchSetDcdnDomainCertificate` | legacy | mostly current |
//!
//! The SDKs no longer have the legacy actions, but tools still use them. There, `ForceSet=1` takes
//! a name from the certificate that has it.

use std::marker::PhantomData;

use edgeseal_core::DomainPattern;

use super::{
    Error, Params,
    legacy::{LegacyDcdnError, LegacyError},
    params::ParamNames,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::ApiError,
    operation::{EmptyReply, Input, Operation, Success},
    ops::cdn::domain_names::{DomainNames, Each, One},
};

/// `SetCdnDomainSSLCertificate` and `SetDcdnDomainSSLCertificate`.
pub type SetCdnDomainSslCertificate = SetCertificate<Current, One>;

/// `SetDomainServerCertificate`.
pub type SetDomainServerCertificate = SetCertificate<Legacy2014, One>;

/// `BatchSetCdnDomainServerCertificate`: up to 50 domains, all or none.
pub type BatchSetCdnDomainServerCertificate = SetCertificate<Legacy, Each>;

/// `SetDcdnDomainCertificate`.
pub type SetDcdnDomainCertificate = SetCertificate<LegacyDcdn, One>;

/// `BatchSetDcdnDomainCertificate`: up to 50 domains, all or none.
pub type BatchSetDcdnDomainCertificate = SetCertificate<LegacyDcdn, Each>;

/// Enables HTTPS of domains with a certificate, or disables it.
pub struct SetCertificate<V, N>(PhantomData<(V, N)>);

/// The parameter names and error codes of an action.
pub trait Variant: 'static {
    /// Names of the parameters.
    const PARAM_NAMES: ParamNames;

    /// The errors, with the codes that the action has for them.
    type Error: ApiError + From<Error> + 'static;
}

/// The current actions.
pub struct Current;

/// The legacy actions of the CDN.
pub struct Legacy;

/// The legacy action of version 2014-11-11.
pub struct Legacy2014;

/// The legacy actions of the DCDN.
pub struct LegacyDcdn;

const LEGACY_PARAM_NAMES: ParamNames = ParamNames {
    region: "Region",
    has_env: false,
    ..Current::PARAM_NAMES
};

impl Variant for Current {
    const PARAM_NAMES: ParamNames = ParamNames {
        enabled: "SSLProtocol",
        chain: "SSLPub",
        key: "SSLPri",
        region: "CertRegion",
        has_env: true,
    };

    type Error = Error;
}

impl Variant for Legacy {
    const PARAM_NAMES: ParamNames = LEGACY_PARAM_NAMES;

    type Error = LegacyError;
}

impl Variant for Legacy2014 {
    const PARAM_NAMES: ParamNames = ParamNames {
        enabled: "ServerCertificateStatus",
        chain: "ServerCertificate",
        key: "PrivateKey",
        ..LEGACY_PARAM_NAMES
    };

    type Error = LegacyError;
}

impl Variant for LegacyDcdn {
    const PARAM_NAMES: ParamNames = LEGACY_PARAM_NAMES;

    type Error = LegacyDcdnError;
}

impl<V: Variant, N: DomainNames> Operation for SetCertificate<V, N> {
    type Params = (Vec<DomainPattern>, Params);
    type Reply = EmptyReply;
    type Error = V::Error;

    const HAS_DRY_RUN: bool = true;

    fn parse(input: Input<'_>) -> Result<(Vec<DomainPattern>, Params), V::Error> {
        let names = N::parse(input).map_err(Error::from)?;
        Ok((names, Params::parse(input.params, V::PARAM_NAMES)))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (names, params): (Vec<DomainPattern>, Params),
    ) -> Result<Success<EmptyReply>, V::Error> {
        Ok(super::set_from_params(context, call, &names, params).await?)
    }
}
