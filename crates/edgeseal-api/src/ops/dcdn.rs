//! DCDN 2018-01-15: the same domains under other names. What reads show has other fields; all the
//! rest is the CDN's.

mod describe_dcdn_domain_certificate_info;
mod describe_dcdn_domain_detail;
mod describe_dcdn_user_domains;

pub use super::cdn::SetCdnDomainSslCertificate as SetDcdnDomainSslCertificate;
pub use describe_dcdn_domain_certificate_info::DescribeDcdnDomainCertificateInfo;
pub use describe_dcdn_domain_detail::DescribeDcdnDomainDetail;
pub use describe_dcdn_user_domains::DescribeDcdnUserDomains;
