//! Second certificates.

use super::{
    ModelTest,
    model::Binding,
    new_certificate::fresh_with,
    steps::{ACTION_VARIANTS, params_for_variant},
};
use crate::harness::{CDN_VERSION, SET, pki};

const REFUSED: &str = "SetDomainCertificate.ParameterError";

impl ModelTest {
    /// Sets a second certificate in production or staging; the call is refused where HTTPS is off.
    pub(super) async fn set_companion(&mut self) {
        let Some(domain) = self.any_domain() else {
            return;
        };
        let staging = self.random.below(4) == 0;
        let Some(joined) = self.model.joinable(&domain, staging) else {
            return self.has_no_companion(&domain, staging).await;
        };
        match self.random.below(3) {
            0 => self.join_stored(&domain, joined, staging).await,
            _ => self.join_upload(&domain, joined, staging).await,
        }
    }

    /// HTTPS is off, so there is no first certificate.
    async fn has_no_companion(&mut self, domain: &str, staging: bool) {
        let fresh = self.new_certificate_for(domain);
        let params = beside(params_for_variant(SET, domain, &fresh.pem), staging);
        self.done(format!("{domain}: companion is refused, {staging}"));
        let refusal = self.api.refused(CDN_VERSION, SET, &params).await;
        assert_eq!(refusal.code, REFUSED, "{domain}: {}", refusal.detail);
    }

    async fn join_upload(&mut self, domain: &str, joined: Binding, staging: bool) {
        let key = match self.model.certificates[&joined.certificate].is_rsa() {
            true => pki::new_key(),
            false => pki::new_rsa_key(),
        };
        let (names, days) = {
            let like = self.new_certificate_for(domain);
            (like.names, if self.random.below(3) == 0 { 10 } else { 90 })
        };
        let (fresh, name) = (fresh_with(names, days, key), self.new_name());
        let (version, action) = ACTION_VARIANTS[self.random.below(if staging { 2 } else { 4 })];
        let mut params = beside(params_for_variant(action, domain, &fresh.pem), staging);
        params.push(("CertName", &name));
        self.done(format!("{domain}: companion by {action}, {staging}"));
        self.api.ok(version, action, &params).await;
        let id = self.record_uploaded(domain, fresh, Some(name)).await;
        self.model.join(domain, id, staging);
    }

    /// A certificate of the account; its key may be of the same type.
    async fn join_stored(&mut self, domain: &str, joined: Binding, staging: bool) {
        let Some(id) = self.any_usable() else { return };
        let first = &self.model.certificates[&joined.certificate];
        let stored = &self.model.certificates[&id];
        let (pair, number) = (first.is_rsa() != stored.is_rsa(), id.to_string());
        let params = vec![
            ("DomainName", domain),
            ("SSLProtocol", "on"),
            ("CertId", number.as_str()),
            ("CertRegion", stored.region),
        ];
        let params = beside(params, staging);
        if pair {
            self.done(format!("{domain}: stored companion {id}, {staging}"));
            self.api.ok(CDN_VERSION, SET, &params).await;
            self.model.join(domain, id, staging);
        } else {
            self.done(format!("{domain}: companion of one kind {id}, {staging}"));
            let refusal = self.api.refused(CDN_VERSION, SET, &params).await;
            assert_eq!(refusal.code, REFUSED, "{domain}: {}", refusal.detail);
        }
    }
}

fn beside<'a>(
    mut params: Vec<(&'static str, &'a str)>,
    staging: bool,
) -> Vec<(&'static str, &'a str)> {
    params.push(("Companion", "true"));
    if staging {
        params.push(("Env", "staging"));
    }
    params
}
