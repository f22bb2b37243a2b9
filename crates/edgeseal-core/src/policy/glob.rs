//! Texts with wildcards: actions, resources and the operands of `StringLike`.

/// A text in which `*` stands for any characters, none included, and `?` for exactly one.
///
/// Nothing escapes a wildcard: the grammar has no escape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    given: Box<str>,
    ignore_case: bool,
    form: Form,
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
    /// A glob that tells upper from lower case.
    pub(super) fn new(given: &str) -> Self {
        Self {
            given: given.into(),
            ignore_case: false,
            form: Form::of(given),
        }
    }

    /// A glob for which ASCII letters are the same in both cases.
    pub(super) fn ignoring_case(given: &str) -> Self {
        Self {
            ignore_case: true,
            ..Self::new(given)
        }
    }

    /// A glob for resource names. Host names have no case (RFC 4343) and requests name them in
    /// lower case, so what follows `domain/` is compared in lower case: a `Deny` must not miss its
    /// domain by a capital letter.
    pub(super) fn resource(given: &str) -> Self {
        const DOMAIN: &str = ":domain/";
        let at = given
            .find(DOMAIN)
            .map_or(given.len(), |at| at + DOMAIN.len());
        let (head, name) = given.split_at(at);
        Self {
            given: given.into(),
            ignore_case: false,
            form: Form::of(&format!("{head}{}", name.to_ascii_lowercase())),
        }
    }

    /// The text as it was given.
    pub(super) fn as_str(&self) -> &str {
        &self.given
    }

    /// Whether `text` is one of the texts that this stands for. Allocates nothing.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (text, ignore_case) = (text.as_bytes(), self.ignore_case);
        match &self.form {
            Form::Any => true,
            Form::Exact(exact) => same(exact.as_bytes(), text, ignore_case),
            Form::Prefix(prefix) => text
                .get(..prefix.len())
                .is_some_and(|head| same(prefix.as_bytes(), head, ignore_case)),
            Form::Mixed {
                text: glob,
                least_bytes,
            } => text.len() >= *least_bytes && walk(glob.as_bytes(), text, ignore_case),
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
fn walk(glob: &[u8], text: &[u8], ignore_case: bool) -> bool {
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
            Some(wanted) if same(&[*wanted], &[*byte], ignore_case) => {
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

fn same(left: &[u8], right: &[u8], ignore_case: bool) -> bool {
    left == right || (ignore_case && left.eq_ignore_ascii_case(right))
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

    use super::*;

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
        fn as_the_naive_one(glob in "[ab*?é]{0,9}", text in "[abé]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Glob::new(&glob).matches(&text), naive(&chars(&glob), &chars(&text)));
            let shouted = text.to_ascii_uppercase();
            prop_assert_eq!(Glob::ignoring_case(&glob).matches(&shouted), Glob::new(&glob).matches(&text));
        }
    }

    #[test]
    fn a_hostile_glob_costs_little() {
        let (glob, text) = ("*a".repeat(3000) + "b", "a".repeat(6000));
        // Exponential backtracking would not come back from this.
        assert!(!Glob::new(&glob).matches(&text));
    }

    #[test]
    fn resources_name_domains_in_lower_case() {
        let glob = Glob::resource("acs:cdn:*:*:domain/*.Example.COM");
        assert!(glob.matches("acs:cdn:*:1:domain/a.example.com"));
        assert_eq!(glob.as_str(), "acs:cdn:*:*:domain/*.Example.COM");
        assert!(!Glob::resource("acs:ram:*:*:role/Ops").matches("acs:ram::1:role/ops"));
    }
}
