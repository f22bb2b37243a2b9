//! What visitors of a domain find: whether its name leads to the edges, and whether the certificate
//! that is shown there is the one that is bound, and valid for browsers.
//!
//! Judged from DNS records and handshakes; nothing here makes them.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    DomainPattern, Timestamp,
    alarm::{Severity, rung},
    certificate::{CertificateInfo, Digest},
};

/// Longest text of an observation, in characters: servers that anybody runs choose parts of it.
const TEXT_MAX: usize = 300;

/// What was found at a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The ID of the domain: one that was deleted and added again is another one.
    pub domain_id: i64,
    /// When.
    pub at: Timestamp,
    /// Until when it says something about the present: by then there should be another one.
    pub current_until: Timestamp,
    /// The verdict.
    pub verdict: Verdict,
    /// What was found: a sentence without a full stop, bounded and on one line.
    pub text: String,
    /// Since when each check has found something wrong; `None` if nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong_since: Option<Timestamp>,
}

impl Observation {
    /// What was found, with its text made safe to show.
    #[must_use]
    pub fn new(
        domain_id: i64,
        at: Timestamp,
        current_until: Timestamp,
        verdict: Verdict,
        text: &str,
    ) -> Self {
        let on_one_line = |c: char| if c.is_control() { ' ' } else { c };
        Self {
            domain_id,
            at,
            current_until,
            verdict,
            text: text.chars().take(TEXT_MAX).map(on_one_line).collect(),
            wrong_since: verdict.is_wrong().then_some(at),
        }
    }

    /// The same, as what was found after `before`.
    #[must_use]
    pub fn after(mut self, before: Option<&Self>) -> Self {
        let earlier = before.and_then(|before| before.wrong_since);
        self.wrong_since = self.wrong_since.map(|at| earlier.unwrap_or(at));
        self
    }

    /// Whether it still says something about the present.
    #[must_use]
    pub fn is_current(&self, now: Timestamp) -> bool {
        now < self.current_until
    }
}

/// The domains that are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these; all if it is empty.
    pub only: Vec<DomainPattern>,
    /// Not these.
    pub except: Vec<DomainPattern>,
}

impl Selection {
    /// Whether a domain is checked. A wildcard selects everything below its base.
    #[must_use]
    pub fn includes(&self, name: &DomainPattern) -> bool {
        let selects = |pattern: &DomainPattern| match pattern {
            DomainPattern::Exact(_) => pattern == name,
            DomainPattern::Wildcard(base) => {
                pattern == name || is_below(name.base().as_str(), base.as_str())
            }
        };
        (self.only.is_empty() || self.only.iter().any(selects)) && !self.except.iter().any(selects)
    }
}

macro_rules! verdicts {
    ($($(#[$doc:meta])* $variant:ident = $word:literal;)*) => {
        /// What visitors find, the best first. Of several addresses the worst counts.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum Verdict {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl Verdict {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word in records, replies and labels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

verdicts! {
    /// The edges, with a bound certificate that browsers accept.
    Ok = "ok";
    /// The same, but the chain ends soon.
    Expiring = "expiring";
    /// A bound certificate that browsers refuse.
    Refused = "refused";
    /// The edges, with another certificate than the bound ones, or none.
    OtherCertificate = "other_certificate";
    /// No TLS connection could be opened.
    Unreachable = "unreachable";
    /// Something else than the edges.
    Elsewhere = "points_elsewhere";
    /// The name has no address.
    NoAddress = "no_address";
}

impl Verdict {
    /// Whether the name leads to the edges.
    #[must_use]
    pub const fn reaches_edges(self) -> bool {
        matches!(
            self,
            Self::Ok | Self::Expiring | Self::Refused | Self::OtherCertificate
        )
    }

    /// Whether visitors do not get what they should. That a certificate expires is known without a
    /// check from outside.
    #[must_use]
    pub const fn is_wrong(self) -> bool {
        !matches!(self, Self::Ok | Self::Expiring)
    }

    /// Whether the name does not lead to the edges.
    #[must_use]
    pub const fn is_elsewhere(self) -> bool {
        matches!(self, Self::Elsewhere | Self::NoAddress)
    }
}

/// What a name resolves to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The targets of its CNAME records, one after the other.
    pub aliases: Vec<String>,
    /// The addresses at the end.
    pub addresses: Vec<IpAddr>,
}

/// What visitors should find.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Suffix of the names that domains point to.
    pub cname_suffix: &'a str,
    /// The addresses at which visitors reach the edges; empty if they are not known.
    pub addresses: &'a [IpNet],
    /// SHA-256 of the leaves that may be shown.
    pub leaves: &'a [Digest],
}

/// What a handshake with an address showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A certificate.
    Certificate(ShownCertificate),
    /// The server refuses handshakes for this name.
    None,
    /// There was no handshake, for this reason.
    Unreachable(String),
    /// Nothing, because of this machine: it has no route there, as to IPv6 from many, or no
    /// descriptor left.
    NoRoute,
    /// Nothing, because the address is not public, and not known as one of the edges'.
    NotPublic,
}

/// A certificate that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCertificate {
    /// SHA-256 of the leaf.
    pub leaf: Digest,
    /// Why the public roots refuse the chain for this name.
    pub refusal: Option<String>,
    /// The earliest end in the chain.
    pub not_after: Timestamp,
    /// The validity of the leaf, in milliseconds.
    pub life_ms: i64,
}

impl ShownCertificate {
    /// Reads a chain in DER, the leaf first. `None` if one of its certificates is malformed.
    #[must_use]
    pub fn of(chain: &[&[u8]], refusal: Option<String>) -> Option<Self> {
        let leaf = chain.first()?;
        let infos = chain.iter().map(|der| CertificateInfo::from_der(der));
        let infos: Vec<_> = infos.collect::<Option<_>>()?;
        let life_ms = infos[0].not_after.since_ms(infos[0].not_before);
        Some(Self {
            leaf: Digest::of(leaf),
            refusal,
            not_after: infos.iter().map(|info| info.not_after).min()?,
            life_ms,
        })
    }
}

impl Resolved {
    /// Whether an address that the name resolves to is one of the edges'; `None` if only a
    /// handshake can tell. A name below the suffix is resolved by whoever runs the edges, so its
    /// addresses need not be known.
    #[must_use]
    pub fn leads_to_edges(&self, address: IpAddr, expected: &Expected<'_>) -> Option<bool> {
        if self
            .aliases
            .iter()
            .any(|name| is_below(name, expected.cname_suffix))
        {
            return Some(true);
        }
        let known = expected.addresses;
        let address = address.to_canonical();
        (!known.is_empty()).then(|| known.iter().any(|net| net.contains(&address)))
    }
}

/// Judges what was found. `shown` are the handshakes with those of the addresses that may be the
/// edges'. `None` if it says nothing about the domain.
#[must_use]
pub fn judge(
    host: &str,
    resolved: &Resolved,
    shown: &[(IpAddr, Shown)],
    expected: &Expected<'_>,
    now: Timestamp,
) -> Option<(Verdict, String)> {
    if resolved.addresses.is_empty() {
        return Some((Verdict::NoAddress, format!("{host} has no address")));
    }
    let elsewhere = |address: &&IpAddr| resolved.leads_to_edges(**address, expected) == Some(false);
    if let Some(address) = resolved.addresses.iter().find(elsewhere) {
        let via = resolved.aliases.last();
        let via = via.map(|name| format!(" ({name})")).unwrap_or_default();
        let text = format!("{host} points to {address}{via}, which is not an address of the edges");
        return Some((Verdict::Elsewhere, text));
    }
    let judged = shown.iter().filter_map(|(address, shown)| {
        let leads_here = resolved.leads_to_edges(*address, expected) == Some(true);
        let (verdict, text) = shown.judge(leads_here, expected.leaves, now)?;
        Some((verdict, format!("{host} at {address} {text}")))
    });
    judged.max_by_key(|(verdict, _)| *verdict)
}

impl Shown {
    fn judge(
        &self,
        leads_here: bool,
        leaves: &[Digest],
        now: Timestamp,
    ) -> Option<(Verdict, String)> {
        // If the addresses of the edges are not known, only a bound certificate tells that it is
        // one of them.
        let wrong = if leads_here {
            Verdict::OtherCertificate
        } else {
            Verdict::Elsewhere
        };
        Some(match self {
            Self::NoRoute => return None,
            // Visitors of the Internet do not get there, unless a CNAME of the edges says so.
            Self::NotPublic if leads_here => return None,
            Self::NotPublic => (wrong, "is not a public address".to_owned()),
            Self::Unreachable(why) => {
                let text = format!("makes no TLS connection: {why}");
                (Verdict::Unreachable, text)
            }
            Self::None => (wrong, "shows no certificate for it".to_owned()),
            Self::Certificate(shown) if !leaves.contains(&shown.leaf) => {
                let text = format!("shows another certificate (sha256 {})", shown.leaf);
                (wrong, text)
            }
            Self::Certificate(shown) => shown.judge(now),
        })
    }
}

impl ShownCertificate {
    /// Judges a bound certificate.
    fn judge(&self, now: Timestamp) -> (Verdict, String) {
        if let Some(why) = &self.refusal {
            let text = format!("shows the bound certificate, which browsers refuse: {why}");
            return (Verdict::Refused, text);
        }
        let end = self.not_after;
        match rung(end, self.life_ms, now).map(|rung| rung.severity()) {
            Some(Severity::Warning | Severity::Critical) => {
                let text = format!("shows a chain that expires at {end}");
                (Verdict::Expiring, text)
            }
            _ => (Verdict::Ok, "shows the bound certificate".to_owned()),
        }
    }
}

/// Whether a name, with or without a trailing dot, is below the suffix.
fn is_below(name: &str, suffix: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let below = name.strip_suffix(&suffix.trim_matches('.').to_ascii_lowercase());
    !suffix.is_empty() && below.is_some_and(|below| below.len() > 1 && below.ends_with('.'))
}

#[cfg(test)]
mod tests;
