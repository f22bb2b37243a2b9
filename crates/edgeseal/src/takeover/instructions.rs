//! Instructions that make a tool call this machine, and how to undo them.

use std::{
    fmt::{self, Display, Formatter},
    net::SocketAddr,
    path::PathBuf,
};

use super::{authority::Authority, hosts};

/// The instructions; `Display` prints them.
pub(super) struct Instructions<'a> {
    pub(super) authority: &'a Authority,
    /// The address that the API listens on, or would.
    pub(super) address: SocketAddr,
    /// Whether it listens there.
    pub(super) serving: bool,
}

/// The port that the tools call.
const PORT: u16 = 443;

/// Commands that allow an unprivileged process to listen on a low port.
pub(super) fn low_port_commands(port: u16) -> String {
    let program = program();
    format!(
        r"       sudo setcap cap_net_bind_service=+ep {}
       sudo sysctl -w net.ipv4.ip_unprivileged_port_start={port}",
        program.display()
    )
}

impl Display for Instructions<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (address, data) = (self.address, self.authority.data().display());
        if self.serving {
            writeln!(
                f,
                "\n  Edgeseal takes the place of the cloud's API at {address}."
            )?;
        } else {
            writeln!(
                f,
                "\n  Nothing is served yet: edgeseal takeover --data {data}"
            )?;
        }
        self.names(f)?;
        self.trust(f)?;
        self.port(f)?;
        self.try_it(f)?;
        self.undoing(f)?;
        writeln!(
            f,
            r"
  The certificate is good until {}. The first start in the 30 days before
  that makes a new one; a process that runs keeps the old one, so restart it in time. The
  authority stays, and with it what the tools were told.",
            self.authority.leaf_not_after
        )
    }
}

impl Instructions<'_> {
    fn names(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            r"
  1. Names, on the machine of the tool, which must be this one
       sudo sh -c 'cat {} >> /etc/hosts'
     These are the lines:",
            self.authority.hosts_file().display()
        )?;
        for line in hosts::lines(self.address.ip()).lines() {
            writeln!(f, "       {line}")?;
        }
        writeln!(
            f,
            r"     From then on nothing on this machine reaches the cloud under these names.
     A container has names and a loopback of its own: run it with --network host."
        )
    }

    fn trust(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            r"
  2. Trust, in the environment of the tool and of nothing else
       curl, acme.sh                        CURL_CA_BUNDLE={bundle}
       Node.js: certd, pop-core             NODE_EXTRA_CA_CERTS={ca}
       Go: certimate, allinssl, Terraform   SSL_CERT_FILE={bundle}
       Python: SDK alibabacloud-*           SSL_CERT_FILE={bundle}
       Python: aliyun-python-sdk-*          ALIBABA_CLOUD_CA_BUNDLE={bundle}
       Python: requests                     REQUESTS_CA_BUNDLE={bundle}
       PHP: dnsmgr, in php.ini              openssl.cafile={bundle}
                                            curl.cainfo={bundle}",
            ca = self.authority.ca_file().display(),
            bundle = self.authority.bundle_file().display(),
        )?;
        match &self.authority.system_roots {
            Some(roots) => writeln!(
                f,
                r"     All but Node's replace the roots of the system. So bundle.pem holds those of
     {} too, as they are at each start of takeover.",
                roots.display()
            )?,
            None => writeln!(
                f,
                r"     All but Node's replace the roots of the system, and none were found here: with
     bundle.pem a tool trusts nothing but Edgeseal. Use a file with your roots and ca.pem."
            )?,
        }
        writeln!(
            f,
            r"     The authority is good for names below {} only. Its files are in
     {}, which only its owner can read: a tool of
     another user, or in a container, needs a copy of ca.pem or bundle.pem.",
            hosts::DOMAIN,
            self.authority.directory().display(),
        )
    }

    fn port(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let address = self.address;
        let (ip, port) = (address.ip(), address.port());
        writeln!(
            f,
            r"
  3. Port {PORT}, which the tools call. To listen there without root, one of
{}
       AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit (systemd)",
            low_port_commands(PORT)
        )?;
        if port == PORT {
            return Ok(());
        }
        let iptables = if ip.is_ipv4() {
            "iptables"
        } else {
            "ip6tables"
        };
        writeln!(
            f,
            r"     or lead it to port {port}:
       sudo {iptables} -t nat -A OUTPUT -d {ip} -p tcp --dport {PORT} -j DNAT --to-destination {address}"
        )
    }

    fn try_it(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (address, port) = (self.address, self.address.port());
        let ip = match address {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        writeln!(
            f,
            r"
  4. Try it. The answer is MissingAccessKeyId, since nobody signed.
       curl --cacert {ca} --resolve cdn.{domain}:{port}:{ip} \
         'https://cdn.{domain}:{port}/?Action=DescribeUserDomains&Version=2018-05-10'
     The tool's access key is one of Edgeseal's: from {data}/credentials.json,
     or from edgeseal account create.",
            ca = self.authority.ca_file().display(),
            domain = hosts::DOMAIN,
            data = self.authority.data().display(),
        )
    }

    fn undoing(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            r"
  5. Undo it
       sudo sed -i '/{mark}$/d' /etc/hosts
       sudo setcap -r {program}   (or the sysctl back to 1024, or iptables with -D for -A)
     Take the variables out of the tools' environments, restart the tools, and then
       rm -r {directory}",
            mark = hosts::HOSTS_MARKER,
            program = program().display(),
            directory = self.authority.directory().display(),
        )
    }
}

/// The path of this program, for commands that grant it privileges.
fn program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("edgeseal"))
}
