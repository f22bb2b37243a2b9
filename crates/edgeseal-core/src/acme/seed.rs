//! Numbers that spread work out and are the same in every process and after every restart.

use aws_lc_rs::digest::{SHA256, digest};

/// A number that differs between certificates as if it were random, and never changes for one: a
/// time that is derived from it survives restarts without being stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(u64);

impl Seed {
    /// The seed of whatever `text` identifies, such as a certificate's fingerprint or a domain.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let hash = digest(&SHA256, text.as_bytes());
        let start = hash.as_ref().first_chunk().copied();
        Self(u64::from_be_bytes(start.unwrap_or_default()))
    }

    /// A random number as a seed.
    #[must_use]
    pub const fn from_random(random: u64) -> Self {
        Self(random)
    }

    /// The `n`-th seed that follows from this one; they are independent of each other.
    #[must_use]
    pub const fn nth(self, n: u64) -> Self {
        // splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        let mut z = self
            .0
            .wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n.wrapping_add(1)));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(z ^ (z >> 31))
    }

    /// A number from 0 to `n` - 1, uniform among seeds; 0 if `n` is not positive.
    #[must_use]
    pub const fn below(self, n: i64) -> i64 {
        if n <= 0 {
            return 0;
        }
        // The upper half of the product; below n, so it fits.
        ((self.0 as u128 * n.unsigned_abs() as u128) >> 64) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_stable_and_spread() {
        assert_eq!(Seed::of("www.example.com"), Seed::of("www.example.com"));
        let mut tenths = [0_u32; 10];
        for i in 0..10_000 {
            let tenth = Seed::of(&format!("{i}.example.com")).below(10);
            tenths[usize::try_from(tenth).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|n| (850..1150).contains(n)), "{tenths:?}");
        assert_eq!(Seed::from_random(u64::MAX).below(10), 9);
        assert_eq!(Seed::from_random(7).below(-1), 0);
        assert_ne!(Seed::from_random(7).nth(0), Seed::from_random(7).nth(1));
    }
}
