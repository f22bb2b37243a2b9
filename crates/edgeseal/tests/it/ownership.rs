//! Proof of ownership before a domain is added, with a real DNS server.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use edgeseal_api::client::Refusal;
use serde_json::Value;
use tokio::net::UdpSocket;

use crate::harness::{Api, CDN, Origin, Server};

/// A DNS server on loopback: TXT and CNAME records by name, everything else is empty.
#[derive(Clone)]
struct Dns {
    address: SocketAddr,
    records: Arc<Mutex<HashMap<(String, u16), String>>>,
}

const TXT: u16 = 16;
const CNAME: u16 = 5;

impl Dns {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let dns = Self {
            address: socket.local_addr().unwrap(),
            records: Arc::default(),
        };
        let answering = dns.clone();
        tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut question).await {
                let answer = answering.answer(&question[..length]);
                socket.send_to(&answer, client).await.unwrap();
            }
        });
        dns
    }

    fn publish(&self, name: &str, kind: u16, value: &str) {
        let mut records = self.records.lock().unwrap();
        records.insert((name.to_owned(), kind), value.to_owned());
    }

    /// RFC 1035 §4: the question comes back with at most one record.
    fn answer(&self, question: &[u8]) -> Vec<u8> {
        let (mut name, mut at) = (Vec::new(), 12);
        while question[at] != 0 {
            let label = &question[at + 1..=at + usize::from(question[at])];
            name.push(String::from_utf8_lossy(label).to_lowercase());
            at += 1 + label.len();
        }
        let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
        let end = at + 5;
        let records = self.records.lock().unwrap();
        let found = records.get(&(name.join("."), kind));
        let mut answer = question[..2].to_vec();
        answer.extend([0x85, 0x80, 0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]);
        answer.extend(&question[12..end]);
        if let Some(value) = found {
            let data = match kind {
                TXT => [&[value.len() as u8], value.as_bytes()].concat(),
                _ => encoded(value),
            };
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 0, 0, data.len() as u8]);
            answer.extend(data);
        }
        answer
    }
}

fn encoded(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| {
        let length = [label.len() as u8];
        length.into_iter().chain(label.bytes()).collect::<Vec<_>>()
    });
    labels.chain([0]).collect()
}

async fn refused_add(api: &Api, name: &str, origin: &Origin) -> Refusal {
    let sources = origin.sources();
    let params = [
        ("DomainName", name),
        ("CdnType", "web"),
        ("Sources", &*sources),
    ];
    api.refused(CDN, "AddCdnDomain", &params).await
}

async fn content(api: &Api, name: &str) -> String {
    let params = [("DomainName", name)];
    let reply = api.ok(CDN, "DescribeVerifyContent", &params).await;
    reply["Content"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_added_once_its_root_is_proven() {
    let dns = Dns::start().await;
    let server = Server::start_with(&format!(
        "owner_check = \"on\"\ndns = \"{}\"\n",
        dns.address
    ));
    let (alice, bob) = (server.account("alice").await, server.account("bob").await);
    let origin = Origin::start().await;

    let refusal = refused_add(&alice, "www.owned.example", &origin).await;
    assert_eq!(refusal.code, "DomainOwnerVerifyFail");
    assert!(refusal.detail.contains("owned.example"), "{refusal:?}");

    let wanted = content(&alice, "www.owned.example").await;
    assert_ne!(
        wanted,
        content(&bob, "www.owned.example").await,
        "each has its own"
    );
    let verify = [
        ("DomainName", "www.owned.example"),
        ("VerifyType", "dnsCheck"),
    ];
    let refusal = alice.refused(CDN, "VerifyDomainOwner", &verify).await;
    assert_eq!(refusal.code, "DomainOwnerVerifyFail");
    assert!(
        refusal.detail.contains(&wanted),
        "what to publish: {refusal:?}"
    );

    dns.publish("verification.owned.example", TXT, &wanted);
    alice.ok(CDN, "VerifyDomainOwner", &verify).await;
    alice.add("www.owned.example", &origin).await;
    alice.add("other.owned.example", &origin).await;
    let refusal = refused_add(&bob, "bob.owned.example", &origin).await;
    assert_eq!(refusal.code, "DomainOwnerVerifyFail", "another account");
    let refusal = bob.refused(CDN, "VerifyDomainOwner", &verify).await;
    assert_eq!(
        refusal.code, "DomainOwnerVerifyFail",
        "alice's record is not bob's"
    );
    let way = [("DomainName", "www.owned.example"), ("VerifyType", "mail")];
    let refusal = alice.refused(CDN, "VerifyDomainOwner", &way).await;
    assert_eq!(refusal.code, "VerifyError");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dns_is_asked_where_visitors_are_sent() {
    let dns = Dns::start().await;
    let server = Server::start_with(&format!("dns = \"{}\"\n", dns.address));
    let (api, origin) = (server.client(), Origin::start().await);
    api.add("www.sent.example", &origin).await;
    let params = [("DomainName", "www.sent.example")];
    let row = async || -> Value {
        let reply = api.ok(CDN, "DescribeDomainCname", &params).await;
        reply["CnameDatas"]["Data"][0].clone()
    };
    let before = row().await;
    assert_eq!(
        (&before["Status"], &before["Passed"]),
        (&1.into(), &"no".into())
    );
    let target = before["Cname"].as_str().unwrap();
    dns.publish("www.sent.example", CNAME, target);
    let after = row().await;
    assert_eq!(
        (&after["Status"], &after["ErrMsg"]),
        (&0.into(), &"".into())
    );
    server.stop();
}
