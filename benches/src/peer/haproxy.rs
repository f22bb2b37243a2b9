//! HAProxy as the distribution builds it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
};

use super::{Setup, program};
use crate::{Outcome, pki::Certified};

pub(super) fn command(at: &Path, https: SocketAddr, setup: &Setup<'_>) -> Outcome<Command> {
    let (shown, folder) = (at.display(), setup.folder.path().display());
    let (workers, origin) = (setup.workers, setup.origin);
    // `ssl-load-extra-files none` is advised where there are many certificates: each would be looked
    // for under six more names.
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

/// Over the runtime API; takes effect with the answer, for this process alone.
pub(super) fn change(at: &Path, file: &Path, to: &Certified) -> Outcome<()> {
    let file = file.display();
    let pem = to.in_one_file();
    let pem: Vec<&str> = pem.lines().filter(|line| !line.is_empty()).collect();
    let pem = pem.join("\n");
    say(
        at,
        &format!("set ssl cert {file} <<\n{pem}\n\n"),
        "ransaction",
    )?;
    say(at, &format!("commit ssl cert {file}\n"), "Success")
}

fn say(at: &Path, what: &str, wanted: &str) -> Outcome<()> {
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
