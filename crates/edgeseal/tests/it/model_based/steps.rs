//! Random changes, each made through the API and in the model.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use rcgen::{CertificateSigningRequestParams, Issuer};

use super::{
    ModelTest,
    model::{Domain, HOME, OTHER_REGION},
    new_certificate::{NewCertificate, fresh, wildcard_spelling},
};
use crate::harness::{
    CAS, CAS_2018, CDN_2014, CDN_VERSION, DCDN, SET, TestCertificate, pem,
    pki::{AUTHORITY, set_validity_days},
};

const SET_DCDN: &str = "SetDcdnDomainSSLCertificate";
const SET_LEGACY: &str = "SetDomainServerCertificate";
const SET_BATCH: &str = "BatchSetCdnDomainServerCertificate";

/// The variants of one operation.
pub(super) const ACTION_VARIANTS: [(&str, &str); 4] = [
    (CDN_VERSION, SET),
    (DCDN, SET_DCDN),
    (CDN_VERSION, SET_LEGACY),
    (CDN_2014, SET_LEGACY),
];

impl ModelTest {
    pub(super) async fn step(&mut self) {
        self.model.steps += 1;
        match self.random.below(100) {
            0..22 => self.upload().await,
            22..32 => self.set_companion().await,
            32..42 => self.bind_stored().await,
            42..48 => self.bind_from_request().await,
            48..60 => self.switch_off().await,
            60..70 => self.switch_on_again().await,
            70..76 => self.stage().await,
            76..82 => self.end_staging().await,
            82..88 => self.upload_to_centre().await,
            88..95 => self.delete_certificate().await,
            _ => self.delete_or_add_domain().await,
        }
    }

    async fn upload(&mut self) {
        let Some(domain) = self.any_domain() else {
            return;
        };
        let fresh = self.new_certificate_for(&domain);
        if self.random.below(4) == 0 {
            return self.upload_in_a_batch(domain, fresh).await;
        }
        let (version, action) = ACTION_VARIANTS[self.random.below(4)];
        let name = self.new_name();
        let mut params = params_for_variant(action, &domain, &fresh.pem);
        // Some calls leave the name to the server.
        let named = self.random.below(3) > 0;
        if named {
            params.push(("CertName", &name));
        }
        self.done(format!("{domain}: upload of {:?} by {action}", fresh.names));
        self.api.ok(version, action, &params).await;
        let id = self
            .record_uploaded(&domain, fresh, named.then_some(name))
            .await;
        self.model.bind(&domain, id, false);
    }

    async fn upload_in_a_batch(&mut self, domain: String, fresh: NewCertificate) {
        let mut domains = vec![domain];
        for _ in 0..2 {
            domains.extend(self.any_domain());
        }
        let list = domains.join(",");
        let name = self.new_name();
        let mut params = params_for_variant(SET_BATCH, &list, &fresh.pem);
        params.push(("CertName", &name));
        self.done(format!("{list}: batch of {:?}", fresh.names));
        self.api.ok(CDN_VERSION, SET_BATCH, &params).await;
        let id = self.record_uploaded(&domains[0], fresh, Some(name)).await;
        for domain in domains {
            self.model.bind(&domain, id, false);
        }
    }

    async fn bind_stored(&mut self) {
        let (Some(domain), Some(id)) = (self.any_domain(), self.any_usable()) else {
            return;
        };
        self.bind_by_reference(&domain, id, false).await;
        self.model.bind(&domain, id, false);
    }

    /// Binds a stored certificate by ID or by name, in any variant.
    async fn bind_by_reference(&mut self, domain: &str, id: i64, staging: bool) {
        let (version, action) = ACTION_VARIANTS[self.random.below(if staging { 2 } else { 4 })];
        let known = &self.model.certificates[&id];
        let (number, region, name) = (id.to_string(), known.region, known.name.clone());
        let legacy = action == SET_LEGACY;
        let (switch, of_region) = match legacy {
            true => ("ServerCertificateStatus", "Region"),
            false => ("SSLProtocol", "CertRegion"),
        };
        let mut params = vec![("DomainName", domain), (switch, "on"), (of_region, region)];
        if self.random.below(2) == 0 {
            params.extend([("CertType", "cas"), ("CertId", &number)]);
        } else {
            params.push(("CertName", &name));
        }
        if staging {
            params.push(("Env", "staging"));
        }
        self.done(format!("{domain}: stored {id} by {action}, {staging}"));
        self.api.ok(version, action, &params).await;
    }

    async fn bind_from_request(&mut self) {
        let Some(domain) = self.any_domain() else {
            return;
        };
        self.done(format!("{domain}: signing request"));
        let common = wildcard_spelling(&domain);
        let params = [
            ("CommonName", common.as_str()),
            ("SANs", "more.example.org"),
        ];
        let made = self
            .api
            .ok(CDN_VERSION, "CreateCdnCertificateSigningRequest", &params)
            .await;
        let request = made["Csr"].as_str().unwrap();
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        set_validity_days(&mut request.params, -1, 60);
        request.params.use_authority_key_identifier_extension = true;
        let authority = &AUTHORITY.intermediate;
        let issuer = Issuer::from_params(&authority.params, &authority.key);
        let leaf = request.signed_by(&issuer).unwrap().der().to_vec();
        let chain = format!("{}{}", pem::encode("CERTIFICATE", &leaf), authority.pem());
        let encoded = BASE64.encode(&chain);
        let params = [
            ("DomainName", domain.as_str()),
            ("ServerCertificate", &encoded),
        ];
        self.api
            .ok(CDN_VERSION, "SetCdnDomainCSRCertificate", &params)
            .await;
        let fresh = NewCertificate {
            pem: TestCertificate {
                chain,
                key: String::new(),
                leaf,
            },
            names: vec![common, "more.example.org".to_owned()],
            not_after: request.params.not_after.unix_timestamp(),
        };
        let id = self.record_uploaded(&domain, fresh, None).await;
        self.model.bind(&domain, id, false);
    }

    async fn switch_off(&mut self) {
        let Some(domain) = self.any_domain() else {
            return;
        };
        let (version, action) = ACTION_VARIANTS[self.random.below(4)];
        let legacy = action == SET_LEGACY;
        let switch = if legacy {
            "ServerCertificateStatus"
        } else {
            "SSLProtocol"
        };
        let mut params = vec![("DomainName", domain.as_str()), (switch, "off")];
        let staging = !legacy && self.random.below(5) == 0;
        if staging {
            params.push(("Env", "staging"));
        }
        self.done(format!("{domain}: off by {action}, {staging}"));
        self.api.ok(version, action, &params).await;
        self.model.switch_off(&domain, staging);
    }

    /// Binds the remembered certificate again, unless its owner has deleted it.
    async fn switch_on_again(&mut self) {
        let off: Vec<(String, i64)> = self
            .model
            .domains
            .iter()
            .filter_map(|(name, domain)| Some((name.clone(), domain.production?)))
            .filter(|(_, bound)| !bound.on)
            .map(|(name, bound)| (name, bound.certificate))
            .collect();
        let Some((domain, id)) = self.random.one_of(&off).cloned() else {
            return;
        };
        let known = &self.model.certificates[&id];
        let (number, region) = (id.to_string(), known.region);
        let expected = match (known.hidden, known.has_ended()) {
            (true, _) => Some("Certificate.NotFind"),
            (false, true) => Some("Certificate.Expired"),
            _ => None,
        };
        let params = [
            ("DomainName", domain.as_str()),
            ("SSLProtocol", "on"),
            ("CertId", &number),
            ("CertRegion", region),
        ];
        match expected {
            Some(code) => {
                self.done(format!("{domain}: on again is refused, {code}"));
                assert_eq!(self.api.refused(CDN_VERSION, SET, &params).await.code, code);
            }
            None => {
                self.done(format!("{domain}: on again with {id}"));
                self.api.ok(CDN_VERSION, SET, &params).await;
                self.model.bind(&domain, id, false);
            }
        }
    }

    async fn stage(&mut self) {
        let Some(domain) = self.any_domain() else {
            return;
        };
        if self.random.below(2) == 0
            && let Some(id) = self.any_usable()
        {
            self.bind_by_reference(&domain, id, true).await;
            return self.model.bind(&domain, id, true);
        }
        let (fresh, name) = (self.new_certificate_for(&domain), self.new_name());
        let mut params = params_for_variant(SET, &domain, &fresh.pem);
        params.extend([("CertName", name.as_str()), ("Env", "staging")]);
        self.done(format!("{domain}: {:?} is staged", fresh.names));
        self.api.ok(CDN_VERSION, SET, &params).await;
        let id = self.record_uploaded(&domain, fresh, Some(name)).await;
        self.model.bind(&domain, id, true);
    }

    async fn end_staging(&mut self) {
        let (publish, action, what) = match self.random.below(2) {
            0 => (true, "PublishStagingConfigToProduction", "published"),
            _ => (false, "RollbackStagingConfig", "dropped"),
        };
        let staged = |(_, domain): &(&String, &Domain)| domain.staging.is_some();
        let staged = self.model.domains.iter().filter(staged);
        let names: Vec<String> = staged.map(|(name, _)| name.clone()).collect();
        let found = self.random.one_of(&names).cloned();
        let Some(domain) = found.or_else(|| self.any_domain()) else {
            return;
        };
        let params = [("DomainName", domain.as_str())];
        if self.model.end_staging(&domain, publish) {
            self.done(format!("{domain}: {what}"));
            self.api.ok(CDN_VERSION, action, &params).await;
        } else {
            let refusal = self.api.refused(CDN_VERSION, action, &params).await;
            assert_eq!(refusal.code, "StagingConfig.NotFound", "{domain}");
        }
    }

    async fn upload_to_centre(&mut self) {
        let names = vec![wildcard_spelling(&self.any_domain().unwrap_or_default())];
        let (fresh, name) = (fresh(names, 90), self.new_name());
        let (version, action) = match self.random.below(2) {
            0 => (CAS, "UploadUserCertificate"),
            _ => (CAS_2018, "CreateUserCertificate"),
        };
        let region = if self.random.below(2) == 0 {
            HOME
        } else {
            OTHER_REGION
        };
        let params = [
            ("Name", name.as_str()),
            ("Cert", &fresh.pem.chain),
            ("Key", &fresh.pem.key),
            ("RegionId", region),
        ];
        self.done(format!("{:?} to the centre in {region}", fresh.names));
        let reply = self.api.ok(version, action, &params).await;
        let id = reply["CertId"].as_i64().unwrap();
        self.remember(id, name, region, "cas", fresh);
    }

    async fn delete_certificate(&mut self) {
        let remembered = self.random.below(3) == 0;
        let bound = self.model.domains.values().filter_map(|of| of.production);
        let ids: Vec<i64> = match remembered {
            true => bound.filter(|of| !of.on).map(|of| of.certificate).collect(),
            false => self.model.certificates.keys().copied().collect(),
        };
        let Some(id) = self.random.one_of(&ids).copied() else {
            return;
        };
        let number = id.to_string();
        let params = [("CertId", number.as_str())];
        let bound = self.model.is_bound(id);
        let action = "DeleteUserCertificate";
        if self.model.certificates[&id].hidden {
            let refusal = self.api.refused(CAS, action, &params).await;
            assert_eq!(refusal.code, "NotFound", "{id}, hidden before");
            return;
        }
        if bound && self.random.below(2) == 0 {
            self.done(format!("certificate is in use: {id}"));
            let refusal = self.api.refused(CAS, action, &params).await;
            assert_eq!(refusal.code, "CertificateInUse");
            return;
        }
        let version = if bound { CAS_2018 } else { CAS };
        let what = if bound { "hidden" } else { "deleted" };
        self.done(format!("certificate is {what}: {id}"));
        self.api.ok(version, action, &params).await;
        if bound {
            self.model.certificates.get_mut(&id).unwrap().hidden = true;
        } else {
            self.model.certificates.remove(&id);
        }
    }

    async fn delete_or_add_domain(&mut self) {
        let mut all = super::names();
        if self.random.below(2) == 0 {
            all.retain(|name| !self.model.domains.contains_key(name));
        }
        let Some(name) = self.random.one_of(&all).cloned() else {
            return;
        };
        if self.model.domains.contains_key(&name) {
            self.done(format!("domain is deleted: {name}"));
            let params = [("DomainName", name.as_str())];
            self.api.ok(CDN_VERSION, "DeleteCdnDomain", &params).await;
            self.model.delete_domain(&name);
        } else {
            self.done(format!("domain is added: {name}"));
            self.add(&name).await;
        }
    }

    pub(super) fn any_domain(&mut self) -> Option<String> {
        let names: Vec<String> = self.model.domains.keys().cloned().collect();
        self.random.one_of(&names).cloned()
    }

    /// A certificate that can be bound.
    pub(super) fn any_usable(&mut self) -> Option<i64> {
        let usable = self.model.visible().filter(|known| !known.has_ended());
        let ids: Vec<i64> = usable.map(|known| known.id).collect();
        self.random.one_of(&ids).copied()
    }

    pub(super) fn done(&mut self, step: String) {
        self.history.done.push(step);
    }
}

/// The parameters of an upload, as the action names them.
pub(super) fn params_for_variant<'a>(
    action: &str,
    domain: &'a str,
    pem: &'a TestCertificate,
) -> Vec<(&'static str, &'a str)> {
    let (switch, chain, key) = match action {
        SET_LEGACY => ("ServerCertificateStatus", "ServerCertificate", "PrivateKey"),
        _ => ("SSLProtocol", "SSLPub", "SSLPri"),
    };
    vec![
        ("DomainName", domain),
        (switch, "on"),
        (chain, &pem.chain),
        (key, &pem.key),
    ]
}
