use edgeseal_core::{DomainName, DomainPattern};
use edgeseal_store::Revision;
use proptest::prelude::*;

use super::*;

fn entry(online: bool, https: Https<String>) -> ServedDomain<String> {
    ServedDomain {
        domain_id: 1,
        online,
        https,
        origins: std::sync::Arc::default(),
        delivery: DeliveryConfig::default(),
        revision: Revision(1),
    }
}

fn on(name: &str) -> ServedDomain<String> {
    entry(true, Https::On(name.to_owned()))
}

#[test]
fn the_order_of_checks() {
    let index = Index::new();
    let put = |name: &str, entry| index.put(&DomainPattern::parse(name).unwrap(), entry);
    put("on.com", on("on.com"));
    put("*.on.com", on("*.on.com"));
    put("off.on.com", entry(true, Https::Off));
    put(
        "stopped.on.com",
        entry(false, Https::On("never".to_owned())),
    );
    put("stopped-off.on.com", entry(false, Https::Off));
    let table = [
        (None, Err(NoCertificate::NoSni)),
        (Some("unknown.com"), Err(NoCertificate::UnknownName)),
        (Some("not a name"), Err(NoCertificate::UnknownName)),
        (Some("on.com"), Ok("on.com")),
        (Some("ON.com."), Ok("on.com")),
        (Some("any.on.com"), Ok("*.on.com")),
        (Some("a.any.on.com"), Err(NoCertificate::UnknownName)),
        // An exact domain hides the wildcard, whatever its state.
        (Some("off.on.com"), Err(NoCertificate::HttpsOff)),
        (Some("stopped.on.com"), Err(NoCertificate::Stopped)),
        (Some("stopped-off.on.com"), Err(NoCertificate::Stopped)),
    ];
    for (sni, expected) in table {
        let got = select(&index, sni).map(|selected| selected.material);
        assert_eq!(got, expected.map(str::to_owned), "{sni:?}");
    }
}

/// The same rules, literally, over a list.
fn oracle(
    domains: &[(DomainPattern, ServedDomain<String>)],
    sni: Option<&str>,
) -> Result<String, NoCertificate> {
    let sni = sni.ok_or(NoCertificate::NoSni)?;
    let host = DomainName::parse(sni).map_err(|_| NoCertificate::UnknownName)?;
    let exact = domains
        .iter()
        .find(|(name, _)| !name.is_wildcard() && name.matches(&host));
    let wildcard = domains
        .iter()
        .find(|(name, _)| name.is_wildcard() && name.matches(&host));
    let (_, entry) = exact.or(wildcard).ok_or(NoCertificate::UnknownName)?;
    match (&entry.https, entry.online) {
        (_, false) => Err(NoCertificate::Stopped),
        (Https::Off, true) => Err(NoCertificate::HttpsOff),
        (Https::On(material), true) => Ok(material.clone()),
    }
}

fn label() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "com", "x-y"])
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(label(), 2..5).prop_map(|labels| labels.join("."))
}

proptest! {
    #[test]
    fn agrees_with_the_oracle(
        domains in prop::collection::vec((name(), any::<bool>(), any::<bool>(), any::<bool>()), 0..12),
        hosts in prop::collection::vec(name(), 1..8),
        upper in any::<bool>(),
        dot in any::<bool>(),
    ) {
        let index = Index::new();
        let mut list: Vec<(DomainPattern, ServedDomain<String>)> = Vec::new();
        for (name, wildcard, online, https) in domains {
            let text = if wildcard { format!("*.{name}") } else { name };
            let pattern = DomainPattern::parse(&text).unwrap();
            let https = if https { Https::On(text) } else { Https::Off };
            let entry = entry(online, https);
            index.put(&pattern, entry.clone());
            list.retain(|(have, _)| *have != pattern);
            list.push((pattern, entry));
        }
        for mut host in hosts {
            let expected = oracle(&list, Some(&host));
            if upper { host.make_ascii_uppercase(); }
            if dot { host.push('.'); }
            let got = select(&index, Some(&host)).map(|selected| selected.material);
            prop_assert_eq!(got, expected, "{}", host);
        }
    }

    #[test]
    fn any_text_is_handled_without_panic(sni in ".{0,80}") {
        let index = Index::new();
        index.put(&DomainPattern::parse("*.example.com").unwrap(), on("x"));
        let _ = select(&index, Some(&sni));
    }
}
