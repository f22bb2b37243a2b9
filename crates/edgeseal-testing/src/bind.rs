//! BIND, a real name server, on loopback: primary server of zones that can be changed by dynamic
//! updates.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{port::free_address, wait::eventually};

/// A key that client and server share (TSIG).
#[derive(Clone, Debug)]
pub struct UpdateKey {
    pub name: &'static str,
    /// As `named.conf` spells it, such as `hmac-sha256`.
    pub algorithm: &'static str,
    pub secret: &'static [u8],
}

/// The server; stops when dropped.
pub struct NameServer {
    pub address: SocketAddr,
    process: Child,
    _files: TempDir,
}

impl NameServer {
    /// Serves zones, each with more lines of its zone file. Each key may change the TXT records of
    /// all zones. Asked to, it also follows CNAME records from one of them to another, and resolves
    /// nothing else.
    pub async fn start(zones: &[(&str, &str)], keys: &[UpdateKey]) -> Self {
        let address = free_address();
        let files = tempfile::tempdir().unwrap();
        let folder = files.path().display();
        let port = address.port();
        let mut config = format!(
            "options {{ directory \"{folder}\"; pid-file none; session-keyfile none; \
             listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; \
             recursion yes; forward only; forwarders {{ 127.0.0.1 port 9; }}; \
             dnssec-validation no; notify no; max-journal-size 1M; }};\n\
             controls {{ }};\n"
        );
        let mut grants = String::new();
        for key in keys {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            let secret = STANDARD.encode(key.secret);
            let (name, algorithm) = (key.name, key.algorithm);
            writeln!(
                config,
                "key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};"
            )
            .unwrap();
            write!(grants, "grant {name} zonesub TXT; ").unwrap();
        }
        for (zone, records) in zones {
            let text = format!(
                "$TTL 60\n@ IN SOA ns1.{zone}. admin.{zone}. 1 60 60 60 1\n@ IN NS ns1.{zone}.\n\
                 ns1 IN A 127.0.0.1\n{records}\n"
            );
            fs::write(files.path().join(zone), text).unwrap();
            writeln!(
                config,
                "zone \"{zone}\" {{ type primary; file \"{zone}\"; update-policy {{ {grants} }}; }};"
            )
            .unwrap();
        }
        let file = files.path().join("named.conf");
        fs::write(&file, config).unwrap();
        let log = fs::File::create(files.path().join("named.log")).unwrap();
        let process = Command::new("named")
            .args(["-g", "-4", "-n", "1", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("BIND is installed (apt-get install bind9)");
        let mut server = Self {
            address,
            process,
            _files: files,
        };
        eventually("BIND listens", || {
            let exit = server.process.try_wait().unwrap();
            assert_eq!(exit, None, "BIND ended");
            async move { TcpStream::connect(address).await.ok() }
        })
        .await;
        server
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
