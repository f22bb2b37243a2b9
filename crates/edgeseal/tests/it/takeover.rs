//! The API over TLS: with the operator's certificate, and under the cloud's host names.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use serde_json::Value;

use crate::harness::{
    CDN_VERSION, Scheme, Server, SignedCall, pem,
    pki::{self, AUTHORITY},
    secrets,
    server::binary,
    tls,
};

/// Arguments of curl for a JSON response.
const AS_JSON: &[&str] = &["--data", "Format=JSON"];
const LISTEN: &[&str] = &["takeover", "--listen", "127.0.0.1:0"];

fn takeover() -> (Server, SocketAddr) {
    let server = Server::start_as(LISTEN, "");
    let key = fs::read_to_string(file(&server, "ca.key")).unwrap();
    secrets::register_key(&pem::decode(&key));
    let key = fs::read_to_string(file(&server, "api.key")).unwrap();
    secrets::register_key(&pem::decode(&key));
    let address = server.addresses().api_tls.expect("the API listens on TLS");
    (server, address)
}

fn file(server: &Server, name: &str) -> PathBuf {
    server.data().join("takeover").join(name)
}

/// curl to a host of the cloud that resolves to `address`.
fn curl(address: SocketAddr, host: &str, arguments: &[&str]) -> Command {
    let port = address.port();
    let mut curl = Command::new("curl");
    for name in ["CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        curl.env_remove(name);
    }
    curl.args(["-sS", "--noproxy", "*", "--resolve"])
        .arg(format!("{host}:{port}:{}", address.ip()))
        .args(arguments)
        .arg(format!("https://{host}:{port}/"))
        .stdin(Stdio::null());
    curl
}

fn answer(curl: &mut Command) -> Value {
    let Output {
        status,
        stdout,
        stderr,
    } = curl.output().expect("this test needs curl");
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{said}");
    serde_json::from_slice(&stdout).unwrap()
}

/// The verdict of a client that trusts this CA alone.
fn judged(ca: &str, leaf: &CertificateDer<'_>, name: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let judged =
        verifier
            .build()
            .unwrap()
            .verify_server_cert(leaf, &[], &name, &[], UnixTime::now());
    judged.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_that_know_the_cloud_s_names_only_are_served() {
    let (server, address) = takeover();
    let ca = file(&server, "ca.pem");
    let trusting = ["--cacert", ca.to_str().unwrap()];

    // A signed call. Version 1 signatures do not cover the host.
    let what = (CDN_VERSION, "DescribeUserDomains");
    let bytes =
        SignedCall::new(Scheme::V1, server.root_client().access_key(), what, &[]).to_bytes();
    let (_, body) = std::str::from_utf8(&bytes)
        .unwrap()
        .split_once("\r\n\r\n")
        .unwrap();
    let signed = ["--data-binary", body];
    let called = answer(&mut curl(
        address,
        "cdn.aliyuncs.com",
        &[&trusting[..], &signed].concat(),
    ));
    assert_eq!(called["TotalCount"], 0, "{called}");

    for host in [
        "cdn.aliyuncs.com",
        "cas.eu-central-1.aliyuncs.com",
        "sts.cn-beijing.aliyuncs.com",
    ] {
        let unsigned = [
            "--get",
            "--data",
            "Action=DescribeUserDomains&Version=2018-05-10&Format=JSON",
        ];
        let refused = answer(&mut curl(
            address,
            host,
            &[&trusting[..], &unsigned].concat(),
        ));
        assert_eq!(refused["Code"], "MissingAccessKeyId", "{refused}");
        let called = refused["HostId"].as_str().unwrap();
        assert!(called.starts_with(host), "{called}");
    }

    // As the instructions say; a client without the variable does not trust the CA.
    let mut by_variable = curl(address, "cdn.aliyuncs.com", AS_JSON);
    by_variable.env("CURL_CA_BUNDLE", file(&server, "bundle.pem"));
    assert_eq!(answer(&mut by_variable)["Code"], "MissingAction");
    let untrusting = curl(address, "cdn.aliyuncs.com", &[]).output().unwrap();
    assert_eq!(untrusting.status.code(), Some(60), "curl: no trust");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_certificate_is_for_all_names() {
    let (server, address) = takeover();
    let shown = tls::served_chain(address, "cdn.aliyuncs.com")
        .await
        .unwrap();
    let leaf = CertificateDer::from(shown[0].as_slice());
    let ca = fs::read_to_string(file(&server, "ca.pem")).unwrap();
    let hosts = fs::read_to_string(file(&server, "hosts")).unwrap();
    let names: Vec<&str> = hosts
        .split_whitespace()
        .filter(|word| word.ends_with(".com"))
        .collect();
    assert!(names.len() > 30, "{hosts}");
    for name in names {
        assert_eq!(judged(&ca, &leaf, name), Ok(()), "{name}");
    }
    assert!(judged(&ca, &leaf, "oss.aliyuncs.com").is_err());
    // The API speaks HTTP/1.1.
    let stream = tls::connect(address, "cdn.aliyuncs.com", &["h2", "http/1.1"])
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    drop(stream);
    server.stop();
}

#[test]
fn the_authority_is_for_the_cloud_s_names_only() {
    let (server, _) = takeover();
    let ca_file = file(&server, "ca.pem");
    let ca = fs::read_to_string(&ca_file).unwrap();
    let key = fs::read_to_string(file(&server, "ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&ca, KeyPair::from_pem(&key).unwrap()).unwrap();
    for (name, violation) in [
        ("anything.aliyuncs.com", None),
        ("www.example.com", Some("permitted subtree violation")),
        ("aliyuncs.com.example", Some("permitted subtree violation")),
        ("127.0.0.1", Some("excluded subtree violation")),
        ("::1", Some("excluded subtree violation")),
    ] {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        pki::set_validity_days(&mut params, -1, 30);
        let leaf = params.signed_by(&pki::new_key(), &issuer).unwrap();
        let judged = judged(&ca, leaf.der(), name);
        let leaf_file = server.home().join("leaf.pem");
        fs::write(&leaf_file, leaf.pem()).unwrap();
        let mut openssl = Command::new("openssl");
        let openssl = openssl
            .args(["verify", "-CAfile"])
            .arg(&ca_file)
            .arg(&leaf_file);
        let openssl = openssl
            .output()
            .expect("this test needs the openssl command");
        match violation {
            None => assert!(
                judged.is_ok() && openssl.status.success(),
                "{name}: {judged:?}"
            ),
            Some(violation) => {
                let why = judged.unwrap_err();
                assert!(why.contains("NameConstraintViolation"), "{name}: {why}");
                let said = String::from_utf8_lossy(&openssl.stderr);
                assert!(said.contains(violation), "{name}: {said}");
            }
        }
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_keeps_what_tools_were_told_to_trust() {
    let (mut server, _) = takeover();
    let all = [
        "ca.pem",
        "ca.key",
        "api.pem",
        "api.key",
        "bundle.pem",
        "hosts",
    ];
    let read = |server: &Server| all.map(|name| fs::read(file(server, name)).unwrap());
    let before = read(&server);
    for name in all {
        let metadata = fs::metadata(file(&server, name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
    let directory = fs::metadata(server.data().join("takeover")).unwrap();
    assert_eq!(directory.permissions().mode() & 0o777, 0o700);
    assert_eq!(server.terminate().code(), Some(0));
    server.launch();
    assert!(read(&server) == before, "nothing changed");
    let address = server.addresses().api_tls.unwrap();
    let shown = tls::served_chain(address, "cdn.aliyuncs.com")
        .await
        .unwrap();
    let served = fs::read_to_string(file(&server, "api.pem")).unwrap();
    assert_eq!(shown, [pem::decode(&served)]);
    server.stop();
}

/// Paths into the directory that the text contains.
fn paths<'a>(text: &'a str, directory: &Path) -> Vec<&'a str> {
    let directory = directory.to_str().unwrap();
    let words = text.split(|c: char| c.is_whitespace() || "='\",:".contains(c));
    words.filter(|word| word.starts_with(directory)).collect()
}

#[test]
fn the_recipe() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().canonicalize().unwrap().join("data");
    let mut print = binary();
    print.args(["takeover", "--print", "--data"]).arg(&data);
    let output = print.args(["--listen", "127.0.0.1:8443"]).output().unwrap();
    assert!(output.status.success());
    let recipe = String::from_utf8(output.stdout).unwrap();
    // The directory is created and nothing else.
    let entries: Vec<_> = fs::read_dir(&data).unwrap().collect();
    assert_eq!(entries.len(), 1, "{entries:?}");

    let directory = data.join("takeover");
    let named = paths(&recipe, &directory);
    assert!(named.len() >= 10, "{recipe}");
    for path in named {
        assert!(Path::new(path).exists(), "{path}");
    }
    let (ca, bundle) = (directory.join("ca.pem"), directory.join("bundle.pem"));
    let (ca, bundle) = (ca.display(), bundle.display());
    for part in [
        format!("CURL_CA_BUNDLE={bundle}\n"),
        format!("NODE_EXTRA_CA_CERTS={ca}\n"),
        format!("SSL_CERT_FILE={bundle}\n"),
        format!("REQUESTS_CA_BUNDLE={bundle}\n"),
        format!("openssl.cafile={bundle}\n"),
        format!("curl.cainfo={bundle}\n"),
        format!(
            "cap_net_bind_service=+ep {}\n",
            crate::harness::server::BINARY
        ),
        "net.ipv4.ip_unprivileged_port_start=443\n".to_owned(),
        "--dport 443 -j DNAT --to-destination 127.0.0.1:8443\n".to_owned(),
        "127.0.0.1 cdn.aliyuncs.com cas.aliyuncs.com".to_owned(),
    ] {
        assert!(recipe.contains(&part), "{part} is not in {recipe}");
    }
    // For acme.sh, which runs from a timer, the guide names the same file.
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/tools.md");
    let guide = fs::read_to_string(guide).unwrap();
    assert!(guide.contains("CA_BUNDLE='/…/bundle.pem'"), "{guide}");

    // The recipe's commands add the lines to /etc/hosts and remove them.
    let hosts = home.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let as_said = |verb: &str| {
        let line = recipe.lines().find(|line| line.contains(verb)).unwrap();
        let line = line
            .replace("sudo ", "")
            .replace("/etc/hosts", hosts.to_str().unwrap());
        assert!(
            Command::new("sh")
                .args(["-c", &line])
                .status()
                .unwrap()
                .success(),
            "{line}"
        );
        fs::read_to_string(&hosts).unwrap()
    };
    let put_on = as_said("cat ");
    assert!(put_on.contains("\n127.0.0.1 cdn.aliyuncs.com"), "{put_on}");
    assert_eq!(as_said("sed "), "127.0.0.1 localhost\n");
}

#[test]
fn the_recipe_names_the_listening_port() {
    let (server, address) = takeover();
    let recipe = server.printed_until("what the tools were told");
    let place = format!("Edgeseal takes the place of the cloud's API at {address}.");
    assert!(recipe.contains(&place), "{recipe}");
    let line = recipe
        .lines()
        .skip_while(|line| !line.contains("curl --cacert"));
    let lines: Vec<&str> = line.take(2).collect();
    let tried = Command::new("sh")
        .args(["-c", &lines.join("\n")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tried.stdout);
    assert!(said.contains("MissingAccessKeyId"), "{lines:?}: {said}");
    server.stop();
}

#[test]
fn takeover_is_refused_beyond_loopback() {
    let home = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (
            &["--listen", "0.0.0.0:443"][..],
            "0.0.0.0:443 is not a loopback address",
        ),
        (
            &["--listen", "192.0.2.1:443", "--print"],
            "192.0.2.1:443 is not a loopback",
        ),
        (
            &["--listen", "[::]:443"],
            "[::]:443 is not a loopback address",
        ),
        (
            &[
                "--api-tls",
                "127.0.0.1:0",
                "--api-tls-cert-file",
                "c",
                "--api-tls-key-file",
                "k",
            ],
            "its own certificate",
        ),
    ] {
        let mut takeover = binary();
        takeover
            .arg("takeover")
            .args(arguments)
            .current_dir(home.path());
        let output = takeover.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(says), "{said}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

/// A configuration for the API over TLS with files in a directory.
fn api_tls(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "api_tls = \"127.0.0.1:0\"\napi_tls_cert_file = \"{directory}/cert.pem\"\n\
         api_tls_key_file = \"{directory}/key.pem\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_over_tls_with_the_operators_certificate() {
    let home = tempfile::tempdir().unwrap();
    let pem = AUTHORITY.issue(&["api.example.com"]);
    fs::write(home.path().join("cert.pem"), &pem.chain).unwrap();
    fs::write(home.path().join("key.pem"), &pem.key).unwrap();
    fs::write(home.path().join("root.pem"), AUTHORITY.root.pem()).unwrap();
    let server = Server::start_with(&api_tls(home.path()));
    let address = server.addresses().api_tls.expect("the API listens on TLS");
    let root = home.path().join("root.pem");
    let trusting = [&["--cacert", root.to_str().unwrap()], AS_JSON].concat();
    let refused = answer(&mut curl(address, "api.example.com", &trusting));
    assert_eq!(refused["Code"], "MissingAction", "{refused}");
    // The plaintext listener is available as well.
    let listed = server
        .root_client()
        .call(CDN_VERSION, "DescribeUserDomains", &[])
        .await;
    assert_eq!(listed.unwrap().body["TotalCount"], 0);
    server.stop();
}

#[test]
fn files_of_the_api_in_tls_that_cannot_be_used() {
    let home = tempfile::tempdir().unwrap();
    let (pem, other) = (
        AUTHORITY.issue(&["a.example"]),
        AUTHORITY.issue(&["a.example"]),
    );
    let config = home.path().join("edgeseal.toml");
    fs::write(&config, api_tls(home.path())).unwrap();
    let (cert_file, key_file) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    let one_line = pem.key.replace('\n', "");
    for (cert, key, says) in [
        (None, Some(&pem.key), "cannot read"),
        (Some(&pem.chain), None, "key.pem"),
        (
            Some(&pem.key),
            Some(&pem.key),
            "cert.pem holds no certificate",
        ),
        (
            Some(&pem.chain),
            Some(&pem.chain),
            "key.pem holds no private key",
        ),
        (
            Some(&pem.chain),
            Some(&one_line),
            "key.pem holds no private key",
        ),
        (Some(&pem.chain), Some(&other.key), "cannot be used with"),
    ] {
        for (file, content) in [(&cert_file, cert), (&key_file, key)] {
            let _ = fs::remove_file(file);
            if let Some(content) = content {
                fs::write(file, content).unwrap();
            }
        }
        let mut serve = binary();
        serve.args(["serve", "--config"]).arg(&config);
        serve.arg("--data").arg(home.path().join("data"));
        for role in ["--api", "--https", "--http", "--admin"] {
            serve.args([role, "127.0.0.1:0"]);
        }
        let output = serve.output().unwrap();
        secrets::assert_no_secrets("standard error", &output.stderr);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(says), "{says}: {said}");
    }
}
