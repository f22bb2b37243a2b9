//! What visitors find, seen through a real DNS server and real handshakes.

use std::{fs, net::SocketAddr};

use edgeseal_testing::tls::serve;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    cli,
    doctor::doctor,
    harness::{
        ApiClient, CDN_VERSION, DnsServer, EDGESEAL, Origin, Server, eventually, pki::AUTHORITY,
        unlimited,
    },
};

const NAME: &str = "www.seen.example";
const EXCEPT: &str = "www.except.example";
const ALIAS: &str = "www.seen.example.edge.seen.example";

/// A server that looks often, at this port, which it has on 127.0.0.1.
fn start(dns: &DnsServer, port: u16) -> Server {
    let mut server = Server::start();
    assert_eq!(server.terminate().code(), Some(0));
    let config = format!(
        "alarm_interval_ms = 100\ndns = \"{}\"\ncname_suffix = \"edge.seen.example\"\n\
         origin_private_addresses = \"all\"\noutside_check = \"on\"\n\
         outside_check_addresses = [\"127.0.0.0/30\"]\noutside_check_except = [\".except.example\"]\n\
         outside_check_interval_ms = 500\noutside_check_port = {port}\n{}",
        dns.address,
        unlimited()
    );
    let file = server.data().with_file_name("edgeseal.toml");
    fs::write(file, config).unwrap();
    launch(&mut server, port);
    server
}

fn launch(server: &mut Server, port: u16) {
    let https = SocketAddr::from(([127, 0, 0, 1], port));
    let command = server.command_at(&[("--https", https)]);
    server.launch_with(command);
}

/// `DescribeDomainCertificateInfo` once visitors find this.
async fn found(api: &ApiClient, verdict: &str) -> Value {
    eventually(verdict, || async {
        let reply = api.call_on_domain("DescribeDomainCertificateInfo", NAME);
        let info = reply.await.body["CertInfos"]["CertInfo"][0].clone();
        Some(info).filter(|info| info["OutsideStatus"] == verdict)
    })
    .await
}

/// The alarm about what visitors find.
async fn alarm(api: &ApiClient) -> Option<Value> {
    let reply = api.ok(EDGESEAL, "DescribeAlarms", &[]).await;
    let mut alarms = reply["Alarms"].as_array().unwrap().iter();
    alarms
        .find(|alarm| alarm["Code"] == "visitors_misled")
        .cloned()
}

/// `DescribeDomainCname`: the status and the message.
async fn cname(api: &ApiClient) -> (Value, String) {
    let params = [("DomainName", NAME)];
    let mut reply = api.ok(CDN_VERSION, "DescribeDomainCname", &params).await;
    let row = reply["CnameDatas"]["Data"][0].take();
    let message = row["ErrMsg"].as_str().unwrap().to_owned();
    (row["Status"].clone(), message)
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_tell_what_visitors_find() {
    let dns = DnsServer::with_negative_ttl(1).await;
    let other = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = other.local_addr().unwrap().port();
    let _other = serve(other, &AUTHORITY.issue(&[NAME]));
    let mut server = start(&dns, port);
    let api = server.root_client();
    api.add(NAME, &Origin::start().await).await;
    api.set(NAME, &AUTHORITY.issue(&[NAME])).await.unwrap();

    api.add(EXCEPT, &Origin::start().await).await;
    api.set(EXCEPT, &AUTHORITY.issue(&[EXCEPT])).await.unwrap();

    let info = found(&api, "no_address").await;
    assert_eq!(info["DomainCnameStatus"], "cname_error");
    let (status, why) = cname(&api).await;
    assert_eq!(status, 1);
    assert!(why.contains("no CNAME record"), "{why}");

    // Browsers do not know its CA.
    dns.set(NAME, &["127.0.0.1"]).await;
    let info = found(&api, "refused").await;
    assert_eq!(info["DomainCnameStatus"], "ok");
    let (status, why) = cname(&api).await;
    assert_eq!(status, 0);
    assert!(why.contains("which browsers refuse: "), "{why}");
    let shown = cli::printed(&server, &format!("cert show {NAME}"));
    assert!(shown.contains("refused"), "{shown}");

    dns.set(NAME, &["127.0.0.9"]).await;
    let info = found(&api, "points_elsewhere").await;
    assert_eq!(info["DomainCnameStatus"], "cname_error");
    assert_eq!(cname(&api).await.0, 1);

    let alarm = eventually("an alarm", || alarm(&api)).await;
    assert_eq!(alarm["DomainName"], NAME);
    let except = api.call_on_domain("DescribeDomainCertificateInfo", EXCEPT);
    let except = except.await.body["CertInfos"]["CertInfo"][0].clone();
    assert_eq!(except["Status"], "success");
    assert_eq!(except.get("OutsideStatus"), None);

    // A restart ends no alarm, and begins none.
    let seen = info["OutsideTime"].clone();
    assert_eq!(server.terminate().code(), Some(0));
    launch(&mut server, port);
    let api = server.root_client();
    eventually("another look", || async {
        let info = found(&api, "points_elsewhere").await;
        (info["OutsideTime"] != seen).then_some(())
    })
    .await;
    let after = eventually("the alarm", || self::alarm(&api)).await;
    assert_eq!(after["SinceMs"], alarm["SinceMs"]);

    let (code, said) = doctor(&server.data());
    assert_eq!(code, Some(0), "{said}");
    let warning = format!("warning: {NAME}: seen from outside at ");
    assert!(said.contains(&warning), "{said}");

    // With a CNAME this must be an edge, one that serves something else.
    dns.set(NAME, &[]).await;
    dns.add_cname(NAME, ALIAS).await;
    dns.set(ALIAS, &["127.0.0.2"]).await;
    let info = found(&api, "other_certificate").await;
    assert_eq!(info["DomainCnameStatus"], "ok");
    let (status, why) = cname(&api).await;
    assert_eq!(status, 0);
    assert!(why.contains("another certificate"), "{why}");
    let series = "edgeseal_outside_checks_total{verdict=\"other_certificate\"}";
    assert!(server.metric(series).await > Some(0));
    server.stop();
}
