use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use edgeseal_core::Secret;
use edgeseal_store::{Catalog, Keyring, SharedStore, memory::MemoryStore};
use edgeseal_testing::{
    bind::{NameServer, UpdateKey},
    clock::now,
    dns::DnsServer,
    wait::eventually,
};
use hickory_proto::rr::RecordType;
use tempfile::TempDir;

use super::{
    propagation::{Seen, is_visible},
    *,
};

mod hooks;
mod updates;

const APEX: TxtChallenge<'_> = TxtChallenge {
    name: "example.com",
    token: "token-1",
    key_authorization: "token-1.thumbprint",
    value: "LPsIwTo7o8BoG0-vjCyGQGBWSVIPxI-i_X336eUOQZo",
};
const WILDCARD: TxtChallenge<'_> = TxtChallenge {
    name: "example.com",
    token: "token-2",
    key_authorization: "token-2.thumbprint",
    value: "gfj9Xq-Zgbl5r68WPda0J9EgqqIMsijOYZxqyjGnFGw",
};

struct Stored {
    store: SharedStore,
    keyring: String,
}

impl Stored {
    fn new() -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            keyring: Keyring::generate().to_string(),
        }
    }

    /// As a process that starts.
    fn catalog(&self) -> Catalog {
        Catalog::new(
            Arc::clone(&self.store),
            Keyring::parse(&self.keyring).unwrap(),
        )
    }

    /// How many records are noted.
    async fn notes(&self) -> usize {
        let prefix = edgeseal_store::key::DNS_CHALLENGES;
        let page = self.store.list(prefix, None, 100).await.unwrap();
        page.entries.len()
    }
}

/// A solver that asks `server` for everything, also as the server of each zone.
fn solver(stored: &Stored, publisher: DnsPublisher, server: SocketAddr) -> DnsSolver {
    let settings = DnsSettings {
        publisher,
        dns: Some(server),
        resolver: None,
        propagation_timeout: Duration::from_secs(20),
        delegated_to: vec![DomainName::parse("example.net").unwrap()],
    };
    let mut solver = DnsSolver::new(stored.catalog(), settings, now);
    solver.propagation.port = server.port();
    solver
}

/// The values of the TXT records of a name, sorted.
async fn texts(server: SocketAddr, name: &str) -> Vec<String> {
    let client = DnsClient::resolver(Some(server));
    let name = absolute(name).unwrap();
    let answer = client.query(&name, RecordType::TXT).await.unwrap();
    let mut texts: Vec<String> = answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            hickory_proto::rr::RData::TXT(txt) => {
                Some(String::from_utf8(txt.txt_data.concat()).unwrap())
            }
            _ => None,
        })
        .collect();
    texts.sort();
    texts
}

#[test]
fn a_record_is_visible_where_all_servers_answer_with_it() {
    use Seen::{Absent, Present, Silent};
    for (seen, before, at_the_end) in [
        (&[][..], false, false),
        (&[Present], true, true),
        (&[Present, Present], true, true),
        (&[Present, Absent], false, false),
        (&[Present, Silent], false, true),
        (&[Silent, Silent], false, false),
        (&[Absent], false, false),
    ] {
        assert_eq!(is_visible(seen, false), before, "{seen:?}");
        assert_eq!(is_visible(seen, true), at_the_end, "{seen:?}");
    }
}

#[test]
fn an_owner_has_no_other_records_changed() {
    let allowed = [DomainName::parse("auth.acme-dns.example").unwrap()];
    for (target, expected) in [
        ("_acme-challenge.operator.net.", true),
        ("a.example.com.challenges.operator.net.", true),
        ("5d9f.auth.acme-dns.example.", true),
        ("operator.net.", false),
        ("_dmarc.operator.net.", false),
        ("_acme-challengex.operator.net.", false),
        ("a.example.comx.operator.net.", false),
        ("a.example.com.", false),
        ("auth.acme-dns.example.", false),
        ("xauth.acme-dns.example.", false),
    ] {
        let may = may_be_delegated("a.example.com", target, &allowed);
        assert_eq!(may, expected, "{target}");
    }
}
