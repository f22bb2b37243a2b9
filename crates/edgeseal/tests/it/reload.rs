//! Reload by SIGHUP.

use std::fs;

use crate::harness::{
    CDN_VERSION, HttpConnection, Server, TestCertificate, eventually, pki::AUTHORITY, tls,
};

/// SIGHUP has the files read again; what cannot be used changes nothing, and no signal of this kind
/// ends the process.
#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_the_certificate_of_the_api() {
    let home = tempfile::tempdir().unwrap();
    let write = |pem: &TestCertificate| {
        fs::write(home.path().join("cert.pem"), &pem.chain).unwrap();
        fs::write(home.path().join("key.pem"), &pem.key).unwrap();
    };
    let name = "api.example.com";
    let first = AUTHORITY.issue(&[name]);
    write(&first);
    let server = Server::start_with(&format!(
        "api_tls = \"127.0.0.1:0\"\napi_tls_cert_file = \"{directory}/cert.pem\"\n\
         api_tls_key_file = \"{directory}/key.pem\"\n",
        directory = home.path().display()
    ));
    let address = server.addresses().api_tls.unwrap();
    let shown = async || tls::served_chain(address, name).await.unwrap()[0].clone();
    assert_eq!(shown().await, first.leaf);
    let open = tls::connect(address, name, &["http/1.1"]).await.unwrap();

    fs::write(home.path().join("cert.pem"), "no certificate").unwrap();
    server.signal("HUP");
    eventually("the failure is told", async || {
        let told = "reload failed: the API over TLS keeps its certificate";
        server.log().contains(told).then_some(())
    })
    .await;
    assert_eq!(
        shown().await,
        first.leaf,
        "what cannot be used changes nothing"
    );

    let second = AUTHORITY.issue(&[name]);
    write(&second);
    server.signal("HUP");
    eventually("the renewed certificate is shown", async || {
        (shown().await == second.leaf).then_some(())
    })
    .await;
    // What was open goes on, and so does everything else.
    let mut open = HttpConnection::h1_over(open).await;
    assert_eq!(open.try_get(name, "/").await.unwrap().0, 400);
    let listed = server
        .root_client()
        .call(CDN_VERSION, "DescribeUserDomains", &[])
        .await;
    assert_eq!(listed.unwrap().body["TotalCount"], 0);
    server.stop();
}
