//! Warnings for a caller whose call succeeded.
//!
//! A warning appears in the response (`Warnings`), in the header `x-edgeseal-warnings`, in the log
//! line of the call, in a metric and in the audit log.

use edgeseal_core::certificate;
use serde::Serialize;

/// A warning: its kind, and a sentence.
///
/// The members are not called `Code` and `Message`: existing deploy scripts search the whole
/// response for `"Message":"` and treat a match as an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Warning {
    /// Its kind.
    pub kind: WarningKind,
    /// One plain sentence. Never key material.
    pub detail: String,
}

/// Kinds of warnings: part of the API contract, and labels of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum WarningKind {
    /// Some clients will not be able to build a path to a root.
    IncompleteChain,
    /// The served chain ends within 30 days.
    ExpiresSoon,
    /// The certificates were not given in serving order.
    ChainReordered,
    /// No name of the certificate covers the domain.
    NameMismatch,
    /// The certificate expires before the one that it replaces.
    ExpiresEarlier,
    /// The domain no longer has a certificate of a key type that it had before.
    KeyTypeChanged,
    /// The domain had two certificates, and the new one replaces both.
    ReplacesCompanion,
    /// `Env` has an unknown value, treated as production.
    UnknownEnvironment,
}

impl WarningKind {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IncompleteChain => "IncompleteChain",
            Self::ExpiresSoon => "ExpiresSoon",
            Self::ChainReordered => "ChainReordered",
            Self::NameMismatch => "NameMismatch",
            Self::ExpiresEarlier => "ExpiresEarlier",
            Self::KeyTypeChanged => "KeyTypeChanged",
            Self::ReplacesCompanion => "ReplacesCompanion",
            Self::UnknownEnvironment => "UnknownEnvironment",
        }
    }
}

impl Warning {
    /// A warning of this kind.
    pub(crate) fn new(kind: WarningKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }
}

impl From<&certificate::Warning> for Warning {
    fn from(warning: &certificate::Warning) -> Self {
        let kind = match warning {
            certificate::Warning::IncompleteChain { .. } => WarningKind::IncompleteChain,
            certificate::Warning::ExpiresSoon { .. } => WarningKind::ExpiresSoon,
            certificate::Warning::ChainReordered => WarningKind::ChainReordered,
        };
        Self::new(kind, warning.to_string())
    }
}

/// The distinct kinds in order of first appearance: for the header and the log.
#[must_use]
pub fn kind_list(warnings: &[Warning]) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for warning in warnings {
        let name = warning.kind.name();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_listed_once() {
        let warning = |kind| Warning::new(kind, "x");
        let all = [
            WarningKind::ExpiresSoon,
            WarningKind::NameMismatch,
            WarningKind::ExpiresSoon,
        ]
        .map(warning);
        assert_eq!(
            kind_list(&all).as_deref(),
            Some("ExpiresSoon, NameMismatch")
        );
        assert_eq!(kind_list(&[]), None);
    }

    #[test]
    fn names_equal_the_serialized_kinds() {
        for kind in [
            WarningKind::IncompleteChain,
            WarningKind::ExpiresSoon,
            WarningKind::ChainReordered,
            WarningKind::NameMismatch,
            WarningKind::ExpiresEarlier,
            WarningKind::KeyTypeChanged,
            WarningKind::ReplacesCompanion,
            WarningKind::UnknownEnvironment,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
