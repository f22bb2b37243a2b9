//! What a name resolves to.

use std::net::IpAddr;

use edgeseal_core::outside::Resolved;
use hickory_resolver::{
    net::NetError,
    proto::rr::{RData, RecordType},
};
use tokio::time::{error::Elapsed, timeout};

use super::{OwnershipError, OwnershipVerifier, TIMEOUT, timed_out, unreachable};

impl OwnershipVerifier {
    /// Resolves a host name as its visitors do: both kinds of addresses, and the CNAME records on
    /// the way. A name that does not exist has no address.
    ///
    /// # Errors
    /// [`OwnershipError::Unreachable`] if no DNS server responds, or one fails.
    pub async fn resolve(&self, host: &str) -> Result<Resolved, OwnershipError> {
        // The trailing dot prevents the search domains of this machine.
        let name = format!("{host}.");
        let lookup = async |kind| match self.resolver.lookup(name.as_str(), kind).await {
            Ok(answer) => Ok(answer.answers().iter().map(|it| it.data.clone()).collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let lookups = async { tokio::try_join!(lookup(RecordType::A), lookup(RecordType::AAAA)) };
        let (ipv4, ipv6): (Vec<RData>, Vec<RData>) = match timeout(TIMEOUT, lookups).await {
            Ok(found) => found.map_err(|error: NetError| unreachable(host, &error))?,
            Err(Elapsed { .. }) => return Err(timed_out(host)),
        };
        let mut resolved = Resolved::default();
        for data in ipv4.into_iter().chain(ipv6) {
            match data {
                RData::A(address) => resolved.addresses.push(IpAddr::V4(address.0)),
                RData::AAAA(address) => resolved.addresses.push(IpAddr::V6(address.0)),
                RData::CNAME(target) => {
                    let target = target.0.to_ascii();
                    let target = target.trim_end_matches('.').to_owned();
                    // Both lookups follow the same records.
                    if !resolved.aliases.contains(&target) {
                        resolved.aliases.push(target);
                    }
                }
                _ => {}
            }
        }
        Ok(resolved)
    }
}
