//! DCDN, version 2018-01-15: the same domains under other action names. This module holds the
//! actions with other response members; all others use the operations of the CDN.

mod describe_dcdn_domain_certificate_info;
mod describe_dcdn_domain_detail;
mod describe_dcdn_user_domains;

pub use describe_dcdn_domain_certificate_info::DescribeDcdnDomainCertificateInfo;
pub use describe_dcdn_domain_detail::DescribeDcdnDomainDetail;
pub use describe_dcdn_user_domains::DescribeDcdnUserDomains;

use super::cdn;

crate::actions::actions! {
    DCDN "AddDcdnDomain" Domain("DomainName") OwnAccount => cdn::AddDcdnDomain;
    DCDN "BatchAddDcdnDomain" EachDomain("DomainName") OwnAccount => cdn::BatchAddDcdnDomain;
    DCDN "BatchDeleteDcdnDomainConfigs" EachDomain("DomainNames") OwnAccount => cdn::BatchDeleteCdnDomainConfig;
    DCDN "BatchSetDcdnDomainCertificate" EachDomain("DomainName") OwnAccount => cdn::BatchSetDcdnDomainCertificate;
    DCDN "BatchSetDcdnDomainConfigs" EachDomain("DomainNames") OwnAccount => cdn::BatchSetCdnDomainConfig;
    DCDN "BatchStartDcdnDomain" EachDomain("DomainNames") OwnAccount => cdn::BatchStartCdnDomain;
    DCDN "BatchStopDcdnDomain" EachDomain("DomainNames") OwnAccount => cdn::BatchStopCdnDomain;
    DCDN "DeleteDcdnDomain" Domain("DomainName") OwnAccount => cdn::DeleteCdnDomain;
    DCDN "DeleteDcdnSpecificConfig" Domain("DomainName") OwnAccount => cdn::DeleteSpecificConfig;
    DCDN "DescribeDcdnDomainCertificateInfo" Domain("DomainName") OwnAccount => DescribeDcdnDomainCertificateInfo;
    DCDN "DescribeDcdnDomainConfigs" Domain("DomainName") OwnAccount => cdn::DescribeCdnDomainConfigs;
    DCDN "DescribeDcdnDomainDetail" Domain("DomainName") OwnAccount => DescribeDcdnDomainDetail;
    DCDN "DescribeDcdnRefreshQuota" Service("") OwnAccount => cdn::DescribeDcdnRefreshQuota;
    DCDN "DescribeDcdnRefreshTaskById" Service("TaskId") OwnAccount => cdn::DescribeRefreshTaskById;
    DCDN "DescribeDcdnRefreshTasks" AllDomains("DomainName") OwnAccount => cdn::DescribeDcdnRefreshTasks;
    DCDN "DescribeDcdnTagResources" EachDomain("ResourceId.N") OwnAccount => cdn::DescribeTagResources;
    DCDN "DescribeDcdnUserDomains" AllDomains("DomainName") OwnAccount => DescribeDcdnUserDomains;
    DCDN "ModifyDCdnDomainSchdmByProperty" Domain("DomainName") OwnAccount => cdn::ModifyCdnDomainSchdmByProperty;
    DCDN "PreloadDcdnObjectCaches" EachUrl("ObjectPath") OwnAccount => cdn::PreloadDcdnObjectCaches;
    DCDN "RefreshDcdnObjectCaches" EachUrl("ObjectPath") OwnAccount => cdn::RefreshObjectCaches;
    DCDN "SetDcdnDomainCertificate" Domain("DomainName") OwnAccount => cdn::SetDcdnDomainCertificate;
    DCDN "SetDcdnDomainSSLCertificate" Domain("DomainName") OwnAccount => cdn::SetCdnDomainSslCertificate;
    DCDN "StartDcdnDomain" Domain("DomainName") OwnAccount => cdn::StartCdnDomain;
    DCDN "StopDcdnDomain" Domain("DomainName") OwnAccount => cdn::StopCdnDomain;
    DCDN "TagDcdnResources" EachDomain("ResourceId.N") OwnAccount => cdn::TagResources;
    DCDN "UntagDcdnResources" EachDomain("ResourceId.N") OwnAccount => cdn::UntagResources;
    DCDN "UpdateDcdnDomain" Domain("DomainName") OwnAccount => cdn::ModifyCdnDomain;
}

#[cfg(test)]
mod tests;
