use proptest::prelude::*;

use super::*;

fn holder(name: &str) -> Key {
    Key::from_stored(name)
}

#[test]
fn a_sealed_value_opens_only_for_its_record() {
    let ring = Keyring::parse(&Keyring::generate()).unwrap();
    let sealed = ring.seal(&Secret::new(b"key".to_vec()), &holder("a"));
    assert_eq!(ring.open(&sealed, &holder("a")).unwrap().expose(), b"key");
    assert_eq!(ring.open(&sealed, &holder("b")), Err(UnsealError::Broken));
}

#[test]
fn an_older_key_opens_and_the_first_seals() {
    let (old, new) = (Keyring::generate(), Keyring::generate());
    let before = Keyring::parse(&old).unwrap();
    let after = Keyring::parse(&format!("# new\n{}\n\n{}\n", *new, *old)).unwrap();
    let sealed = before.seal(&Secret::new(b"key".to_vec()), &holder("a"));
    assert!(after.open(&sealed, &holder("a")).is_ok());
    let sealed = after.seal(&Secret::new(b"key".to_vec()), &holder("a"));
    assert_eq!(
        before.open(&sealed, &holder("a")),
        Err(UnsealError::UnknownKey {
            needed: after.active()
        })
    );
}

#[test]
fn every_clone_sees_a_replacement() {
    let (old, new) = (Keyring::generate(), Keyring::generate());
    let ring = Keyring::parse(&old).unwrap();
    let clone = ring.clone();
    let sealed = ring.seal(&Secret::new(b"key".to_vec()), &holder("a"));
    let first = ring.active();

    let without_old = Keyring::parse(&new).unwrap();
    let refused = ring.replace(&without_old).err();
    assert_eq!(refused, Some(MissingKey { missing: first }));
    assert_eq!(clone.active(), first, "nothing has changed");

    let both = Keyring::parse(&format!("{}\n{}\n{}\n", *new, *old, *new)).unwrap();
    assert_eq!(both.ids(), [without_old.active(), first], "each key once");
    ring.replace(&both).unwrap();
    assert_eq!(clone.active(), without_old.active());
    assert!(clone.open(&sealed, &holder("a")).is_ok());

    let active = clone.active();
    let unknown = KeyId([0; 4]);
    assert_eq!(
        ring.remove_key(active),
        Err(RemoveKeyError::Active { id: active })
    );
    assert_eq!(
        ring.remove_key(unknown),
        Err(RemoveKeyError::Unknown { id: unknown })
    );
    assert_eq!(ring.remove_key(first), Ok(()));
    let needs = UnsealError::UnknownKey { needed: first };
    assert_eq!(clone.open(&sealed, &holder("a")), Err(needs));
}

#[tokio::test]
async fn replace_waits_for_seal_guards() {
    let (old, new) = (Keyring::generate(), Keyring::generate());
    let ring = Keyring::parse(&old).unwrap();
    let sealing = ring.seal_guard();
    let both = Keyring::parse(&format!("{}\n{}", *new, *old)).unwrap();
    let superseded = ring.replace(&both).unwrap();
    let mut released = Box::pin(superseded.drained());
    let short = Duration::from_millis(30);
    assert!(tokio::time::timeout(short, &mut released).await.is_err());
    let _later = ring.seal_guard();
    drop(sealing);
    released.await;
}

#[test]
fn a_line_is_taken_out_and_the_rest_stays() {
    let (old, new) = (Keyring::generate(), Keyring::generate());
    let id = Keyring::parse(&old).unwrap().active();
    let text = format!("# ours\n{}\n\n  {}  \n# end", *new, *old);
    let without = Keyring::text_without(&text, id).unwrap().unwrap();
    assert_eq!(*without, format!("# ours\n{}\n\n# end", *new));
    assert_eq!(Keyring::text_without(&without, id), Ok(None));
    assert!(Keyring::text_without("AAAA", id).is_err());
}

#[test]
fn ids_are_read_as_they_are_shown() {
    let id = Keyring::parse(&Keyring::generate()).unwrap().active();
    assert_eq!(KeyId::parse(&id.to_string()), Some(id));
    for text in ["", "0102030", "010203045", "0102030x"] {
        assert_eq!(KeyId::parse(text), None, "{text}");
    }
}

#[test]
fn refused_keyrings() {
    assert_eq!(
        Keyring::parse("# nothing\n").unwrap_err(),
        InvalidKeyring::Empty
    );
    assert_eq!(
        Keyring::parse("\nAAAA").unwrap_err(),
        InvalidKeyring::Malformed { line: 2 }
    );
}

#[test]
fn debug_shows_no_key() {
    let text = Keyring::generate();
    let ring = Keyring::parse(&text).unwrap();
    assert!(!format!("{ring:?}").contains(&text[..8]));
}

proptest! {
    #[test]
    fn any_changed_byte_breaks_it(plain in prop::collection::vec(any::<u8>(), 0..64), at: prop::sample::Index, bit in 0..8_u8) {
        let ring = Keyring::parse(&Keyring::generate()).unwrap();
        let mut sealed = ring.seal(&Secret::new(plain), &holder("a"));
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert!(ring.open(&sealed, &holder("a")).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_rejected_without_panic(sealed in prop::collection::vec(any::<u8>(), 0..64)) {
        let ring = Keyring::parse(&Keyring::generate()).unwrap();
        prop_assert!(ring.open(&sealed, &holder("a")).is_err());
    }
}

#[test]
fn another_key_of_the_ring_becomes_the_active_one() {
    let text = format!(
        "{}\n{}\n{}\n",
        *Keyring::generate(),
        *Keyring::generate(),
        *Keyring::generate()
    );
    let ring = Keyring::parse(&text).unwrap();
    let ids = ring.ids();
    let clone = ring.clone();
    let guard = ring.seal_guard();
    let retired = ring.activate(ids[2]).unwrap().unwrap();
    assert_eq!(clone.ids(), [ids[2], ids[0], ids[1]]);
    assert!(!retired.is_drained(), "a commit is in flight");
    drop(guard);
    assert!(retired.is_drained());
    assert!(ring.activate(ids[2]).unwrap().is_none());
    let other = Keyring::parse(&Keyring::generate()).unwrap().active();
    assert_eq!(ring.activate(other).err().unwrap().missing, other);
}
