//! Debian's `pebble`, a real ACME authority for tests, on loopback.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{
    dns::DnsServer, http::HttpConnection, pki::AUTHORITY, port::free_address, tls, wait::eventually,
};

/// The authority; stops when dropped. Its DNS resolves what the test adds to `dns`.
pub struct Pebble {
    /// Where it listens; the directory is `/dir`.
    pub address: SocketAddr,
    /// Where its management interface listens.
    pub management: SocketAddr,
    pub dns: DnsServer,
    process: Child,
    files: TempDir,
    config: Value,
    options: PebbleOptions,
}

/// How it behaves.
#[derive(Clone, Debug)]
pub struct PebbleOptions {
    /// The port that it validates http-01 at.
    pub http_port: u16,
    /// The port that it validates tls-alpn-01 at.
    pub tls_port: u16,
    /// How many of a hundred good nonces it rejects.
    pub rejected_nonces: u8,
    /// How many of a hundred orders reuse a valid authorization.
    pub reused_authorizations: u8,
    /// Validity of its certificates in seconds.
    pub validity_s: u64,
    /// The DNS server that it asks instead of [`Pebble::dns`].
    pub name_server: Option<SocketAddr>,
    /// The external account that it wants: the key's ID, and the key in base64url.
    pub external_account: Option<(String, String)>,
}

impl Default for PebbleOptions {
    fn default() -> Self {
        Self {
            http_port: 1,
            tls_port: 1,
            rejected_nonces: 0,
            reused_authorizations: 0,
            validity_s: 90 * 24 * 60 * 60,
            name_server: None,
            external_account: None,
        }
    }
}

impl Pebble {
    pub async fn start(options: PebbleOptions) -> Self {
        let files = tempfile::tempdir().unwrap();
        let server = AUTHORITY.issue(&["127.0.0.1", "localhost"]);
        let (chain, key) = (files.path().join("chain.pem"), files.path().join("key.pem"));
        fs::write(&chain, server.chain).unwrap();
        fs::write(&key, server.key).unwrap();
        let (address, management) = (free_address(), free_address());
        let mut config = json!({
            "listenAddress": address.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": chain,
            "privateKey": key,
            "httpPort": options.http_port,
            "tlsPort": options.tls_port,
            "externalAccountBindingRequired": options.external_account.is_some(),
            "certificateValidityPeriod": options.validity_s,
        });
        if let Some((id, key)) = &options.external_account {
            config["externalAccountMACKeys"] = json!({ id: key });
        }
        let dns = DnsServer::with_negative_ttl(1).await;
        let process = launch(&files, &config, &options, dns.address);
        let mut pebble = Self {
            address,
            management,
            dns,
            process,
            files,
            config,
            options,
        };
        pebble.listens().await;
        pebble
    }

    /// URL of the directory.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// What it says about the certificate with this serial number in hex: `Status` is `Valid` or
    /// `Revoked`, and `Reason` the number of RFC 5280 §5.3.1.
    pub async fn certificate_status(&self, serial: &str) -> Value {
        let stream = tls::connect(self.management, "localhost", &[])
            .await
            .unwrap();
        let mut connection = HttpConnection::h1_over(stream).await;
        let path = format!("/cert-status-by-serial/{serial}");
        let (status, body) = connection.get("localhost", &path).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Ends the process: the authority is down.
    pub fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again after [`stop`](Self::stop). It has forgotten everything.
    pub async fn start_again(&mut self) {
        self.process = launch(&self.files, &self.config, &self.options, self.dns.address);
        self.listens().await;
    }

    async fn listens(&mut self) {
        let (address, process) = (self.address, &mut self.process);
        let connect = async || TcpStream::connect(address).await.ok();
        eventually("pebble listens", || {
            let exit = process.try_wait().unwrap();
            assert_eq!(exit, None, "pebble ended; is its port free?");
            connect()
        })
        .await;
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The certificate of the authority that vouches for pebble's own server, in PEM.
pub fn server_root() -> String {
    AUTHORITY.root.pem()
}

fn launch(files: &TempDir, config: &Value, options: &PebbleOptions, dns: SocketAddr) -> Child {
    let file = files.path().join("pebble.json");
    fs::write(&file, json!({ "pebble": config }).to_string()).unwrap();
    let log = fs::File::create(files.path().join("pebble.log")).unwrap();
    Command::new("pebble")
        .arg("-config")
        .arg(file)
        .args([
            "-dnsserver",
            &options.name_server.unwrap_or(dns).to_string(),
        ])
        .env("PEBBLE_VA_NOSLEEP", "1")
        .env(
            "PEBBLE_WFE_NONCEREJECT",
            options.rejected_nonces.to_string(),
        )
        .env(
            "PEBBLE_AUTHZREUSE",
            options.reused_authorizations.to_string(),
        )
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("pebble is installed (apt-get install pebble)")
}
