//! The rustls configurations: one for each combination of versions and protocols that a domain's
//! delivery settings allow.
//!
//! All of them open each other's tickets, so that a change of these settings costs clients no
//! resumption that is still allowed. A ticket cannot bring back a setting: the version is
//! negotiated from the configuration before a ticket is considered, a ticket resumes only with a
//! cipher suite of the version that it was issued for, and ALPN is negotiated again in each
//! handshake, also in a resumed one.

use std::sync::Arc;

use edgeseal_core::delivery::{DeliveryConfig, TlsVersions};
use rustls::{
    CipherSuite, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::aws_lc_rs::cipher_suite::{
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    },
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::{
    SetupError, TicketKeys, cert_resolver::CertResolver, provider, tickets::SessionTicketer,
};

/// One configuration for each combination.
pub(super) struct Configs {
    tickets: Arc<TicketKeys>,
    both: ByProtocol,
    only12: ByProtocol,
    only13: ByProtocol,
}

struct ByProtocol {
    h2: ServerConfig,
    http1: ServerConfig,
}

impl Configs {
    /// All of them, with one set of ticket keys.
    pub(super) fn new(tickets: Arc<TicketKeys>) -> Result<Self, SetupError> {
        Ok(Self {
            tickets,
            both: ByProtocol::new(&[&TLS13, &TLS12])?,
            only12: ByProtocol::new(&[&TLS12])?,
            only13: ByProtocol::new(&[&TLS13])?,
        })
    }

    /// The configuration for a domain with these `delivery` settings and this id, which resolves
    /// certificates with `resolver`. A client that has no version in common with it gets
    /// `protocol_version`, one that has no protocol in common `no_application_protocol`. `offered`
    /// are the cipher suites of its ClientHello.
    pub(super) fn config_for(
        &self,
        domain: i64,
        delivery: &DeliveryConfig,
        resolver: Arc<CertResolver>,
        offered: &[CipherSuite],
    ) -> ServerConfig {
        let versions = match delivery.tls {
            TlsVersions::Both => &self.both,
            TlsVersions::Only12 => &self.only12,
            TlsVersions::Only13 => &self.only13,
        };
        let config = if delivery.http2 {
            &versions.h2
        } else {
            &versions.http1
        };
        let mut config = config.clone();
        // Tickets only: no session is stored here, and the same keys serve 1.2 and 1.3.
        let tickets = Arc::clone(&self.tickets);
        config.ticketer = Arc::new(SessionTicketer::new(tickets, domain, Arc::clone(&resolver)));
        config.cert_resolver = resolver;
        config.ignore_client_order = !prefers_chacha20(offered);
        config
    }
}

impl ByProtocol {
    fn new(versions: &[&'static SupportedProtocolVersion]) -> Result<Self, SetupError> {
        let mut provider = (*provider()).clone();
        provider.cipher_suites = SUITES.to_vec();
        let mut http1 = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(PlaceholderResolver));
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        http1.session_storage = Arc::new(NoServerSessionStorage {});
        http1.max_early_data_size = EARLY_DATA_SKIPPED;
        let mut h2 = http1.clone();
        h2.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Self { h2, http1 })
    }
}

/// Early data is never accepted, because it can be replayed (RFC 8446 §8): rustls accepts it only
/// without a ticketer, and issues no ticket that allows it. But a client may hold a ticket from
/// whoever served the name before, and its early data must be skipped (§4.2.10). This is how many
/// bytes rustls examines for that, and it examines all of them again whenever more arrives: at the
/// 16 KiB that servers commonly allow, sixteen times. How much may be buffered at once is bounded
/// by a connection's limit of 64 KiB.
const EARLY_DATA_SKIPPED: u32 = 16 * 16 * 1024;

/// All of them are secure; the order is that of Mozilla's intermediate profile, AES-128 first
/// because it costs least.
const SUITES: [SupportedCipherSuite; 9] = [
    TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384,
    TLS13_CHACHA20_POLY1305_SHA256,
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// Whether the client's order is used instead of [`SUITES`]: it puts ChaCha20 first, as clients
/// without AES instructions do, for which AES costs several times as much.
fn prefers_chacha20(offered: &[CipherSuite]) -> bool {
    // RFC 8701 §2: clients insert meaningless values, and the first one often is one.
    let is_grease = |suite: &CipherSuite| {
        let [high, low] = u16::from(*suite).to_be_bytes();
        high == low && low & 0x0f == 0x0a
    };
    matches!(
        offered.iter().find(|suite| !is_grease(suite)),
        Some(
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        )
    )
}

/// Placeholder for the [`CertResolver`] that is set for each ClientHello.
#[derive(Debug)]
struct PlaceholderResolver;

impl ResolvesServerCert for PlaceholderResolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}
