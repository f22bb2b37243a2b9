use super::*;

fn index(names: &[&'static str]) -> Index<&'static str> {
    let index = Index::new();
    for name in names {
        index.put(&DomainPattern::parse(name).unwrap(), *name);
    }
    index
}

fn find(index: &Index<&'static str>, host: &str) -> Option<(&'static str, Match)> {
    index.find(&Host::parse(host)?)
}

#[test]
fn exact_then_one_label_wildcard_then_nothing() {
    let index = index(&[
        "example.com",
        "a.example.com",
        "*.example.com",
        "*.b.example.com",
    ]);
    let table = [
        ("example.com", Some(("example.com", Match::Exact))),
        ("a.example.com", Some(("a.example.com", Match::Exact))),
        ("c.example.com", Some(("*.example.com", Match::Wildcard))),
        ("b.example.com", Some(("*.example.com", Match::Wildcard))),
        (
            "x.b.example.com",
            Some(("*.b.example.com", Match::Wildcard)),
        ),
        ("x.a.example.com", None),
        ("y.x.b.example.com", None),
        ("com", None),
        ("other.com", None),
        // Other spellings of a host.
        ("EXAMPLE.com", Some(("example.com", Match::Exact))),
        ("C.Example.COM.", Some(("*.example.com", Match::Wildcard))),
        // No host has the marker's own spelling.
        (".example.com", None),
        ("..example.com", None),
        ("a..example.com", None),
        ("*.example.com", None),
        ("example.com..", None),
        ("", None),
        (".", None),
        ("exämple.com", None),
        ("a/b.example.com", None),
    ];
    for (host, expected) in table {
        assert_eq!(find(&index, host), expected, "{host}");
    }
}

#[test]
fn a_domain_is_replaced_and_removed() {
    let index = index(&["example.com"]);
    let name = DomainPattern::parse("example.com").unwrap();
    index.put(&name, "new");
    assert_eq!((index.len(), index.get(&name)), (1, Some("new")));
    assert!(index.remove(&name));
    assert!(!index.remove(&name));
    assert!(index.is_empty());
}

#[test]
fn one_domain_or_another() {
    let matched = |text, found| MatchedDomain {
        host: Host::parse(text).unwrap(),
        found,
        domain_id: 1,
    };
    let table = [
        ("a.x.com", Match::Exact, "a.x.com", Match::Exact, true),
        ("a.x.com", Match::Wildcard, "b.x.com", Match::Wildcard, true),
        ("a.x.com", Match::Exact, "b.x.com", Match::Wildcard, false),
        (
            "a.x.com",
            Match::Wildcard,
            "a.y.com",
            Match::Wildcard,
            false,
        ),
        // An exact domain was added beside the wildcard while a connection was open.
        ("a.x.com", Match::Wildcard, "a.x.com", Match::Exact, true),
    ];
    for (one, found, other, other_found, same) in table {
        assert_eq!(
            matched(one, found).is_same(&matched(other, other_found)),
            same,
            "{one} {other}"
        );
    }
}
