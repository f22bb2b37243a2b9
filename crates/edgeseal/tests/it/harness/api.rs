//! An API client, and the calls that many tests make.

use std::ops::Deref;

use edgeseal_api::client::{CallError, Client, ErrorResponse, Reply};
use edgeseal_core::{Secret, Timestamp};
use serde_json::Value;

use super::{Origin, TestCertificate, now, pem, pki::AUTHORITY, secrets};

/// The API version of CDN.
pub(crate) const CDN_VERSION: &str = "2018-05-10";
/// The CDN version of 2014.
pub(crate) const CDN_2014: &str = "2014-11-11";
/// The API version of DCDN.
pub(crate) const DCDN: &str = "2018-01-15";
/// The API version of CAS.
pub(crate) const CAS: &str = "2020-04-07";
/// The CAS version of 2018.
pub(crate) const CAS_2018: &str = "2018-07-13";
pub(crate) const CAS_2018_08: &str = "2018-08-13";
/// The API version of RAM.
pub(crate) const RAM: &str = "2015-05-01";
/// The API version of STS.
pub(crate) const STS: &str = "2015-04-01";
/// The API version of Edgeseal's own actions.
pub(crate) const EDGESEAL: &str = "2026-12-01";
/// The action that most tests call.
pub(crate) const SET: &str = "SetCdnDomainSSLCertificate";

/// An API client with an access key.
#[derive(Clone)]
pub(crate) struct ApiClient {
    client: Client,
    api: String,
    pub(crate) account: String,
    pub(crate) key: String,
    pub(crate) secret: Secret,
}

impl Deref for ApiClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl ApiClient {
    pub(crate) fn new(api: &str, account: &str, key: &str, secret: &str) -> Self {
        secrets::register_secret(secret);
        let secret = Secret::from(secret.to_owned());
        let endpoint = format!("http://{api}");
        Self {
            client: Client::new(&endpoint, key.to_owned(), secret.clone(), now).unwrap(),
            api: api.to_owned(),
            account: account.to_owned(),
            key: key.to_owned(),
            secret,
        }
    }

    /// A client of the same account with this key, and its token if it is temporary.
    pub(crate) fn as_user(&self, key: &Value) -> Self {
        let text = |name: &str| key[name].as_str().unwrap();
        let (id, secret) = (text("AccessKeyId"), text("AccessKeySecret"));
        let mut other = Self::new(&self.api, &self.account, id, secret);
        if let Some(token) = key["SecurityToken"].as_str() {
            other.client = other.client.with_token(token.to_owned());
        }
        other
    }

    /// This client with another clock.
    pub(crate) fn with_clock(&self, clock: fn() -> Timestamp) -> Self {
        let (endpoint, secret) = (format!("http://{}", self.api), self.secret.clone());
        let client = Client::new(&endpoint, self.key.clone(), secret, clock).unwrap();
        Self {
            client,
            ..self.clone()
        }
    }

    /// Id and secret of the access key.
    pub(crate) fn access_key(&self) -> (&str, &Secret) {
        (&self.key, &self.secret)
    }

    /// Adds a domain, which must be new.
    pub(crate) async fn add(&self, domain: &str, origin: &Origin) {
        let sources = origin.sources();
        let params = add_params(domain, &sources);
        let added = self.call(CDN_VERSION, "AddCdnDomain", &params).await;
        added.unwrap_or_else(|error| panic!("{domain} is not added: {error:?}"));
    }

    /// Adds a domain, which must be new, and sets a new certificate, which it returns.
    pub(crate) async fn serve(&self, domain: &str, origin: &Origin) -> TestCertificate {
        self.add(domain, origin).await;
        let pem = AUTHORITY.issue(&[domain]);
        self.set(domain, &pem).await.unwrap();
        pem
    }

    /// Sets the certificate of a domain.
    pub(crate) async fn set(
        &self,
        domain: &str,
        pem: &TestCertificate,
    ) -> Result<Reply, CallError> {
        self.call(CDN_VERSION, SET, &upload_params(domain, pem))
            .await
    }

    /// Calls a CDN action whose only parameter is a domain name.
    pub(crate) async fn call_on_domain(&self, action: &str, domain: &str) -> Reply {
        let called = self
            .call(CDN_VERSION, action, &[("DomainName", domain)])
            .await;
        called.unwrap_or_else(|error| panic!("{action} of {domain}: {error:?}"))
    }

    pub(crate) async fn off(&self, domain: &str) -> Reply {
        let params = [("DomainName", domain), ("SSLProtocol", "off")];
        let called = self.call(CDN_VERSION, SET, &params).await;
        called.unwrap_or_else(|error| panic!("{domain} is not switched off: {error:?}"))
    }

    /// The certificate of a domain, from the API.
    pub(crate) async fn info(&self, domain: &str) -> Value {
        let reply = self
            .call_on_domain("DescribeDomainCertificateInfo", domain)
            .await;
        reply.body["CertInfos"]["CertInfo"][0].clone()
    }

    /// DER of the bound leaf, from the API.
    pub(crate) async fn bound_leaf(&self, domain: &str) -> Vec<u8> {
        let info = self.info(domain).await;
        pem::decode(info["ServerCertificate"].as_str().unwrap())
    }

    /// Makes a call that must succeed; asserts that the response contains no key material.
    pub(crate) async fn ok(&self, version: &str, action: &str, params: &[(&str, &str)]) -> Value {
        let called = self.call(version, action, params).await;
        let reply = called.unwrap_or_else(|error| panic!("{action}: {error:?}"));
        secrets::assert_no_private_keys("an answer", reply.body.to_string().as_bytes());
        reply.body
    }

    /// Makes a call that must be refused; asserts that the response contains no key material.
    pub(crate) async fn refused<'a>(
        &'a self,
        version: &'a str,
        action: &'a str,
        params: &'a [(&'a str, &'a str)],
    ) -> ErrorResponse {
        match self.call(version, action, params).await {
            Err(CallError::Api(refusal)) => {
                secrets::assert_no_secrets("a refusal", format!("{refusal:?}").as_bytes());
                *refusal
            }
            Err(error) => panic!("{action} is not answered: {error}"),
            Ok(reply) => panic!("{action} is not refused: {}", reply.body),
        }
    }
}

/// Parameters that add a domain, or domains separated by commas.
pub(crate) fn add_params<'a>(domains: &'a str, sources: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("DomainName", domains),
        ("CdnType", "web"),
        ("Sources", sources),
    ]
}

/// Parameters that upload a certificate.
pub(crate) fn upload_params<'a>(
    domain: &'a str,
    pem: &'a TestCertificate,
) -> [(&'a str, &'a str); 4] {
    [
        ("DomainName", domain),
        ("SSLProtocol", "on"),
        ("SSLPub", &pem.chain),
        ("SSLPri", &pem.key),
    ]
}
