//! DCDN 2018-01-15: the same domains under other names. This module holds actions with other
//! parameters or response members; the other rows use the operations of the CDN.

mod add_dcdn_domain;
mod describe_dcdn_domain_certificate_info;
mod describe_dcdn_domain_detail;
mod describe_dcdn_user_domains;
mod set_dcdn_domain_certificate;

pub use super::cdn::SetCdnDomainSslCertificate as SetDcdnDomainSslCertificate;
pub use add_dcdn_domain::{AddDcdnDomain, BatchAddDcdnDomain};
pub use describe_dcdn_domain_certificate_info::DescribeDcdnDomainCertificateInfo;
pub use describe_dcdn_domain_detail::DescribeDcdnDomainDetail;
pub use describe_dcdn_user_domains::DescribeDcdnUserDomains;
pub use set_dcdn_domain_certificate::{BatchSetDcdnDomainCertificate, SetDcdnDomainCertificate};

#[cfg(test)]
mod tests;
