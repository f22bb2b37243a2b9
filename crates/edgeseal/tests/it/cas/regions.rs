//! Regions: the endpoint's region, else the parameter's.

use serde_json::Value;

use super::{CasFixture, NAME, stored, upload_params};
use crate::harness::{
    CAS, CAS_2018, CDN_VERSION, SET, Scheme, SignedCall, TestCertificate,
    pki::AUTHORITY,
    raw::{self, RawResponse},
    secrets,
};

const HOME: &str = "cn-hangzhou";
const ABROAD: &str = "ap-southeast-1";

/// Calls as if the endpoint had this name. Signatures of this version do not cover the host.
async fn call_at(
    centre: &CasFixture,
    host: &str,
    action: (&str, &str),
    params: &[(&str, &str)],
) -> Value {
    let bytes = SignedCall::new(Scheme::V1, centre.api.access_key(), action, params).to_bytes();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("host: edgeseal.test\r\n"));
    let text = text.replace("host: edgeseal.test\r\n", &format!("host: {host}\r\n"));
    let RawResponse { status, body, .. } =
        raw::send_raw(centre.server.addresses().api, text.as_bytes()).await;
    assert_eq!(status, 200, "{action:?} at {host}: {body}");
    secrets::assert_no_private_keys("an answer", body.as_bytes());
    serde_json::from_str(&body).unwrap()
}

/// An uploaded certificate.
struct Uploaded {
    name: &'static str,
    id: i64,
    abroad: bool,
    pem: TestCertificate,
}

/// One certificate for each way to name a region.
async fn upload(centre: &CasFixture) -> Vec<Uploaded> {
    const EUROPE: &str = "cas.eu-central-1.aliyuncs.com:8443";
    let mut uploaded = Vec::new();
    for (name, host, region, abroad) in [
        ("a", "cas.aliyuncs.com", "", false),
        ("b", "cas.aliyuncs.com", ABROAD, true),
        ("c", "cas.ap-southeast-1.aliyuncs.com", "", true),
        ("d", "cas.ap-southeast-1.aliyuncs.com", HOME, true),
        ("e", EUROPE, "eu-central-1", false),
        ("f", "127.0.0.1:7080", "cn-shanghai", false),
    ] {
        let pem = AUTHORITY.issue(&[NAME]);
        let mut params = upload_params(name, &pem).to_vec();
        params.push(("RegionId", region));
        let action = (CAS, "UploadUserCertificate");
        let reply = call_at(centre, host, action, &params).await;
        let id = reply["CertId"].as_i64().unwrap();
        uploaded.push(Uploaded {
            name,
            id,
            abroad,
            pem,
        });
    }
    uploaded
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_of_one_region() {
    let centre = CasFixture::start("").await;
    let uploaded = upload(&centre).await;
    let (orders, newer) = ("ListUserCertificateOrder", "ListCertificates");
    let of_2018 = "DescribeUserCertificateList";
    for (host, abroad) in [
        ("cas.ap-southeast-1.aliyuncs.com", true),
        ("cas.aliyuncs.com", false),
    ] {
        let expected = uploaded.iter().filter(|one| one.abroad == abroad);
        let expected: Vec<&str> = expected.map(|one| one.name).collect();
        for (action, list, name) in [
            ((CAS, orders), "CertificateOrderList", "Name"),
            ((CAS, newer), "CertificateList", "CertificateName"),
            ((CAS_2018, of_2018), "CertificateList", "name"),
        ] {
            let params = [("OrderType", "CERT")];
            let listed = call_at(&centre, host, action, &params).await;
            let rows = listed[list].as_array().unwrap();
            let shown: Vec<&Value> = rows.iter().map(|row| &row[name]).collect();
            assert_eq!(shown, expected, "{action:?} at {host}");
        }
    }
    centre.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_bound_from_its_own_region() {
    let centre = CasFixture::with_domain("").await;
    let api = &centre.api;
    for Uploaded {
        name,
        id,
        abroad,
        pem,
    } in upload(&centre).await
    {
        let (right, wrong) = if abroad {
            (ABROAD, HOME)
        } else {
            (HOME, ABROAD)
        };
        let number = id.to_string();
        let detail = [("CertId", number.as_str())];
        let detail = api.ok(CAS, "GetUserCertificateDetail", &detail).await;
        assert_eq!(detail["CertIdentifier"], format!("{id}-{right}"));
        let named = [
            ("CertName", name),
            ("DomainName", NAME),
            ("SSLProtocol", "on"),
        ];
        for params in [&stored(NAME, &number)[..], &named] {
            let elsewhere = [params, &[("CertRegion", wrong)]].concat();
            let refusal = api.refused(CDN_VERSION, SET, &elsewhere).await;
            assert_eq!(refusal.code, "Certificate.NotFind", "{name}");
            let here = [params, &[("CertRegion", right)]].concat();
            api.ok(CDN_VERSION, SET, &here).await;
            centre.assert_serves(&pem, name).await;
        }
        // Without a region the home region applies.
        let home = api.call(CDN_VERSION, SET, &stored(NAME, &number)).await;
        assert_eq!(home.is_ok(), !abroad, "{name}");
        let params = [("CertId", number.as_str()), ("CertRegion", wrong)];
        let action = "DescribeCdnCertificateDetailById";
        assert_eq!(api.refused(CDN_VERSION, action, &params).await.status, 404);
    }
    let unknown = [&stored(NAME, "1")[..], &[("CertRegion", "cn-beijing")]].concat();
    let refusal = api.refused(CDN_VERSION, SET, &unknown).await;
    assert_eq!(refusal.code, "Abs.CertRegion.ValueNotSupported");
    centre.server.stop();
}
