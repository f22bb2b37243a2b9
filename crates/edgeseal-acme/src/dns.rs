//! Questions to DNS servers: those of the system, or given ones. Nothing is cached: what matters
//! here has just changed.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use hickory_proto::{
    op::{Edns, Message, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use hickory_resolver::system_conf::read_system_conf;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// How long a datagram is waited for.
const UDP_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a datagram is sent before TCP is tried.
const UDP_ATTEMPTS: u32 = 2;
/// How long one exchange over TCP may take.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest datagram that is asked for: what passes without fragmentation (RFC 9715 §3.1).
const UDP_PAYLOAD_MAX: u16 = 1232;
/// Most CNAME records that are followed from one name.
const CNAMES_MAX: usize = 8;
/// Most servers of a zone that are asked. The owner of a zone decides how many it has; the root has
/// 13.
const SERVERS_MAX: usize = 16;
/// Most addresses of one of them.
const ADDRESSES_MAX: usize = 4;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// No server is configured.
    #[error("the system names no DNS server")]
    NoServer,
    /// The server is unreachable or silent.
    #[error("the DNS server {server} does not answer: {cause}")]
    Silent {
        /// The server.
        server: SocketAddr,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// The server's response cannot be read.
    #[error("the DNS server {server} answers with something that is not DNS")]
    Malformed {
        /// The server.
        server: SocketAddr,
    },
    /// The server refuses.
    #[error("the DNS server {server} answers {code} for {name}")]
    Refused {
        /// The server.
        server: SocketAddr,
        /// The name that was asked for.
        name: String,
        /// The response code.
        code: ResponseCode,
    },
    /// CNAME records lead in a circle, or too far.
    #[error("the CNAME records of {name} lead in a circle, or over more than {CNAMES_MAX} names")]
    Circle {
        /// The first name.
        name: String,
    },
    /// No zone was found above a name.
    #[error("no DNS zone of {name} was found")]
    NoZone {
        /// The name.
        name: String,
    },
    /// The text is not a name in DNS.
    #[error("{name:?} is not a name in DNS")]
    InvalidName {
        /// The text.
        name: String,
    },
}

/// DNS servers that are asked in turn until one answers.
#[derive(Clone, Debug)]
pub struct DnsClient {
    /// `None`: those of the system, as they are configured at the time of the question.
    servers: Option<Vec<SocketAddr>>,
    /// Whether they are asked to resolve the name, instead of saying what they know themselves.
    recursive: bool,
}

impl DnsClient {
    /// Asks this resolver; `None`: the system's.
    #[must_use]
    pub fn resolver(server: Option<SocketAddr>) -> Self {
        Self {
            servers: server.map(|server| vec![server]),
            recursive: true,
        }
    }

    /// Asks servers for what they know themselves.
    #[must_use]
    pub(crate) const fn authoritative(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers: Some(servers),
            recursive: false,
        }
    }

    /// The response to one question; that the name or the record does not exist is a response.
    ///
    /// # Errors
    /// [`DnsError`] of the last server, if none answers.
    pub(crate) async fn query(&self, name: &Name, kind: RecordType) -> Result<Message, DnsError> {
        let query = Query::query(name.to_lowercase(), kind);
        let mut last = DnsError::NoServer;
        for server in self.servers()? {
            match ask(server, &query, self.recursive).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn servers(&self) -> Result<Vec<SocketAddr>, DnsError> {
        if let Some(servers) = &self.servers {
            return Ok(servers.clone());
        }
        let (config, _) = read_system_conf().map_err(|_| DnsError::NoServer)?;
        let servers = config.name_servers().iter().map(|server| {
            let port = server.connections.first().map_or(53, |it| it.port);
            SocketAddr::new(server.ip, port)
        });
        Ok(servers.collect())
    }

    /// Where the CNAME records of a name lead; the name itself if it has none.
    ///
    /// # Errors
    /// [`DnsError`].
    pub(crate) async fn follow(&self, name: &Name) -> Result<Name, DnsError> {
        let mut seen = vec![name.to_lowercase()];
        while seen.len() <= CNAMES_MAX {
            let current = &seen[seen.len() - 1];
            let answer = self.query(current, RecordType::CNAME).await?;
            let next = answer.answers.iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name == *current => Some(target.0.to_lowercase()),
                _ => None,
            });
            match next {
                None => return Ok(current.clone()),
                Some(next) if seen.contains(&next) => break,
                Some(next) => seen.push(next),
            }
        }
        Err(DnsError::Circle { name: shown(name) })
    }

    /// The zone that a name is in.
    ///
    /// # Errors
    /// [`DnsError`].
    pub(crate) async fn zone(&self, name: &Name) -> Result<Name, DnsError> {
        let mut ancestor = name.to_lowercase();
        while !ancestor.is_root() {
            let answer = self.query(&ancestor, RecordType::SOA).await?;
            // A negative response has the SOA record of the zone (RFC 2308 §3).
            let mut records = answer.answers.iter().chain(&answer.authorities);
            let zone = records.find(|record| {
                record.record_type() == RecordType::SOA && record.name.zone_of(name)
            });
            if let Some(zone) = zone {
                return Ok(zone.name.to_lowercase());
            }
            ancestor = ancestor.base_name();
        }
        Err(DnsError::NoZone { name: shown(name) })
    }

    /// The authoritative servers of a zone, each with its addresses at `port`; of very many servers
    /// or addresses the first ones.
    ///
    /// # Errors
    /// [`DnsError`]. A server whose addresses cannot be looked up has none.
    pub(crate) async fn name_servers(
        &self,
        zone: &Name,
        port: u16,
    ) -> Result<Vec<(Name, Vec<SocketAddr>)>, DnsError> {
        let answer = self.query(zone, RecordType::NS).await?;
        let servers = answer
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::NS(server) => Some(server.0.clone()),
                _ => None,
            });
        let servers = servers.take(SERVERS_MAX).map(|server| async move {
            let addresses = self.addresses(&server).await.unwrap_or_default();
            let addresses = addresses.into_iter().take(ADDRESSES_MAX);
            let addresses = addresses.map(|ip| SocketAddr::new(ip, port)).collect();
            (server, addresses)
        });
        Ok(join_all(servers).await)
    }

    /// The addresses of a name, IPv4 first; none if it has none.
    ///
    /// # Errors
    /// [`DnsError`].
    pub(crate) async fn addresses(&self, name: &Name) -> Result<Vec<std::net::IpAddr>, DnsError> {
        let mut addresses = Vec::new();
        for kind in [RecordType::A, RecordType::AAAA] {
            let answer = self.query(name, kind).await?;
            addresses.extend(answer.answers.iter().filter_map(|it| it.data.ip_addr()));
        }
        Ok(addresses)
    }
}

/// A fully qualified name.
///
/// # Errors
/// [`DnsError::InvalidName`].
pub(crate) fn absolute(text: &str) -> Result<Name, DnsError> {
    let invalid = |_| DnsError::InvalidName {
        name: text.to_owned(),
    };
    let mut name = Name::from_ascii(text).map_err(invalid)?;
    name.set_fqdn(true);
    Ok(name)
}

/// A name as people write it, without the dot of the root.
pub(crate) fn shown(name: &Name) -> String {
    let text = name.to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

async fn ask(server: SocketAddr, query: &Query, recursive: bool) -> Result<Message, DnsError> {
    let mut request = Message::query();
    request.metadata.recursion_desired = recursive;
    request.add_query(query.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD_MAX);
    request.set_edns(edns);
    let malformed = |_| DnsError::Malformed { server };
    let bytes = request.to_vec().map_err(|_| DnsError::InvalidName {
        name: shown(query.name()),
    })?;
    let response = exchange(server, &bytes).await?;
    let response = Message::from_vec(&response).map_err(malformed)?;
    if response.queries != request.queries || response.op_code != OpCode::Query {
        return Err(DnsError::Malformed { server });
    }
    match response.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(response),
        code => Err(DnsError::Refused {
            server,
            name: shown(query.name()),
            code,
        }),
    }
}

/// Sends a message and returns the response to it: over UDP, or over TCP if the response is cut or
/// does not come.
///
/// # Errors
/// [`DnsError::Silent`] or [`DnsError::Malformed`].
pub(crate) async fn exchange(server: SocketAddr, request: &[u8]) -> Result<Vec<u8>, DnsError> {
    for _ in 0..UDP_ATTEMPTS {
        match timeout(UDP_TIMEOUT, over_udp(server, request)).await {
            Ok(Ok(response)) if !is_truncated(&response) => return Ok(response),
            Ok(_) => break,
            Err(_) => {}
        }
    }
    let response = match timeout(TCP_TIMEOUT, over_tcp(server, request)).await {
        Ok(response) => response,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "no response in time",
        )),
    };
    let response = response.map_err(|cause| DnsError::Silent { server, cause })?;
    if is_response(request, &response) {
        Ok(response)
    } else {
        Err(DnsError::Malformed { server })
    }
}

async fn over_udp(server: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any).await?;
    // Datagrams from elsewhere are not received then.
    socket.connect(server).await?;
    socket.send(request).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if is_response(request, &buffer[..length]) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(server: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(request.len()).map_err(io::Error::other)?;
    let mut message = length.to_be_bytes().to_vec();
    message.extend_from_slice(request);
    stream.write_all(&message).await?;
    let length = stream.read_u16().await?;
    let mut response = vec![0; usize::from(length)];
    stream.read_exact(&mut response).await?;
    Ok(response)
}

/// Whether it is a response with the identifier of the request (RFC 1035 §4.1.1).
fn is_response(request: &[u8], response: &[u8]) -> bool {
    let is_response = |flags: u8| flags & 0x80 != 0;
    response.len() >= 12 && response[..2] == request[..2] && is_response(response[2])
}

fn is_truncated(response: &[u8]) -> bool {
    response.get(2).is_none_or(|flags| flags & 0x02 != 0)
}
