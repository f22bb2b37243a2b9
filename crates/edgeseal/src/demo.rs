//! `edgeseal demo`: everything in one process, with a site live over HTTPS. It configures the
//! domain through the public API.

mod origin;
mod page;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use edgeseal_api::client::{CallError, Client};
use edgeseal_core::Secret;
use time::Duration;
use tokio::net::TcpListener;

use crate::{
    bootstrap::{self, BootstrapError, Credentials},
    clock,
    config::Config,
    local_ca::{LeafParams, LocalCa, LocalCaError},
    node::{Node, Role, StartError},
    serve::ShutdownSignals,
};

/// Domains of the demo. Names under `.localhost` are this machine (RFC 6761 §6.3).
const DOMAINS: [&str; 2] = ["demo.localhost", "shop.localhost"];
/// The API version of CDN.
const CDN_VERSION: &str = "2018-05-10";

/// Why the demo cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// The node cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The credentials file is missing.
    #[error("there is no credentials file in the data directory")]
    NoCredentials,
    /// The demo's CA failed.
    #[error(transparent)]
    Authority(#[from] LocalCaError),
    /// The API refused.
    #[error("the API refused: {0}")]
    Call(#[from] CallError),
    /// An operation of the operating system failed.
    #[error("system error: {0}")]
    Io(#[from] io::Error),
}

/// The file of the demo's root certificate, in PEM.
pub(crate) fn ca_file(data: &Path) -> PathBuf {
    data.join("demo").join("ca.pem")
}

/// Runs the demo until SIGTERM or SIGINT.
///
/// # Errors
/// [`DemoError`].
pub(crate) async fn run(mut config: Config) -> Result<(), DemoError> {
    for address in [
        &mut config.api,
        &mut config.https,
        &mut config.http,
        &mut config.admin,
    ] {
        *address = port_or_any(*address).await;
    }
    let origin = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let origin_address = origin.local_addr()?;
    let running = Node::start(&config, Role::Serve, false).await?;
    tokio::spawn(origin::serve(origin));

    let credentials = bootstrap::read_credentials(&config.data.join("credentials.json"))?;
    let credentials = credentials.ok_or(DemoError::NoCredentials)?;
    let directory = config.data.join("demo");
    let ca = LocalCa::open_or_create(&directory, "Edgeseal demo CA", None, clock::now())?;
    let client = client(&running, &credentials)?;
    for domain in DOMAINS {
        publish_domain(&client, &ca, domain, origin_address).await?;
    }
    let mut signals = ShutdownSignals::install()?;
    let _ = writeln!(io::stdout(), "ready");
    page::print(
        &config,
        running.addresses(),
        &credentials,
        &ca_file(&config.data),
        DOMAINS,
    );
    signals.recv().await;
    let _ = writeln!(io::stdout(), "\nstopping …");
    tokio::select! {
        () = running.shut_down() => {}
        () = signals.recv() => {}
    }
    Ok(())
}

/// Adds the domain unless an earlier demo did, sets its origin to this demo's, and binds a
/// certificate.
async fn publish_domain(
    client: &Client,
    ca: &LocalCa,
    domain: &str,
    origin: SocketAddr,
) -> Result<(), DemoError> {
    let sources = format!(
        r#"[{{"content":"{}","type":"ipaddr","port":{}}}]"#,
        origin.ip(),
        origin.port()
    );
    let params = [
        ("DomainName", domain),
        ("CdnType", "web"),
        ("Sources", sources.as_str()),
    ];
    match client.call(CDN_VERSION, "AddCdnDomain", &params).await {
        Ok(_) => {}
        Err(CallError::Api(refusal)) if refusal.code == "DomainAlreadyExist" => {
            client
                .call(CDN_VERSION, "StartCdnDomain", &params[..1])
                .await?;
            client.call(CDN_VERSION, "ModifyCdnDomain", &params).await?;
        }
        Err(other) => return Err(other.into()),
    }
    let params = LeafParams {
        names: &[domain.to_owned()],
        validity: Duration::days(90),
    };
    let leaf = ca.issue(&params, clock::now())?;
    let chain = leaf.pem + ca.pem();
    let params = [
        ("DomainName", domain),
        ("SSLProtocol", "on"),
        ("SSLPub", chain.as_str()),
        ("SSLPri", leaf.key_pem.as_str()),
    ];
    client
        .call(CDN_VERSION, "SetCdnDomainSSLCertificate", &params)
        .await?;
    Ok(())
}

fn client(running: &Node, credentials: &Credentials) -> Result<Client, CallError> {
    let endpoint = format!("http://{}", running.addresses().api);
    let secret = Secret::new(credentials.access_key_secret.as_bytes().to_vec());
    Client::new(
        &endpoint,
        credentials.access_key_id.clone(),
        secret,
        clock::now,
    )
}

/// The address itself if its port is free, otherwise with any free port: 8080 is often in use.
async fn port_or_any(address: SocketAddr) -> SocketAddr {
    match TcpListener::bind(address).await {
        Ok(_) => address,
        Err(_) => SocketAddr::new(address.ip(), 0),
    }
}
