use edgeseal_core::domain::OriginKind;

use super::*;

fn origin(address: &str, port: u16, priority: u8, weight: u8) -> domain::Origin {
    domain::Origin {
        address: address.to_owned(),
        kind: OriginKind::Domain,
        port,
        priority,
        weight,
    }
}

fn account(number: u64) -> AccountId {
    AccountId::from_random(number)
}

fn turns(origins: &Origins, count: usize, out: &str) -> Vec<String> {
    (0..count)
        .map(|_| {
            let order = origins.ordered(|origin| !out.contains(&origin.authority[..1]));
            let names: Vec<&str> = order.iter().map(|o| &o.authority[..1]).collect();
            names.concat()
        })
        .collect()
}

#[test]
fn priority_first_then_weighted_rotation() {
    let table = [
        (vec![], vec!["", ""]),
        (vec![origin("a", 80, 20, 10)], vec!["a", "a"]),
        (
            vec![origin("b", 80, 30, 10), origin("a", 80, 20, 10)],
            vec!["ab", "ab", "ab"],
        ),
        (
            vec![
                origin("a", 80, 20, 2),
                origin("b", 80, 20, 1),
                origin("c", 80, 30, 9),
            ],
            vec!["abc", "abc", "bac", "abc"],
        ),
        (
            vec![origin("a", 80, 20, 0), origin("b", 80, 20, 0)],
            vec!["ab", "ba", "ab"],
        ),
        (
            vec![origin("a", 80, 20, 0), origin("b", 80, 20, 5)],
            vec!["ba", "ba"],
        ),
    ];
    for (origins, expected) in table {
        let origins = Origins::of(&account(1), &origins, true);
        assert_eq!(turns(&origins, expected.len(), ""), expected);
    }
}

#[test]
fn ejected_origins_come_last_and_their_share_goes_to_their_peers_by_weight() {
    let table = [
        ("", ["abcde", "abced", "bacde", "cabed"]),
        ("a", ["bcdea", "cbeda", "bcdea", "cbeda"]),
        ("abc", ["deabc", "edabc", "deabc", "edabc"]),
        ("abcde", ["abcde", "abcde", "abcde", "abcde"]),
    ];
    for (out, expected) in table {
        let origins = Origins::of(
            &account(1),
            &[
                origin("a", 80, 20, 2),
                origin("b", 80, 20, 1),
                origin("c", 80, 20, 1),
                origin("d", 80, 30, 1),
                origin("e", 80, 30, 1),
            ],
            true,
        );
        assert_eq!(turns(&origins, 4, out), expected, "{out}");
    }
}

#[test]
fn authorities() {
    let authority = |address, port| Origin::of(&origin(address, port, 20, 10)).authority;
    assert_eq!(
        &*authority("origin.example.com", 80),
        "origin.example.com:80"
    );
    assert_eq!(&*authority("192.0.2.1", 8080), "192.0.2.1:8080");
    assert_eq!(&*authority("2001:db8::1", 80), "[2001:db8::1]:80");
}

#[test]
fn material_is_interned_while_it_is_used() {
    let mut materials = MaterialInterner::default();
    let make = || {
        let digest = Digest::of(b"leaf");
        SharedMaterial::new(Material::new(digest, b"leaf", Arc::default(), b"sealed"))
    };
    let first = materials.intern(make());
    let second = materials.intern(make());
    assert!(SharedMaterial::ptr_eq(&first, &second));
    assert_eq!(
        (first.leaf(), &*first.sealed_key()),
        (&b"leaf"[..], &b"sealed"[..])
    );
    first.reseal(b"anew".to_vec());
    assert_eq!(&*second.sealed_key(), b"anew", "all holders see it");
    drop(second);
    materials.retire(first.digest());
    materials.sweep();
    assert_eq!(materials.len(), 1, "a handshake still holds it");
    drop(first);
    materials.sweep();
    assert!(materials.is_empty());
}

#[test]
fn equal_origins_are_interned_while_they_are_used() {
    let mut shared = OriginInterner::default();
    let of = |port| Origins::of(&account(1), &[origin("a", port, 20, 10)], true);
    let used: Vec<_> = (0..40).map(|port| shared.intern(of(port))).collect();
    assert!(Arc::ptr_eq(&used[7], &shared.intern(of(7))));
    assert!(!Arc::ptr_eq(&used[7], &used[8]));
    let others = Origins::of(&account(2), &[origin("a", 7, 20, 10)], true);
    assert!(!Arc::ptr_eq(&used[7], &shared.intern(others)));
    for port in 1000..5000 {
        shared.intern(of(port));
    }
    assert!(shared.known.len() <= 81, "{}", shared.known.len());
    assert!(used.iter().all(|one| shared.known.contains(one)));
}

#[test]
fn a_served_domain_stays_small() {
    // A million domains are a million of these: 61 MiB beside names and material. Two certificates
    // of one domain cost only that domain.
    assert_eq!(size_of::<ServedDomain>(), 64);
    assert_eq!(size_of::<Certificates>(), size_of::<usize>());
}
