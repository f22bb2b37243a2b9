//! The text that the demo prints.

use std::{
    env,
    io::{self, Write as _},
    path::Path,
};

use crate::{bootstrap::Credentials, config::Config, node::Addresses};

/// Prints what to try.
pub(super) fn print(
    config: &Config,
    addresses: &Addresses,
    credentials: &Credentials,
    ca: &Path,
    domains: [&str; 2],
) {
    let api = addresses.api;
    // The demo has an edge.
    let (Some(https), Some(http)) = (addresses.https, addresses.http) else {
        return;
    };
    let port = https.port();
    let data = config.data.display();
    let ca = ca.display();
    let [demo, shop] = domains;
    let key = &credentials.access_key_id;
    let program = program();
    let _ = writeln!(
        io::stdout(),
        r#"
  Edgeseal is up, and two sites are live over HTTPS.

    https://{demo}:{port}/      https://{shop}:{port}/

  See it
    curl --cacert {ca} --resolve {demo}:{port}:{ip} https://{demo}:{port}/

  Change it, with the official SDK (pip install alibabacloud_cdn20180510)
    import json
    from alibabacloud_cdn20180510.client import Client
    from alibabacloud_cdn20180510.models import SetCdnDomainSSLCertificateRequest
    from alibabacloud_tea_openapi.models import Config
    key = json.load(open("{data}/credentials.json"))
    client = Client(Config(endpoint="{api}", protocol="http",
        access_key_id=key["AccessKeyId"], access_key_secret=key["AccessKeySecret"]))
    print(client.set_cdn_domain_sslcertificate(
        SetCdnDomainSSLCertificateRequest(domain_name="{demo}", sslprotocol="off")).body)

  or on the command line
    {program} --help
    {program} cert show {demo} --data {data}
    {program} cert off {demo} --data {data}

  API http://{api}   HTTPS {https}   HTTP {http}   metrics http://{admin}/metrics
  Access key {key}, secret in {data}/credentials.json

  Ctrl-C stops it all."#,
        ip = https.ip(),
        admin = addresses.admin,
    );
}

/// The path of this program, quoted for a shell.
fn program() -> String {
    let path = env::args_os().next().unwrap_or_default();
    let path = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+~".contains(c);
    match path.as_ref() {
        "" => "edgeseal".to_owned(),
        path if path.chars().all(plain) => path.to_owned(),
        path => format!("'{}'", path.replace('\'', r"'\''")),
    }
}
