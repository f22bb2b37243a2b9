//! Certificates for tls-alpn-01 validations (RFC 8737 §3): self-signed, for one name, with the
//! digest of the key authorization in the critical extension `acmeIdentifier`.
//!
//! They are made when a validator asks, with a key that lives as long as the process: nobody trusts
//! it for anything else.

use std::{fmt, sync::Arc};

use edgeseal_core::challenge::TLS_ALPN_01_PROTOCOL;
use quick_cache::sync::Cache;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair};
use rustls::{
    Error, ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::{ClientHello, NoServerSessionStorage},
    sign::{CertifiedKey, SigningKey, SingleCertAndKey},
};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{Duration, timeout},
};

use super::{AcceptError, Terminator, invalid, provider};
use crate::{challenges::TlsChallenge, telemetry};

/// Configurations kept: some 10 kB each. An authority asks several times for each, at once.
const KEPT_MAX: usize = 256;

/// Time limit for the end of a connection that validated a name.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The configurations for validations, one for each challenge.
pub(super) struct ChallengeConfigs {
    key: KeyPair,
    signing_key: Arc<dyn SigningKey>,
    made: Cache<TlsChallenge, Arc<ServerConfig>>,
}

/// Whether this is a validation: `acme-tls/1` is the only protocol offered (RFC 8737 §3).
pub(super) fn is_validation(hello: &ClientHello<'_>) -> bool {
    let mut offered = hello.alpn().into_iter().flatten();
    offered.next() == Some(TLS_ALPN_01_PROTOCOL) && offered.next().is_none()
}

impl Terminator {
    /// Does the handshake of a tls-alpn-01 validation and closes the connection, over which nothing
    /// else may be sent (RFC 8737 §3). Returns why there is no connection.
    pub(super) async fn answer_challenge(
        &self,
        stream: TcpStream,
        hello: Vec<u8>,
        challenge: &TlsChallenge,
    ) -> AcceptError {
        let config = match self.challenge_configs.get(challenge) {
            Ok(config) => config,
            Err(error) => return invalid(error).into(),
        };
        match self.complete(stream, hello, config).await {
            Ok(Ok(mut stream)) => {
                telemetry::session(false);
                // The validator has all that it needs.
                let _ = timeout(CLOSE_TIMEOUT, stream.shutdown()).await;
                AcceptError::ChallengeAnswered
            }
            Ok(Err(error)) => error.into(),
            Err(timed_out) => timed_out,
        }
    }
}

impl ChallengeConfigs {
    /// With a new key.
    pub(super) fn new() -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(refused)?;
        let der = PrivatePkcs8KeyDer::from(key.serialize_der());
        let signing_key = provider().key_provider.load_private_key(der.into())?;
        Ok(Self {
            key,
            signing_key,
            made: Cache::new(KEPT_MAX),
        })
    }

    /// The configuration that answers this challenge and nothing else: no other protocol, and no
    /// session to resume.
    pub(super) fn get(&self, challenge: &TlsChallenge) -> Result<Arc<ServerConfig>, Error> {
        self.made
            .get_or_insert_with(challenge, || self.make(challenge).map(Arc::new))
    }

    fn make(&self, challenge: &TlsChallenge) -> Result<ServerConfig, Error> {
        let host = challenge.host.as_str().to_owned();
        let mut params = CertificateParams::new([host]).map_err(refused)?;
        params.distinguished_name = DistinguishedName::new();
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "ACME challenge");
        let identifier = CustomExtension::new_acme_identifier(&challenge.digest.0);
        params.custom_extensions.push(identifier);
        let certificate = params.self_signed(&self.key).map_err(refused)?;
        // Not checked: rustls knows no critical `acmeIdentifier`.
        let chain = vec![CertificateDer::from(certificate)];
        let certified = CertifiedKey::new(chain, Arc::clone(&self.signing_key));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![TLS_ALPN_01_PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

fn refused(error: rcgen::Error) -> Error {
    Error::General(format!(
        "a certificate for a challenge cannot be made: {error}"
    ))
}

impl fmt::Debug for ChallengeConfigs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChallengeConfigs").finish_non_exhaustive()
    }
}
