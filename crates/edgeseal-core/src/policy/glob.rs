//! Globs: strings with wildcards, as in actions, resources and the operands of `StringLike`.

use std::{borrow::Cow, cell::OnceCell};

use memchr::memmem::Finder;

use super::budget::StepBudget;
use positions::Positions;

mod positions;

/// A string in which `*` matches any characters, including none, and `?` exactly one.
///
/// A wildcard cannot be escaped: the grammar has no escape.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    source: Box<str>,
    /// The string that is compared, if it differs from the one given.
    canonical: Option<Box<str>>,
    compiled: CompiledGlob,
    /// The lower-case form, if it differs.
    lower_case: Option<CompiledGlob>,
}

/// Whether ASCII letters match in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Sensitive,
    Insensitive,
}

/// A string that is matched against many globs, with what can be computed once.
#[derive(Clone, Debug)]
pub(super) struct Haystack<'a> {
    text: Cow<'a, str>,
    case: Case,
    bigrams: BigramFilter,
    /// For globs with `?`, which are rare: computed at the first one.
    positions: OnceCell<Positions>,
}

/// Which bytes are adjacent in a string, each pair hashed to one of 128 bits. Every string that a
/// glob matches contains the glob's pairs; a string that lacks one of its bits cannot match. Most
/// comparisons end here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BigramFilter(u128);

/// The parsed glob, computed once per policy.
#[derive(Clone, Debug)]
struct CompiledGlob {
    bigrams: BigramFilter,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    /// `*`.
    Any,
    /// No wildcard.
    Exact(Box<str>),
    /// One `*`, at the end.
    Prefix(Box<str>),
    /// Anything else: the parts before the first wildcard, between the first and the last, and
    /// after the last. No string shorter than `least_bytes` matches.
    Mixed {
        head: Box<str>,
        middle: Middle,
        tail: Box<str>,
        least_bytes: usize,
    },
}

/// The part from the first to the last wildcard.
#[derive(Clone, Debug)]
enum Middle {
    /// Only `*`, alone or around literal parts that follow each other at any distance. Each part is
    /// matched as far left as possible, so the cost is the sum of the lengths.
    Stars(Box<[Finder<'static>]>),
    /// With `?`; the cost is the product of the lengths, divided by 64.
    Mixed(Box<str>),
}

impl Glob {
    /// Parses a glob.
    pub(super) fn new(given: &str) -> Self {
        let lower_case = given.to_ascii_lowercase();
        Self {
            source: given.into(),
            canonical: None,
            compiled: CompiledGlob::of(given),
            lower_case: (lower_case != given).then(|| CompiledGlob::of(&lower_case)),
        }
    }

    /// Parses the glob `canonical`, which was written as `given`.
    pub(super) fn with_canonical(given: &str, canonical: &str) -> Self {
        Self {
            source: given.into(),
            canonical: (given != canonical).then(|| canonical.into()),
            ..Self::new(canonical)
        }
    }

    /// Whether this glob and `arn`, a full resource name with wildcards, can match the same
    /// resource. Full names are compared part by part, so that a `*` for the region does not extend
    /// over the account. Case-sensitive.
    pub(super) fn overlaps(&self, arn: &str, steps: &StepBudget) -> bool {
        const PARTS: usize = 5;
        let compared = self.canonical.as_deref().unwrap_or(&self.source);
        if !steps.spend(1 + compared.len() * arn.len() / 4) {
            return false;
        }
        let parts = |text| str::splitn(text, PARTS, ':').collect::<Vec<&str>>();
        let (mine, others) = (parts(compared), parts(arn));
        if (mine.len(), others.len()) == (PARTS, PARTS) {
            mine.iter()
                .zip(&others)
                .all(|(one, other)| overlap(one, other))
        } else {
            overlap(compared, arn)
        }
    }

    /// The glob as it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether the glob matches the subject. If `steps` do not suffice, the result is meaningless.
    pub(super) fn matches(&self, subject: &Haystack<'_>, steps: &StepBudget) -> bool {
        if !steps.spend(1) {
            return false;
        }
        let form = match (subject.case, &self.lower_case) {
            (Case::Insensitive, Some(lower_case)) => lower_case,
            _ => &self.compiled,
        };
        form.bigrams.is_subset_of(subject.bigrams) && form.shape.matches(subject, steps)
    }
}

/// Whether some string matches both globs. The cost is the product of their lengths.
fn overlap(one: &str, other: &str) -> bool {
    let other: Vec<char> = other.chars().collect();
    // Whether the rest of `one` overlaps with the rest of `other`, for each index in the latter;
    // filled from the end.
    let mut after: Vec<bool> = (0..=other.len())
        .map(|at| other[at..].iter().all(|c| *c == '*'))
        .collect();
    for c in one.chars().rev() {
        let mut here = vec![false; other.len() + 1];
        for at in (0..=other.len()).rev() {
            here[at] = match (c, other.get(at)) {
                ('*', None) => after[at],
                ('*', Some(_)) | (_, Some('*')) => after[at] || here[at + 1],
                (_, None) => false,
                (c, Some(other)) => (c == *other || c == '?' || *other == '?') && after[at + 1],
            };
        }
        after = here;
    }
    after[0]
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl<'a> Haystack<'a> {
    /// The subject `text`. For case-insensitive matching the caller passes it in lower case, so
    /// that it is folded once and not for each glob.
    pub(super) fn new(text: impl Into<Cow<'a, str>>, case: Case) -> Self {
        let text = text.into();
        Self {
            bigrams: BigramFilter::of([&*text]),
            text,
            case,
            positions: OnceCell::new(),
        }
    }

    /// The string, as globs match it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn positions(&self, steps: &StepBudget) -> Option<&Positions> {
        if self.positions.get().is_none() && !steps.spend(self.text.len()) {
            return None;
        }
        Some(self.positions.get_or_init(|| Positions::of(&self.text)))
    }
}

impl BigramFilter {
    fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let pairs = texts
            .into_iter()
            .flat_map(|text| text.as_bytes().windows(2));
        let bit = |pair: &[u8]| 1 << ((u32::from(pair[0]) * 31 + u32::from(pair[1])) % 128);
        Self(pairs.fold(0, |bits, pair| bits | bit(pair)))
    }

    const fn is_subset_of(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }
}

impl CompiledGlob {
    fn of(text: &str) -> Self {
        Self {
            bigrams: BigramFilter::of(text.split(['*', '?'])),
            shape: Shape::of(text),
        }
    }
}

impl Shape {
    fn of(text: &str) -> Self {
        let is_wildcard = |c: char| matches!(c, '*' | '?');
        let (Some(first), Some(last)) = (text.find(is_wildcard), text.rfind(is_wildcard)) else {
            return Self::Exact(text.into());
        };
        let (head, between, tail) = (&text[..first], &text[first..=last], &text[last + 1..]);
        if between.bytes().all(|byte| byte == b'*') && tail.is_empty() {
            return if head.is_empty() {
                Self::Any
            } else {
                Self::Prefix(head.into())
            };
        }
        Self::Mixed {
            head: head.into(),
            middle: Middle::of(between),
            tail: tail.into(),
            least_bytes: text.bytes().filter(|byte| *byte != b'*').count(),
        }
    }

    fn matches(&self, subject: &Haystack<'_>, steps: &StepBudget) -> bool {
        let text = subject.text();
        match self {
            Self::Any => true,
            Self::Exact(exact) => **exact == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Mixed {
                head,
                middle: between,
                tail,
                least_bytes,
            } => {
                text.len() >= *least_bytes
                    && text.starts_with(&**head)
                    && text.ends_with(&**tail)
                    && between.matches(subject, head.len(), text.len() - tail.len(), steps)
            }
        }
    }
}

impl Middle {
    fn of(text: &str) -> Self {
        if text.contains('?') {
            return Self::Mixed(text.into());
        }
        let texts = text.split('*').filter(|text| !text.is_empty());
        Self::Stars(texts.map(|text| Finder::new(text).into_owned()).collect())
    }

    /// Whether it matches the subject from `from` to `to`.
    fn matches(&self, subject: &Haystack<'_>, from: usize, to: usize, steps: &StepBudget) -> bool {
        match self {
            Self::Mixed(glob) => subject.positions(steps).is_some_and(|positions| {
                steps.spend(glob.len() * positions.words() / 2) && positions.matches(glob, from, to)
            }),
            Self::Stars(finders) => {
                let mut text = &subject.text().as_bytes()[from..to];
                finders.iter().all(|finder| {
                    if !steps.spend(4 + text.len() / 4) {
                        return false;
                    }
                    let found = finder.find(text);
                    if let Some(at) = found {
                        text = &text[at + finder.needle().len()..];
                    }
                    found.is_some()
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Case::*, *};

    fn matches(glob: &str, text: &str, case: Case) -> bool {
        Glob::new(glob).matches(&Haystack::new(text, case), &StepBudget::new(u32::MAX))
    }

    /// A reference implementation, as simple as possible.
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
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn agrees_with_naive_matching(glob in "[ab*?é€😀]{0,9}", text in "[abé€😀]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = naive(&chars(&glob), &chars(&text));
            prop_assert_eq!(matches(&glob, &text, Sensitive), expected);
            prop_assert_eq!(matches(&glob.to_ascii_uppercase(), &text, Insensitive), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Strings as long as both globs together suffice: each character of one matches one of the
        /// other or nothing.
        #[test]
        fn overlapping_globs_have_a_text_in_common(one in "[ab*?]{0,4}", other in "[ab*?]{0,4}") {
            let texts = (0..=8_u32).flat_map(|length| (0..1_u32 << length).map(move |bits| {
                let letter = |at: u32| if bits >> at & 1 == 1 { 'a' } else { 'b' };
                (0..length).map(letter).collect::<String>()
            }));
            let both = |text: &String| matches(&one, text, Sensitive) && matches(&other, text, Sensitive);
            let expected = texts.into_iter().any(|text| both(&text));
            prop_assert_eq!(overlap(&one, &other), expected);
            prop_assert_eq!(overlap(&other, &one), expected);
        }
    }

    #[test]
    #[rustfmt::skip]
    fn table() {
        for (glob, text, case, expected) in [
            ("",       "",       Sensitive, true),
            ("",       "a",      Sensitive, false),
            ("*",      "",       Sensitive, true),
            ("**",     "ab",     Sensitive, true),
            ("?",      "",       Sensitive, false),
            ("?",      "é",      Sensitive, true),
            ("??",     "é",      Sensitive, false),
            ("?*",     "",       Sensitive, false),
            ("*?",     "€",      Sensitive, true),
            ("a*",     "a",      Sensitive, true),
            ("ab*",    "a",      Sensitive, false),
            ("a*b*c",  "aXbbYc", Sensitive, true),
            ("a*b*c",  "aXcYb",  Sensitive, false),
            ("*ab",    "aab",    Sensitive, true),
            ("*a?b",   "aaab",   Sensitive, true),
            ("a**b",   "ab",     Sensitive, true),
            ("ABC",    "abc",    Sensitive, false),
            ("ABC",    "abc",    Insensitive, true),
            ("AB*",    "abc",    Sensitive, false),
            ("AB*",    "abc",    Insensitive, true),
            ("*BC*",   "abcd",   Sensitive, false),
            ("*BC*",   "abcd",   Insensitive, true),
            ("É*",     "é",      Insensitive, false), // ASCII alone
            ("a\\*",   "a*",     Sensitive, false), // nothing escapes a wildcard
            ("[ab]",   "a",      Sensitive, false),
        ] {
            assert_eq!(matches(glob, text, case), expected, "{glob} {text} {case:?}");
        }
    }

    /// Strings and globs over several words of positions, with characters that span two words.
    #[test]
    fn long_texts() {
        let text = format!("{}é{}€b{}", "a".repeat(63), "a".repeat(61), "a".repeat(200));
        let rest = "?".repeat(200);
        for (glob, expected) in [
            (format!("{}{rest}", "?".repeat(63 + 1 + 61 + 2)), true),
            (format!("?{}{rest}", "?".repeat(63 + 1 + 61 + 2)), false),
            (format!("*é*€b{rest}"), true),
            (format!("*é*€?{rest}"), true),
            (format!("*é*?b{rest}"), true),
            (format!("*é{}b{rest}", "?".repeat(62)), true),
            (format!("*é{}b{rest}", "?".repeat(61)), false),
            (format!("*é*b?{rest}"), false),
            ("*b?*a".to_owned(), true),
            ("*b?*b".to_owned(), false),
        ] {
            assert_eq!(matches(&glob, &text, Sensitive), expected, "{glob}");
        }
    }

    #[test]
    fn a_hostile_glob_costs_little() {
        // A naive product would be 40 times 3,000 comparisons of 3,000 bytes.
        let subject = "a".repeat(6000) + "z";
        let subject = Haystack::new(&subject, Sensitive);
        let glob = Glob::new(&format!("*{}b?*z", "a?".repeat(1500)));
        let steps = StepBudget::new(u32::MAX);
        for _ in 0..40 {
            assert!(!glob.compiled.shape.matches(&subject, &steps));
        }
        let (glob, text) = ("*a".repeat(3000) + "b", "a".repeat(6000));
        // Exponential backtracking would not terminate here.
        assert!(!matches(&glob, &text, Sensitive));
    }
}
