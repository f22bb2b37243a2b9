//! The cloud's words for our nouns, both ways.

use edgeseal_core::{
    Pattern,
    certificate::KeyAlgorithm,
    domain::{Coverage, OriginKind, Service, State},
};
use edgeseal_store::record::CertificateSource;

/// Spellings of a noun, both ways.
pub(in crate::ops) trait Word: Copy + Sized + 'static {
    /// Every value with its spelling.
    const WORDS: &'static [(Self, &'static str)];

    /// The value of a spelling; ASCII case does not count.
    fn of_word(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(_, have)| have.eq_ignore_ascii_case(word))
            .map(|(value, _)| *value)
    }

    /// The spelling of a value.
    fn word(self) -> &'static str
    where
        Self: PartialEq,
    {
        Self::WORDS
            .iter()
            .find(|(value, _)| *value == self)
            .map_or("", |(_, word)| *word)
    }

    /// All spellings, for a sentence.
    fn all_words() -> String {
        Self::WORDS
            .iter()
            .map(|(_, word)| *word)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl Word for Service {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Web, "web"),
        (Self::Download, "download"),
        (Self::Video, "video"),
    ];
}

impl Word for Coverage {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Domestic, "domestic"),
        (Self::Overseas, "overseas"),
        (Self::Global, "global"),
    ];
}

impl Word for State {
    const WORDS: &'static [(Self, &'static str)] = &[
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

impl Word for OriginKind {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Ipaddr, "ipaddr"),
        (Self::Domain, "domain"),
        (Self::Oss, "oss"),
        (Self::FcDomain, "fc_domain"),
        (Self::Common, "common"),
    ];
}

impl Word for CertificateSource {
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Upload, "upload"), (Self::Centre, "cas")];
}

impl Word for KeyAlgorithm {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Rsa, "RSA"),
        (Self::Ecdsa, "ECDSA"),
        (Self::Ed25519, "Ed25519"),
    ];
}

/// The name that visitors' DNS should point to: `<domain>.<suffix>`; a wildcard's begins with
/// `all.`, as the cloud's does.
pub(in crate::ops) fn cname(name: &Pattern, suffix: &str) -> String {
    match name {
        Pattern::Exact(name) => format!("{name}.{suffix}"),
        Pattern::Wildcard(base) => format!("all.{base}.{suffix}"),
    }
}

/// `on` or `off`.
pub(in crate::ops) const fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
