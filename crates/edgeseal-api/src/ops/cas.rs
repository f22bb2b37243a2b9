//! CAS (Certificate Management Service): version 2020-04-07 and, for existing tools, 2018-07-13 and
//! 2018-08-13.
//!
//! Certificates that were uploaded for a domain are listed here too, as in the cloud. An uploaded
//! private key is returned only if the operator enables it: otherwise `Key` is empty.

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
use edgeseal_store::{filter::CertificateCondition, record::CertificateRecord};

crate::actions::actions! {
    CAS "CreateDeploymentJob" Cas("Name") OwnAccount => CreateDeploymentJob;
    CAS "DeleteDeploymentJob" Cas("JobId") OwnAccount => DeleteDeploymentJob;
    CAS "DeleteUserCertificate" Cas("CertId") OwnAccount => DeleteUserCertificate;
    CAS "DescribeDeploymentJob" Cas("JobId") OwnAccount => DescribeDeploymentJob;
    CAS "DescribeDeploymentJobStatus" Cas("JobId") OwnAccount => DescribeDeploymentJobStatus;
    CAS "GetCertificateDetail" Cas("CertificateId") OwnAccount => GetCertificateDetail;
    CAS "GetUserCertificateDetail" Cas("CertId") OwnAccount => GetUserCertificateDetail;
    CAS "ListCertificates" Cas("") OwnAccount => ListCertificates;
    CAS "ListCloudResources" Cas("") OwnAccount => ListCloudResources;
    CAS "ListContact" Cas("") OwnAccount => ListContact;
    CAS "ListDeploymentJob" Cas("") OwnAccount => ListDeploymentJob;
    CAS "ListUserCertificateOrder" Cas("") OwnAccount => ListUserCertificateOrder;
    CAS "ListWorkerResource" Cas("JobId") OwnAccount => ListWorkerResource;
    CAS "UpdateDeploymentJobStatus" Cas("JobId") OwnAccount => UpdateDeploymentJobStatus;
    CAS "UploadUserCertificate" Cas("Name") OwnAccount => UploadUserCertificate;
    CAS_2018 "CreateUserCertificate" Cas("Name") OwnAccount => CreateUserCertificate;
    CAS_2018 "DeleteUserCertificate" Cas("CertId") OwnAccount => DeleteUserCertificate2018;
    CAS_2018 "DescribeUserCertificateDetail" Cas("CertId") OwnAccount => DescribeUserCertificateDetail;
    CAS_2018 "DescribeUserCertificateList" Cas("") OwnAccount => DescribeUserCertificateList;
    CAS_2018_08 "CreateCertificateName" Cas("CertificateId") OwnAccount => CreateCertificateName;
}

use crate::request::ParamMap;

/// Prefix of instance ids.
const INSTANCE_PREFIX: &str = "cas-upload-";

/// `<id>-<region>`: how CAS's newer operations name a certificate.
fn identifier(certificate: &CertificateRecord) -> String {
    format!("{}-{}", certificate.id, certificate.region)
}

/// The instance id of an uploaded certificate.
fn instance_id(id: CertificateId) -> String {
    format!("{INSTANCE_PREFIX}{id}")
}

/// CAS's name of a key algorithm.
const fn algorithm(key: KeyAlgorithm) -> &'static str {
    match key {
        KeyAlgorithm::Rsa => "RSA",
        KeyAlgorithm::Ecdsa => "ECC",
        KeyAlgorithm::Ed25519 => "ED25519",
    }
}

/// The certificate of an instance id; `None` if the id is not one of CAS here.
fn parse_instance_id(instance: &str) -> Option<CertificateId> {
    instance.strip_prefix(INSTANCE_PREFIX)?.parse().ok()
}

/// A search term for certificates: a part of a name, or an instance id.
fn keyword(params: &ParamMap) -> Option<CertificateCondition> {
    let text = params.get_non_empty("Keyword")?.to_ascii_lowercase();
    let id = parse_instance_id(&text);
    Some(CertificateCondition::Keyword { text, id })
}
