//! Comparison of domains: handshakes, single reads, lists.

use rustls::{SignatureScheme, version::TLS13};
use serde_json::{Value, json};

use super::{
    ModelTest,
    model::{CertificateModel, client_host},
};
use crate::harness::{
    CDN_2014, CDN_VERSION, DCDN, pem,
    tls::{self, HandshakeFailure},
};

/// The members compared in reads of a domain's certificates.
const INFO: &[&str] = &[
    "CertId",
    "CertName",
    "CertRegion",
    "CertType",
    "CertDomainName",
    "Companion",
];

impl ModelTest {
    pub(super) async fn compare_domains(&self) {
        for domain in self.model.domains.keys() {
            self.compare_handshake(domain).await;
            self.compare_infos(domain).await;
            self.compare_details(domain).await;
        }
        self.compare_domain_lists().await;
        self.compare_https_list().await;
        self.compare_expire_count().await;
    }

    async fn compare_handshake(&self, domain: &str) {
        let served = self.model.all_served(domain);
        let shown = self.server.served(&client_host(domain)).await;
        // Of two certificates the ECDSA one: this client can verify it.
        let ecdsa = served.iter().find(|known| !known.is_rsa());
        match (ecdsa.or_else(|| served.first()), shown) {
            (Some(known), Ok(chain)) => {
                assert_eq!(chain[0], known.pem.leaf, "{domain} shows {}", known.id);
            }
            (None, Err(HandshakeFailure::UNRECOGNIZED_NAME)) => {}
            (expected, shown) => panic!(
                "{domain}: {shown:?}, expected {:?}",
                expected.map(|known| known.id)
            ),
        }
        if served.len() > 1 {
            let edge = self.server.addresses().https;
            let checks = [SignatureScheme::RSA_PSS_SHA256];
            let shown =
                tls::served_with_schemes(edge, &client_host(domain), &[&TLS13], &checks).await;
            let rsa = served.iter().find(|known| known.is_rsa()).unwrap();
            assert_eq!(shown.unwrap()[0], rsa.pem.leaf, "{domain} to RSA clients");
        }
    }

    async fn compare_infos(&self, domain: &str) {
        let is_on = self.model.served(domain).is_some();
        let on = on_off(is_on);
        // A binding with HTTPS off is remembered and not returned.
        let mut bound = self.model.all_bound(domain);
        bound.retain(|_| is_on);
        let params = [("DomainName", domain)];
        for (version, action, switch, chain) in [
            (
                CDN_VERSION,
                "DescribeDomainCertificateInfo",
                "ServerCertificateStatus",
                "ServerCertificate",
            ),
            (
                DCDN,
                "DescribeDcdnDomainCertificateInfo",
                "SSLProtocol",
                "SSLPub",
            ),
        ] {
            let reply = self.api.ok(version, action, &params).await;
            let infos = reply["CertInfos"]["CertInfo"].as_array().unwrap();
            assert_eq!(infos.len(), bound.len().max(1), "{action} {domain}");
            for info in infos {
                assert_eq!(info["DomainName"], domain, "{action}");
                assert_eq!(info[switch], on, "{action} {domain}");
            }
            if bound.is_empty() {
                assert!(infos[0].get("CertId").is_none(), "{action} {domain}");
            }
            for (at, (info, known)) in infos.iter().zip(&bound).enumerate() {
                let shown = pick(info, INFO);
                let expected = json!({
                    "CertId": known.id.to_string(),
                    "CertName": known.name,
                    "CertRegion": known.region,
                    "CertType": known.kind,
                    "CertDomainName": known.common_name(),
                    "Companion": (at == 1).then_some("true"),
                });
                assert_eq!(shown, expected, "{action} {domain}");
                let pem = info[chain].as_str().unwrap();
                assert_eq!(pem::decode(pem), known.pem.leaf, "{action} {domain}");
                if version == CDN_VERSION {
                    assert_eq!(info["CertStatus"], known.status_on(domain), "{domain}");
                }
            }
        }
    }

    async fn compare_details(&self, domain: &str) {
        let served = self.model.served(domain);
        let on = on_off(served.is_some());
        let params = [("DomainName", domain)];
        for version in [CDN_VERSION, CDN_2014] {
            let action = "DescribeCdnDomainDetail";
            let reply = self.api.ok(version, action, &params).await;
            let detail = &reply["GetDomainDetailModel"];
            assert_eq!(detail["DomainName"], domain);
            assert_eq!(detail["ServerCertificateStatus"], on, "{version} {domain}");
            let https_cname = detail["HttpsCname"].as_str().unwrap();
            assert_eq!(!https_cname.is_empty(), served.is_some(), "{domain}");
            let shown = detail["ServerCertificate"].as_str().map(pem::decode);
            let expected = served.filter(|_| version == CDN_2014);
            let expected = expected.map(|known| known.pem.leaf.clone());
            assert_eq!(shown, expected, "{version} {domain}");
        }
        let reply = self.api.ok(DCDN, "DescribeDcdnDomainDetail", &params).await;
        let detail = &reply["DomainDetail"];
        assert_eq!(detail["SSLProtocol"], on, "{domain}");
        let shown = detail["SSLPub"].as_str().unwrap();
        match served {
            Some(known) => assert_eq!(pem::decode(shown), known.pem.leaf, "{domain}"),
            None => assert_eq!(shown, "", "{domain}"),
        }
    }

    async fn compare_domain_lists(&self) {
        let expected: Vec<Value> = self
            .model
            .domains
            .keys()
            .map(|domain| json!([domain, on_off(self.model.served(domain).is_some())]))
            .collect();
        for (version, action, switch) in [
            (CDN_VERSION, "DescribeUserDomains", "SslProtocol"),
            (CDN_2014, "DescribeUserDomains", "SslProtocol"),
            (DCDN, "DescribeDcdnUserDomains", "SSLProtocol"),
        ] {
            let whole = [("PageSize", "500")];
            let (rows, total) = self.page(version, action, &whole).await;
            let shown = |rows: &[Value]| -> Vec<Value> {
                let row = |row: &Value| json!([row["DomainName"], row[switch]]);
                rows.iter().map(row).collect()
            };
            assert_eq!(shown(&rows), expected, "{action}");
            assert_eq!(total, expected.len(), "{action}");
            let joined = self.pages(version, action, 11, expected.len()).await;
            assert_eq!(shown(&joined), expected, "{action} in pages");
        }
    }

    async fn compare_https_list(&self) {
        let action = "DescribeCdnHttpsDomainList";
        let domains = self.model.domains.keys();
        let expected: Vec<Value> = domains
            .filter_map(|domain| {
                CertificateModel::https_row(&self.model.all_served(domain), domain)
            })
            .collect();
        let shown = |rows: &[Value]| -> Vec<Value> {
            let members = [
                "DomainName",
                "CertName",
                "CertType",
                "CertCommonName",
                "CertStatus",
            ];
            rows.iter().map(|row| pick(row, &members)).collect()
        };
        let whole = [("PageSize", "500")];
        let (rows, total) = self.page(CDN_VERSION, action, &whole).await;
        assert_eq!(shown(&rows), expected);
        assert_eq!(total, expected.len());
        let joined = self.pages(CDN_VERSION, action, 7, expected.len()).await;
        assert_eq!(shown(&joined), expected, "in pages");

        let below = |row: &&Value| row["DomainName"].as_str().unwrap().contains(".w1.");
        let expected: Vec<Value> = expected.iter().filter(below).cloned().collect();
        let wanted = [("Keyword", "*.W1."), ("PageSize", "500")];
        let (rows, total) = self.page(CDN_VERSION, action, &wanted).await;
        assert_eq!(shown(&rows), expected, "by keyword");
        assert_eq!(total, expected.len(), "by keyword");
    }

    async fn compare_expire_count(&self) {
        let count = |counts: fn(&CertificateModel) -> bool| {
            let domains = self.model.domains.keys();
            let served = domains.map(|domain| self.model.all_served(domain));
            served
                .filter(|all| all.iter().any(|known| counts(known)))
                .count()
        };
        let ended = count(CertificateModel::has_ended);
        let ended_or_soon = count(|known| known.has_ended() || known.ends_soon());
        let reply = self
            .api
            .ok(CDN_VERSION, "DescribeUserCertificateExpireCount", &[])
            .await;
        let expected = json!({
            "ExpiredCount": ended,
            "ExpireWithin30DaysCount": ended_or_soon - ended,
        });
        let members = ["ExpiredCount", "ExpireWithin30DaysCount"];
        assert_eq!(pick(&reply, &members), expected);
    }

    /// The rows of one response, and its total count.
    async fn page(
        &self,
        version: &str,
        action: &str,
        params: &[(&str, &str)],
    ) -> (Vec<Value>, usize) {
        let reply = self.api.ok(version, action, params).await;
        let rows = match action {
            "DescribeCdnHttpsDomainList" => &reply["CertInfos"]["CertInfo"],
            _ => &reply["Domains"]["PageData"],
        };
        let total = reply["TotalCount"].as_u64().unwrap();
        (
            rows.as_array().unwrap().clone(),
            usize::try_from(total).unwrap(),
        )
    }

    /// All rows, page by page; every page reports the total count.
    async fn pages(&self, version: &str, action: &str, size: usize, whole: usize) -> Vec<Value> {
        let mut joined = Vec::new();
        for number in 1.. {
            let (number, of_size) = (number.to_string(), size.to_string());
            let params = [("PageNumber", number.as_str()), ("PageSize", &of_size)];
            let (rows, total) = self.page(version, action, &params).await;
            assert_eq!(total, whole, "{action}, page {number}");
            let left = whole.saturating_sub(joined.len());
            assert_eq!(rows.len(), left.min(size), "{action}, page {number}");
            if rows.is_empty() {
                break;
            }
            joined.extend(rows);
        }
        joined
    }
}

/// Selected members of an object.
pub(super) fn pick(row: &Value, members: &[&str]) -> Value {
    let picked = members
        .iter()
        .map(|name| ((*name).to_owned(), row[name].clone()));
    Value::Object(picked.collect())
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
