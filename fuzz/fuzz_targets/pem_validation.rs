//! A chain and a key, separated by the first byte 0xff, which no text contains.
//!
//! Validation never panics; every error is printable; a valid certificate is valid again,
//! unchanged, in its serialized form.

#![no_main]

use edgeseal_core::{
    Timestamp,
    certificate::{chain_to_pem, validate_upload},
};
use libfuzzer_sys::fuzz_target;

/// 2040-01-01: the certificates of `seeds.sh` are valid from their creation to about 2100.
const NOW: Timestamp = Timestamp::from_unix_seconds(2_208_988_800);

fuzz_target!(|input: &[u8]| {
    let at = input.iter().position(|byte| *byte == 0xff);
    let (chain, key) = match at {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, input),
    };
    let (chain, key) = (String::from_utf8_lossy(chain), String::from_utf8_lossy(key));
    match validate_upload(&chain, &key, NOW) {
        Err(why) => {
            let why = why.to_string();
            assert!(
                !why.is_empty() && !why.contains(char::is_control),
                "{why:?}"
            );
        }
        Ok(first) => {
            let printed = chain_to_pem(&first.leaf, &first.intermediates);
            let again =
                validate_upload(&printed, &key, NOW).expect("what was let in is let in again");
            assert_eq!(first.leaf, again.leaf);
            assert_eq!(first.intermediates, again.intermediates);
            assert!(first.key == again.key);
        }
    }
});
