//! Why a text is no policy, and where.

/// Why a text is no policy document.
///
/// `path` says where in the document, as in `Statement[2].Condition.IpAddress.acs:SourceIp[0]`.
/// What the text says is quoted cut to 64 characters, with control characters escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// Longer than a policy may be.
    #[error("the policy has {length} characters; at most {max} are allowed")]
    TooLong {
        /// Its length in characters.
        length: usize,
        /// What is allowed.
        max: usize,
    },
    /// Not JSON (RFC 8259).
    #[error("the policy is not JSON: see line {line}, column {column}")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A value of another type than the grammar has there. Numbers and Booleans stand in quotation
    /// marks like all other values.
    #[error("{path} is {found}; it must be {expected}")]
    Type {
        /// Where.
        path: String,
        /// What is there.
        found: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// An element is not there.
    #[error("{path} has no {element}")]
    Missing {
        /// Of what.
        path: String,
        /// Which; of two the first.
        element: &'static str,
    },
    /// An element that the grammar does not have. Names are case-sensitive.
    #[error("{path} is no element of a policy; names are case-sensitive")]
    Unknown {
        /// Where.
        path: String,
    },
    /// An operator that there is not; `…IfExists`, `Null` and set operators are none of RAM's.
    #[error("{path} is no condition operator")]
    UnknownOperator {
        /// Where.
        path: String,
    },
    /// The same name twice. Readers differ in which one counts, so neither does.
    #[error("{path} is there twice")]
    Duplicate {
        /// Where.
        path: String,
    },
    /// Both of two elements that exclude each other.
    #[error("{path} has both {element} and Not{element}")]
    Both {
        /// In what.
        path: String,
        /// Which.
        element: &'static str,
    },
    /// A list or an object with nothing in it.
    #[error("{path} is empty")]
    Empty {
        /// Where.
        path: String,
    },
    /// A text that is not of the form that is needed there.
    #[error("{path} is {given:?}; it must be {expected}")]
    Value {
        /// Where.
        path: String,
        /// What it says.
        given: String,
        /// The form that is needed.
        expected: &'static str,
    },
    /// `${…}`. Policy variables are not evaluated; taken by the letter they would never match, and
    /// a `Deny` with one would deny nothing.
    #[error("{path} has a variable, ${{…}}; policy variables are not supported")]
    Variable {
        /// Where.
        path: String,
    },
}

/// At most 64 characters of `text`, without control characters.
pub(super) fn truncate(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(64).map(shown).collect()
}
