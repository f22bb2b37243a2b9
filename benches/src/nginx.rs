//! The peer: nginx as the distribution builds it, in a directory of its own.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Outcome, pki::Certified, process};

/// A running nginx; killed when dropped.
pub(crate) struct Nginx {
    master: Child,
    _directory: TempDir,
    pub(crate) https: SocketAddr,
    pub(crate) workers: Vec<u32>,
}

impl Nginx {
    /// Starts nginx with `workers`, one certificate, and everything proxied to `origin` over kept
    /// connections. Nothing is logged; tickets are on, as they are by default and in Edgeseal.
    pub(crate) fn start(
        workers: usize,
        certified: &Certified,
        origin: SocketAddr,
    ) -> Outcome<Self> {
        let directory = TempDir::with_prefix("bench-nginx-")?;
        let at = directory.path();
        // It takes no port 0.
        let https = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        fs::write(at.join("chain.pem"), &certified.chain_pem)?;
        fs::write(at.join("key.pem"), &certified.key_pem)?;
        fs::write(at.join("nginx.conf"), config(at, workers, https, origin))?;
        let master = Command::new("nginx")
            .arg("-p")
            .arg(at)
            .arg("-c")
            .arg(at.join("nginx.conf"))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|why| format!("nginx: {why}; run benches/peers.sh"))?;
        let mut nginx = Self {
            master,
            _directory: directory,
            https,
            workers: Vec::new(),
        };
        nginx.wait_until_listening(workers)?;
        Ok(nginx)
    }

    fn wait_until_listening(&mut self, workers: usize) -> Outcome<()> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if let Some(status) = self.master.try_wait()? {
                return Err(format!("nginx ended: {status}").into());
            }
            self.workers = process::children(self.master.id())?;
            if self.workers.len() == workers && TcpStream::connect(self.https).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("nginx does not listen".into())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master takes its workers along on SIGTERM; there is no signal in the standard library.
        let _ = Command::new("kill")
            .arg(self.master.id().to_string())
            .status();
        let _ = self.master.wait();
    }
}

fn config(at: &Path, workers: usize, https: SocketAddr, origin: SocketAddr) -> String {
    let at = at.display();
    format!(
        "daemon off;
worker_processes {workers};
pid {at}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {at}/body;
    proxy_temp_path {at}/proxy;
    fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi;
    scgi_temp_path {at}/scgi;
    upstream origin {{ server {origin}; keepalive 64; }}
    server {{
        listen {https} ssl backlog=1024;
        ssl_certificate {at}/chain.pem;
        ssl_certificate_key {at}/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
        }}
    }}
}}
"
    )
}
