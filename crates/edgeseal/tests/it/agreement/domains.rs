//! Domains: what handshakes show, what each read says, what the lists say.

use serde_json::{Value, json};

use super::{World, model::visited};
use crate::harness::{CDN, CDN_2014, DCDN, pki, tls::TurnedAway};

impl World {
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
        let shown = self.server.served(&visited(domain)).await;
        match (self.model.served(domain), shown) {
            (Some(known), Ok(chain)) => {
                assert_eq!(chain[0], known.pem.leaf, "{domain} shows {}", known.id);
            }
            (None, Err(TurnedAway::UnrecognizedName)) => {}
            (expected, shown) => panic!(
                "{domain}: {shown:?}, expected {:?}",
                expected.map(|known| known.id)
            ),
        }
    }

    async fn compare_infos(&self, domain: &str) {
        let bound = self.model.bound(domain);
        let on = on_off(self.model.served(domain).is_some());
        let params = [("DomainName", domain)];
        for (version, action, switch, chain) in [
            (
                CDN,
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
            assert_eq!(infos.len(), 1, "{action} {domain}");
            let info = &infos[0];
            assert_eq!(info["DomainName"], domain, "{action}");
            assert_eq!(info[switch], on, "{action} {domain}");
            let Some(known) = bound else {
                assert!(info.get("CertId").is_none(), "{action} {domain}: {info}");
                continue;
            };
            let shown = pick(
                info,
                &[
                    "CertId",
                    "CertName",
                    "CertRegion",
                    "CertType",
                    "CertDomainName",
                ],
            );
            let expected = json!({
                "CertId": known.id.to_string(),
                "CertName": known.name,
                "CertRegion": known.region,
                "CertType": known.kind,
                "CertDomainName": known.common_name(),
            });
            assert_eq!(shown, expected, "{action} {domain}");
            let pem = info[chain].as_str().unwrap();
            assert_eq!(pki::unblock(pem), known.pem.leaf, "{action} {domain}");
            if version == CDN {
                assert_eq!(info["CertStatus"], known.standing_on(domain), "{domain}");
            }
        }
    }

    async fn compare_details(&self, domain: &str) {
        let served = self.model.served(domain);
        let on = on_off(served.is_some());
        let params = [("DomainName", domain)];
        for version in [CDN, CDN_2014] {
            let action = "DescribeCdnDomainDetail";
            let reply = self.api.ok(version, action, &params).await;
            let detail = &reply["GetDomainDetailModel"];
            assert_eq!(detail["DomainName"], domain);
            assert_eq!(detail["ServerCertificateStatus"], on, "{version} {domain}");
            let https_cname = detail["HttpsCname"].as_str().unwrap();
            assert_eq!(!https_cname.is_empty(), served.is_some(), "{domain}");
            let shown = detail["ServerCertificate"].as_str().map(pki::unblock);
            let expected = served.filter(|_| version == CDN_2014);
            let expected = expected.map(|known| known.pem.leaf.clone());
            assert_eq!(shown, expected, "{version} {domain}");
        }
        let reply = self.api.ok(DCDN, "DescribeDcdnDomainDetail", &params).await;
        let detail = &reply["DomainDetail"];
        assert_eq!(detail["SSLProtocol"], on, "{domain}");
        let shown = detail["SSLPub"].as_str().unwrap();
        match served {
            Some(known) => assert_eq!(pki::unblock(shown), known.pem.leaf, "{domain}"),
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
            (CDN, "DescribeUserDomains", "SslProtocol"),
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
            .filter_map(|domain| Some(self.model.served(domain)?.https_row(domain)))
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
        let (rows, total) = self.page(CDN, action, &whole).await;
        assert_eq!(shown(&rows), expected);
        assert_eq!(total, expected.len());
        let joined = self.pages(CDN, action, 7, expected.len()).await;
        assert_eq!(shown(&joined), expected, "in pages");

        let below = |row: &&Value| row["DomainName"].as_str().unwrap().contains(".w1.");
        let expected: Vec<Value> = expected.iter().filter(below).cloned().collect();
        let wanted = [("Keyword", "*.W1."), ("PageSize", "500")];
        let (rows, total) = self.page(CDN, action, &wanted).await;
        assert_eq!(shown(&rows), expected, "by keyword");
        assert_eq!(total, expected.len(), "by keyword");
    }

    async fn compare_expire_count(&self) {
        let served = || {
            let domains = self.model.domains.keys();
            domains.filter_map(|domain| self.model.served(domain))
        };
        let reply = self
            .api
            .ok(CDN, "DescribeUserCertificateExpireCount", &[])
            .await;
        let expected = json!({
            "ExpiredCount": served().filter(|known| known.has_ended()).count(),
            "ExpireWithin30DaysCount": served().filter(|known| known.ends_soon()).count(),
        });
        let members = ["ExpiredCount", "ExpireWithin30DaysCount"];
        assert_eq!(pick(&reply, &members), expected);
    }

    /// The rows of one answer and what it says of the whole.
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

    /// All rows, page by page; every page knows of the whole.
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

/// Some members of an object.
pub(super) fn pick(row: &Value, members: &[&str]) -> Value {
    let picked = members
        .iter()
        .map(|name| ((*name).to_owned(), row[name].clone()));
    Value::Object(picked.collect())
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
