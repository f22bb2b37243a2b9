use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> DomainPattern {
    DomainPattern::parse(text).unwrap()
}

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

#[test]
fn accepted_spellings() {
    for (given, canonical) in [
        ("example.com", "example.com"),
        ("  Example.COM\n", "example.com"),
        ("example.com.", "example.com"),
        ("*.example.com", ".example.com"),
        (".example.com", ".example.com"),
        ("例子.com", "xn--fsqu00a.com"),
        ("xn--fsqu00a.com", "xn--fsqu00a.com"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("a-b.c-d.io", "a-b.c-d.io"),
        ("demo.localhost", "demo.localhost"),
        ("1.2.3.example", "1.2.3.example"),
    ] {
        assert_eq!(pattern(given).to_string(), canonical, "{given:?}");
    }
}

#[test]
fn refused_spellings() {
    let long_label = format!("{}.com", "a".repeat(64));
    let long_name = format!("{}com", "abcdefg.".repeat(32));
    for given in [
        "",
        " ",
        ".",
        "..",
        "*",
        "*.",
        "com",
        ".com",
        "*.com",
        "a..b",
        "..example.com",
        "*.*.example.com",
        "a.*.example.com",
        "w*.example.com",
        "-a.example.com",
        "a-.example.com",
        "a_b.example.com",
        "a b.com",
        "ex\0ample.com",
        "http://example.com",
        "example.com/",
        "example.com:443",
        "127.0.0.1",
        "1.2.3.4",
        "::1",
        "[::1]",
        "1.2.3.456",
        "xn--a.com",
        "a@b.com",
        "a,b.com",
        &long_label,
        &long_name,
    ] {
        assert!(
            DomainPattern::parse(given).is_err(),
            "{given:?} was taken as {:?}",
            DomainPattern::parse(given)
        );
    }
}

#[test]
fn the_longest_name_has_253_bytes() {
    let labels = "abcdefg.".repeat(31);
    let longest = format!("{labels}abcde");
    assert_eq!(name(&longest).as_str().len(), 253);
    assert_eq!(name(&format!("{longest}.")), name(&longest));
    assert!(DomainName::parse(&format!("{labels}abcdef")).is_err());
}

#[test]
fn spellings_for_people() {
    let (exact, wildcard) = (pattern("a.example.com"), pattern("*.example.com"));
    assert_eq!((exact.is_wildcard(), wildcard.is_wildcard()), (false, true));
    assert_eq!(exact.to_san(), "a.example.com");
    assert_eq!(wildcard.to_san(), "*.example.com");
    assert_eq!(
        format!("{exact:?} {wildcard:?}"),
        r#""a.example.com" ".example.com""#
    );
    assert_eq!(format!("{:?}", exact.base()), r#""a.example.com""#);
}

#[test]
fn a_wildcard_is_one_label() {
    let wildcard = pattern("*.example.com");
    assert!(wildcard.matches(&name("a.example.com")));
    assert!(!wildcard.matches(&name("a.b.example.com")));
    assert!(!wildcard.matches(&name("example.com")));
    assert!(!wildcard.matches(&name("a.example.org")));
    assert!(!wildcard.matches(&name("aexample.com")));
}

#[test]
fn covering() {
    assert!(pattern("*.example.com").covers(&pattern("*.example.com")));
    assert!(pattern("*.example.com").covers(&pattern("a.example.com")));
    assert!(!pattern("a.example.com").covers(&pattern("*.example.com")));
    assert!(!pattern("*.example.com").covers(&pattern("*.a.example.com")));
    assert!(!pattern("example.com").covers(&pattern("*.example.com")));
}

#[test]
fn parents() {
    assert_eq!(name("a.b.com").parent(), Some("b.com"));
    assert_eq!(name("b.com").parent(), None);
}

#[test]
fn registrable_domains() {
    for (name, root) in [
        ("example.com", "example.com"),
        ("www.example.com", "example.com"),
        ("a.b.c.example.com", "example.com"),
        ("*.example.com", "example.com"),
        ("*.www.example.com", "example.com"),
        ("www.example.co.uk", "example.co.uk"),
        ("www.example.com.cn", "example.com.cn"),
        // Rules with a wildcard and its exception.
        ("a.b.c.ck", "b.c.ck"),
        ("a.www.ck", "www.ck"),
        // Rules in other scripts apply to A-labels.
        ("www.食狮.公司.cn", "xn--85x722f.xn--55qx5d.cn"),
        // Private section: each name below has its own owner.
        ("a.user.github.io", "user.github.io"),
        // No such top-level domain.
        ("a.b.internal-thing", "b.internal-thing"),
        // Suffixes themselves.
        ("co.uk", "co.uk"),
        ("*.co.uk", "co.uk"),
        ("github.io", "github.io"),
    ] {
        assert_eq!(pattern(name).registrable_domain().as_str(), root, "{name}");
    }
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused(text in "\\PC{0,80}") {
        if let Ok(parsed) = DomainPattern::parse(&text) {
            prop_assert_eq!(&DomainPattern::parse(&parsed.to_string()).unwrap(), &parsed);
            prop_assert_eq!(&DomainPattern::parse(&parsed.to_san()).unwrap(), &parsed);
            prop_assert!(parsed.base().as_str().len() <= 253);
            prop_assert!(parsed.covers(&parsed));
        }
    }

    #[test]
    fn matching_agrees_with_label_comparison(
        pattern_labels in prop::collection::vec("[ab]", 2..4),
        host_labels in prop::collection::vec("[ab]", 2..5),
        wildcard: bool,
    ) {
        let base = format!("{}.zz", pattern_labels.join("."));
        let host = format!("{}.zz", host_labels.join("."));
        let text = if wildcard { format!("*.{base}") } else { base };
        let naive = if wildcard {
            host_labels.len() == pattern_labels.len() + 1 && host_labels[1..] == pattern_labels[..]
        } else {
            host_labels == pattern_labels
        };
        prop_assert_eq!(pattern(&text).matches(&name(&host)), naive);
    }
}
