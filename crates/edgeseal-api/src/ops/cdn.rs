//! CDN, version 2018-05-10 and, for existing tools, 2014-11-11.

mod add_cdn_domain;
mod batch_set_cdn_domain_config;
mod configure;
mod create_cdn_certificate_signing_request;
mod delete_cdn_domain;
mod delete_specific_config;
mod describe_cdn_certificate_detail;
mod describe_cdn_certificate_list;
mod describe_cdn_deleted_domains;
mod describe_cdn_domain_by_certificate;
mod describe_cdn_domain_configs;
mod describe_cdn_domain_detail;
mod describe_cdn_https_domain_list;
mod describe_cdn_service;
mod describe_cdn_user_domains_by_func;
mod describe_cdn_user_quota;
mod describe_certificate_info_by_id;
pub(super) mod describe_domain_certificate_info;
mod describe_domain_cname;
mod describe_refresh_quota;
mod describe_refresh_tasks;
mod describe_tag_resources;
mod describe_user_certificate_expire_count;
mod describe_user_domains;
mod describe_user_tags;
pub(crate) mod domain_filter;
pub(super) mod domain_list_error;
pub(crate) mod domain_lookup;
mod domain_names;
pub(super) mod domain_reply;
mod functions;
mod import_certificate;
mod modify_cdn_domain;
mod modify_cdn_domain_schdm_by_property;
mod publish_staging_config_to_production;
mod refresh_object_caches;
mod refresh_task;
mod rollback_staging_config;
mod set_cdn_domain_csr_certificate;
pub(crate) mod set_certificate;
mod set_domain_state;
mod set_force_redirect_config;
mod sm_certificates;
pub(super) mod sources;
mod tag_resources;
pub(super) mod tags;
mod verify_domain_owner;
pub(super) mod wire_names;

pub use add_cdn_domain::{AddCdnDomain, AddDcdnDomain, BatchAddCdnDomain, BatchAddDcdnDomain};
pub use batch_set_cdn_domain_config::{BatchSetCdnDomainConfig, SetCdnDomainStagingConfig};
pub use create_cdn_certificate_signing_request::CreateCdnCertificateSigningRequest;
pub use delete_cdn_domain::DeleteCdnDomain;
pub use delete_specific_config::{
    BatchDeleteCdnDomainConfig, DeleteSpecificConfig, DeleteSpecificStagingConfig,
};
pub use describe_cdn_certificate_detail::{
    DescribeCdnCertificateDetail, DescribeCdnCertificateDetailById,
};
pub use describe_cdn_certificate_list::{
    DescribeCdnCertificateList, DescribeCdnSslCertificateList,
};
pub use describe_cdn_deleted_domains::DescribeCdnDeletedDomains;
pub use describe_cdn_domain_by_certificate::DescribeCdnDomainByCertificate;
pub use describe_cdn_domain_configs::{DescribeCdnDomainConfigs, DescribeCdnDomainStagingConfig};
pub use describe_cdn_domain_detail::{DescribeCdnDomainDetail, DescribeCdnDomainDetail2014};
pub use describe_cdn_https_domain_list::DescribeCdnHttpsDomainList;
pub use describe_cdn_service::DescribeCdnService;
pub use describe_cdn_user_domains_by_func::DescribeCdnUserDomainsByFunc;
pub use describe_cdn_user_quota::DescribeCdnUserQuota;
pub use describe_certificate_info_by_id::DescribeCertificateInfoById;
pub use describe_domain_certificate_info::DescribeDomainCertificateInfo;
pub use describe_domain_cname::DescribeDomainCname;
pub use describe_refresh_quota::{DescribeDcdnRefreshQuota, DescribeRefreshQuota};
pub use describe_refresh_tasks::{
    DescribeDcdnRefreshTasks, DescribeRefreshTaskById, DescribeRefreshTasks,
};
pub use describe_tag_resources::DescribeTagResources;
pub use describe_user_certificate_expire_count::DescribeUserCertificateExpireCount;
pub use describe_user_domains::DescribeUserDomains;
pub use describe_user_tags::DescribeUserTags;
pub use import_certificate::ImportCertificate;
pub use modify_cdn_domain::{BatchUpdateCdnDomain, ModifyCdnDomain};
pub use modify_cdn_domain_schdm_by_property::ModifyCdnDomainSchdmByProperty;
pub use publish_staging_config_to_production::PublishStagingConfigToProduction;
pub use refresh_object_caches::{PreloadDcdnObjectCaches, PushObjectCache, RefreshObjectCaches};
pub use rollback_staging_config::RollbackStagingConfig;
pub use set_cdn_domain_csr_certificate::SetCdnDomainCsrCertificate;
pub use set_certificate::{
    BatchSetCdnDomainServerCertificate, BatchSetDcdnDomainCertificate, SetCdnDomainSslCertificate,
    SetDcdnDomainCertificate, SetDomainServerCertificate,
};
pub use set_domain_state::{
    BatchStartCdnDomain, BatchStopCdnDomain, StartCdnDomain, StopCdnDomain,
};
pub use set_force_redirect_config::SetForceRedirectConfig;
pub use sm_certificates::SmCertificates;
pub use tag_resources::{ListTagResources, TagResources, UntagResources};
pub use verify_domain_owner::{DescribeDomainVerifyData, DescribeVerifyContent, VerifyDomainOwner};

crate::actions::actions! {
    CDN "AddCdnDomain" Domain("DomainName") OwnAccount => AddCdnDomain;
    CDN "BatchAddCdnDomain" EachDomain("DomainName") OwnAccount => BatchAddCdnDomain;
    CDN "BatchDeleteCdnDomainConfig" EachDomain("DomainNames") OwnAccount => BatchDeleteCdnDomainConfig;
    CDN "BatchSetCdnDomainConfig" EachDomain("DomainNames") OwnAccount => BatchSetCdnDomainConfig;
    CDN "BatchSetCdnDomainServerCertificate" EachDomain("DomainName") OwnAccount => BatchSetCdnDomainServerCertificate;
    CDN "BatchStartCdnDomain" EachDomain("DomainNames") OwnAccount => BatchStartCdnDomain;
    CDN "BatchStopCdnDomain" EachDomain("DomainNames") OwnAccount => BatchStopCdnDomain;
    CDN "BatchUpdateCdnDomain" EachDomain("DomainName") OwnAccount => BatchUpdateCdnDomain;
    CDN "CreateCdnCertificateSigningRequest" Service("CommonName") OwnAccount => CreateCdnCertificateSigningRequest;
    CDN "DeleteCdnDomain" Domain("DomainName") OwnAccount => DeleteCdnDomain;
    CDN "DeleteSpecificConfig" Domain("DomainName") OwnAccount => DeleteSpecificConfig;
    CDN "DeleteSpecificStagingConfig" Domain("DomainName") OwnAccount => DeleteSpecificStagingConfig;
    CDN "DescribeCdnCertificateDetail" Service("CertName") OwnAccount => DescribeCdnCertificateDetail;
    CDN "DescribeCdnCertificateDetailById" Service("CertId") OwnAccount => DescribeCdnCertificateDetailById;
    CDN "DescribeCdnCertificateList" AllDomains("DomainName") OwnAccount => DescribeCdnCertificateList;
    CDN "DescribeCdnDeletedDomains" AllDomains("") OwnAccount => DescribeCdnDeletedDomains;
    CDN "DescribeCdnDomainByCertificate" Unnamed("") OwnAccount => DescribeCdnDomainByCertificate;
    CDN "DescribeCdnDomainConfigs" Domain("DomainName") OwnAccount => DescribeCdnDomainConfigs;
    CDN "DescribeCdnDomainDetail" Domain("DomainName") OwnAccount => DescribeCdnDomainDetail;
    CDN "DescribeCdnDomainStagingConfig" Domain("DomainName") OwnAccount => DescribeCdnDomainStagingConfig;
    CDN "DescribeCdnHttpsDomainList" AllDomains("") OwnAccount => DescribeCdnHttpsDomainList;
    CDN "DescribeCdnSMCertificateDetail" Service("CertIdentifier") OwnAccount => SmCertificates;
    CDN "DescribeCdnSMCertificateList" Domain("DomainName") OwnAccount => SmCertificates;
    CDN "DescribeCdnSSLCertificateList" AllDomains("DomainName") OwnAccount => DescribeCdnSslCertificateList;
    CDN "DescribeCdnService" Service("") OwnAccount => DescribeCdnService;
    CDN "DescribeCdnUserQuota" Service("") OwnAccount => DescribeCdnUserQuota;
    CDN "DescribeCdnUserDomainsByFunc" AllDomains("") OwnAccount => DescribeCdnUserDomainsByFunc;
    CDN "DescribeCertificateInfoByID" Service("CertId") OwnAccount => DescribeCertificateInfoById;
    CDN "DescribeDomainCertificateInfo" Domain("DomainName") OwnAccount => DescribeDomainCertificateInfo;
    CDN "DescribeDomainCname" EachDomain("DomainName") OwnAccount => DescribeDomainCname;
    CDN "DescribeDomainVerifyData" Unnamed("DomainName") OwnAccount => DescribeDomainVerifyData;
    CDN "DescribeRefreshQuota" Service("") OwnAccount => DescribeRefreshQuota;
    CDN "DescribeRefreshTaskById" Service("TaskId") OwnAccount => DescribeRefreshTaskById;
    CDN "DescribeRefreshTasks" AllDomains("DomainName") OwnAccount => DescribeRefreshTasks;
    CDN "DescribeTagResources" EachDomain("ResourceId.N") OwnAccount => DescribeTagResources;
    CDN "DescribeUserCertificateExpireCount" AllDomains("") OwnAccount => DescribeUserCertificateExpireCount;
    CDN "DescribeUserDomains" AllDomains("DomainName") OwnAccount => DescribeUserDomains;
    CDN "DescribeUserTags" Unnamed("") OwnAccount => DescribeUserTags;
    CDN "DescribeVerifyContent" Unnamed("DomainName") OwnAccount => DescribeVerifyContent;
    CDN "ListTagResources" EachDomain("ResourceId.N") OwnAccount => ListTagResources;
    CDN "ModifyCdnDomain" Domain("DomainName") OwnAccount => ModifyCdnDomain;
    CDN "ModifyCdnDomainSchdmByProperty" Domain("DomainName") OwnAccount => ModifyCdnDomainSchdmByProperty;
    CDN "PublishStagingConfigToProduction" Domain("DomainName") OwnAccount => PublishStagingConfigToProduction;
    CDN "PushObjectCache" EachUrl("ObjectPath") OwnAccount => PushObjectCache;
    CDN "RefreshObjectCaches" EachUrl("ObjectPath") OwnAccount => RefreshObjectCaches;
    CDN "RollbackStagingConfig" Domain("DomainName") OwnAccount => RollbackStagingConfig;
    CDN "SetCdnDomainCSRCertificate" Domain("DomainName") OwnAccount => SetCdnDomainCsrCertificate;
    CDN "SetCdnDomainSMCertificate" Domain("DomainName") OwnAccount => SmCertificates;
    CDN "SetCdnDomainSSLCertificate" Domain("DomainName") OwnAccount => SetCdnDomainSslCertificate;
    CDN "SetCdnDomainStagingConfig" Domain("DomainName") OwnAccount => SetCdnDomainStagingConfig;
    CDN "SetDomainServerCertificate" Domain("DomainName") OwnAccount => SetDomainServerCertificate;
    CDN "StartCdnDomain" Domain("DomainName") OwnAccount => StartCdnDomain;
    CDN "StopCdnDomain" Domain("DomainName") OwnAccount => StopCdnDomain;
    CDN "TagResources" EachDomain("ResourceId.N") OwnAccount => TagResources;
    CDN "UntagResources" EachDomain("ResourceId.N") OwnAccount => UntagResources;
    CDN "VerifyDomainOwner" Unnamed("DomainName") OwnAccount => VerifyDomainOwner;
    CDN_2014 "BatchSetCdnDomainServerCertificate" EachDomain("DomainName") OwnAccount => BatchSetCdnDomainServerCertificate;
    CDN_2014 "DescribeCdnDomainDetail" Domain("DomainName") OwnAccount => DescribeCdnDomainDetail2014;
    CDN_2014 "DescribeCdnService" Service("") OwnAccount => DescribeCdnService;
    CDN_2014 "DescribeUserDomains" AllDomains("DomainName") OwnAccount => DescribeUserDomains;
    CDN_2014 "SetDomainServerCertificate" Domain("DomainName") OwnAccount => SetDomainServerCertificate;
    CDN_2014 "SetForceRedirectConfig" Domain("DomainName") OwnAccount => SetForceRedirectConfig;
}

#[cfg(test)]
mod tests;
