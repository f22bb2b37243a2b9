//! Caddy, from its package on PyPI.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
};

use serde_json::json;

use super::{PeerConfig, program};
use crate::BenchResult;

pub(super) fn command(
    at: &Path,
    https: SocketAddr,
    setup: &PeerConfig<'_>,
) -> BenchResult<Command> {
    let socket = format!("unix/{}", at.join("admin.sock").display());
    let config = json!({
        "admin": {"listen": socket, "config": {"persist": false}},
        "storage": {"module": "file_system", "root": at.join("storage")},
        "logging": {"logs": {"default": {"level": "ERROR"}}},
        "apps": {
            "http": {"servers": {"edge": {
                "listen": [https.to_string()],
                "routes": [{"handle": [{
                    "handler": "reverse_proxy",
                    "upstreams": [{"dial": setup.origin.to_string()}],
                }]}],
                "automatic_https": {"disable": true},
                "tls_connection_policies": [{}],
                "protocols": ["h1", "h2"],
            }}},
            "tls": {
                "certificates": {"load_folders": [setup.folder.path()]},
                // Above this number the cache evicts at random.
                "cache": {"capacity": setup.folder.names().len() + 1000},
            },
        },
    });
    let file = at.join("caddy.json");
    fs::write(&file, serde_json::to_vec(&config)?)?;
    let mut command = Command::new(program("caddy"));
    command.arg("run").arg("--config").arg(file);
    command.env("GOMAXPROCS", setup.workers.to_string());
    command.env("HOME", at);
    Ok(command)
}

/// Reloads the configuration, whose folder has changed; returns when Caddy has applied it.
pub(super) fn reload(at: &Path) -> BenchResult<()> {
    let config = fs::read(at.join("caddy.json"))?;
    let mut socket = UnixStream::connect(at.join("admin.sock"))?;
    let head = format!(
        "POST /load HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         cache-control: must-revalidate\r\ncontent-length: {}\r\n\r\n",
        config.len()
    );
    socket.write_all(head.as_bytes())?;
    socket.write_all(&config)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    if answer.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    Err(format!("caddy: {answer}").into())
}
