//! Randomness from the operating system.

/// Random bytes.
pub(crate) fn bytes<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    aws_lc_rs::rand::fill(&mut bytes)
        .expect("the operating system's random source never fails once it is seeded");
    bytes
}

/// Letters and digits, uniformly distributed.
pub(crate) fn text<const LENGTH: usize>() -> String {
    chars::<LENGTH>(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
}

/// Decimal digits, uniformly distributed.
pub(crate) fn digits<const LENGTH: usize>() -> String {
    chars::<LENGTH>(b"0123456789")
}

fn chars<const LENGTH: usize>(alphabet: &[u8]) -> String {
    // Above the highest multiple of the length, the first characters would become more likely.
    let end = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(LENGTH);
    while text.len() < LENGTH {
        let [byte] = bytes::<1>().map(usize::from);
        if byte < end {
            text.push(char::from(alphabet[byte % alphabet.len()]));
        }
    }
    text
}

/// A number, uniformly distributed.
pub(crate) fn u32() -> u32 {
    u32::from_ne_bytes(bytes())
}
