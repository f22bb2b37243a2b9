//! A DNS server on loopback that is authoritative for everything.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_server::{
    Server,
    net::runtime::TokioRuntimeProvider,
    proto::rr::{
        LowerName, Name, RData, Record,
        rdata::{A, CNAME, SOA, TXT},
    },
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{AxfrPolicy, Catalog, ZoneType},
};
use tokio::net::{TcpListener, UdpSocket};

/// The DNS server; stops when dropped.
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    zone: Arc<InMemoryZoneHandler>,
    _server: Server<Catalog>,
}

impl DnsServer {
    pub(crate) async fn start() -> Self {
        let zone = InMemoryZoneHandler::<TokioRuntimeProvider>::empty(
            Name::root(),
            ZoneType::Primary,
            AxfrPolicy::Deny,
        );
        let zone = Arc::new(zone);
        let mut catalog = Catalog::default();
        catalog.upsert(LowerName::from(Name::root()), vec![zone.clone()]);
        let mut server = Server::new(catalog);
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        server.register_socket(UdpSocket::bind(address).await.unwrap());
        server.register_listener(tcp, Duration::from_secs(5), 64);
        let dns = Self {
            address,
            zone,
            _server: server,
        };
        let (nobody, serial) = (Name::root(), 1);
        let soa = SOA::new(nobody.clone(), nobody, serial, 3600, 3600, 3600, 3600);
        dns.add("", RData::SOA(soa)).await;
        dns
    }

    pub(crate) async fn txt(&self, name: &str, text: &str) {
        self.add(name, RData::TXT(TXT::new(vec![text.to_owned()])))
            .await;
    }

    /// Resolve the name to this machine.
    pub(crate) async fn add_loopback(&self, name: &str) {
        self.add(name, RData::A(A(Ipv4Addr::LOCALHOST))).await;
    }

    pub(crate) async fn cname(&self, name: &str, target: &str) {
        let target = RData::CNAME(CNAME(absolute(target)));
        self.add(name, target).await;
    }

    async fn add(&self, name: &str, data: RData) {
        let record = Record::from_rdata(absolute(name), 3600, data);
        assert!(self.zone.upsert(record, 1).await, "{name}");
    }
}

/// A fully qualified name.
fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).unwrap()
}
