//! Errors in a PEM text that are found before its content is decoded.

use std::fmt;

/// A character that PEM cannot contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPemCharacter {
    /// NUL, another control character, or anything but ASCII.
    #[error("line {line}, column {column} has the character U+{code:04X}", code = *character as u32)]
    Character {
        /// Line, from 1.
        line: usize,
        /// Column, from 1, in characters.
        column: usize,
        /// The character.
        character: char,
    },
    /// A line break written as a backslash and a letter.
    #[error("line {line} has a line break written as two characters, \\n; send real line breaks")]
    EscapedLineBreak {
        /// Line, from 1.
        line: usize,
    },
}

/// A block has its markers, but its content is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{block}, which begins in line {line}, is not base64: {reason}")]
pub struct InvalidBase64 {
    /// Which block.
    pub block: BlockName,
    /// The line of its BEGIN marker, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: Base64Error,
}

/// What is wrong with base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Base64Error {
    /// A `+` became a space in transit.
    #[error("line {line} has a space where a + may have been; encode + as %2B in a form or query")]
    PlusAsSpace {
        /// Line, from 1.
        line: usize,
    },
    /// A character outside the base64 alphabet.
    #[error("line {line} has a character that is not base64")]
    Character {
        /// Line, from 1.
        line: usize,
    },
    /// The number of characters, or the padding, is wrong.
    #[error("characters are missing, or = is in the wrong place")]
    Length,
}

/// How errors identify a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockName {
    /// The certificate block with this number, from 1.
    Certificate(usize),
    /// A private-key block.
    PrivateKey,
}

/// What a text contains instead of the expected block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnexpectedContent {
    /// Blocks of other kinds.
    Other {
        /// The label of the first block, if it is a known one.
        label: Option<&'static str>,
        /// The line of its BEGIN marker, from 1.
        line: usize,
    },
    /// Base64 without markers.
    BareBase64,
    /// Nothing that looks like PEM.
    Nothing,
}

/// Broken block markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPemBoundary {
    /// A marker that shares its line with other text.
    #[error("line {line} has a marker and other text; the line breaks around the marker are gone")]
    MissingLineBreak {
        /// Line, from 1.
        line: usize,
    },
    /// A marker with percent signs, or with `+` for spaces.
    #[error("line {line} has a marker that is still URL-encoded; the text was encoded twice")]
    UrlEncoded {
        /// Line, from 1.
        line: usize,
    },
    /// A line that looks like a marker, but is not one.
    #[error(
        "line {line} is not a valid marker; a marker has five dashes, BEGIN or END, a label, and five dashes"
    )]
    Malformed {
        /// Line, from 1.
        line: usize,
    },
    /// A block without an END line.
    #[error("the block that begins in line {line} has no END line")]
    Unterminated {
        /// The line of its BEGIN marker, from 1.
        line: usize,
    },
    /// A block whose END label differs from its BEGIN label.
    #[error("line {line} ends another kind of block than the one that begins in line {begin}")]
    LabelMismatch {
        /// The line of the END marker, from 1.
        line: usize,
        /// The line of the BEGIN marker, from 1.
        begin: usize,
    },
    /// An END line without a BEGIN line.
    #[error("line {line} ends a block that has not begun")]
    MissingBegin {
        /// Line, from 1.
        line: usize,
    },
}

impl fmt::Display for BlockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(number) => write!(f, "certificate block {number}"),
            Self::PrivateKey => f.write_str("the private-key block"),
        }
    }
}

impl fmt::Display for UnexpectedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other { label, line } => match label {
                Some(label) => write!(f, "the first block, in line {line}, is a {label}"),
                None => write!(f, "the first block, in line {line}, is of an unknown kind"),
            },
            Self::BareBase64 => f.write_str("it is base64 without BEGIN and END lines"),
            Self::Nothing => f.write_str("it has no BEGIN line at all"),
        }
    }
}
