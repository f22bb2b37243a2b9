//! Regions: of the endpoint that was called, else of the parameter.

use serde_json::Value;

use super::{Centre, NAME, named, stored};
use crate::harness::{
    Api, Attempt, CAS, CAS_2018, CDN, SET, Scheme, Server,
    pki::AUTHORITY,
    raw::{self, Answer},
    secrets,
};

const ABROAD: &str = "ap-southeast-1";

/// Calls as if the endpoint had this name. Signatures of this version do not hold the host.
async fn call_at(
    server: &Server,
    api: &Api,
    host: &str,
    action: (&str, &str),
    params: &[(&str, &str)],
) -> Value {
    let octets = Attempt::new(Scheme::V1, api, action, params).octets();
    let text = String::from_utf8(octets).unwrap();
    assert!(text.contains("host: edgeseal.test\r\n"));
    let text = text.replace("host: edgeseal.test\r\n", &format!("host: {host}\r\n"));
    let Answer { status, body, .. } = raw::exchange(server.addresses().api, text.as_bytes()).await;
    assert_eq!(status, 200, "{action:?} at {host}: {body}");
    secrets::assert_nothing_private_in("an answer", body.as_bytes());
    serde_json::from_str(&body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_in_the_region_that_it_was_uploaded_to() {
    let centre = Centre::with_domain("").await;
    let (server, api) = (&centre.server, &centre.api);
    let upload = (CAS, "UploadUserCertificate");
    let mut ids = Vec::new();
    for (name, host, region, abroad) in [
        ("a", "cas.aliyuncs.com", "", false),
        ("b", "cas.aliyuncs.com", ABROAD, true),
        ("c", "cas.ap-southeast-1.aliyuncs.com", "", true),
        ("d", "cas.ap-southeast-1.aliyuncs.com", "cn-hangzhou", true),
        (
            "e",
            "cas.eu-central-1.aliyuncs.com:8443",
            "eu-central-1",
            false,
        ),
        ("f", "127.0.0.1:7080", "cn-shanghai", false),
    ] {
        let pem = AUTHORITY.issue(&[NAME]);
        let mut params = named(name, &pem).to_vec();
        params.push(("RegionId", region));
        let reply = call_at(server, api, host, upload, &params).await;
        ids.push((name, reply["CertId"].as_i64().unwrap(), abroad, pem));
    }
    for (host, abroad) in [
        ("cas.ap-southeast-1.aliyuncs.com", true),
        ("cas.aliyuncs.com", false),
    ] {
        let expected = ids.iter().filter(|row| row.2 == abroad);
        let expected: Vec<&str> = expected.map(|(name, ..)| *name).collect();
        for (action, list, name) in [
            (
                (CAS, "ListUserCertificateOrder"),
                "CertificateOrderList",
                "Name",
            ),
            (
                (CAS, "ListCertificates"),
                "CertificateList",
                "CertificateName",
            ),
            (
                (CAS_2018, "DescribeUserCertificateList"),
                "CertificateList",
                "name",
            ),
        ] {
            let params = [("OrderType", "CERT")];
            let listed = call_at(server, api, host, action, &params).await;
            let rows = listed[list].as_array().unwrap();
            let shown: Vec<&Value> = rows.iter().map(|row| &row[name]).collect();
            assert_eq!(shown, expected, "{action:?} at {host}");
        }
    }
    for (name, id, abroad, pem) in &ids {
        let (right, wrong) = match abroad {
            true => (ABROAD, "cn-hangzhou"),
            false => ("cn-hangzhou", ABROAD),
        };
        let number = id.to_string();
        let detail = [("CertId", number.as_str())];
        let detail = api.ok(CAS, "GetUserCertificateDetail", &detail).await;
        assert_eq!(detail["CertIdentifier"], format!("{id}-{right}"));
        let named = [
            ("CertName", *name),
            ("DomainName", NAME),
            ("SSLProtocol", "on"),
        ];
        for params in [&stored(NAME, &number)[..], &named] {
            let elsewhere = [params, &[("CertRegion", wrong)]].concat();
            let refusal = api.refused(CDN, SET, &elsewhere).await;
            assert_eq!(refusal.code, "Certificate.NotFind", "{name}");
            let here = [params, &[("CertRegion", right)]].concat();
            api.ok(CDN, SET, &here).await;
            centre.assert_serves(pem, name).await;
        }
        // Without a region it is the one at home.
        let home = api.call(CDN, SET, &stored(NAME, &number)).await;
        assert_eq!(home.is_ok(), !abroad, "{name}");
        let params = [("CertId", number.as_str()), ("CertRegion", wrong)];
        let action = "DescribeCdnCertificateDetailById";
        assert_eq!(api.refused(CDN, action, &params).await.status, 404);
    }
    let unknown = [&stored(NAME, "1")[..], &[("CertRegion", "cn-beijing")]].concat();
    let refusal = api.refused(CDN, SET, &unknown).await;
    assert_eq!(refusal.code, "Abs.CertRegion.ValueNotSupported");
    centre.server.stop();
}
