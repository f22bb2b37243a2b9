//! A DNS server on loopback that is authoritative for everything.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_server::{
    Server,
    net::runtime::TokioRuntimeProvider,
    proto::rr::{
        LowerName, Name, RData, Record, RecordType,
        rdata::{A, AAAA, SOA},
    },
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{AxfrPolicy, Catalog, ZoneType},
};
use tokio::net::{TcpListener, UdpSocket};

/// The DNS server.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    zone: Arc<InMemoryZoneHandler>,
    _server: Server<Catalog>,
}

impl Dns {
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
        let nobody = Name::root();
        let soa = SOA::new(nobody.clone(), nobody.clone(), 1, 3600, 3600, 3600, 1);
        let soa = Record::from_rdata(nobody, 1, RData::SOA(soa));
        assert!(zone.upsert(soa, 1).await);
        Self {
            address,
            zone,
            _server: server,
        }
    }

    /// From now on the name has these addresses, with a TTL of a second.
    pub(crate) async fn set(&self, name: &str, addresses: &[&str]) {
        let name = Name::from_ascii(format!("{name}.")).unwrap();
        let lower = LowerName::from(&name);
        let mut records = self.zone.records_mut().await;
        records.retain(|key, _| key.name != lower || key.record_type == RecordType::SOA);
        drop(records);
        for address in addresses {
            let data = match address.parse().unwrap() {
                IpAddr::V4(v4) => RData::A(A(v4)),
                IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
            };
            let record = Record::from_rdata(name.clone(), 1, data);
            assert!(self.zone.upsert(record, 1).await, "{name} {address}");
        }
    }
}
