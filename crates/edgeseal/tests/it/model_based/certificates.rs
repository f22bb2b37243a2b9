//! Comparison of certificates: single reads, lists, and the domains that serve them.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::{
    ModelTest,
    domains::pick,
    model::{CertificateModel, HOME, OTHER_REGION},
};
use crate::harness::{CAS, CAS_2018, CDN_VERSION, pem};

/// The most unbound certificates that one comparison reads individually.
const UNBOUND_MAX: usize = 6;

impl ModelTest {
    pub(super) async fn compare_certificates(&mut self) {
        self.compare_cdn_lists().await;
        for region in [HOME, OTHER_REGION] {
            self.compare_centre_lists(region).await;
        }
        let mut unbound: Vec<i64> = self.model.certificates.keys().copied().collect();
        unbound.retain(|id| !self.model.is_bound(*id));
        while unbound.len() > UNBOUND_MAX {
            unbound.swap_remove(self.random.below(unbound.len()));
        }
        for known in self.model.certificates.values() {
            if self.model.is_bound(known.id) || unbound.contains(&known.id) {
                self.compare_certificate(known).await;
                self.compare_who_serves(known).await;
                self.compare_who_could(known).await;
            }
        }
    }

    async fn compare_cdn_lists(&self) {
        let members = ["CertId", "CertName", "Common", "Fingerprint"];
        let row = |known: &CertificateModel| {
            json!({
                "CertId": known.id,
                "CertName": known.name,
                "Common": known.common_name(),
                "Fingerprint": known.sha1(),
            })
        };
        let visible = self.visible_by_region();
        let all: Vec<Value> = visible.iter().copied().map(row).collect();
        for action in [
            "DescribeCdnCertificateList",
            "DescribeCdnSSLCertificateList",
        ] {
            let listed = self.api.ok(CDN_VERSION, action, &[]).await;
            let model = &listed["CertificateListModel"];
            assert_eq!(rows(&model["CertList"]["Cert"], &members), all, "{action}");
            assert_eq!(model["Count"], all.len(), "{action}");
            for domain in self.model.domains.keys().step_by(5) {
                let covering = visible.iter().filter(|known| known.covers(domain));
                let covering: Vec<Value> = covering.copied().map(row).collect();
                let params = [("DomainName", domain.as_str())];
                let listed = self.api.ok(CDN_VERSION, action, &params).await;
                let model = &listed["CertificateListModel"];
                let shown = rows(&model["CertList"]["Cert"], &members);
                assert_eq!(shown, covering, "{action} for {domain}");
                assert_eq!(model["Count"], covering.len(), "{action} for {domain}");
            }
        }
        let mut joined = Vec::new();
        for number in 1..=all.len() / 13 + 1 {
            let number = number.to_string();
            let params = [("PageNumber", number.as_str()), ("PageSize", "13")];
            let listed = self
                .api
                .ok(CDN_VERSION, "DescribeCdnSSLCertificateList", &params)
                .await;
            let model = &listed["CertificateListModel"];
            assert_eq!(model["Count"], all.len(), "page {number}");
            joined.extend(rows(&model["CertList"]["Cert"], &members));
        }
        assert_eq!(joined, all, "in pages");
    }

    /// In the order of lists over both regions: by region, then by ID.
    fn visible_by_region(&self) -> Vec<&CertificateModel> {
        let mut visible: Vec<&CertificateModel> = self.model.visible().collect();
        visible.sort_by_key(|known| (known.region, known.id));
        visible
    }

    async fn compare_centre_lists(&self, region: &str) {
        let here = || {
            self.model
                .visible()
                .filter(|known| known.region == region)
                .map(|known| self.in_centre(known))
        };
        for standing in ["", "ISSUED", "WILLEXPIRED", "EXPIRED"] {
            let expected: Vec<Value> = here()
                .filter(|row| standing.is_empty() || row["standing"] == standing)
                .collect();
            let orders = [
                ("RegionId", region),
                ("OrderType", "CERT"),
                ("Status", standing),
                ("ShowSize", "1000"),
            ];
            let listed = self.api.ok(CAS, "ListUserCertificateOrder", &orders).await;
            let shown = as_in_centre(&listed["CertificateOrderList"], ORDER);
            let expected_of = |members: &Members| -> Vec<Value> {
                expected.iter().map(|row| members.known(row)).collect()
            };
            assert_eq!(shown, expected_of(ORDER), "{region} {standing}");
            assert_eq!(listed["TotalCount"], expected.len(), "{region} {standing}");

            let joined = self.newer_list(region, standing, expected.len()).await;
            assert_eq!(joined, expected_of(NEWER), "{region} {standing}");
        }
        let params = [("RegionId", region), ("ShowSize", "1000")];
        let listed = self
            .api
            .ok(CAS_2018, "DescribeUserCertificateList", &params)
            .await;
        let shown = as_in_centre(&listed["CertificateList"], OF_2018);
        let expected: Vec<Value> = here().map(|row| OF_2018.known(&row)).collect();
        assert_eq!(shown, expected, "{region}");
    }

    /// `ListCertificates` in small pages.
    async fn newer_list(&self, region: &str, standing: &str, whole: usize) -> Vec<Value> {
        let mut joined = Vec::new();
        for number in 1..=whole / 9 + 1 {
            let number = number.to_string();
            let params = [
                ("RegionId", region),
                ("CertificateStatus", standing),
                ("CurrentPage", &number),
                ("ShowSize", "9"),
            ];
            let listed = self.api.ok(CAS, "ListCertificates", &params).await;
            assert_eq!(listed["TotalCount"], whole, "{region} {standing}");
            joined.extend(as_in_centre(&listed["CertificateList"], NEWER));
        }
        joined
    }

    /// Everything that a CAS list can report about the certificate.
    fn in_centre(&self, known: &CertificateModel) -> Value {
        json!({
            "id": known.id,
            "name": known.name,
            "common": known.common_name(),
            "sans": known.sans(),
            "sha1": known.sha1().to_uppercase(),
            "standing": known.status(),
            "expired": known.has_ended(),
            "bound": self.model.is_bound(known.id),
        })
    }

    async fn compare_certificate(&self, known: &CertificateModel) {
        let number = known.id.to_string();
        let by_number = [("CertId", number.as_str()), ("CertRegion", known.region)];
        let by_name = [("CertName", known.name.as_str())];
        let newer = [("CertificateId", number.as_str())];
        let reads: [(_, _, &[(&str, &str)]); 4] = [
            (CDN_VERSION, "DescribeCdnCertificateDetail", &by_name),
            (CDN_VERSION, "DescribeCdnCertificateDetailById", &by_number),
            (CAS, "GetUserCertificateDetail", &by_number),
            (CAS, "GetCertificateDetail", &newer),
        ];
        for (version, action, params) in reads {
            if known.hidden {
                let refusal = self.api.refused(version, action, params).await;
                assert_eq!(refusal.status, 404, "{action} of {}", known.name);
                continue;
            }
            let detail = self.api.ok(version, action, params).await;
            let (shown, expected) = match action {
                "GetUserCertificateDetail" => (
                    json!([
                        detail["Id"],
                        detail["Name"],
                        detail["Common"],
                        detail["Sans"],
                        detail["Expired"],
                        detail["CertIdentifier"],
                        detail["Sha2"]
                    ]),
                    json!([
                        known.id,
                        known.name,
                        known.common_name(),
                        known.sans(),
                        known.has_ended(),
                        format!("{}-{}", known.id, known.region),
                        known.sha256().to_uppercase()
                    ]),
                ),
                "GetCertificateDetail" => (
                    json!([NEWER.shown(&detail), detail["CertificateId"]]),
                    json!([NEWER.known(&self.in_centre(known)), known.id]),
                ),
                _ => (
                    json!([detail["CertId"], detail["CertName"], detail["Key"]]),
                    json!([known.id, known.name, ""]),
                ),
            };
            assert_eq!(shown, expected, "{action}");
            if let Some(text) = detail["Cert"].as_str() {
                assert_eq!(pem::decode(text), known.pem.leaf, "{action}");
            }
        }
    }

    /// Exactly the domains that serve it; a certificate that no domain serves is not found.
    async fn compare_who_serves(&self, known: &CertificateModel) {
        let action = "DescribeCertificateInfoByID";
        let domains = self.model.domains.keys().filter(|domain| {
            let served = self.model.all_served(domain);
            served.iter().any(|served| served.id == known.id)
        });
        let expected: Vec<&String> = domains.collect();
        let number = known.id.to_string();
        let params = [("CertId", number.as_str())];
        if expected.is_empty() {
            let refusal = self.api.refused(CDN_VERSION, action, &params).await;
            assert_eq!(refusal.code, "Certificate.NotFind", "{}", known.name);
            return;
        }
        let reply = self.api.ok(CDN_VERSION, action, &params).await;
        let info = &reply["CertInfos"]["CertInfo"][0];
        let listed = info["DomainList"].as_str().unwrap();
        let listed: Vec<String> = serde_json::from_str(listed).unwrap();
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected);
        assert_eq!(info["CertId"], number);
        assert_eq!(info["CertType"], known.kind);
        let shown = pem::decode(info["HttpsCrt"].as_str().unwrap());
        assert_eq!(shown, known.pem.leaf);
    }

    /// The domains that it covers, filtered by HTTPS on or off, or by an exact name.
    async fn compare_who_could(&self, known: &CertificateModel) {
        let encoded = BASE64.encode(&known.pem.chain);
        for (status, exact) in [("", ""), ("true", ""), ("false", ""), ("", "true")] {
            let params = [
                ("SSLPub", encoded.as_str()),
                ("SSLStatus", status),
                ("Exact", exact),
            ];
            let action = "DescribeCdnDomainByCertificate";
            let reply = self.api.ok(CDN_VERSION, action, &params).await;
            let info = &reply["CertInfos"]["CertInfo"][0];
            let expected = self.model.domains.keys().filter(|domain| {
                let on = self.model.served(domain).is_some();
                let covered = match exact {
                    "true" => known.names_exactly(domain),
                    _ => known.covers(domain),
                };
                covered && (status.is_empty() || (status == "true") == on)
            });
            let expected: Vec<&str> = expected.map(String::as_str).collect();
            let listed = info["DomainList"].as_str().unwrap();
            assert_eq!(listed, expected.join(","), "{status} {exact}");
            let expired = if known.has_ended() { "yes" } else { "no" };
            assert_eq!(info["CertExpired"], expired);
            assert_eq!(info["DomainNames"], known.sans());
        }
    }
}

/// How a CAS list names each member, and how [`ModelTest::in_centre`] names it.
struct Members(&'static [(&'static str, &'static str)]);

const ORDER: &Members = &Members(&[
    ("CertificateId", "id"),
    ("Name", "name"),
    ("CommonName", "common"),
    ("Sans", "sans"),
    ("Fingerprint", "sha1"),
    ("Status", "standing"),
    ("Expired", "expired"),
]);
const NEWER: &Members = &Members(&[
    ("CertificateName", "name"),
    ("CommonName", "common"),
    ("Domain", "sans"),
    ("FingerPrint", "sha1"),
    ("CertificateStatus", "standing"),
    ("UsingProductList", "bound"),
]);
const OF_2018: &Members = &Members(&[
    ("id", "id"),
    ("name", "name"),
    ("common", "common"),
    ("sans", "sans"),
    ("fingerprint", "sha1"),
    ("expired", "expired"),
]);

impl Members {
    fn shown(&self, row: &Value) -> Value {
        let value = |name: &str| match name {
            "UsingProductList" => json!(row[name] == json!(["CDN"])),
            "CertificateStatus" => match row[name].as_str() {
                Some("issued") => json!("ISSUED"),
                Some("willExpire") => json!("WILLEXPIRED"),
                Some("expired") => json!("EXPIRED"),
                other => panic!("{other:?} is no status"),
            },
            _ => row[name].clone(),
        };
        let picked = self.0.iter();
        picked
            .map(|(theirs, ours)| ((*ours).to_owned(), value(theirs)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn known(&self, row: &Value) -> Value {
        let ours: Vec<&str> = self.0.iter().map(|(_, ours)| *ours).collect();
        pick(row, &ours)
    }
}

fn as_in_centre(list: &Value, members: &Members) -> Vec<Value> {
    let rows = list.as_array().unwrap().iter();
    rows.map(|row| members.shown(row)).collect()
}

fn rows(list: &Value, members: &[&str]) -> Vec<Value> {
    let rows = list.as_array().unwrap().iter();
    rows.map(|row| pick(row, members)).collect()
}
