//! OCSP responses, made by `openssl ocsp`, and what handshakes staple. Skipped, with a message,
//! where there is no `openssl`.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use edgeseal_core::{
    Timestamp,
    certificate::{KeyAlgorithm, ocsp::OcspQuery},
    delivery::DeliveryConfig,
    domain::Domain,
};
use edgeseal_edge::Edge;
use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, KeyPair, SerialNumber};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use crate::{
    client::{BOTH, config, connect},
    harness::{Certificate, DomainBuilder as _, Harness, TIMEOUT, domain, served},
};

/// `openssl` signs with the current time, so the edge uses the real clock here.
#[expect(clippy::disallowed_methods, reason = "a test has no other clock")]
fn real_time() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = since_epoch.unwrap().as_secs();
    Timestamp::from_unix_seconds(i64::try_from(seconds).unwrap())
}

/// An authority with a responder on a socket; each response is made by `openssl ocsp`.
struct Responder {
    home: TempDir,
    issuer: rcgen::Issuer<'static, KeyPair>,
    der: Vec<u8>,
    address: SocketAddr,
    spoils: Arc<AtomicBool>,
    asked: watch::Receiver<u32>,
}

impl Responder {
    /// `None` if there is no `openssl`.
    async fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("SKIPPED: openssl cannot be run");
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
        let key = KeyPair::generate().unwrap();
        let signer = params.signed_by(&key, &issuer).unwrap();
        let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
        write("ca.pem", &ca.pem());
        write("signer.pem", &signer.pem());
        write("signer.key", &key.serialize_pem());
        write("index", "");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, asked) = watch::channel(0);
        let spoils = Arc::new(AtomicBool::new(false));
        let (at, spoiling) = (home.path().to_owned(), Arc::clone(&spoils));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                answer(stream, &at, spoiling.load(Ordering::Relaxed)).await;
                told.send_modify(|asked| *asked += 1);
            }
        });
        let der = ca.der().to_vec();
        Some(Self {
            home,
            issuer,
            der,
            address,
            spoils,
            asked,
        })
    }

    /// A certificate with this serial number, which the responder lists as good or revoked.
    fn issue(&self, name: &str, serial: u8, revoked: bool, demands: bool) -> Certificate {
        let key = KeyPair::generate().unwrap();
        self.issue_for(&key, name, serial, revoked, demands)
    }

    fn issue_for(
        &self,
        key: &KeyPair,
        name: &str,
        serial: u8,
        revoked: bool,
        demands: bool,
    ) -> Certificate {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(u64::from(serial)));
        params.custom_extensions = vec![access(&format!("http://{}/", self.address))];
        if demands {
            let feature = vec![0x30, 3, 2, 1, 5];
            let oid = &[1, 3, 6, 1, 5, 5, 7, 1, 24];
            params
                .custom_extensions
                .push(CustomExtension::from_oid_content(oid, feature));
        }
        let leaf = params.signed_by(key, &self.issuer).unwrap();
        let (state, since) = match revoked {
            true => ("R", "260101000000Z"),
            false => ("V", ""),
        };
        let line =
            format!("{state}\t400101000000Z\t{since}\t{serial:02X}\tunknown\t/CN={serial}\n");
        let index = self.home.path().join("index");
        let lines = std::fs::read_to_string(&index).unwrap();
        std::fs::write(index, lines + &line).unwrap();
        Certificate {
            leaf: leaf.der().to_vec(),
            intermediates: vec![self.der.clone()],
            key: key.serialize_der(),
        }
    }

    /// Waits until it got this many requests.
    async fn asked(&self, times: u32) {
        let mut asked = self.asked.clone();
        let waiting = asked.wait_for(|asked| *asked >= times);
        timeout(TIMEOUT, waiting).await.unwrap().unwrap();
    }

    /// An edge that may send requests to it.
    async fn edge(&self, world: &Harness) -> Edge {
        let mut options = world.options();
        options.ocsp_private_addresses = true;
        options.key_cache_size = 1;
        let (store, keyring) = (Arc::clone(&world.store), world.keyring.clone());
        let start = Edge::start(options, store, keyring, real_time);
        timeout(TIMEOUT, start).await.unwrap().unwrap()
    }
}

/// The extension of RFC 5280 §4.2.2.1 that names a responder.
fn access(address: &str) -> CustomExtension {
    let length = u8::try_from(address.len()).unwrap();
    let mut content = vec![0x30, length + 14, 0x30, length + 12];
    content.extend([6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 0x86, length]);
    content.extend(address.bytes());
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content)
}

/// Responds to one HTTP request.
async fn answer(mut stream: TcpStream, home: &Path, spoils: bool) {
    let mut request = Vec::new();
    let body = loop {
        stream.read_buf(&mut request).await.unwrap();
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let Some(head) = request.windows(4).position(|at| at == b"\r\n\r\n") else {
            continue;
        };
        let length = text.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        if request.len() >= head + 4 + length {
            break request[head + 4..].to_vec();
        }
    };
    std::fs::write(home.join("request"), body).unwrap();
    let made = Command::new("openssl")
        .current_dir(home)
        .args(["ocsp", "-index", "index", "-CA", "ca.pem"])
        .args(["-rsigner", "signer.pem", "-rkey", "signer.key"])
        .args(["-reqin", "request", "-respout", "response", "-ndays", "7"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut response = std::fs::read(home.join("response")).unwrap();
    if spoils {
        let middle = response.len() / 2;
        response[middle] ^= 1;
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\n";
    let head = format!("{head}Content-Length: {}\r\n\r\n", response.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&response).await.unwrap();
}

/// Stores the stapled response. Accepts only some signature schemes.
#[derive(Debug)]
struct CapturingVerifier {
    response: Mutex<Vec<u8>>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for CapturingVerifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.response.lock().unwrap() = response.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// The response stapled in a full handshake; empty if there is none.
async fn stapled(
    edge: &Edge,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> Vec<u8> {
    let provider = aws_lc_rs::default_provider();
    let all = provider.signature_verification_algorithms;
    stapled_for(edge, name, versions, all.supported_schemes()).await
}

/// The same for a client with these signature schemes.
async fn stapled_for(
    edge: &Edge,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    schemes: Vec<SignatureScheme>,
) -> Vec<u8> {
    let keeping = Arc::new(CapturingVerifier {
        response: Mutex::default(),
        schemes,
    });
    let mut client: ClientConfig = config(versions, &[]);
    client.resumption = Resumption::disabled();
    let verifier = Arc::<CapturingVerifier>::clone(&keeping);
    client.dangerous().set_certificate_verifier(verifier);
    connect(edge.https_addr(), name, client).await.unwrap();
    let response = keeping.response.lock().unwrap();
    response.clone()
}

/// Waits until handshakes staple a response.
async fn eventually_stapled(edge: &Edge, name: &str) -> Vec<u8> {
    let waiting = async {
        loop {
            let response = stapled(edge, name, BOTH).await;
            if !response.is_empty() {
                return response;
            }
        }
    };
    timeout(TIMEOUT, waiting).await.unwrap()
}

fn chosen(name: &str, certificate: &Certificate) -> Domain {
    domain(name).bound(certificate).delivered(DeliveryConfig {
        ocsp_stapling: true,
        ..DeliveryConfig::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_response_is_stapled_where_stapling_is_enabled() {
    let Some(responder) = Responder::new().await else {
        return;
    };
    let world = Harness::new();
    let shared = responder.issue("a.com", 1, false, false);
    world.put_all(&chosen("a.com", &shared), &shared).await;
    world.put(&domain("b.com").bound(&shared)).await;
    let edge = responder.edge(&world).await;
    let response = eventually_stapled(&edge, "a.com").await;
    let question = OcspQuery::new(&shared.leaf, &responder.der).unwrap();
    let good = question.verify_response(&response, real_time()).unwrap();
    assert!(good.next_update > real_time());
    for version in [&TLS12, &TLS13] {
        assert_eq!(stapled(&edge, "a.com", &[version]).await, response);
        let other = stapled(&edge, "b.com", &[version]).await;
        assert!(other.is_empty(), "the same certificate, another choice");
    }
    // One that comes while the edge runs. Of the parsed keys one is remembered, so that the others
    // are parsed anew and get their response again.
    let later = responder.issue("c.com", 2, false, false);
    let written = world.put_all(&chosen("c.com", &later), &later).await;
    served(&edge, written).await;
    let of_later = eventually_stapled(&edge, "c.com").await;
    assert_ne!(of_later, response);
    assert_eq!(stapled(&edge, "a.com", BOTH).await, response);
    assert_eq!(stapled(&edge, "c.com", BOTH).await, of_later);
    // Switched off, it is gone with the next handshake; the other one stays.
    let off = world.put(&domain("a.com").bound(&shared)).await;
    served(&edge, off).await;
    assert!(stapled(&edge, "a.com", BOTH).await.is_empty());
    assert_eq!(stapled(&edge, "c.com", BOTH).await, of_later);
    assert_eq!(*responder.asked.borrow(), 2, "each is asked about once");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_two_certificates_has_its_own_response() {
    let Some(responder) = Responder::new().await else {
        return;
    };
    let world = Harness::new();
    let ecdsa = responder.issue("a.com", 1, false, false);
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
    let rsa = responder.issue_for(&key.unwrap(), "a.com", 2, false, false);
    let both = chosen("a.com", &ecdsa).beside(&rsa, KeyAlgorithm::Rsa);
    world.write(rsa.writes(&world.keyring)).await;
    world.put_all(&both, &ecdsa).await;
    let edge = responder.edge(&world).await;
    responder.asked(2).await;
    let schemes = [
        (&ecdsa, vec![SignatureScheme::ECDSA_NISTP256_SHA256]),
        (
            &rsa,
            vec![
                SignatureScheme::RSA_PSS_SHA256,
                SignatureScheme::RSA_PKCS1_SHA256,
            ],
        ),
    ];
    for (certificate, schemes) in schemes {
        let question = OcspQuery::new(&certificate.leaf, &responder.der).unwrap();
        for version in [&TLS12, &TLS13] {
            let waiting = async {
                loop {
                    let schemes = schemes.clone();
                    let response = stapled_for(&edge, "a.com", &[version], schemes).await;
                    if !response.is_empty() {
                        return response;
                    }
                }
            };
            let response = timeout(TIMEOUT, waiting).await.unwrap();
            question.verify_response(&response, real_time()).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resumed_replication_keeps_responses_and_fetches_new_ones() {
    let Some(responder) = Responder::new().await else {
        return;
    };
    let world = Harness::new();
    let early = responder.issue("a.com", 1, false, false);
    world.put_all(&chosen("a.com", &early), &early).await;
    let mut edge = responder.edge(&world).await;
    let response = eventually_stapled(&edge, "a.com").await;
    edge.stop_replication().await;
    assert_eq!(stapled(&edge, "a.com", BOTH).await, response);
    let later = responder.issue("b.com", 2, false, false);
    let written = world.put_all(&chosen("b.com", &later), &later).await;
    edge.resume_replication(Arc::clone(&world.store))
        .await
        .unwrap();
    served(&edge, written).await;
    eventually_stapled(&edge, "b.com").await;
    assert_eq!(stapled(&edge, "a.com", BOTH).await, response);
    // Responses that are no longer needed are still dropped.
    let off = world.put(&domain("a.com").bound(&early)).await;
    served(&edge, off).await;
    assert!(stapled(&edge, "a.com", BOTH).await.is_empty());
    assert_eq!(*responder.asked.borrow(), 2, "each is asked about once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_must_staple_certificate_is_stapled_whatever_the_settings() {
    let Some(responder) = Responder::new().await else {
        return;
    };
    let world = Harness::new();
    let demanding = responder.issue("a.com", 1, false, true);
    let domain = domain("a.com").bound(&demanding);
    world.put_all(&domain, &demanding).await;
    let edge = responder.edge(&world).await;
    eventually_stapled(&edge, "a.com").await;
    // From the replica as well.
    edge.drain().await;
    let edge = responder.edge(&world).await;
    eventually_stapled(&edge, "a.com").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_or_invalid_responses_are_not_stapled() {
    let Some(responder) = Responder::new().await else {
        return;
    };
    let world = Harness::new();
    let edge = responder.edge(&world).await;
    let revoked = responder.issue("revoked.com", 1, true, true);
    world
        .put_all(&chosen("revoked.com", &revoked), &revoked)
        .await;
    responder.asked(1).await;
    responder.spoils.store(true, Ordering::Relaxed);
    let spoiled = responder.issue("spoiled.com", 2, false, false);
    let put = world
        .put_all(&chosen("spoiled.com", &spoiled), &spoiled)
        .await;
    served(&edge, put).await;
    responder.asked(2).await;
    assert!(stapled(&edge, "spoiled.com", BOTH).await.is_empty());
    responder.spoils.store(false, Ordering::Relaxed);
    // Fetched again after a while, it is good.
    eventually_stapled(&edge, "spoiled.com").await;
    let response = stapled(&edge, "revoked.com", BOTH).await;
    assert!(response.is_empty(), "it is served, without a response");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_responder_is_contacted_only_if_allowed() {
    let Some(responder) = Responder::new().await else {
        return;
    };
    let world = Harness::new();
    let certificate = responder.issue("a.com", 1, false, true);
    let wanted = chosen("a.com", &certificate);
    let written = world.put_all(&wanted, &certificate).await;
    let edge = world.edge().await;
    served(&edge, written).await;
    edge.drain().await;
    assert_eq!(*responder.asked.borrow(), 0);
}
