//! nginx, from the distribution.

use std::{fmt::Write as _, fs, net::SocketAddr, path::Path, process::Command};

use super::{PeerConfig, program};
use crate::BenchResult;

/// A server block for each name.
pub(super) fn server_blocks(https: SocketAddr, setup: &PeerConfig<'_>) -> String {
    let names = setup.folder.names();
    // Advised for many names: "Server names", nginx.org/en/docs/http/server_names.html.
    let mut text = format!(
        "server_names_hash_max_size {};\nserver_names_hash_bucket_size 128;\n",
        (2 * names.len()).max(512)
    );
    let mut listen = format!("{https} ssl http2 backlog=4096");
    for name in names {
        let file = setup.folder.file(name);
        let file = file.display();
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "server {{ listen {listen}; server_name {name}; ssl_certificate {file}; ssl_certificate_key {file}; {PROXY} }}"
        );
        listen = format!("{https} ssl http2"); // socket options stand once for each address
    }
    text
}

/// One server block, with the certificate file named by the SNI
/// (nginx.org/en/docs/http/ngx_http_ssl_module.html#ssl_certificate).
pub(super) fn certificate_by_variable(https: SocketAddr, setup: &PeerConfig<'_>) -> String {
    let path = setup.folder.path().display();
    format!(
        "server {{ listen {https} ssl http2 backlog=4096; ssl_certificate {path}/$ssl_server_name.pem; ssl_certificate_key {path}/$ssl_server_name.pem; {PROXY} }}\n"
    )
}

const PROXY: &str = "location / { proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host; }";

pub(super) fn command(at: &Path, setup: &PeerConfig<'_>, servers: &str) -> BenchResult<Command> {
    let file = at.join("nginx.conf");
    let (shown, workers, origin) = (at.display(), setup.workers, setup.origin);
    // Workers run as root if the master does: with a file by variable they read keys.
    let config = format!(
        "daemon off;
user root;
worker_processes {workers};
pid {shown}/nginx.pid;
error_log stderr error;
events {{ worker_connections 9000; }}
http {{
    access_log off;
    client_body_temp_path {shown}/body;
    proxy_temp_path {shown}/proxy;
    fastcgi_temp_path {shown}/fastcgi;
    uwsgi_temp_path {shown}/uwsgi;
    scgi_temp_path {shown}/scgi;
    keepalive_requests 100000;
    ssl_protocols TLSv1.2 TLSv1.3;
    upstream origin {{ server {origin}; keepalive 64; keepalive_requests 100000; }}
    {servers}
}}
"
    );
    fs::write(&file, config)?;
    let mut command = Command::new(program("nginx"));
    command.arg("-p").arg(at).arg("-c").arg(file);
    Ok(command)
}
