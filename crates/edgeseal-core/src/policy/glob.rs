//! Texts with wildcards: actions, resources and the operands of `StringLike`.

use memchr::memmem::Finder;

/// A text in which `*` stands for any characters, none included, and `?` for exactly one.
///
/// Nothing escapes a wildcard: the grammar has no escape.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    given: Box<str>,
    exact: Form,
    /// The same in lower case; absent where that is no different.
    folded: Option<Form>,
}

/// Whether ASCII letters are the same in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Matters,
    /// They are; the text that is compared is in lower case already, since it is compared often.
    Ignored,
}

/// What there is to compare, found once when the policy is parsed.
#[derive(Clone, Debug)]
enum Form {
    /// `*`.
    Any,
    /// No wildcard.
    Exact(Box<str>),
    /// What stands before the first wildcard, from the first to the last, and after the last. The
    /// ends are compared first, since almost all that differs differs there.
    Mixed {
        head: Box<str>,
        middle: Middle,
        tail: Box<str>,
    },
}

/// What starts and ends with a wildcard.
#[derive(Clone, Debug)]
enum Middle {
    /// `*` alone, or between, before and after texts that follow each other in any distance. Each is
    /// found as far left as can be, so the cost is the sum of the lengths.
    Stars(Vec<Finder<'static>>),
    /// With `?`.
    Mixed(Box<str>),
}

impl Glob {
    /// The glob that `given` is.
    pub(super) fn new(given: &str) -> Self {
        let folded = given.to_ascii_lowercase();
        Self {
            given: given.into(),
            exact: Form::of(given),
            folded: (folded != given).then(|| Form::of(&folded)),
        }
    }

    /// The text as it was given.
    pub(super) fn as_str(&self) -> &str {
        &self.given
    }

    /// Whether `text` is one of the texts that this stands for. Allocates nothing.
    pub(super) fn matches(&self, text: &str, case: Case) -> bool {
        let form = match (case, &self.folded) {
            (Case::Ignored, Some(folded)) => folded,
            _ => &self.exact,
        };
        form.matches(text.as_bytes())
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.given == other.given
    }
}

impl Form {
    fn of(text: &str) -> Self {
        let is_wildcard = |c: char| matches!(c, '*' | '?');
        let (Some(first), Some(last)) = (text.find(is_wildcard), text.rfind(is_wildcard)) else {
            return Self::Exact(text.into());
        };
        if text.bytes().all(|b| b == b'*') {
            return Self::Any;
        }
        let (head, rest) = text.split_at(first);
        let (middle, tail) = rest.split_at(last + 1 - first);
        let middle = if middle.contains('?') {
            Middle::Mixed(middle.into())
        } else {
            let texts = middle.split('*').filter(|text| !text.is_empty());
            Middle::Stars(texts.map(|text| Finder::new(text).into_owned()).collect())
        };
        Self::Mixed {
            head: head.into(),
            middle,
            tail: tail.into(),
        }
    }

    fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact.as_bytes() == text,
            // Both cuts are between characters, since whole characters are cut off.
            Self::Mixed { head, middle, tail } => text
                .strip_prefix(head.as_bytes())
                .and_then(|text| text.strip_suffix(tail.as_bytes()))
                .is_some_and(|text| middle.matches(text)),
        }
    }
}

impl Middle {
    fn matches(&self, mut text: &[u8]) -> bool {
        match self {
            Self::Mixed(glob) => walk(glob.as_bytes(), text),
            Self::Stars(finders) => finders.iter().all(|finder| {
                let found = finder.find(text);
                if let Some(at) = found {
                    text = &text[at + finder.needle().len()..];
                }
                found.is_some()
            }),
        }
    }
}

/// Walks both texts at once and remembers the last `*` only: where the walk fails, that `*` takes
/// one character more. Earlier ones need not, since what stood between them has been found as far
/// left as can be. So the cost is at most the product of the lengths, never exponential.
fn walk(glob: &[u8], text: &[u8]) -> bool {
    let (mut at_glob, mut at_text) = (0, 0);
    let mut star = None;
    while let Some(byte) = text.get(at_text) {
        match glob.get(at_glob) {
            Some(b'*') => {
                at_glob += 1;
                if at_glob == glob.len() {
                    return true;
                }
                star = Some((at_glob, at_text));
            }
            Some(b'?') => {
                at_glob += 1;
                at_text += char_len(*byte);
            }
            Some(wanted) if wanted == byte => {
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
            let upper = Glob::new(&glob.to_ascii_uppercase());
            prop_assert_eq!(upper.matches(&text, Ignored), expected);
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
