//! The configurations that a handshake can go on with: one for each choice of versions and
//! protocols that a domain's owner has.
//!
//! All of them open each other's tickets, so that a change of a domain costs its clients no
//! resumption that is still allowed. Nothing that is not allowed comes through a ticket: the version
//! is negotiated from the configuration before a ticket is looked at, a ticket resumes only with a
//! cipher suite of the version that it was made for, and the protocol is negotiated anew with each
//! handshake, also a resumed one.

use std::sync::Arc;

use edgeseal_core::delivery::{Delivery, TlsVersions};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::{SetupError, Tickets, answer::Answer, provider};

/// A configuration for each choice.
pub(super) struct Configs {
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
    pub(super) fn new(tickets: Arc<Tickets>) -> Result<Self, SetupError> {
        let ticketer: Arc<dyn ProducesTickets> = tickets;
        Ok(Self {
            both: ByProtocol::new(&[&TLS13, &TLS12], &ticketer)?,
            only12: ByProtocol::new(&[&TLS12], &ticketer)?,
            only13: ByProtocol::new(&[&TLS13], &ticketer)?,
        })
    }

    /// What `delivery` chooses, answering with `answer`. A client that has no version in common with
    /// it is told `protocol_version`, one that has no protocol `no_application_protocol`.
    pub(super) fn of(&self, delivery: &Delivery, answer: Arc<Answer>) -> ServerConfig {
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
        config.cert_resolver = answer;
        config
    }
}

impl ByProtocol {
    fn new(
        versions: &[&'static SupportedProtocolVersion],
        ticketer: &Arc<dyn ProducesTickets>,
    ) -> Result<Self, SetupError> {
        let mut http1 = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Nothing));
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Tickets only: no session is kept here, and the same keys serve 1.2 and 1.3.
        http1.ticketer = Arc::clone(ticketer);
        http1.session_storage = Arc::new(NoServerSessionStorage {});
        http1.max_early_data_size = 0; // early data can be replayed (RFC 8446 §8)
        let mut h2 = http1.clone();
        h2.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Self { h2, http1 })
    }
}

/// Stands where an [`Answer`] is put for each ClientHello.
#[derive(Debug)]
struct Nothing;

impl ResolvesServerCert for Nothing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}
