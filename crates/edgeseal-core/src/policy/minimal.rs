//! The minimal policy for renewing certificates.

use serde_json::json;

use super::{document::Document, invalid::InvalidPolicy, request::Resource};
use crate::{AccountId, DomainPattern};

/// Actions on single domains: the current one to set a certificate, the one of older tools, and
/// those with which tools read before and after.
const DOMAIN_ACTIONS: [&str; 4] = [
    "cdn:SetCdnDomainSSLCertificate",
    "cdn:SetDomainServerCertificate",
    "cdn:DescribeDomainCertificateInfo",
    "cdn:DescribeCdnDomainDetail",
];

/// Actions of the certificate service, which has no permissions on single certificates: upload, and
/// find earlier uploads.
const CERTIFICATE_ACTIONS: [&str; 3] = [
    "yundun-cert:UploadUserCertificate",
    "yundun-cert:ListUserCertificateOrder",
    "yundun-cert:GetUserCertificateDetail",
];

/// The minimal policy with which common tools deploy certificates to `domains` of `account`.
///
/// It sets certificates on these domains only. It also lists the account's domains, and uploads to
/// and reads from the certificate service, because tools do both and neither can be restricted
/// further. It permits no deletion, no stopping of a domain and no redirect.
///
/// # Errors
/// [`InvalidPolicy::TooLong`] if the domains do not fit in one policy (about 80 of usual length);
/// [`InvalidPolicy::Empty`] if there are none.
pub fn renewal_policy(
    account: &AccountId,
    domains: &[DomainPattern],
) -> Result<Document, InvalidPolicy> {
    let arn = |name: &DomainPattern| Resource::domain("cdn", account, name).arn().to_owned();
    let document = json!({
        "Version": "1",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": DOMAIN_ACTIONS,
                "Resource": domains.iter().map(arn).collect::<Vec<_>>(),
            },
            {
                "Effect": "Allow",
                "Action": "cdn:DescribeUserDomains",
                "Resource": format!("acs:cdn:*:{account}:domain/*"),
            },
            { "Effect": "Allow", "Action": CERTIFICATE_ACTIONS, "Resource": "*" },
        ],
    });
    Document::parse(&document.to_string())
}
