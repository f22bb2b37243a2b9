//! Validation never panics, whatever the input.

use proptest::{prelude::*, sample::Index};

use super::pki::{CHAIN, NOW, RSA, assert_shows_nothing_of, pem_encode};
use crate::certificate::{Warning, validate_upload};

/// Validates the input; a refusal must have a message without any part of the key.
fn validate_without_panic(chain: &str, key: &str) {
    match validate_upload(chain, key, NOW) {
        Ok(validated) => assert!(!validated.leaf.is_empty()),
        Err(why) => {
            let text = why.to_string();
            assert!(
                !text.is_empty() && !text.contains(char::is_control),
                "{text:?}"
            );
            assert_shows_nothing_of(key, &why);
        }
    }
}

/// A chain of four blocks: leaf, intermediate, root, and the leaf again.
fn blocks() -> Vec<String> {
    let chain = &*CHAIN;
    vec![
        chain.leaf.pem(),
        chain.intermediate.pem(),
        chain.root.pem(),
        chain.leaf.pem(),
    ]
}

fn change(text: &str, at: &Index, to: char) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = at.index(characters.len());
    characters[at] = to;
    characters.into_iter().collect()
}

fn without_line(text: &str, at: &Index) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let at = at.index(lines.len());
    [&lines[..at], &lines[at + 1..]].concat().join("\n")
}

proptest! {
    #[test]
    fn any_text(chain in any::<String>(), key in any::<String>()) {
        validate_without_panic(&chain, &key);
        validate_without_panic(&chain, &CHAIN.leaf.key_pem());
        validate_without_panic(&CHAIN.leaf.pem(), &key);
    }

    #[test]
    fn any_lines(lines in prop::collection::vec("(-----(BEGIN|END) (CERTIFICATE|EC PRIVATE KEY|X)-----|[A-Za-z0-9+/=]{0,8}|Proc-Type: 4,ENCRYPTED|)", 0..12)) {
        let text = lines.join("\n");
        validate_without_panic(&text, &text);
        validate_without_panic(&text, &CHAIN.leaf.key_pem());
        validate_without_panic(&CHAIN.leaf.pem(), &text);
    }

    #[test]
    fn arbitrary_bytes_in_a_block(der in prop::collection::vec(any::<u8>(), 0..200)) {
        validate_without_panic(&pem_encode("CERTIFICATE", &der), &CHAIN.leaf.key_pem());
        validate_without_panic(&CHAIN.leaf.pem(), &pem_encode("PRIVATE KEY", &der));
    }

    #[test]
    fn a_changed_character(at in any::<Index>(), to in prop_oneof![any::<char>(), "[A-Za-z0-9+/= -]".prop_map(|s| s.chars().next().unwrap())]) {
        let (chain, key) = (blocks().concat(), CHAIN.leaf.key_pem());
        validate_without_panic(&change(&chain, &at, to), &key);
        validate_without_panic(&chain, &change(&key, &at, to));
    }

    #[test]
    fn a_changed_byte(at in any::<Index>(), bit in 0..8_u8) {
        let flip = |der: &[u8]| {
            let mut der = der.to_vec();
            let at = at.index(der.len());
            der[at] ^= 1 << bit;
            der
        };
        let chain = &*CHAIN;
        let leaf = pem_encode("CERTIFICATE", &flip(&chain.leaf.der));
        validate_without_panic(&(leaf + &chain.intermediate.pem()), &chain.leaf.key_pem());
        let issuer = pem_encode("CERTIFICATE", &flip(&chain.intermediate.der));
        validate_without_panic(&(chain.leaf.pem() + &issuer), &chain.leaf.key_pem());
        let key = pem_encode("PRIVATE KEY", &flip(chain.leaf.key.serialized_der()));
        validate_without_panic(&chain.leaf.pem(), &key);
        let key = pem_encode("PRIVATE KEY", &flip(RSA.leaf.key.serialized_der()));
        validate_without_panic(&RSA.leaf.pem(), &key);
    }

    #[test]
    fn a_lost_line(at in any::<Index>()) {
        let (chain, key) = (blocks().concat(), CHAIN.leaf.key_pem());
        validate_without_panic(&without_line(&chain, &at), &key);
        validate_without_panic(&chain, &without_line(&key, &at));
    }

    #[test]
    fn the_order_of_blocks_does_not_matter(blocks in Just(blocks()).prop_shuffle()) {
        let key = CHAIN.leaf.key_pem();
        let mut got = validate_upload(&blocks.concat(), &key, NOW).unwrap();
        got.warnings.retain(|one| *one != Warning::ChainReordered);
        let straight = validate_upload(&self::blocks().concat(), &key, NOW).unwrap();
        prop_assert_eq!(got.leaf, straight.leaf);
        prop_assert_eq!(got.intermediates, straight.intermediates);
        prop_assert_eq!(got.info, straight.info);
        prop_assert_eq!(got.warnings, straight.warnings);
    }
}
