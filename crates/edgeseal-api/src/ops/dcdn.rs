//! DCDN 2018-01-15: the same domains under other names. This module holds actions with other
//! parameters or response members; the other rows use the operations of the CDN.

mod describe_dcdn_domain_certificate_info;
mod describe_dcdn_domain_detail;
mod describe_dcdn_user_domains;

pub use describe_dcdn_domain_certificate_info::DescribeDcdnDomainCertificateInfo;
pub use describe_dcdn_domain_detail::DescribeDcdnDomainDetail;
pub use describe_dcdn_user_domains::DescribeDcdnUserDomains;

#[cfg(test)]
mod tests;
