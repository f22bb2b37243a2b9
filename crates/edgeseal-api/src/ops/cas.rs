//! The certificate centre: CAS 2020-04-07 and, for tools in use, 2018-07-13 and 2018-08-13.
//!
//! Certificates that were uploaded for a domain are here too, as the cloud keeps them. A private
//! key that came in goes out again only where the operator says so: `Key` is empty else.

mod create_certificate_name;
mod delete_user_certificate;
pub(crate) mod deployment;
mod describe_user_certificate_detail;
mod describe_user_certificate_list;
mod get_certificate_detail;
mod get_user_certificate_detail;
mod list_certificates;
mod list_user_certificate_order;
mod upload;
mod upload_user_certificate;

pub use create_certificate_name::CreateCertificateName;
pub use delete_user_certificate::{DeleteUserCertificate, DeleteUserCertificate2018};
pub use deployment::{
    CreateDeploymentJob, DeleteDeploymentJob, DescribeDeploymentJob, DescribeDeploymentJobStatus,
    ListCloudResources, ListContact, ListDeploymentJob, ListWorkerResource,
    UpdateDeploymentJobStatus,
};
pub use describe_user_certificate_detail::DescribeUserCertificateDetail;
pub use describe_user_certificate_list::DescribeUserCertificateList;
pub use get_certificate_detail::GetCertificateDetail;
pub use get_user_certificate_detail::GetUserCertificateDetail;
pub use list_certificates::ListCertificates;
pub use list_user_certificate_order::ListUserCertificateOrder;
pub use upload_user_certificate::{CreateUserCertificate, UploadUserCertificate};

use edgeseal_core::certificate::{CertificateId, KeyAlgorithm};
use edgeseal_store::record::{CertificateRecord, CertificateSummary};

use crate::request::ParamMap;

/// What the names of instances begin with.
const INSTANCE_PREFIX: &str = "cas-upload-";

/// `<id>-<region>`, by which the centre's newer operations name a certificate.
fn identifier(certificate: &CertificateRecord) -> String {
    format!("{}-{}", certificate.id, certificate.region)
}

/// What the centre calls the instance behind an uploaded certificate.
fn instance_id(id: CertificateId) -> String {
    format!("{INSTANCE_PREFIX}{id}")
}

/// The algorithm of the key in the centre's words.
const fn algorithm(key: KeyAlgorithm) -> &'static str {
    match key {
        KeyAlgorithm::Rsa => "RSA",
        KeyAlgorithm::Ecdsa => "ECC",
        KeyAlgorithm::Ed25519 => "ED25519",
    }
}

/// The certificate behind an instance; `None` if that is no instance here.
fn parse_instance_id(instance: &str) -> Option<CertificateId> {
    instance.strip_prefix(INSTANCE_PREFIX)?.parse().ok()
}

/// What certificates are searched for: a part of a name, or the id of the resource, which is the
/// instance's.
#[derive(Clone)]
struct Keyword {
    /// In lower case.
    text: String,
    instance: Option<CertificateId>,
}

impl Keyword {
    fn parse(params: &ParamMap) -> Option<Self> {
        let text = params.get_non_empty("Keyword")?.to_ascii_lowercase();
        let instance = parse_instance_id(&text);
        Some(Self { text, instance })
    }

    /// Whether it is this certificate's instance, or its name, common name or a DNS name holds it;
    /// ASCII case does not count.
    fn matches(&self, id: CertificateId, certificate: &CertificateSummary<'_>) -> bool {
        let holds = |text: &str| {
            // Names are lower case nearly always: looked at as they are first.
            text.contains(&self.text) || text.to_ascii_lowercase().contains(&self.text)
        };
        self.instance == Some(id)
            || holds(certificate.name)
            || holds(certificate.common_name)
            || holds(&certificate.names)
    }
}
