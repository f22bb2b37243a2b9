//! The configurations that a handshake can go on with: one for each choice of versions and
//! protocols that a domain's owner has.
//!
//! All of them open each other's tickets, so that such a change of a domain costs its clients no
//! resumption that is still allowed. Nothing that is not allowed comes through a ticket: the version
//! is negotiated from the configuration before a ticket is looked at, a ticket resumes only with a
//! cipher suite of the version that it was made for, and the protocol is negotiated anew with each
//! handshake, also a resumed one.

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

/// A configuration for each choice.
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

    /// What `delivery` chooses for the domain of this number, answering with `answer`. A client that has no version in common with
    /// it is told `protocol_version`, one that has no protocol `no_application_protocol`. `offered`
    /// are the cipher suites of its ClientHello.
    pub(super) fn config_for(
        &self,
        domain: i64,
        delivery: &DeliveryConfig,
        answer: Arc<CertResolver>,
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
        // Tickets only: no session is kept here, and the same keys serve 1.2 and 1.3.
        let tickets = Arc::clone(&self.tickets);
        config.ticketer = Arc::new(SessionTicketer::new(tickets, domain, Arc::clone(&answer)));
        config.cert_resolver = answer;
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

/// Early data is never taken, since it can be replayed (RFC 8446 §8): rustls takes it only without a
/// ticketer, and says in no ticket of one that it would. But a client may hold a ticket of whoever served
/// the name before, and what it sends at once must be passed over (§4.2.10). This is how much rustls
/// looks at for that, in bytes, and it looks again at all of it whenever something more has come: at the
/// 16 KiB that servers commonly allow, sixteen times. How much there may be at once is bounded by what
/// a connection keeps, 64 KiB.
const EARLY_DATA_SKIPPED: u32 = 16 * 16 * 1024;

/// All of them are sound; the order is the one of Mozilla's intermediate profile, AES-128 first
/// since it costs least.
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

/// Whether the client's order counts instead of [`SUITES`]: it puts ChaCha20 first, as those do
/// that have no instructions for AES and pay several times as much for it.
fn prefers_chacha20(offered: &[CipherSuite]) -> bool {
    // RFC 8701 §2: clients put values in that mean nothing, and the first one often is.
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

/// Stands where an [`Answer`] is put for each ClientHello.
#[derive(Debug)]
struct PlaceholderResolver;

impl ResolvesServerCert for PlaceholderResolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}
