//! DCDN, version 2018-01-15: the same domains under other action names. This module holds the
//! actions with other response members; all others use the operations of the CDN.

mod describe_dcdn_domain_certificate_info;
mod describe_dcdn_domain_detail;
mod describe_dcdn_user_domains;

pub use describe_dcdn_domain_certificate_info::DescribeDcdnDomainCertificateInfo;
pub use describe_dcdn_domain_detail::DescribeDcdnDomainDetail;
pub use describe_dcdn_user_domains::DescribeDcdnUserDomains;

#[cfg(test)]
mod tests;
