//! The host names that tools and SDKs call: those of the endpoint tables of the official SDKs
//! (`cdn-20180510`, `cas-20200407`, `sts-20150401` of `aliyun/alibabacloud-go-sdk`, where a region
//! without an entry is `SERVICE.REGION`), and the choices that certd offers. `dcdn` and `ram` are
//! called under one name from everywhere.

use std::{fmt::Write as _, net::IpAddr};

/// The parent domain of all names.
pub(super) const DOMAIN: &str = "aliyuncs.com";
/// Marks each line in the hosts file, so that it can be removed.
pub(super) const HOSTS_MARKER: &str = "# edgeseal takeover";

/// A service, with its regions.
struct Service {
    name: &'static str,
    regions: &'static [&'static str],
}

const SERVICES: [Service; 5] = [
    Service {
        name: "cdn",
        // This region serves all regions outside China.
        regions: &["ap-southeast-1"],
    },
    Service {
        name: "cas",
        regions: &[
            "ap-northeast-1",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-5",
            "cn-hongkong",
            "eu-central-1",
            "me-east-1",
        ],
    },
    Service {
        name: "dcdn",
        regions: &[],
    },
    Service {
        name: "ram",
        regions: &[],
    },
    Service {
        name: "sts",
        regions: &[
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-southeast-1",
            "ap-southeast-3",
            "ap-southeast-5",
            "ap-southeast-6",
            "ap-southeast-7",
            "cn-beijing",
            "cn-chengdu",
            "cn-guangzhou",
            "cn-hangzhou",
            "cn-heyuan",
            "cn-hongkong",
            "cn-huhehaote",
            "cn-nanjing",
            "cn-qingdao",
            "cn-shanghai",
            "cn-shenzhen",
            "cn-wulanchabu",
            "cn-zhangjiakou",
            "eu-central-1",
            "eu-west-1",
            "me-central-1",
            "me-east-1",
            "us-east-1",
            "us-west-1",
        ],
    },
];

/// All names, those without a region first.
pub(super) fn names() -> Vec<String> {
    let central = SERVICES
        .iter()
        .map(|service| format!("{}.{DOMAIN}", service.name));
    let regional = SERVICES.iter().flat_map(|service| {
        let in_region = |region| format!("{}.{region}.{DOMAIN}", service.name);
        service.regions.iter().map(in_region)
    });
    central.chain(regional).collect()
}

/// The lines for `/etc/hosts`. They are short because musl reads at most 512 bytes of a line.
pub(super) fn lines(address: IpAddr) -> String {
    let mut lines = String::new();
    for names in names().chunks(5) {
        let _ = writeln!(lines, "{address} {} {HOSTS_MARKER}", names.join(" "));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::Ipv4Addr};

    use super::*;

    #[test]
    fn every_name_is_on_a_line_once() {
        let lines = lines(Ipv4Addr::LOCALHOST.into());
        let mut found = Vec::new();
        for line in lines.lines() {
            assert!(line.len() < 512, "{line}");
            let line = line.strip_suffix(HOSTS_MARKER).unwrap();
            let mut words = line.split_whitespace();
            assert_eq!(words.next(), Some("127.0.0.1"));
            found.extend(words);
        }
        assert_eq!(found, names());
        let once: BTreeSet<&str> = found.iter().copied().collect();
        assert_eq!(once.len(), found.len());
        for name in ["cdn", "cas", "dcdn", "sts", "ram", "cdn.ap-southeast-1"] {
            assert!(once.contains(format!("{name}.{DOMAIN}").as_str()), "{name}");
        }
    }
}
