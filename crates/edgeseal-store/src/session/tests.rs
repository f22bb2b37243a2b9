use proptest::prelude::*;

use super::*;

fn ring() -> Keyring {
    Keyring::parse(&Keyring::generate()).unwrap()
}

fn session(policy: Option<&str>) -> Session {
    let (access_key, secret) = temporary_key();
    Session {
        account: AccountId::parse("1234567890123456").unwrap(),
        role: "deployer".to_owned(),
        role_id: "300000000000000001".to_owned(),
        name: "ci-42".to_owned(),
        policy: policy.map(str::to_owned),
        expires: Timestamp::from_unix_seconds(1_795_522_200),
        access_key,
        secret,
    }
}

fn sealed_as(keyring: &Keyring, plain: Vec<u8>) -> String {
    URL_SAFE_NO_PAD.encode(keyring.seal(&Secret::new(plain), &Key::security_token()))
}

#[test]
fn what_is_sealed_opens() {
    let ring = ring();
    let long = "ß".repeat(2048);
    for policy in [None, Some(""), Some("{}"), Some(long.as_str())] {
        let session = session(policy);
        let token = session.seal(&ring);
        assert!(token.len() <= TOKEN_CHARS_MAX);
        assert_eq!(Session::open(&token, &ring), Ok(session));
    }
}

#[test]
fn tokens_and_keys_look_as_they_should() {
    let ring = ring();
    let policy =
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"cdn:*","Resource":"*"}]}"#;
    let session = session(Some(policy));
    let token = session.seal(&ring);
    assert!(token.len() < 512, "{} characters", token.len());
    let url_safe = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    assert!(token.bytes().all(url_safe));
    let random = session.access_key.strip_prefix("STS.").unwrap();
    assert!(random.bytes().all(|b| b.is_ascii_alphanumeric()));
    assert_ne!(token, session.seal(&ring), "each sealing has its own nonce");
    assert!(
        !format!("{session:?}").contains(std::str::from_utf8(session.secret.expose()).unwrap())
    );
}

#[test]
fn another_ring_does_not_open_it_and_an_older_key_does() {
    let (old, new) = (Keyring::generate(), Keyring::generate());
    let before = Keyring::parse(&old).unwrap();
    let token = session(None).seal(&before);
    let after = Keyring::parse(&format!("{}\n{}", *new, *old)).unwrap();
    assert!(Session::open(&token, &after).is_ok());
    let needed = before.active();
    assert_eq!(
        Session::open(&token, &Keyring::parse(&new).unwrap()),
        Err(InvalidToken::Sealed(UnsealError::UnknownKey { needed }))
    );
}

#[test]
fn what_was_sealed_for_something_else_is_no_token() {
    let ring = ring();
    let plain = session(None).plain();
    let moved = URL_SAFE_NO_PAD.encode(ring.seal(&plain, &Key::access_key("STS.x")));
    let broken = Err(InvalidToken::Sealed(UnsealError::Broken));
    assert_eq!(Session::open(&moved, &ring), broken);
}

#[test]
fn another_shape_is_another_release() {
    let ring = ring();
    let plain = session(None).plain();
    let plain = plain.expose();
    let longer = [plain, &[0]].concat();
    let newer = [&[VERSION + 1], &plain[1..]].concat();
    let shorter = plain[..plain.len() - 1].to_vec();
    for plain in [Vec::new(), longer, newer, shorter] {
        let token = sealed_as(&ring, plain);
        assert_eq!(
            Session::open(&token, &ring),
            Err(InvalidToken::UnsupportedVersion)
        );
    }
}

#[test]
fn other_texts_are_refused() {
    let ring = ring();
    let token = session(None).seal(&ring);
    let broken = InvalidToken::Sealed(UnsealError::Broken);
    for (text, why) in [
        (String::new(), broken),
        ("AAAA".to_owned(), broken),
        ("CAIS+/=tok".to_owned(), InvalidToken::Encoding),
        (format!("{token} "), InvalidToken::Encoding),
        (format!("{token}="), InvalidToken::Encoding),
        ("A".repeat(TOKEN_CHARS_MAX + 1), InvalidToken::TooLong),
    ] {
        assert_eq!(Session::open(&text, &ring), Err(why), "{text:.40}");
    }
}

proptest! {
    #[test]
    fn any_changed_character_is_refused(at: prop::sample::Index, to in any::<char>()) {
        let ring = ring();
        let token = session(Some("{}")).seal(&ring);
        let mut changed: Vec<char> = token.chars().collect();
        let at = at.index(changed.len());
        prop_assume!(changed[at] != to);
        changed[at] = to;
        let changed: String = changed.into_iter().collect();
        prop_assert!(Session::open(&changed, &ring).is_err());
    }

    #[test]
    fn any_other_letter_anywhere_is_refused(at: prop::sample::Index, to in "[A-Za-z0-9_-]") {
        let ring = ring();
        let token = session(None).seal(&ring);
        let at = at.index(token.len());
        prop_assume!(token[at..=at] != to);
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assert!(Session::open(&changed, &ring).is_err());
    }

    #[test]
    fn any_cut_is_refused(at: prop::sample::Index) {
        let ring = ring();
        let token = session(None).seal(&ring);
        prop_assert!(Session::open(&token[..at.index(token.len())], &ring).is_err());
    }
}
