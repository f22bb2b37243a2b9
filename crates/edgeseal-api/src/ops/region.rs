//! Regions of CAS.

use crate::authorize::Authorized;

/// The default region. Certificates uploaded for a domain are in this region too.
pub const DEFAULT: &str = "cn-hangzhou";
/// The international region.
pub(super) const INTERNATIONAL: &str = "ap-southeast-1";
/// All regions.
pub(super) const REGIONS: [&str; 2] = [DEFAULT, INTERNATIONAL];

/// The region of a call to CAS: the one of the endpoint, or else `RegionId`, which old clients
/// always send, or else the default.
pub(super) fn from_call(call: &Authorized) -> &'static str {
    let host = call.host().unwrap_or_default();
    let named = call.params().get_non_empty("RegionId");
    resolve(host, named)
}

fn resolve(host: &str, named: Option<&str>) -> &'static str {
    let labels = || host.split(['.', ':']);
    let by_host = REGIONS
        .into_iter()
        .find(|region| labels().any(|label| label == *region));
    let by_name = || REGIONS.into_iter().find(|region| named == Some(region));
    by_host.or_else(by_name).unwrap_or(DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_endpoints() {
        for (host, named, region) in [
            ("cas.aliyuncs.com", None, DEFAULT),
            ("cas.aliyuncs.com", Some("cn-shanghai"), DEFAULT),
            (
                "cas.ap-southeast-1.aliyuncs.com",
                Some("cn-hangzhou"),
                INTERNATIONAL,
            ),
            ("cas.ap-southeast-1.aliyuncs.com:8443", None, INTERNATIONAL),
            ("cas.eu-central-1.aliyuncs.com", None, DEFAULT),
            ("127.0.0.1:8080", Some("ap-southeast-1"), INTERNATIONAL),
            ("", None, DEFAULT),
        ] {
            assert_eq!(resolve(host, named), region, "{host} {named:?}");
        }
    }
}
