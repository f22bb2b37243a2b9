//! Globs with `?`, compared with all positions of a text at once.
//!
//! The state is the set of positions that what was read of the glob can end at, as a bit vector; each
//! octet of the glob is one pass over it (the idea of Shift-And, Baeza-Yates and Gonnet 1992, with
//! the roles of pattern and text exchanged). The cost is the length of the glob times the length of
//! the text in words of 64, whatever both are made of: there is no text that makes it walk back.

/// A text, prepared for comparisons: where each octet stands in it.
#[derive(Clone, Debug)]
pub(super) struct Positions {
    bytes: usize,
    /// Words of one row.
    words: usize,
    /// Where the first octet of a character stands.
    leads: Box<[u64]>,
    /// Whether every character is one octet.
    ascii: bool,
    /// The row of each octet in `rows`, or `NONE`.
    row_of: [u8; 256],
    rows: Vec<u64>,
}

/// The octet is not in the text. UTF-8 never has more than 243 different ones.
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

    /// Words that each octet of a glob takes a pass over.
    pub(super) const fn words(&self) -> usize {
        self.words
    }

    /// Whether `glob` stands for the part of the text from `from` to `to`, both between characters.
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

    /// One character from each position.
    fn take_one(&self, ends: &mut [u64]) -> bool {
        let mut any = advance(ends, &self.leads);
        // The rest of its octets. A character has four at most (RFC 3629 section 3).
        for _ in 0..if self.ascii { 0 } else { 3 } {
            any = false;
            let mut carry = 0;
            for (at, (word, leads)) in ends.iter_mut().zip(&self.leads).enumerate() {
                // Positions within a character, and not at the end of the text.
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

/// Positions of `among` move on by one, others are dropped. Whether any is left.
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

/// Each position from the first one on.
fn fill_from_first(ends: &mut [u64]) -> bool {
    let Some(first) = ends.iter().position(|word| *word != 0) else {
        return false;
    };
    ends[first] |= u64::MAX << ends[first].trailing_zeros();
    ends[first + 1..].fill(u64::MAX);
    true
}

/// The positions below `bytes`, of the word `at`.
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

/// Whether it is the first octet of a character.
const fn is_lead(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}
