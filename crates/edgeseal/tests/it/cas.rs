//! CAS: uploads and their names, deletion, and which account sees which certificate.

mod deployment;
mod labels;
mod long_names;
mod races;
mod regions;
mod texts;

use std::fs;

use serde_json::Value;

use crate::harness::{
    ApiClient, CAS, CAS_2018, CDN_VERSION, Origin, SET, Server, StoreDump, TestCertificate, pem,
    pki::AUTHORITY, tls::HandshakeFailure, unlimited,
};

const DELETE: &str = "DeleteUserCertificate";
const NAME: &str = "www.centre.example";

/// A server with an account and an origin.
struct CasFixture {
    server: Server,
    api: ApiClient,
    origin: Origin,
}

impl CasFixture {
    async fn start(config: &str) -> Self {
        let server = Server::start_with(&format!("{config}{}", unlimited()));
        Self {
            api: server.root_client(),
            server,
            origin: Origin::start().await,
        }
    }

    /// Also adds the domain [`NAME`].
    async fn with_domain(config: &str) -> Self {
        let centre = Self::start(config).await;
        centre.api.add(NAME, &centre.origin).await;
        centre
    }

    async fn upload(&self, name: &str, pem: &TestCertificate) -> i64 {
        upload(&self.api, name, pem).await
    }

    /// Binds a stored certificate.
    async fn bind(&self, domain: &str, id: i64) {
        self.api
            .ok(CDN_VERSION, SET, &stored(domain, &id.to_string()))
            .await;
    }

    async fn assert_refused(&self, version: &str, action: &str, id: i64, code: &str) {
        let number = id.to_string();
        let params = [("CertId", number.as_str())];
        let refusal = self.api.refused(version, action, &params).await;
        assert_eq!(refusal.code, code, "{action}: {}", refusal.detail);
    }

    async fn delete(&self, version: &str, id: i64) {
        let number = id.to_string();
        let params = [("CertId", number.as_str())];
        self.api.ok(version, DELETE, &params).await;
    }

    async fn assert_serves(&self, pem: &TestCertificate, when: &str) {
        self.server.assert_serves(NAME, &pem.leaf, when).await;
    }

    /// Names of the certificates in CAS, ordered by ID.
    async fn names(&self) -> Vec<String> {
        let params = [("OrderType", "CERT")];
        let listed = self.api.ok(CAS, "ListUserCertificateOrder", &params).await;
        let rows = listed["CertificateOrderList"].as_array().unwrap().iter();
        rows.map(|row| row["Name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Stops the server and reads its store.
    async fn into_store_dump(mut self) -> StoreDump {
        assert_eq!(self.server.terminate().code(), Some(0));
        StoreDump::read(&self.server).await
    }
}

async fn upload(api: &ApiClient, name: &str, pem: &TestCertificate) -> i64 {
    let params = upload_params(name, pem);
    let reply = api.ok(CAS, "UploadUserCertificate", &params).await;
    reply["CertId"].as_i64().unwrap()
}

fn upload_params<'a>(name: &'a str, pem: &'a TestCertificate) -> [(&'a str, &'a str); 3] {
    [("Name", name), ("Cert", &pem.chain), ("Key", &pem.key)]
}

fn stored<'a>(domain: &'a str, id: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("DomainName", domain),
        ("SSLProtocol", "on"),
        ("CertType", "cas"),
        ("CertId", id),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_has_one_content() {
    let centre = CasFixture::with_domain("").await;
    let api = &centre.api;
    let (one, two) = (AUTHORITY.issue(&[NAME]), AUTHORITY.issue(&[NAME]));
    let uploads = [
        (CAS, "UploadUserCertificate"),
        (CAS_2018, "CreateUserCertificate"),
    ];
    let id = centre.upload("first", &one).await;
    for (version, action) in uploads {
        let again = api.ok(version, action, &upload_params("first", &one)).await;
        assert_eq!(
            again["CertId"], id,
            "{action}: the same upload returns the same certificate"
        );
        let other = upload_params("first", &two);
        let refusal = api.refused(version, action, &other).await;
        assert_eq!(refusal.code, "NameRepeat", "{action}");
        assert!(
            refusal.detail.contains(&id.to_string()),
            "{}",
            refusal.detail
        );
    }
    // CAS names and names of domain uploads share one namespace, in both directions.
    let mut set = crate::harness::api::upload_params(NAME, &two).to_vec();
    set.push(("CertName", "second"));
    api.ok(CDN_VERSION, SET, &set).await;
    for (version, action) in uploads {
        let refusal = api
            .refused(version, action, &upload_params("second", &one))
            .await;
        assert_eq!(refusal.code, "NameRepeat", "{action}");
    }
    set.pop();
    set.push(("CertName", "first"));
    let refusal = api.refused(CDN_VERSION, SET, &set).await;
    assert_eq!(refusal.code, "Certificate.Duplicated");
    assert_eq!(centre.names().await, ["first", "second"]);
    centre.assert_serves(&two, "after the refusals").await;
    centre.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn required_parts_of_an_upload() {
    let centre = CasFixture::start("").await;
    let api = &centre.api;
    let (one, two) = (AUTHORITY.issue(&[NAME]), AUTHORITY.issue(&[NAME]));
    for (params, code) in [
        (
            vec![("Cert", &*one.chain), ("Key", &one.key)],
            "MissingName",
        ),
        (vec![("Name", "x"), ("Key", &one.key)], "MissingCert"),
        (vec![("Name", "x"), ("Cert", &one.chain)], "MissingKey"),
        (upload_params(&"x".repeat(65), &one).to_vec(), "InvalidName"),
        (vec![("Name", "x"), ("SignCert", &one.chain)], "InvalidCert"),
        (
            vec![("Name", "x"), ("Cert", &one.chain), ("Key", &two.key)],
            "CertKeyNotMatch",
        ),
        (
            vec![("Name", "x"), ("Cert", &one.key), ("Key", &one.key)],
            "InvalidCert",
        ),
        (
            vec![("Name", "x"), ("Cert", &one.chain), ("Key", &one.chain)],
            "InvalidKey",
        ),
    ] {
        let refusal = api.refused(CAS, "UploadUserCertificate", &params).await;
        assert_eq!(refusal.code, code, "{}", refusal.detail);
        assert!(!refusal.detail.is_empty(), "{code}");
    }
    assert_eq!(centre.names().await.len(), 0);
    centre.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_key_is_never_returned() {
    let centre = CasFixture::with_domain("").await;
    let api = &centre.api;
    let pem = AUTHORITY.issue(&[NAME]);
    let id = centre.upload("kept", &pem).await;
    centre.bind(NAME, id).await;
    let id = id.to_string();
    // `ok` searches every response for the key; this also checks the members that would hold it.
    for (version, action, params) in [
        (
            CDN_VERSION,
            "DescribeCdnCertificateDetail",
            ("CertName", "kept"),
        ),
        (
            CDN_VERSION,
            "DescribeCdnCertificateDetailById",
            ("CertId", &*id),
        ),
        (CAS, "GetUserCertificateDetail", ("CertId", &id)),
        (CAS_2018, "DescribeUserCertificateDetail", ("CertId", &id)),
    ] {
        let detail = api.ok(version, action, &[params]).await;
        let key = detail.get("Key").or_else(|| detail.get("key"));
        assert_eq!(key.and_then(Value::as_str), Some(""), "{action}");
        let text = detail.get("Cert").or_else(|| detail.get("cert"));
        assert_eq!(text.and_then(Value::as_str), Some(&*pem.chain), "{action}");
    }
    let filtered = [("CertId", &*id), ("CertFilter", "true")];
    let detail = api.ok(CAS, "GetUserCertificateDetail", &filtered).await;
    assert!(detail.get("Cert").is_none() && detail.get("Key").is_none());
    for (version, action, params) in [
        (
            CDN_VERSION,
            "DescribeDomainCertificateInfo",
            ("DomainName", NAME),
        ),
        (CDN_VERSION, "DescribeCertificateInfoByID", ("CertId", &*id)),
        (
            CDN_VERSION,
            "DescribeCdnDomainByCertificate",
            ("SSLPub", &pem.chain),
        ),
        (CAS, "GetCertificateDetail", ("CertificateId", &id)),
        (CAS, "ListCertificates", ("Keyword", "")),
        (CAS, "ListUserCertificateOrder", ("OrderType", "CERT")),
        (CAS_2018, "DescribeUserCertificateList", ("ShowSize", "9")),
    ] {
        api.ok(version, action, &[params]).await;
    }
    // The key is unreadable in the files without the key-encryption key.
    let mut server = centre.server;
    assert_eq!(server.terminate().code(), Some(0));
    let key = pem::decode(&pem.key);
    let (mut directories, mut files) = (vec![server.data()], 0);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(32).any(|piece| piece == &key[36..68]);
            assert!(!found, "{} holds the key as it is", path.display());
            files += 1;
        }
    }
    assert!(files > 3, "store, replica, keys: {files} files");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_certificate_cannot_be_deleted() {
    let centre = CasFixture::with_domain("").await;
    let [one, two, staged] = [(); 3].map(|()| AUTHORITY.issue(&[NAME]));
    let first = centre.upload("first", &one).await;
    let second = centre.upload("second", &two).await;
    let third = centre.upload("third", &staged).await;
    centre.bind(NAME, first).await;
    centre
        .assert_refused(CAS, DELETE, first, "CertificateInUse")
        .await;
    centre.api.off(NAME).await;
    centre
        .assert_refused(CAS, DELETE, first, "CertificateInUse")
        .await;
    centre.bind(NAME, first).await;
    centre.assert_serves(&one, "switched on again").await;
    let number = third.to_string();
    let mut params = stored(NAME, &number).to_vec();
    params.push(("Env", "staging"));
    centre.api.ok(CDN_VERSION, SET, &params).await;
    centre
        .assert_refused(CAS, DELETE, third, "CertificateInUse")
        .await;
    centre
        .api
        .call_on_domain("RollbackStagingConfig", NAME)
        .await;
    centre.delete(CAS, third).await;
    centre.assert_refused(CAS, DELETE, third, "NotFound").await;

    centre.bind(NAME, second).await;
    centre.delete(CAS, first).await;
    for action in ["GetUserCertificateDetail", DELETE] {
        centre.assert_refused(CAS, action, first, "NotFound").await;
    }
    assert_eq!(centre.names().await, ["second"]);
    centre
        .assert_serves(&two, "after the first one was deleted")
        .await;
    // Deleting the domain releases the binding.
    centre
        .assert_refused(CAS, DELETE, second, "CertificateInUse")
        .await;
    centre.api.call_on_domain("DeleteCdnDomain", NAME).await;
    centre.delete(CAS, second).await;

    let kept = centre.upload("kept", &AUTHORITY.issue(&[NAME])).await;
    let stored = centre.into_store_dump().await;
    assert_eq!(
        stored.keys("material/").len(),
        1,
        "of the remaining certificate"
    );
    assert_eq!(stored.keys("cert/").len(), 1);
    assert!(stored.keys("cert/")[0].ends_with(&format!("/{kept}")));
    for pem in [one, two, staged] {
        let holding = stored.keys_containing(&pem.leaf);
        assert!(holding.is_empty(), "{holding:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_twice() {
    let centre = CasFixture::with_domain("").await;
    let pem = AUTHORITY.issue(&[NAME]);
    let one = centre.upload("one", &pem).await;
    let two = centre.upload("two", &pem).await;
    assert_ne!(one, two);
    centre.delete(CAS, one).await;
    centre.bind(NAME, two).await;
    centre
        .assert_serves(&pem, "with the remaining certificate")
        .await;
    // A third one is uploaded and deleted while the second one is served.
    let three = centre.upload("one", &pem).await;
    centre.delete(CAS_2018, three).await;
    centre
        .assert_serves(&pem, "after a third one was deleted")
        .await;
    centre.api.call_on_domain("DeleteCdnDomain", NAME).await;
    centre.delete(CAS, two).await;
    let stored = centre.into_store_dump().await;
    assert!(stored.keys_containing(&pem.leaf).is_empty());
    for prefix in ["material/", "cert/", "certname/", "content/", "certuse/"] {
        assert!(stored.keys(prefix).is_empty(), "{prefix}");
    }
}

/// The way tools of 2018 renew: delete the bound certificate, upload the next one under its name,
/// bind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_deleted_while_bound_is_removed_with_its_last_binding() {
    for (config, version) in [
        ("", CAS_2018),
        ("bound_certificate = \"release\"\n", CAS),
        ("bound_certificate = \"release\"\n", CAS_2018),
    ] {
        let centre = CasFixture::with_domain(config).await;
        let other = "other.centre.example";
        centre.api.add(other, &centre.origin).await;
        let names = [NAME, other];
        let [old, new] = [(); 2].map(|()| AUTHORITY.issue(&names));
        let first = centre.upload("renewed", &old).await;
        for domain in names {
            centre.bind(domain, first).await;
        }
        centre.delete(version, first).await;
        centre.assert_serves(&old, "after the deletion").await;
        assert_eq!(centre.names().await.len(), 0);
        centre
            .assert_refused(version, DELETE, first, "NotFound")
            .await;
        let number = first.to_string();
        let again = stored(NAME, &number);
        let refusal = centre.api.refused(CDN_VERSION, SET, &again).await;
        assert_eq!(
            refusal.code, "Certificate.NotFind",
            "a deleted certificate cannot be bound"
        );
        assert_eq!(
            centre.api.info(NAME).await["CertId"],
            number,
            "still reported"
        );

        let second = centre.upload("renewed", &new).await;
        assert_ne!(second, first, "the name is free at once");
        centre.bind(NAME, second).await;
        centre.assert_serves(&new, "after the renewal").await;
        let kept = centre.server.served(other).await.unwrap();
        assert_eq!(kept[0], old.leaf, "the other domain keeps it");
        centre.api.off(other).await;
        let off = centre.server.served(other).await;
        assert_eq!(off, Err(HandshakeFailure::UNRECOGNIZED_NAME));
        centre.bind(other, second).await;
        assert_eq!(centre.names().await, ["renewed"]);
        let stored = centre.into_store_dump().await;
        assert!(
            stored.keys_containing(&old.leaf).is_empty(),
            "{version} {config}"
        );
        assert_eq!(stored.keys("cert/").len(), 1, "{version} {config}");
        assert_eq!(stored.keys("certname/").len(), 1, "{version} {config}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_certificate_is_one_that_does_not_exist() {
    let centre = CasFixture::with_domain("").await;
    let bob = centre.server.create_account("bob").await;
    bob.add("his.centre.example", &centre.origin).await;
    let pem = AUTHORITY.issue(&[NAME, "his.centre.example"]);
    let id = centre.upload("hers", &pem).await;
    centre.bind(NAME, id).await;
    let (hers, nobodys) = (id.to_string(), (id + 1000).to_string());
    for (version, action, param) in [
        (CDN_VERSION, "DescribeCdnCertificateDetailById", "CertId"),
        (CDN_VERSION, "DescribeCertificateInfoByID", "CertId"),
        (CAS, "GetUserCertificateDetail", "CertId"),
        (CAS, "GetCertificateDetail", "CertificateId"),
        (CAS_2018, "DescribeUserCertificateDetail", "CertId"),
        (CAS, DELETE, "CertId"),
        (CAS_2018, DELETE, "CertId"),
    ] {
        let mut told = Vec::new();
        for number in [&hers, &nobodys] {
            let refusal = bob.refused(version, action, &[(param, number)]).await;
            assert_eq!(refusal.status, 404, "{action}");
            told.push((refusal.code, refusal.detail.replace(number, "N")));
        }
        assert_eq!(told[0], told[1], "{action}");
    }
    let by_name = [("CertName", "hers")];
    let action = "DescribeCdnCertificateDetail";
    assert_eq!(bob.refused(CDN_VERSION, action, &by_name).await.status, 404);
    for number in [&hers, &nobodys] {
        let params = stored("his.centre.example", number);
        let refusal = bob.refused(CDN_VERSION, SET, &params).await;
        assert_eq!(refusal.code, "Certificate.NotFind");
    }
    for (version, action, param) in [
        (CAS, "ListUserCertificateOrder", ("OrderType", "CERT")),
        (CAS, "ListCertificates", ("ShowSize", "50")),
        (CAS_2018, "DescribeUserCertificateList", ("ShowSize", "50")),
    ] {
        let listed = bob.ok(version, action, &[param]).await;
        assert_eq!(listed["TotalCount"], 0, "{action}");
    }
    let listed = bob
        .ok(CDN_VERSION, "DescribeCdnSSLCertificateList", &[])
        .await;
    assert_eq!(listed["CertificateListModel"]["Count"], 0);
    let params = [("SSLPub", pem.chain.as_str())];
    let found = bob
        .ok(CDN_VERSION, "DescribeCdnDomainByCertificate", &params)
        .await;
    let domains = &found["CertInfos"]["CertInfo"][0]["DomainList"];
    assert_eq!(domains, "his.centre.example", "only the caller's domains");

    // The other account may own the same name and content; its calls do not affect this account.
    let his = upload(&bob, "hers", &pem).await;
    assert_ne!(his, id);
    bob.ok(CAS, DELETE, &[("CertId", &his.to_string())]).await;
    centre
        .assert_serves(&pem, "after the other account's calls")
        .await;
    assert_eq!(centre.names().await, ["hers"]);
    centre.server.stop();
}
