//! The least that somebody who renews certificates needs.

use serde_json::json;

use super::{document::Document, invalid::InvalidPolicy, request::Resource};
use crate::{AccountId, DomainPattern};

/// The actions on single domains: the present one, the one of older tools, and those by which tools
/// look before and after.
const DOMAIN_ACTIONS: [&str; 4] = [
    "cdn:SetCdnDomainSSLCertificate",
    "cdn:SetDomainServerCertificate",
    "cdn:DescribeDomainCertificateInfo",
    "cdn:DescribeCdnDomainDetail",
];

/// The certificate centre, which has no rights on single certificates: upload, and find what has
/// been uploaded before.
const CERTIFICATE_ACTIONS: [&str; 3] = [
    "yundun-cert:UploadUserCertificate",
    "yundun-cert:ListUserCertificateOrder",
    "yundun-cert:GetUserCertificateDetail",
];

/// The smallest policy with which the usual tools put certificates on `domains` of `account`.
///
/// It sets certificates on these domains and no others; it lists the account's domains by name and
/// uploads to and reads from the certificate centre, since tools do both and neither can be narrowed
/// down. Nothing can be deleted with it, no domain be stopped, and no redirect be set.
///
/// # Errors
/// [`InvalidPolicy::TooLong`] for more domains than fit in one policy (about 80 of usual length);
/// [`InvalidPolicy::Empty`] for none.
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
