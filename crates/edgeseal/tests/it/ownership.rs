//! Ownership checks: an account may add a domain once it has published a record in the domain's DNS
//! or a file on its web server. Uses real DNS and web servers.

use std::net::Ipv4Addr;

use serde_json::Value;

use crate::harness::{
    ApiClient, CDN_VERSION, DnsServer, Origin, Server, add_params, origin::changeable, unlimited,
};

const ADD: &str = "AddCdnDomain";
const VERIFY: &str = "VerifyDomainOwner";
const ROOT: &str = "owned.example";

async fn start(dns: &DnsServer, config: &str) -> Server {
    let dns = dns.address;
    let unlimited = unlimited();
    Server::start_with(&format!("dns = \"{dns}\"\n{config}{unlimited}"))
}

/// What the owner must publish for this account.
async fn content(api: &ApiClient, domain: &str) -> String {
    let reply = api
        .call_on_domain("DescribeVerifyContent", domain)
        .await
        .body;
    let content = reply["Content"].as_str().unwrap();
    let hex = content.strip_prefix("verify_").unwrap();
    assert!(hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    content.to_owned()
}

/// The account cannot add any domain below the root domain.
async fn assert_unproven(api: &ApiClient, domains: &[&str], origin: &Origin) {
    let sources = origin.sources();
    for domain in domains {
        let refusal = api
            .refused(CDN_VERSION, ADD, &add_params(domain, &sources))
            .await;
        assert_eq!(refusal.code, "DomainOwnerVerifyFail", "{domain}");
        assert!(refusal.detail.contains(ROOT), "{}", refusal.detail);
    }
    let list = domains.join(",");
    let params = add_params(&list, &sources);
    let refusal = api.refused(CDN_VERSION, "BatchAddCdnDomain", &params).await;
    assert_eq!(refusal.code, "DomainOwnerVerifyFail");
    let listed = api.ok(CDN_VERSION, "DescribeUserDomains", &[]).await;
    assert_eq!(listed["TotalCount"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dns_record_proves_ownership() {
    let dns = DnsServer::start().await;
    let server = start(&dns, "owner_check = \"on\"\n").await;
    let (alice, bob) = (
        server.create_account("alice").await,
        server.create_account("bob").await,
    );
    let origin = Origin::start().await;
    let names = ["www.owned.example", "a.b.owned.example"];
    assert_unproven(&alice, &names, &origin).await;

    let wanted = content(&alice, names[0]).await;
    assert_eq!(
        content(&alice, ROOT).await,
        wanted,
        "one value for the whole root domain"
    );
    assert_ne!(
        content(&bob, ROOT).await,
        wanted,
        "each account has its own value"
    );
    let data = alice
        .call_on_domain("DescribeDomainVerifyData", names[0])
        .await
        .body;
    assert_eq!(data["Content"]["verifyKey"], "verification");
    assert_eq!(data["Content"]["verifyCode"], wanted);
    assert_eq!(data["Content"]["RootDomain"], ROOT);

    let verify = [("DomainName", names[0]), ("VerifyType", "dnsCheck")];
    let refusal = alice.refused(CDN_VERSION, VERIFY, &verify).await;
    assert_eq!(refusal.code, "DomainOwnerVerifyFail");
    let record = "verification.owned.example";
    for told in [&*wanted, record, "no TXT record"] {
        assert!(refusal.detail.contains(told), "{}", refusal.detail);
    }
    // One account's record does not prove another account's ownership.
    dns.add_txt(record, &[&content(&bob, ROOT).await]).await;
    let refusal = alice.refused(CDN_VERSION, VERIFY, &verify).await;
    assert_eq!(refusal.code, "DomainOwnerVerifyFail");
    assert!(refusal.detail.contains("says"), "{}", refusal.detail);
    assert_unproven(&alice, &names, &origin).await;
    for (kind, code) in [("", "VerifyError"), ("mailCheck", "VerifyError")] {
        let params = [("DomainName", ROOT), ("VerifyType", kind)];
        assert_eq!(alice.refused(CDN_VERSION, VERIFY, &params).await.code, code);
    }

    dns.add_txt(record, &[&wanted]).await;
    alice.ok(CDN_VERSION, VERIFY, &verify).await;
    for name in names {
        alice.add(name, &origin).await;
    }
    alice.add("*.owned.example", &origin).await;
    // The proof applies to this root domain and this account only.
    let sources = origin.sources();
    let elsewhere = add_params("www.other.example", &sources);
    let refusal = alice.refused(CDN_VERSION, ADD, &elsewhere).await;
    assert_eq!(refusal.code, "DomainOwnerVerifyFail");
    assert_unproven(&bob, &["bob.owned.example"], &origin).await;
    // Two accounts have published records by now; a third one has not.
    let carol = server.create_account("carol").await;
    let refusal = carol.refused(CDN_VERSION, VERIFY, &verify).await;
    assert_eq!(refusal.code, "DomainOwnerVerifyFail");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_on_the_web_server_proves_ownership() {
    let (dns, origin) = (DnsServer::start().await, Origin::start().await);
    let (page, web) = changeable("nothing of the kind").await;
    let config = format!(
        "owner_check = \"on\"\nowner_check_port = {}\nowner_check_private_addresses = true\n",
        web.port()
    );
    let server = start(&dns, &config).await;
    let alice = server.create_account("alice").await;
    let verify = [
        ("DomainName", "www.owned.example"),
        ("VerifyType", "fileCheck"),
    ];
    let refused = async |told: &str| {
        let refusal = alice.refused(CDN_VERSION, VERIFY, &verify).await;
        assert_eq!(refusal.code, "DomainOwnerVerifyFail");
        let url = "http://owned.example/verification.html";
        for told in [told, url] {
            assert!(refusal.detail.contains(told), "{}", refusal.detail);
        }
    };
    refused("has no address").await;
    dns.add_address(ROOT, Ipv4Addr::LOCALHOST).await;
    refused("nothing of the kind").await;
    assert_unproven(&alice, &["www.owned.example"], &origin).await;
    page.send_replace(format!("{}\n", content(&alice, ROOT).await));
    alice.ok(CDN_VERSION, VERIFY, &verify).await;
    alice.add("www.owned.example", &origin).await;
    server.stop();
}

/// By default no caller can make this process request an address of its internal network.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_at_a_private_address_is_not_asked_for() {
    let dns = DnsServer::start().await;
    let (page, web) = changeable("").await;
    let config = format!("owner_check = \"on\"\nowner_check_port = {}\n", web.port());
    let server = start(&dns, &config).await;
    let alice = server.create_account("alice").await;
    dns.add_address(ROOT, Ipv4Addr::LOCALHOST).await;
    page.send_replace(content(&alice, ROOT).await);
    let verify = [("DomainName", ROOT), ("VerifyType", "fileCheck")];
    let refusal = alice.refused(CDN_VERSION, VERIFY, &verify).await;
    assert_eq!(refusal.code, "DomainOwnerVerifyFail");
    let told = &refusal.detail;
    assert!(told.contains("is not at a public address"), "{told}");
    assert!(
        !told.contains("127.0.0.1"),
        "the refusal reveals an internal address: {told}"
    );
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_owner_check_nothing_is_verified() {
    let dns = DnsServer::start().await;
    let server = start(&dns, "").await;
    let (alice, origin) = (server.create_account("alice").await, Origin::start().await);
    alice.add("www.owned.example", &origin).await;
    dns.add_txt(
        "verification.owned.example",
        &[&content(&alice, ROOT).await],
    )
    .await;
    let verify = [("DomainName", ROOT), ("VerifyType", "dnsCheck")];
    let refusal = alice.refused(CDN_VERSION, VERIFY, &verify).await;
    assert_eq!(refusal.code, "DomainOwnerVerifyFail");
    assert!(refusal.detail.contains("owner_check"), "{}", refusal.detail);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_clients_resolve_to_the_edge() {
    let dns = DnsServer::start().await;
    let server = start(&dns, "cname_suffix = \"edge.example.net\"\n").await;
    let (api, origin) = (server.root_client(), Origin::start().await);
    let names = ["a.owned.example", "b.owned.example", "c.owned.example"];
    for name in names {
        api.add(name, &origin).await;
    }
    api.add("*.w.owned.example", &origin).await;
    dns.add_cname(names[0], "a.owned.example.edge.example.net")
        .await;
    dns.add_cname(names[1], "somewhere.else.example").await;
    let asked = format!("{},.w.owned.example", names.join(","));
    let reply = api.call_on_domain("DescribeDomainCname", &asked).await.body;
    let rows = reply["CnameDatas"]["Data"].as_array().unwrap();
    for (row, (domain, cname, status, told)) in rows.iter().zip([
        (names[0], "a.owned.example.edge.example.net", 0, ""),
        (
            names[1],
            "b.owned.example.edge.example.net",
            1,
            "somewhere.else.example",
        ),
        (
            names[2],
            "c.owned.example.edge.example.net",
            1,
            "no CNAME record",
        ),
        (
            ".w.owned.example",
            "all.w.owned.example.edge.example.net",
            1,
            "no CNAME",
        ),
    ]) {
        assert_eq!(row["Domain"], domain);
        assert_eq!(row["Cname"], cname);
        assert_eq!(row["Status"], status, "{row}");
        assert_eq!(row["Passed"], if status == 0 { "yes" } else { "no" });
        let message = row["ErrMsg"].as_str().unwrap();
        assert!(message.contains(told) && told.is_empty() == message.is_empty());
    }
    assert_eq!(rows.len(), 4);
    // DNS is queried each time.
    dns.add_cname(names[2], "C.owned.example.EDGE.example.net")
        .await;
    let reply = api
        .call_on_domain("DescribeDomainCname", names[2])
        .await
        .body;
    assert_eq!(reply["CnameDatas"]["Data"][0]["Status"], 0);
    // The CNAME target is the one that the other reads report.
    let detail = api
        .call_on_domain("DescribeCdnDomainDetail", names[2])
        .await
        .body;
    let told: &Value = &detail["GetDomainDetailModel"]["Cname"];
    assert_eq!(reply["CnameDatas"]["Data"][0]["Cname"], *told);
    let params = [("DomainName", "a.owned.example,none.owned.example")];
    let refusal = api
        .refused(CDN_VERSION, "DescribeDomainCname", &params)
        .await;
    assert_eq!(refusal.code, "InvalidDomain.NotFound");
    server.stop();
}
