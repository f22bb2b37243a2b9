//! Certificates with many and long names: which are accepted, and what listings show of them.

use super::*;
use crate::harness::api;

/// Subdomains of [`NAME`], each of 250 characters.
fn long_names(count: usize) -> Vec<String> {
    let name = |n: usize| {
        let labels = format!("n{n:03}.{}", "abcdefghi.".repeat(25));
        format!("{}.{NAME}", &labels[..249 - NAME.len()])
    };
    (0..count).map(name).collect()
}

fn issue(names: &[String]) -> TestCertificate {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    AUTHORITY.issue(&names)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_more_names_than_authorities_certify_is_refused() {
    let centre = CasFixture::with_domain("").await;
    let names: Vec<String> = (0..250).map(|n| format!("n{n}.{NAME}")).collect();
    let fits = issue(&[&[NAME.to_owned()], &names[1..]].concat());
    centre.api.set(NAME, &fits).await.unwrap();
    centre.assert_serves(&fits, "250 names").await;
    let over = issue(&[&[NAME.to_owned()], &names[..]].concat());
    for (version, action, params, code) in [
        (
            CDN_VERSION,
            SET,
            api::upload_params(NAME, &over).to_vec(),
            "InvalidCertificate.TooLong",
        ),
        (
            CAS,
            "UploadUserCertificate",
            upload_params("over", &over).to_vec(),
            "InvalidCert",
        ),
    ] {
        let refusal = centre.api.refused(version, action, &params).await;
        assert_eq!(refusal.code, code);
        let told = "the certificate has 251 names; at most 250 are accepted";
        assert_eq!(refusal.detail, told);
    }
    centre.assert_serves(&fits, "nothing was bound").await;
    centre.server.stop();
}

/// A page contains every row, however long its names; all rows together have 3 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_bounded_and_loses_no_row() {
    const COUNT: usize = 170;
    let centre = CasFixture::start("").await;
    let names = long_names(80);
    let pem = issue(&names);
    let mut ids = Vec::new();
    for number in 0..COUNT {
        ids.push(centre.upload(&format!("long-{number}"), &pem).await);
    }
    let whole = names.join(",");
    for (version, action, list, sans, id) in [
        (
            CAS,
            "ListUserCertificateOrder",
            "CertificateOrderList",
            "Sans",
            "CertificateId",
        ),
        (
            CAS_2018,
            "DescribeUserCertificateList",
            "CertificateList",
            "sans",
            "id",
        ),
    ] {
        let params = |size| [("OrderType", "CERT"), ("ShowSize", size)];
        let page = centre.api.ok(version, action, &params("1000")).await;
        assert_eq!(page["TotalCount"], COUNT, "{action}");
        let rows = page[list].as_array().unwrap();
        let found: Vec<i64> = rows.iter().map(|row| row[id].as_i64().unwrap()).collect();
        assert_eq!(found, ids, "{action}");
        let shown: Vec<&str> = rows.iter().map(|row| row[sans].as_str().unwrap()).collect();
        let total: usize = shown.iter().map(|sans| sans.len()).sum();
        assert!(total <= 3 << 20, "{action}: {total}");
        assert!(shown[COUNT - 1].starts_with(&names[0]) && shown[COUNT - 1].ends_with(",..."));
        let page = centre.api.ok(version, action, &params("50")).await;
        let rows = page[list].as_array().unwrap();
        assert!(
            rows.iter().all(|row| row[sans] == *whole),
            "{action}: a page of 50"
        );
    }
    let last = ids[COUNT - 1].to_string();
    let detail = centre
        .api
        .ok(CAS, "GetUserCertificateDetail", &[("CertId", &last)])
        .await;
    assert_eq!(detail["Sans"], *whole);
    centre.server.stop();
}
