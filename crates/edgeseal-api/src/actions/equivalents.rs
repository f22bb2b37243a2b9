//! Permissions that CDN and DCDN have for the same action, under different names.

use super::Action;

/// Pairs of permissions of CDN and DCDN for the same action: both act on the same domains, so a
/// `Deny` of one applies to the other, and calls of both count against one rate.
#[rustfmt::skip]
const EQUIVALENT_PERMISSIONS: [(&str, &str); 27] = [
    ("cdn:SetCdnDomainSSLCertificate", "dcdn:SetDcdnDomainSSLCertificate"),
    ("cdn:DescribeCdnDomainDetail", "dcdn:DescribeDcdnDomainDetail"),
    ("cdn:DescribeUserDomains", "dcdn:DescribeDcdnUserDomains"),
    ("cdn:DescribeDomainCertificateInfo", "dcdn:DescribeDcdnDomainCertificateInfo"),
    ("cdn:AddCdnDomain", "dcdn:AddDcdnDomain"),
    ("cdn:BatchAddCdnDomain", "dcdn:BatchAddDcdnDomain"),
    ("cdn:ModifyCdnDomain", "dcdn:UpdateDcdnDomain"),
    ("cdn:DeleteCdnDomain", "dcdn:DeleteDcdnDomain"),
    ("cdn:StartCdnDomain", "dcdn:StartDcdnDomain"),
    ("cdn:StopCdnDomain", "dcdn:StopDcdnDomain"),
    ("cdn:BatchStartCdnDomain", "dcdn:BatchStartDcdnDomain"),
    ("cdn:BatchStopCdnDomain", "dcdn:BatchStopDcdnDomain"),
    ("cdn:BatchSetCdnDomainConfig", "dcdn:BatchSetDcdnDomainConfigs"),
    ("cdn:BatchDeleteCdnDomainConfig", "dcdn:BatchDeleteDcdnDomainConfigs"),
    ("cdn:DescribeCdnDomainConfigs", "dcdn:DescribeDcdnDomainConfigs"),
    ("cdn:DeleteSpecificConfig", "dcdn:DeleteDcdnSpecificConfig"),
    ("cdn:TagResources", "dcdn:TagDcdnResources"),
    ("cdn:UntagResources", "dcdn:UntagDcdnResources"),
    ("cdn:DescribeTagResources", "dcdn:DescribeDcdnTagResources"),
    ("cdn:SetDomainServerCertificate", "dcdn:SetDcdnDomainCertificate"),
    ("cdn:BatchSetCdnDomainServerCertificate", "dcdn:BatchSetDcdnDomainCertificate"),
    ("cdn:ModifyCdnDomainSchdmByProperty", "dcdn:ModifyDCdnDomainSchdmByProperty"),
    ("cdn:RefreshObjectCaches", "dcdn:RefreshDcdnObjectCaches"),
    ("cdn:PushObjectCache", "dcdn:PreloadDcdnObjectCaches"),
    ("cdn:DescribeRefreshTasks", "dcdn:DescribeDcdnRefreshTasks"),
    ("cdn:DescribeRefreshTaskById", "dcdn:DescribeDcdnRefreshTaskById"),
    ("cdn:DescribeRefreshQuota", "dcdn:DescribeDcdnRefreshQuota"),
];

/// The permission of the other service that is equivalent to `permission`, if there is one.
#[must_use]
pub fn equivalent_permission(permission: &str) -> Option<&'static str> {
    // Importing a certificate binds it.
    if permission == "edgeseal:ImportCertificate" {
        return Some("cdn:SetCdnDomainSSLCertificate");
    }
    EQUIVALENT_PERMISSIONS
        .iter()
        .find_map(|(cdn, dcdn)| match permission {
            one if one == *cdn => Some(*dcdn),
            one if one == *dcdn => Some(*cdn),
            _ => None,
        })
}

impl Action {
    /// The name under which its calls are counted: equivalent actions of CDN and DCDN share one
    /// rate limit.
    pub(crate) fn rate_limit_key(&self) -> &'static str {
        let mut twins = EQUIVALENT_PERMISSIONS.iter();
        let twin = twins.find(|(_, dcdn)| *dcdn == self.permission);
        twin.and_then(|(cdn, _)| cdn.strip_prefix("cdn:"))
            .unwrap_or(self.name)
    }
}
