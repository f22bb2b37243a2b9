//! Names, tags and resource groups of certificates.

use serde_json::json;

use super::*;
use crate::harness::CAS_2018_08;

const RENAME: &str = "CreateCertificateName";

async fn detail(api: &ApiClient, id: i64) -> Value {
    let id = id.to_string();
    api.ok(CAS, "GetUserCertificateDetail", &[("CertId", &id)])
        .await
}

async fn change(api: &ApiClient, id: i64, changes: &[(&str, &str)]) {
    let id = id.to_string();
    let params = [&[("CertificateId", id.as_str())], changes].concat();
    api.ok(CAS_2018_08, RENAME, &params).await;
}

fn labels(detail: &Value) -> Value {
    json!([detail["Name"], detail["Tags"], detail["ResourceGroupId"]])
}

fn tag(key: &str, value: &str) -> Value {
    json!({"TagKey": key, "TagValue": value})
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_kept_shown_and_changed_one_by_one() {
    let centre = CasFixture::start("").await;
    let api = &centre.api;
    let pem = AUTHORITY.issue(&[NAME]);
    let labelled = [
        ("Tags.1.Key", "team"),
        ("Tags.1.Value", "shop"),
        ("Tags.2.Key", "empty"),
        ("ResourceGroupId", "rg-one"),
    ];
    let params = [&upload_params("first", &pem)[..], &labelled].concat();
    let made = api.ok(CAS, "UploadUserCertificate", &params).await;
    let id = made["CertId"].as_i64().unwrap();
    let tags = json!([tag("empty", ""), tag("team", "shop")]);
    assert_eq!(
        labels(&detail(api, id).await),
        json!(["first", tags, "rg-one"])
    );
    // A repeated upload returns the same certificate with or without tags; with other tags it is a
    // new one.
    for params in [&params[..], &upload_params("first", &pem)[..]] {
        let again = api.ok(CAS, "UploadUserCertificate", params).await;
        assert_eq!(again["CertId"], id);
    }
    let others = [
        &upload_params("first", &pem)[..],
        &[("Tags.1.Key", "other")],
    ]
    .concat();
    let refusal = api.refused(CAS, "UploadUserCertificate", &others).await;
    assert_eq!(refusal.code, "NameRepeat");

    change(api, id, &[("Name", "second")]).await;
    assert_eq!(
        labels(&detail(api, id).await),
        json!(["second", tags, "rg-one"])
    );
    change(api, id, &[("Tags.1.Key", "stage"), ("Tags.1.Value", "x")]).await;
    let tags = json!([tag("stage", "x")]);
    assert_eq!(
        labels(&detail(api, id).await),
        json!(["second", tags, "rg-one"])
    );
    change(api, id, &[("ResourceGroupId", "rg-two")]).await;
    change(api, id, &[("Tags.1.Key", ""), ("Tags.1.Value", "")]).await;
    assert_eq!(
        labels(&detail(api, id).await),
        json!(["second", [], "rg-two"])
    );

    for (group, count) in [("rg-two", 1), ("rg-one", 0)] {
        let params = [("OrderType", "CERT"), ("ResourceGroupId", group)];
        let listed = api.ok(CAS, "ListUserCertificateOrder", &params).await;
        assert_eq!(listed["TotalCount"], count, "{group}: {listed}");
    }
    centre.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_belongs_to_one_certificate_until_released() {
    let centre = CasFixture::with_domain("").await;
    let api = &centre.api;
    let pems = [AUTHORITY.issue(&[NAME]), AUTHORITY.issue(&[NAME])];
    let first = centre.upload("first", &pems[0]).await;
    let second = centre.upload("second", &pems[1]).await;
    centre.bind(NAME, first).await;

    let number = second.to_string();
    let taken = [("CertificateId", number.as_str()), ("Name", "first")];
    let refusal = api.refused(CAS_2018_08, RENAME, &taken).await;
    assert_eq!(refusal.code, "NameRepeat");
    assert!(refusal.detail.contains(&first.to_string()), "{refusal:?}");

    // A certificate may keep its own name.
    change(api, first, &[("Name", "first"), ("ResourceGroupId", "g")]).await;
    change(api, first, &[("Name", "third")]).await;
    change(api, second, &[("Name", "first")]).await;
    assert_eq!(api.info(NAME).await["CertName"], "third");
    centre
        .assert_serves(&pems[0], "renaming does not change what is served")
        .await;
    let named = [
        ("DomainName", NAME),
        ("SSLProtocol", "on"),
        ("CertType", "cas"),
        ("CertName", "first"),
    ];
    api.ok(CDN_VERSION, SET, &named).await;
    centre.assert_serves(&pems[1], "by its new name").await;
    // A released name resolves to nothing, and deleting a certificate releases its name.
    let refusal = api
        .refused(
            CDN_VERSION,
            SET,
            &[&named[..3], &[("CertName", "second")]].concat(),
        )
        .await;
    assert_eq!(refusal.code, "Certificate.NotFind");
    centre.delete(CAS, first).await;
    centre.upload("third", &AUTHORITY.issue(&[NAME])).await;
    centre.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_labels_are_refused() {
    let centre = CasFixture::start("").await;
    let api = &centre.api;
    let id = centre.upload("first", &AUTHORITY.issue(&[NAME])).await;
    let (own, long) = (id.to_string(), "x".repeat(129));
    let many: Vec<(String, String)> = (1..=21)
        .map(|n| (format!("Tags.{n}.Key"), format!("k{n}")))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "MissingName"),
        (&[("Name", " ")], "InvalidName"),
        (&[("Name", &long)], "InvalidName"),
        (&[("Tags.2.Key", "gap")], "InvalidTag.Malformed"),
        (&[("Tags.1.Value", "keyless")], "InvalidTag.Malformed"),
        (&[("Tags.1.Key", &long)], "InvalidTag.Malformed"),
        (&many, "InvalidTag.TooMany"),
        (
            &[("ResourceGroupId", &long)],
            "InvalidResourceGroupId.Malformed",
        ),
    ];
    for (changes, code) in cases {
        let params = [&[("CertificateId", own.as_str())], *changes].concat();
        let refusal = api.refused(CAS_2018_08, RENAME, &params).await;
        assert_eq!(refusal.code, *code, "{changes:?}: {}", refusal.detail);
    }
    for (number, code) in [
        ("", "MissingCertificateId"),
        ("x", "InvalidCertificateId"),
        ("1", "NotFound"),
    ] {
        let params = [("CertificateId", number), ("Name", "other")];
        let refusal = api.refused(CAS_2018_08, RENAME, &params).await;
        assert_eq!(refusal.code, code);
    }
    assert_eq!(labels(&detail(api, id).await), json!(["first", [], ""]));
    centre.server.stop();
}
