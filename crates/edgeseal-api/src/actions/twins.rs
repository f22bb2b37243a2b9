//! What CDN and DCDN have both, under two names.

use super::Action;

/// Permissions of CDN and DCDN for one and the same thing: both act on the same domains, so a `Deny` of
/// one counts for the other and they have one rate.
const TWINS: [(&str, &str); 4] = [
    (
        "cdn:SetCdnDomainSSLCertificate",
        "dcdn:SetDcdnDomainSSLCertificate",
    ),
    (
        "cdn:DescribeCdnDomainDetail",
        "dcdn:DescribeDcdnDomainDetail",
    ),
    ("cdn:DescribeUserDomains", "dcdn:DescribeDcdnUserDomains"),
    (
        "cdn:DescribeDomainCertificateInfo",
        "dcdn:DescribeDcdnDomainCertificateInfo",
    ),
];

/// What CDN and DCDN call the same thing: `permission` in the words of the other service, if it is one
/// of those that both have.
#[must_use]
pub fn twin(permission: &str) -> Option<&'static str> {
    // To import a certificate is to set it.
    if permission == "edgeseal:ImportCertificate" {
        return Some("cdn:SetCdnDomainSSLCertificate");
    }
    TWINS.iter().find_map(|(cdn, dcdn)| match permission {
        one if one == *cdn => Some(*dcdn),
        one if one == *dcdn => Some(*cdn),
        _ => None,
    })
}

impl Action {
    /// Under which name its calls are counted: twins of CDN and DCDN have one rate.
    pub(crate) fn counted_as(&self) -> &'static str {
        let mut twins = TWINS.iter();
        let twin = twins.find(|(_, dcdn)| *dcdn == self.permission);
        twin.and_then(|(cdn, _)| cdn.strip_prefix("cdn:"))
            .unwrap_or(self.name)
    }
}
