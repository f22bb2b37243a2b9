//! A DNS server on loopback that is authoritative for everything.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hickory_server::{
    Server,
    net::runtime::{Time, TokioRuntimeProvider},
    proto::rr::{
        LowerName, Name, RData, Record, RecordType,
        rdata::{A, AAAA, CAA, CNAME, SOA, TXT},
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{AxfrPolicy, Catalog, ZoneType},
};
use tokio::net::{TcpListener, UdpSocket};

const TCP_TIMEOUT: Duration = Duration::from_secs(5);
/// Long enough for a resolver to cache a record for the rest of a test.
const LONG_TTL: u32 = 3600;

/// The DNS server, over UDP and TCP; stops when dropped.
pub struct DnsServer {
    pub address: SocketAddr,
    zone: Arc<InMemoryZoneHandler>,
    ipv4_queries: Arc<AtomicUsize>,
    _server: Server<CountingCatalog>,
}

impl DnsServer {
    /// Negative responses may be cached for the rest of a test, as records may.
    pub async fn start() -> Self {
        Self::with_negative_ttl(LONG_TTL).await
    }

    /// Negative responses may be cached for `negative_ttl` seconds.
    pub async fn with_negative_ttl(negative_ttl: u32) -> Self {
        let zone = InMemoryZoneHandler::<TokioRuntimeProvider>::empty(
            Name::root(),
            ZoneType::Primary,
            AxfrPolicy::Deny,
        );
        let zone = Arc::new(zone);
        let mut catalog = Catalog::default();
        catalog.upsert(LowerName::from(Name::root()), vec![zone.clone()]);
        let ipv4_queries = Arc::default();
        let mut server = Server::new(CountingCatalog {
            catalog,
            ipv4_queries: Arc::clone(&ipv4_queries),
        });
        let (tcp, udp) = bind_one_port().await;
        let address = tcp.local_addr().unwrap();
        server.register_socket(udp);
        server.register_listener(tcp, TCP_TIMEOUT, 64);
        let dns = Self {
            address,
            zone,
            ipv4_queries,
            _server: server,
        };
        let soa = SOA::new(
            Name::root(),
            Name::root(),
            1,
            3600,
            3600,
            3600,
            negative_ttl,
        );
        // The smaller of the record's TTL and its last member counts (RFC 2308 §5).
        dns.add("", negative_ttl, RData::SOA(soa)).await;
        dns
    }

    /// Adds a TXT record of these strings.
    pub async fn add_txt(&self, name: &str, texts: &[&str]) {
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        self.add(name, LONG_TTL, RData::TXT(TXT::new(texts))).await;
    }

    pub async fn add_cname(&self, name: &str, target: &str) {
        self.add(name, LONG_TTL, RData::CNAME(CNAME(absolute(target))))
            .await;
    }

    /// Adds a CAA record.
    pub async fn add_caa(&self, name: &str, critical: bool, tag: &str, value: &str) {
        let mut caa = CAA::new_issue(critical, None, Vec::new());
        tag.clone_into(&mut caa.tag);
        caa.value = value.into();
        self.add(name, LONG_TTL, RData::CAA(caa)).await;
    }

    /// Adds an address.
    pub async fn add_address(&self, name: &str, address: impl Into<IpAddr>) {
        self.add(name, LONG_TTL, address_record(address.into()))
            .await;
    }

    /// Replaces the addresses of a name, with a TTL of a second.
    pub async fn set(&self, name: &str, addresses: &[&str]) {
        let lower = LowerName::from(absolute(name));
        let mut records = self.zone.records_mut().await;
        records.retain(|key, _| key.name != lower || key.record_type == RecordType::SOA);
        drop(records);
        for address in addresses {
            self.add(name, 1, address_record(address.parse().unwrap()))
                .await;
        }
    }

    /// The number of queries for IPv4 addresses so far.
    pub fn ipv4_queries(&self) -> usize {
        self.ipv4_queries.load(Ordering::SeqCst)
    }

    async fn add(&self, name: &str, ttl: u32, data: RData) {
        let record = Record::from_rdata(absolute(name), ttl, data);
        assert!(self.zone.upsert(record, 1).await, "{name}");
    }
}

/// The zone, with a counter of queries.
struct CountingCatalog {
    catalog: Catalog,
    ipv4_queries: Arc<AtomicUsize>,
}

#[async_trait::async_trait]
impl RequestHandler for CountingCatalog {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        response: R,
    ) -> ResponseInfo {
        let info = request.request_info();
        if info.is_ok_and(|info| info.query.query_type() == RecordType::A) {
            self.ipv4_queries.fetch_add(1, Ordering::SeqCst);
        }
        self.catalog.handle_request::<R, T>(request, response).await
    }
}

/// One port for both protocols. A port that is free for one of them may be in use for the other.
async fn bind_one_port() -> (TcpListener, UdpSocket) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        match UdpSocket::bind(tcp.local_addr().unwrap()).await {
            Ok(udp) => return (tcp, udp),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
        }
    }
}

fn address_record(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

/// A fully qualified name.
fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).unwrap()
}
