//! HAProxy, from the distribution.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
};

use edgeseal_testing::pki::TestCertificate;

use super::{PeerConfig, program};
use crate::BenchResult;

pub(super) fn command(
    at: &Path,
    https: SocketAddr,
    setup: &PeerConfig<'_>,
) -> BenchResult<Command> {
    let (shown, folder) = (at.display(), setup.folder.path().display());
    let (workers, origin) = (setup.workers, setup.origin);
    // `ssl-load-extra-files none` is advised for many certificates: otherwise HAProxy looks for six
    // more files for each.
    let config = format!(
        "global
    nbthread {workers}
    maxconn 9000
    stats socket {shown}/runtime.sock level admin
    ssl-load-extra-files none
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend edge
    bind {https} ssl crt {folder} alpn h2,http/1.1 backlog 4096
    default_backend origin
backend origin
    server one {origin}
"
    );
    let file = at.join("haproxy.cfg");
    fs::write(&file, config)?;
    let mut command = Command::new(program("haproxy"));
    command.arg("-db").arg("-f").arg(file);
    Ok(command)
}

/// Uses the runtime API: in effect with the response, until the process exits.
pub(super) fn change(at: &Path, file: &Path, to: &TestCertificate) -> BenchResult<()> {
    let file = file.display();
    let pem = to.combined();
    let pem: Vec<&str> = pem.lines().filter(|line| !line.is_empty()).collect();
    let pem = pem.join("\n");
    runtime_command(
        at,
        &format!("set ssl cert {file} <<\n{pem}\n\n"),
        "ransaction",
    )?;
    runtime_command(at, &format!("commit ssl cert {file}\n"), "Success")
}

fn runtime_command(at: &Path, what: &str, wanted: &str) -> BenchResult<()> {
    let mut socket = UnixStream::connect(at.join("runtime.sock"))?;
    socket.write_all(what.as_bytes())?;
    socket.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    if answer.contains(wanted) {
        return Ok(());
    }
    Err(format!("haproxy: {answer}").into())
}
