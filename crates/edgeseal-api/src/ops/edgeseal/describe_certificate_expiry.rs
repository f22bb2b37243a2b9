//! `DescribeCertificateExpiry`: the certificates of the account, when they expire, and which domains
//! use them.

use edgeseal_core::certificate::CertificateId;
use edgeseal_store::{
    catalog::Pagination,
    record::{CertificateRecord, CertificateSource},
};
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::{
        cdn::wire_names::WireName as _,
        certificate_page::{self, NameBudget},
        paging::{InvalidPage, Page},
    },
};

/// Most domains that a row names.
const DOMAINS_MAX: usize = 20;

/// `DescribeCertificateExpiry`.
pub struct DescribeCertificateExpiry;

/// A page.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    total_count: usize,
    page_number: usize,
    page_size: usize,
    certificates: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    cert_id: CertificateId,
    cert_name: String,
    cert_type: &'static str,
    common_name: String,
    /// DNS names, separated by commas; names that do not fit the page are `...`.
    names: String,
    issuer: String,
    key_type: &'static str,
    not_before: String,
    /// End of the leaf.
    not_after: String,
    /// The earliest end in the served chain.
    chain_not_after: String,
    /// Domains that have it bound, at most [`DOMAINS_MAX`].
    domains: Vec<String>,
    /// Whether more domains have it bound.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more_domains: bool,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for DescribeCertificateExpiry {
    type Params = Page;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Page, Error> {
        Ok(Page::parse(params, 50, 500)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        page: Page,
    ) -> Result<Success<Reply>, Error> {
        let catalog = &context.catalog;
        let span = Pagination::of_page(page.number, page.size);
        let listing = catalog.certificates(call.account(), None, span).await;
        let listing = listing.map_err(StoreError::from)?;
        let mut names = NameBudget::for_rows(listing.items.len());
        let rows = certificate_page::rows(catalog, &listing.items, |certificate| {
            let names = names.take_names(&certificate.info);
            Row::of(certificate, names)
        });
        let mut rows = rows.await.map_err(StoreError::from)?;
        let ids: Vec<CertificateId> = rows.iter().map(|row| row.cert_id).collect();
        let users = catalog.certificate_users(&ids, DOMAINS_MAX).await;
        for (row, (domains, more)) in rows.iter_mut().zip(users.map_err(StoreError::from)?) {
            row.domains = domains;
            row.more_domains = more;
        }
        Ok(Success::read(Reply {
            total_count: listing.total,
            page_number: page.number,
            page_size: page.size,
            certificates: rows,
        }))
    }
}

impl Row {
    fn of(certificate: CertificateRecord, names: String) -> Self {
        let info = certificate.info;
        Self {
            cert_id: certificate.id,
            cert_name: certificate.name,
            cert_type: CertificateSource::wire_name(certificate.source),
            common_name: info.common_name,
            names,
            issuer: info.issuer,
            key_type: info.key.wire_name(),
            not_before: info.not_before.to_string(),
            not_after: info.not_after.to_string(),
            chain_not_after: info.chain_not_after.to_string(),
            domains: Vec::new(),
            more_domains: false,
        }
    }
}

api_error!(Error {
    Page(InvalidPage),
    Store(StoreError),
});

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use edgeseal_store::{Fault, key::CERTIFICATE_USES, memory::MemoryStore};
    use edgeseal_testing::observed_store::{Observe, ObservedStore, Operation};
    use serde_json::{Value, json};

    use super::DOMAINS_MAX;
    use crate::{
        Settings,
        test_server::{TestServer, allow, error_of},
    };

    const CDN: &str = "2018-05-10";
    const LIST: (&str, &str) = ("2026-12-01", "DescribeCertificateExpiry");

    async fn list(world: &TestServer, who: &str, params: &[(&str, &str)]) -> Value {
        world.call(&world.keys[who], LIST.0, LIST.1, params).await
    }

    /// Uploads a certificate for `*.example.com`; binds it to `count` domains if there are some.
    async fn upload(world: &TestServer, name: &str, count: usize) {
        let made = rcgen::generate_simple_self_signed(["*.example.com".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let own = &world.keys["own"];
        let names = (0..count).map(|n| format!("{name}-{n:02}.example.com"));
        let names = names.collect::<Vec<_>>().join(",");
        let sources = r#"[{"content":"192.0.2.7","type":"ipaddr","port":80}]"#;
        let add = [
            ("DomainName", &*names),
            ("CdnType", "web"),
            ("Sources", sources),
        ];
        let set = [
            ("DomainName", &*names),
            ("CertName", name),
            ("SSLProtocol", "on"),
            ("SSLPub", &chain),
            ("SSLPri", &key),
        ];
        let spare = [("Name", name), ("Cert", &*chain), ("Key", &*key)];
        type Call<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);
        let calls: &[Call<'_>] = match count {
            0 => &[("2020-04-07", "UploadUserCertificate", &spare)],
            _ => &[
                (CDN, "BatchAddCdnDomain", &add),
                (CDN, "BatchSetCdnDomainServerCertificate", &set),
            ],
        };
        for (version, action, params) in calls {
            let response = world.call(own, version, action, params).await;
            assert_eq!(response.get("Code"), None, "{action}: {response}");
        }
    }

    #[tokio::test]
    async fn certificates_and_the_domains_that_use_them() {
        let mut world = TestServer::empty(Settings::default());
        world.account("1000000000000001", "own").await;
        world.account("1000000000000002", "other").await;
        let policy = allow("edgeseal:DescribeCertificateExpiry", "*");
        world.user("1000000000000001", "reader", &[&policy]).await;
        world.user("1000000000000001", "nobody", &[]).await;
        for (name, count) in [("one", 1), ("many", DOMAINS_MAX + 1), ("none", 0)] {
            upload(&world, name, count).await;
        }
        for who in ["own", "reader"] {
            let listed = list(&world, who, &[]).await;
            assert_eq!(listed["TotalCount"], 3);
            let rows = listed["Certificates"].as_array().unwrap();
            let row = |name: &str| rows.iter().find(|row| row["CertName"] == name).unwrap();
            assert_eq!(row("one")["Domains"], json!(["one-00.example.com"]));
            assert_eq!(row("one").get("MoreDomains"), None);
            assert_eq!(row("none")["Domains"], json!([]));
            let many = row("many");
            let shown = many["Domains"].as_array().unwrap().len();
            assert_eq!((shown, &many["MoreDomains"]), (DOMAINS_MAX, &json!(true)));
            // The validity that rcgen sets.
            assert_eq!(many["NotBefore"], "1975-01-01T00:00:00Z");
            assert_eq!(many["ChainNotAfter"], "4096-01-01T00:00:00Z");
            assert_eq!(
                (&many["Names"], &many["KeyType"]),
                (&json!("*.example.com"), &json!("ECDSA"))
            );
        }
        let last = list(&world, "own", &[("PageSize", "2"), ("PageNumber", "2")]).await;
        assert_eq!(last["Certificates"].as_array().unwrap().len(), 1);
        let denied = list(&world, "nobody", &[]).await;
        assert_eq!(error_of(&denied).0, "NoPermission");
        let wrong = list(&world, "own", &[("PageSize", "501")]).await;
        assert_eq!(error_of(&wrong).0, "InvalidPageSize");
        assert_eq!(list(&world, "other", &[]).await["TotalCount"], 0);
    }

    /// Counts listings of domains that use certificates.
    #[derive(Default)]
    struct UserListings(AtomicUsize);

    impl Observe for UserListings {
        fn before(&self, operation: Operation<'_>) -> Result<(), Fault> {
            let is_of_users = |prefix: &str| prefix.starts_with(CERTIFICATE_USES);
            let counts = match operation {
                Operation::List(prefix) => is_of_users(prefix),
                Operation::GetAndList(_, prefixes) => prefixes.iter().any(|it| is_of_users(it)),
                _ => false,
            };
            self.0.fetch_add(counts.into(), Ordering::Relaxed);
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_page_lists_the_users_of_all_its_certificates_at_once() {
        let store = ObservedStore::over(Arc::new(MemoryStore::new()), UserListings::default());
        let (mut world, _tasks) = TestServer::over(store.clone(), Settings::default());
        world.account("1000000000000001", "own").await;
        for name in ["one", "two", "three"] {
            upload(&world, name, 1).await;
        }
        store.0.store(0, Ordering::Relaxed);
        let listed = list(&world, "own", &[]).await;
        let rows = listed["Certificates"].as_array().unwrap();
        assert!(
            rows.iter()
                .all(|row| row["Domains"].as_array().unwrap().len() == 1)
        );
        assert_eq!((rows.len(), store.0.load(Ordering::Relaxed)), (3, 1));
    }
}
