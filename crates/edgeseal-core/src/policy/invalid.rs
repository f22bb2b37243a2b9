//! Errors in policy documents, with their location.

/// Why a string is not a policy document.
///
/// `path` is the location in the document, as in
/// `Statement[2].Condition.IpAddress.acs:SourceIp[0]`. Quoted text is cut to 64 characters, with
/// control characters escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// Longer than a policy may be.
    #[error("the policy has {length} characters; at most {max} are allowed")]
    TooLong {
        /// Its length in characters.
        length: usize,
        /// The limit.
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
    /// A value of another type than the grammar requires. Numbers and Booleans are written in
    /// quotation marks like all other values.
    #[error("{path} is {found}; it must be {expected}")]
    Type {
        /// Where.
        path: String,
        /// What is there.
        found: &'static str,
        /// What is required.
        expected: &'static str,
    },
    /// A required element is missing.
    #[error("{path} has no {element}")]
    Missing {
        /// Where.
        path: String,
        /// The missing element; of two alternatives the first.
        element: &'static str,
    },
    /// An unknown element. Names are case-sensitive.
    #[error("{path} is not an element of a policy; names are case-sensitive")]
    Unknown {
        /// Where.
        path: String,
    },
    /// An unknown operator; RAM has no `…IfExists`, `Null` or set operators.
    #[error("{path} is not a condition operator")]
    UnknownOperator {
        /// Where.
        path: String,
    },
    /// A duplicate name. JSON readers differ in which one they use, so neither is used.
    #[error("{path} is duplicated")]
    Duplicate {
        /// Where.
        path: String,
    },
    /// Two elements that exclude each other.
    #[error("{path} has both {element} and Not{element}")]
    Both {
        /// Where.
        path: String,
        /// The element.
        element: &'static str,
    },
    /// An empty list or object.
    #[error("{path} is empty")]
    Empty {
        /// Where.
        path: String,
    },
    /// A string in the wrong format.
    #[error("{path} is {given:?}; it must be {expected}")]
    Value {
        /// Where.
        path: String,
        /// The string.
        given: String,
        /// The required format.
        expected: &'static str,
    },
    /// `${…}`. Policy variables are not evaluated; taken literally they would never match, and a
    /// `Deny` with one would deny nothing.
    #[error("{path} has a variable, ${{…}}; policy variables are not supported")]
    Variable {
        /// Where.
        path: String,
    },
}

/// At most 64 characters of `text`, with control characters escaped.
pub(super) fn truncate(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(64).map(shown).collect()
}
