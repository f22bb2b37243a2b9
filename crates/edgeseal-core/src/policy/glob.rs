//! Texts with wildcards: actions, resources and the operands of `StringLike`.

/// A text in which `*` stands for any characters, none included, and `?` for exactly one.
///
/// Nothing escapes a wildcard: the grammar has no escape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    given: Box<str>,
    form: Form,
}

/// Whether ASCII letters are the same in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Matters,
    Ignored,
}

/// What there is to compare, found once when the policy is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// `*`.
    Any,
    /// No wildcard.
    Exact(Box<str>),
    /// One `*`, at the end.
    Prefix(Box<str>),
    /// Anything else. No text shorter than `least_bytes` matches.
    Mixed { text: Box<str>, least_bytes: usize },
}

impl Glob {
    /// The glob that `given` is.
    pub(super) fn new(given: &str) -> Self {
        Self {
            given: given.into(),
            form: Form::of(given),
        }
    }

    /// The text as it was given.
    pub(super) fn as_str(&self) -> &str {
        &self.given
    }

    /// Whether `text` is one of the texts that this stands for. Allocates nothing.
    pub(super) fn matches(&self, text: &str, case: Case) -> bool {
        let text = text.as_bytes();
        match &self.form {
            Form::Any => true,
            Form::Exact(exact) => same(exact.as_bytes(), text, case),
            Form::Prefix(prefix) => text
                .get(..prefix.len())
                .is_some_and(|head| same(prefix.as_bytes(), head, case)),
            Form::Mixed {
                text: glob,
                least_bytes,
            } => text.len() >= *least_bytes && walk(glob.as_bytes(), text, case),
        }
    }
}

impl Form {
    fn of(text: &str) -> Self {
        let is_wildcard = |c: char| matches!(c, '*' | '?');
        match text.find(is_wildcard) {
            None => Self::Exact(text.into()),
            Some(_) if text.bytes().all(|b| b == b'*') => Self::Any,
            Some(at) if text.get(at..) == Some("*") => Self::Prefix(text[..at].into()),
            Some(_) => Self::Mixed {
                text: text.into(),
                least_bytes: text.bytes().filter(|b| *b != b'*').count(),
            },
        }
    }
}

/// Walks both texts at once and remembers the last `*` only: where the walk fails, that `*` takes
/// one character more. Earlier ones need not, since what stood between them has been found as far
/// left as can be. So the cost is at most the product of the lengths, never exponential.
fn walk(glob: &[u8], text: &[u8], case: Case) -> bool {
    let (mut at_glob, mut at_text) = (0, 0);
    let mut star = None;
    while let Some(byte) = text.get(at_text) {
        match glob.get(at_glob) {
            Some(b'*') => {
                at_glob += 1;
                star = Some((at_glob, at_text));
            }
            Some(b'?') => {
                at_glob += 1;
                at_text += char_len(*byte);
            }
            Some(wanted) if same(&[*wanted], &[*byte], case) => {
                at_glob += 1;
                at_text += 1;
            }
            _ => {
                let Some((after, from)) = star else {
                    return false;
                };
                let from = from + char_len(text[from]);
                star = Some((after, from));
                (at_glob, at_text) = (after, from);
            }
        }
    }
    glob[at_glob..].iter().all(|byte| *byte == b'*')
}

fn same(left: &[u8], right: &[u8], case: Case) -> bool {
    left == right || (case == Case::Ignored && left.eq_ignore_ascii_case(right))
}

/// Octets of the UTF-8 character that starts with `lead` (RFC 3629 §3).
const fn char_len(lead: u8) -> usize {
    match lead {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Case::*, *};

    /// The meaning, written as plainly as can be.
    fn naive(glob: &[char], text: &[char]) -> bool {
        match (glob, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            (['?', glob @ ..], [_, text @ ..]) => naive(glob, text),
            ([one, glob @ ..], [other, text @ ..]) => one == other && naive(glob, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn as_the_naive_one(glob in "[ab*?é€😀]{0,9}", text in "[abé€😀]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let (matcher, expected) = (Glob::new(&glob), naive(&chars(&glob), &chars(&text)));
            prop_assert_eq!(matcher.matches(&text, Matters), expected);
            prop_assert_eq!(matcher.matches(&text.to_ascii_uppercase(), Ignored), expected);
        }
    }

    #[test]
    #[rustfmt::skip]
    fn table() {
        for (glob, text, case, expected) in [
            ("",       "",       Matters, true),
            ("",       "a",      Matters, false),
            ("*",      "",       Matters, true),
            ("**",     "ab",     Matters, true),
            ("?",      "",       Matters, false),
            ("?",      "é",      Matters, true),
            ("??",     "é",      Matters, false),
            ("?*",     "",       Matters, false),
            ("*?",     "€",      Matters, true),
            ("a*",     "a",      Matters, true),
            ("ab*",    "a",      Matters, false),
            ("a*b*c",  "aXbbYc", Matters, true),
            ("a*b*c",  "aXcYb",  Matters, false),
            ("*ab",    "aab",    Matters, true),
            ("*a?b",   "aaab",   Matters, true),
            ("a**b",   "ab",     Matters, true),
            ("ABC",    "abc",    Matters, false),
            ("ABC",    "abc",    Ignored, true),
            ("AB*",    "abc",    Matters, false),
            ("AB*",    "abc",    Ignored, true),
            ("*BC*",   "abcd",   Matters, false),
            ("*BC*",   "abcd",   Ignored, true),
            ("É*",     "é",      Ignored, false), // ASCII alone
            ("a\\*",   "a*",     Matters, false), // nothing escapes a wildcard
            ("[ab]",   "a",      Matters, false),
        ] {
            assert_eq!(Glob::new(glob).matches(text, case), expected, "{glob} {text} {case:?}");
        }
    }

    #[test]
    fn a_hostile_glob_costs_little() {
        let (glob, text) = ("*a".repeat(3000) + "b", "a".repeat(6000));
        // Exponential backtracking would not come back from this.
        assert!(!Glob::new(&glob).matches(&text, Matters));
    }
}
