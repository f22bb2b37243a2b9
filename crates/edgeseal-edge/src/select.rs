//! Which certificate a ClientHello gets: a pure function of the index and the SNI.
//!
//! The order is total; the first that applies decides:
//! 1. no server name → [`NoCertificate::NoSni`];
//! 2. the domain of exactly this name, else the wildcard domain one label above it, else
//!    [`NoCertificate::UnknownName`];
//! 3. the domain found in 2 is stopped → [`NoCertificate::Stopped`];
//! 4. it has no certificate, or HTTPS is off → [`NoCertificate::HttpsOff`];
//! 5. its certificate.
//!
//! Step 2 is final: an exact domain with HTTPS off does not fall back to a wildcard's certificate,
//! because a certificate is only served for the domain that it is bound to. Expiry is not checked:
//! an expired certificate that is bound is served, because there is nothing better.

use edgeseal_core::delivery::DeliveryConfig;

use crate::{
    index::{Host, Index, MatchedDomain},
    served_domain::{Https, ServedDomain},
};

/// Why a ClientHello gets no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCertificate {
    /// The client sent no SNI.
    #[error("the client sent no server name")]
    NoSni,
    /// No domain has this name.
    #[error("no domain has this name")]
    UnknownName,
    /// The domain is not online.
    #[error("the domain is stopped")]
    Stopped,
    /// The domain has no certificate, or HTTPS was switched off.
    #[error("HTTPS is off for the domain")]
    HttpsOff,
}

/// The domain that was selected, with what the handshake needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedDomain<'a, M> {
    /// The certificate and key.
    pub material: M,
    /// The domain's delivery settings for the handshake.
    pub delivery: DeliveryConfig,
    /// The name that the client asked for, and its domain.
    pub domain: MatchedDomain<'a>,
}

/// Selects a domain by SNI.
///
/// # Errors
/// [`NoCertificate`], in the order of the module documentation.
pub fn select<'a, M: Clone>(
    index: &Index<ServedDomain<M>>,
    sni: Option<&'a str>,
) -> Result<SelectedDomain<'a, M>, NoCertificate> {
    let sni = sni.ok_or(NoCertificate::NoSni)?;
    let host = Host::parse(sni).ok_or(NoCertificate::UnknownName)?;
    let (entry, found) = index.find(&host).ok_or(NoCertificate::UnknownName)?;
    if !entry.online {
        return Err(NoCertificate::Stopped);
    }
    match entry.https {
        Https::Off => Err(NoCertificate::HttpsOff),
        Https::On(material) => Ok(SelectedDomain {
            material,
            delivery: entry.delivery,
            domain: MatchedDomain {
                host,
                found,
                domain_id: entry.domain_id,
            },
        }),
    }
}

#[cfg(test)]
mod tests;
