//! Certificates issued for the test, and how the model records them.

use rcgen::KeyPair;
use time::OffsetDateTime;

use super::{
    ModelTest,
    model::{CertificateModel, HOME},
    steps::params_for_variant,
};
use crate::harness::{
    CAS, CDN_VERSION, SET, TestCertificate, eventually, now,
    pki::{self, AUTHORITY, leaf_params, set_validity_days},
};

/// A certificate that the API does not know yet.
pub(super) struct NewCertificate {
    pub(super) pem: TestCertificate,
    pub(super) names: Vec<String>,
    pub(super) not_after: i64,
}

impl ModelTest {
    /// The ID of the certificate bound last. A new name has a new ID.
    pub(super) async fn record_uploaded(
        &mut self,
        domain: &str,
        fresh: NewCertificate,
        name: Option<String>,
    ) -> i64 {
        let (id, name) = match name {
            Some(name) => {
                let params = [("CertName", name.as_str())];
                let action = "DescribeCdnCertificateDetail";
                let detail = self.api.ok(CDN_VERSION, action, &params).await;
                (detail["CertId"].as_i64().unwrap(), name)
            }
            None => {
                let info = self.api.info(domain).await;
                let text = |name: &str| info[name].as_str().unwrap().to_owned();
                (text("CertId").parse().unwrap(), text("CertName"))
            }
        };
        self.remember(id, name, HOME, "upload", fresh);
        let known = self.model.certificates.get_mut(&id).unwrap();
        known.uploaded_for = Some(domain.to_owned());
        id
    }

    pub(super) fn remember(
        &mut self,
        id: i64,
        name: String,
        region: &'static str,
        kind: &'static str,
        fresh: NewCertificate,
    ) {
        let known = CertificateModel {
            id,
            name,
            region,
            kind,
            pem: fresh.pem,
            names: fresh.names,
            not_after: fresh.not_after,
            hidden: false,
            uploaded_for: None,
            superseded: None,
        };
        let before = self.model.certificates.insert(id, known);
        assert!(before.is_none(), "the ID {id} was assigned twice");
    }

    /// A new certificate that could be bound to this domain.
    pub(super) fn new_certificate_for(&mut self, domain: &str) -> NewCertificate {
        let own = wildcard_spelling(domain);
        match self.random.below(8) {
            0..3 => fresh(vec![own], 90),
            3 => {
                let parent = domain.split_once('.').unwrap().1;
                fresh(vec![format!("*.{parent}"), own], 90)
            }
            4 | 5 => {
                let others = (0..4).filter_map(|_| self.any_domain());
                let mut names = vec![own];
                names.extend(others.map(|name| wildcard_spelling(&name)));
                names.sort();
                names.dedup();
                fresh(names, 60)
            }
            6 => fresh(vec!["other.example.org".to_owned()], 90),
            _ => fresh(vec![own], 10),
        }
    }

    pub(super) fn new_name(&mut self) -> String {
        self.made += 1;
        format!("Certificate {}", self.made)
    }

    /// Binds certificates that expire within seconds, one of them deliberately for the wrong
    /// domain, and waits until the API reports them as expired.
    pub(super) async fn bind_what_ends_at_once(&mut self) {
        let mut numbers = Vec::new();
        for wrong in [false, false, true] {
            let Some(domain) = self.any_domain() else {
                return;
            };
            self.model.steps += 1;
            let name = self.new_name();
            self.done(format!("{domain}: upload of what ends at once"));
            let mut attempts = 0;
            let fresh = loop {
                let fresh = ends_at_once(if wrong { "other.example.org" } else { &domain });
                let mut params = params_for_variant(SET, &domain, &fresh.pem);
                params.push(("CertName", &name));
                match self.api.call(CDN_VERSION, SET, &params).await {
                    Ok(_) => break fresh,
                    // On a machine that was suspended they had expired already.
                    Err(error) => assert!(attempts < 5, "{error:?}"),
                }
                attempts += 1;
            };
            let id = self.record_uploaded(&domain, fresh, Some(name)).await;
            self.model.bind(&domain, id, false);
            numbers.push(id.to_string());
        }
        for number in numbers {
            eventually("the certificate expires", async || {
                let params = [("CertId", number.as_str())];
                let detail = self.api.ok(CAS, "GetUserCertificateDetail", &params).await;
                (detail["Expired"] == true).then_some(())
            })
            .await;
        }
    }
}

pub(super) fn fresh(names: Vec<String>, days: i64) -> NewCertificate {
    fresh_with(names, days, pki::new_key())
}

pub(super) fn fresh_with(names: Vec<String>, days: i64, key: KeyPair) -> NewCertificate {
    let list: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut params = leaf_params(&list);
    set_validity_days(&mut params, -1, days);
    let not_after = params.not_after.unix_timestamp();
    let pem = AUTHORITY.pem(&AUTHORITY.intermediate.issue(params, key));
    NewCertificate {
        pem,
        names,
        not_after,
    }
}

fn ends_at_once(domain: &str) -> NewCertificate {
    let names = vec![wildcard_spelling(domain)];
    let mut params = leaf_params(&[&names[0]]);
    let not_after = now().unix_seconds() + 3;
    params.not_after = OffsetDateTime::from_unix_timestamp(not_after).unwrap();
    let leaf = AUTHORITY.intermediate.issue(params, pki::new_key());
    NewCertificate {
        pem: AUTHORITY.pem(&leaf),
        names,
        not_after,
    }
}

/// A domain's name as certificates spell it.
pub(super) fn wildcard_spelling(domain: &str) -> String {
    match domain.strip_prefix('.') {
        Some(base) => format!("*.{base}"),
        None => domain.to_owned(),
    }
}
