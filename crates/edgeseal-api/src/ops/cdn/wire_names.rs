//! The cloud's names of values: parsing and printing.

use edgeseal_core::{
    DomainPattern,
    certificate::KeyAlgorithm,
    domain::{Coverage, DomainState, OriginKind, ServiceType},
    managed_certificate::OrderStatus,
};
use edgeseal_store::record::CertificateSource;

/// A type whose values have names on the wire.
pub(in crate::ops) trait WireName: Copy + Sized + 'static {
    /// Every value with its wire name.
    const WIRE_NAMES: &'static [(Self, &'static str)];

    /// The value of a wire name; ASCII case is ignored.
    fn from_wire_name(word: &str) -> Option<Self> {
        Self::WIRE_NAMES
            .iter()
            .find(|(_, have)| have.eq_ignore_ascii_case(word))
            .map(|(value, _)| *value)
    }

    /// The wire name of a value.
    fn wire_name(self) -> &'static str
    where
        Self: PartialEq,
    {
        Self::WIRE_NAMES
            .iter()
            .find(|(value, _)| *value == self)
            .map_or("", |(_, word)| *word)
    }

    /// All wire names, for an error message.
    fn all_wire_names() -> String {
        Self::WIRE_NAMES
            .iter()
            .map(|(_, word)| *word)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// A switch.
impl WireName for bool {
    const WIRE_NAMES: &'static [(Self, &'static str)] = &[(true, "on"), (false, "off")];
}

impl WireName for ServiceType {
    const WIRE_NAMES: &'static [(Self, &'static str)] = &[
        (Self::Web, "web"),
        (Self::Download, "download"),
        (Self::Video, "video"),
    ];
}

impl WireName for Coverage {
    const WIRE_NAMES: &'static [(Self, &'static str)] = &[
        (Self::Domestic, "domestic"),
        (Self::Overseas, "overseas"),
        (Self::Global, "global"),
    ];
}

impl WireName for DomainState {
    const WIRE_NAMES: &'static [(Self, &'static str)] = &[
        (Self::Online, "online"),
        (Self::Offline, "offline"),
        (Self::Configuring, "configuring"),
        (Self::ConfigureFailed, "configure_failed"),
        (Self::Checking, "checking"),
        (Self::CheckFailed, "check_failed"),
        (Self::Stopping, "stopping"),
        (Self::Deleting, "deleting"),
    ];
}

impl WireName for OriginKind {
    const WIRE_NAMES: &'static [(Self, &'static str)] = &[
        (Self::Ipaddr, "ipaddr"),
        (Self::Domain, "domain"),
        (Self::Oss, "oss"),
        (Self::FcDomain, "fc_domain"),
        (Self::Common, "common"),
    ];
}

impl WireName for CertificateSource {
    const WIRE_NAMES: &'static [(Self, &'static str)] = &[
        (Self::Upload, "upload"),
        (Self::Cas, "cas"),
        (Self::Issued, "free"),
    ];
}

impl WireName for OrderStatus {
    const WIRE_NAMES: &'static [(Self, &'static str)] = &[
        (Self::Applying, "applying"),
        (Self::Success, "success"),
        (Self::Failed, "failed"),
    ];
}

impl WireName for KeyAlgorithm {
    const WIRE_NAMES: &'static [(Self, &'static str)] = &[
        (Self::Rsa, "RSA"),
        (Self::Ecdsa, "ECDSA"),
        (Self::Ed25519, "Ed25519"),
    ];
}

/// The name that the DNS of a domain should point to: `<domain>.<suffix>`, for a wildcard prefixed
/// with `all.`, as in the cloud.
pub(in crate::ops) fn cname(name: &DomainPattern, suffix: &str) -> String {
    match name {
        DomainPattern::Exact(name) => format!("{name}.{suffix}"),
        DomainPattern::Wildcard(base) => format!("all.{base}.{suffix}"),
    }
}
