//! Matching of globs with `?` against all positions of a string at once.
//!
//! The state is the set of positions at which the part of the glob read so far can end, as a bit
//! vector; each byte of the glob is one pass over it (the idea of Shift-And, Baeza-Yates and Gonnet
//! 1992, with the roles of pattern and text exchanged). The cost is the length of the glob times
//! the length of the string in 64-bit words, whatever their content: nothing makes it backtrack.

/// A string prepared for matching: the positions of each byte.
#[derive(Clone, Debug)]
pub(super) struct Positions {
    bytes: usize,
    /// Words per row.
    words: usize,
    /// The positions of the first byte of each character.
    leads: Box<[u64]>,
    /// Whether every character is one byte.
    ascii: bool,
    /// The row of each byte in `rows`, or `NONE`.
    row_of: [u8; 256],
    rows: Vec<u64>,
}

/// The byte does not occur in the string. UTF-8 never has more than 243 different bytes.
const NONE: u8 = u8::MAX;

impl Positions {
    pub(super) fn of(text: &str) -> Self {
        let words = text.len() / 64 + 1;
        let mut positions = Self {
            bytes: text.len(),
            words,
            leads: vec![0; words].into_boxed_slice(),
            ascii: text.is_ascii(),
            row_of: [NONE; 256],
            rows: Vec::new(),
        };
        let mut rows = 0;
        for (at, byte) in text.bytes().enumerate() {
            let row = &mut positions.row_of[usize::from(byte)];
            if *row == NONE {
                *row = rows;
                rows += 1;
                positions.rows.resize(positions.rows.len() + words, 0);
            }
            let bit = 1 << (at % 64);
            positions.rows[usize::from(*row) * words + at / 64] |= bit;
            if is_lead(byte) {
                positions.leads[at / 64] |= bit;
            }
        }
        positions
    }

    /// Words that a pass for one byte of a glob visits.
    pub(super) const fn words(&self) -> usize {
        self.words
    }

    /// Whether `glob` matches the part of the string from `from` to `to`, both on character
    /// boundaries.
    pub(super) fn matches(&self, glob: &str, from: usize, to: usize) -> bool {
        if from > to || to > self.bytes {
            return false;
        }
        let mut ends = vec![0; self.words];
        ends[from / 64] = 1 << (from % 64);
        for byte in glob.bytes() {
            let any = match byte {
                b'*' => fill_from_first(&mut ends),
                b'?' => self.take_one(&mut ends),
                byte => match self.row_of[usize::from(byte)] {
                    NONE => false,
                    row => {
                        let start = usize::from(row) * self.words;
                        advance(&mut ends, &self.rows[start..start + self.words])
                    }
                },
            };
            if !any {
                return false;
            }
        }
        ends[to / 64] >> (to % 64) & 1 == 1
    }

    /// Advances each position by one character.
    fn take_one(&self, ends: &mut [u64]) -> bool {
        let mut any = advance(ends, &self.leads);
        // The rest of its bytes. A character has at most four (RFC 3629 section 3).
        for _ in 0..if self.ascii { 0 } else { 3 } {
            any = false;
            let mut carry = 0;
            for (at, (word, leads)) in ends.iter_mut().zip(&self.leads).enumerate() {
                // Positions within a character, and before the end of the string.
                let within = *word & !leads & below(self.bytes, at);
                let moved = within << 1 | carry;
                carry = within >> 63;
                *word = *word & !within | moved;
                any |= *word != 0;
            }
        }
        any
    }
}

/// Advances the positions in `among` by one and drops the others. Returns whether any is left.
fn advance(ends: &mut [u64], among: &[u64]) -> bool {
    let (mut carry, mut any) = (0, 0);
    for (word, among) in ends.iter_mut().zip(among) {
        let stay = *word & among;
        *word = stay << 1 | carry;
        carry = stay >> 63;
        any |= *word;
    }
    any != 0
}

/// Sets every position from the first one on.
fn fill_from_first(ends: &mut [u64]) -> bool {
    let Some(first) = ends.iter().position(|word| *word != 0) else {
        return false;
    };
    ends[first] |= u64::MAX << ends[first].trailing_zeros();
    ends[first + 1..].fill(u64::MAX);
    true
}

/// The positions below `bytes` in word `at`.
const fn below(bytes: usize, at: usize) -> u64 {
    let start = at * 64;
    if bytes >= start + 64 {
        u64::MAX
    } else if bytes <= start {
        0
    } else {
        (1 << (bytes - start)) - 1
    }
}

/// Whether it is the first byte of a character.
const fn is_lead(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}
