use super::*;

const HOST: &str = "www.a.example";
const SUFFIX: &str = "edge.example";
const DAY_MS: i64 = 86_400_000;
const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const BOUND: Digest = Digest([1; 32]);
const OTHER: Digest = Digest([2; 32]);

fn resolved(aliases: &[&str], addresses: &[&str]) -> Resolved {
    Resolved {
        aliases: aliases.iter().map(|&name| name.to_owned()).collect(),
        addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
    }
}

fn certificate(leaf: Digest, refusal: Option<&str>, days_left: i64) -> Shown {
    Shown::Certificate(ShownCertificate {
        leaf,
        refusal: refusal.map(ToOwned::to_owned),
        not_after: NOW.plus_ms(days_left * DAY_MS),
        life_ms: 90 * DAY_MS,
    })
}

/// The verdict and its text where every address shows this.
fn judged(resolved: &Resolved, shown: &Shown, known: &[&str]) -> Option<(Verdict, String)> {
    let known: Vec<IpNet> = known.iter().map(|net| net.parse().unwrap()).collect();
    let expected = Expected {
        cname_suffix: SUFFIX,
        addresses: &known,
        leaves: &[BOUND],
    };
    let all = resolved.addresses.iter();
    let all: Vec<_> = all.map(|address| (*address, shown.clone())).collect();
    judge(HOST, resolved, &all, &expected, NOW)
}

#[test]
fn verdicts() {
    let good = certificate(BOUND, None, 60);
    let other = certificate(OTHER, None, 60);
    let alias = "www.a.example.Edge.Example.";
    let here = resolved(&[alias], &["8.8.8.8"]);
    let plain = resolved(&[], &["8.8.8.8"]);
    let two = resolved(&[], &["8.8.8.8", "9.9.9.9"]);
    let both = resolved(&["cdn.other.example"], &["::ffff:8.8.8.8"]);
    let silent = Shown::Unreachable("connection refused".to_owned());
    let refused = certificate(BOUND, Some("unknown issuer"), 60);
    let none: &[&str] = &[];
    let known = &["8.8.8.0/24"][..];
    let rows = [
        (&here, &good, none, Verdict::Ok),
        (&here, &certificate(BOUND, None, 5), none, Verdict::Expiring),
        (&here, &refused, none, Verdict::Refused),
        (&here, &other, none, Verdict::OtherCertificate),
        (&here, &Shown::None, none, Verdict::OtherCertificate),
        (&here, &silent, none, Verdict::Unreachable),
        (&plain, &Shown::NotPublic, none, Verdict::Elsewhere),
        // A CNAME of ours needs no known address.
        (&here, &good, &["9.9.9.9/32"], Verdict::Ok),
        // Without known addresses the certificate tells.
        (&plain, &good, none, Verdict::Ok),
        (&plain, &other, none, Verdict::Elsewhere),
        (&plain, &Shown::None, none, Verdict::Elsewhere),
        (&plain, &silent, none, Verdict::Unreachable),
        // With known addresses they do.
        (&plain, &good, known, Verdict::Ok),
        (&plain, &other, known, Verdict::OtherCertificate),
        (&both, &good, known, Verdict::Ok),
        (&plain, &good, &["9.9.9.9/32"], Verdict::Elsewhere),
        (&two, &good, known, Verdict::Elsewhere),
        (&resolved(&[], &[]), &good, known, Verdict::NoAddress),
        (&resolved(&[alias], &[]), &good, none, Verdict::NoAddress),
    ];
    for (resolved, shown, known, expected) in rows {
        let (verdict, text) = judged(resolved, shown, known).unwrap();
        assert_eq!(
            verdict, expected,
            "{resolved:?} {shown:?} {known:?}: {text}"
        );
        assert!(text.contains(HOST) && !text.ends_with('.'), "{text}");
    }
    // Nothing is known.
    for (resolved, shown) in [
        (&here, &Shown::NoRoute),
        (&plain, &Shown::NoRoute),
        (&here, &Shown::NotPublic),
    ] {
        assert_eq!(judged(resolved, shown, none), None);
    }
}

#[test]
fn the_worst_address_counts() {
    let name = resolved(&["x.edge.example"], &["8.8.8.8", "9.9.9.9"]);
    let expected = Expected {
        cname_suffix: SUFFIX,
        addresses: &[],
        leaves: &[BOUND],
    };
    let all = [
        (name.addresses[0], certificate(OTHER, None, 60)),
        (name.addresses[1], certificate(BOUND, None, 60)),
    ];
    let (verdict, text) = judge(HOST, &name, &all, &expected, NOW).unwrap();
    assert_eq!(verdict, Verdict::OtherCertificate);
    assert!(text.contains("8.8.8.8"), "{text}");
    // An address that cannot be reached from here says nothing about the others.
    let all = [(name.addresses[0], Shown::NoRoute), all[1].clone()];
    let (verdict, _) = judge(HOST, &name, &all, &expected, NOW).unwrap();
    assert_eq!(verdict, Verdict::Ok);
    assert_eq!(judge(HOST, &name, &[], &expected, NOW), None);
}

#[test]
fn domains_are_selected() {
    let pattern = |text: &str| DomainPattern::parse(text).unwrap();
    let patterns = |texts: &[&str]| texts.iter().map(|text| pattern(text)).collect();
    let rows: [(&[&str], &[&str], &str, bool); 9] = [
        (&[], &[], "a.example", true),
        (&[], &["a.example"], "a.example", false),
        (&[], &["a.example"], "www.a.example", true),
        (&[], &[".a.example"], "x.www.a.example", false),
        (&[], &[".a.example"], ".a.example", false),
        (&[], &[".a.example"], "a.example", true),
        (&["b.example"], &[], "a.example", false),
        (&[".b.example"], &[], "a.b.example", true),
        (&[".b.example"], &["a.b.example"], "a.b.example", false),
    ];
    for (only, except, name, expected) in rows {
        let selection = Selection {
            only: patterns(only),
            except: patterns(except),
        };
        assert_eq!(selection.includes(&pattern(name)), expected, "{name}");
    }
}

#[test]
fn texts_of_strangers_are_bounded() {
    let text = format!("x\n{}", "y".repeat(1000));
    let found = Observation::new(1, NOW, NOW.plus_ms(1), Verdict::Refused, &text);
    assert_eq!(found.text.len(), TEXT_MAX);
    assert!(found.text.starts_with("x y"));
    assert!(found.is_current(NOW) && !found.is_current(NOW.plus_ms(1)));
}

#[test]
fn names_below_the_suffix() {
    for (name, below) in [
        ("a.edge.example", true),
        ("A.EDGE.example.", true),
        ("edge.example", false),
        (".edge.example", false),
        ("knowledge.example", false),
        ("a.edge.example.org", false),
    ] {
        assert_eq!(is_below(name, SUFFIX), below, "{name}");
    }
    assert!(!is_below("a.example", ""));
}

#[test]
fn words_are_those_of_the_record() {
    for verdict in Verdict::ALL {
        let word = serde_json::to_value(verdict).unwrap();
        assert_eq!(word, verdict.as_str());
    }
}
