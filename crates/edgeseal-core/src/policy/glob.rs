//! Texts with wildcards: actions, resources and the operands of `StringLike`.

use memchr::memmem::Finder;

/// A text in which `*` stands for any characters, none included, and `?` for exactly one.
///
/// Nothing escapes a wildcard: the grammar has no escape.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    given: Box<str>,
    form: Form,
    /// The form of the text in lower case, if that is another one.
    lower_case: Option<Form>,
}

/// Whether ASCII letters are the same in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Matters,
    Ignored,
}

/// A text that is compared with many globs; what can be found out once is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    text: &'a str,
    case: Case,
    pairs: Pairs,
}

/// Which octets stand side by side in a text, each pair in one of 128 bits. What a glob has side by
/// side, any text that it matches has, too; a text that lacks one of its bits cannot match. Most
/// comparisons end here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pairs(u128);

/// What there is to compare, found once when the policy is parsed.
#[derive(Clone, Debug)]
struct Form {
    pairs: Pairs,
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
    /// Anything else: what stands before the first wildcard, from there to the last one, and after
    /// it. No text shorter than `least_bytes` matches.
    Mixed {
        head: Box<str>,
        between: Between,
        tail: Box<str>,
        least_bytes: usize,
    },
}

/// What starts and ends with a wildcard.
#[derive(Clone, Debug)]
enum Between {
    /// `*` alone, or between, before and after texts that follow each other in any distance. Each
    /// is found as far left as can be, so the cost is the sum of the lengths.
    Stars(Box<[Finder<'static>]>),
    /// With `?`.
    Mixed(Box<[Piece]>),
}

/// A wildcard, or what stands between two; never two of the latter side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// `*`.
    Star,
    /// `?`.
    One,
    Run(Box<str>),
}

impl Glob {
    /// The glob that `given` is.
    pub(super) fn new(given: &str) -> Self {
        let lower_case = given.to_ascii_lowercase();
        Self {
            given: given.into(),
            form: Form::of(given),
            lower_case: (lower_case != given).then(|| Form::of(&lower_case)),
        }
    }

    /// The text as it was given.
    pub(super) fn as_str(&self) -> &str {
        &self.given
    }

    /// Whether the subject is one of the texts that this stands for. Allocates nothing.
    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        let form = match (subject.case, &self.lower_case) {
            (Case::Ignored, Some(lower_case)) => lower_case,
            _ => &self.form,
        };
        form.pairs.are_among(subject.pairs) && form.shape.matches(subject.text)
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.given == other.given
    }
}

impl<'a> Subject<'a> {
    /// The subject `text`. Where case is ignored it comes in lower case, so that it is folded once
    /// and not for each glob.
    pub(super) fn new(text: &'a str, case: Case) -> Self {
        Self {
            text,
            case,
            pairs: Pairs::of([text]),
        }
    }
}

impl Pairs {
    fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let pairs = texts
            .into_iter()
            .flat_map(|text| text.as_bytes().windows(2));
        let bit = |pair: &[u8]| 1 << ((u32::from(pair[0]) * 31 + u32::from(pair[1])) % 128);
        Self(pairs.fold(0, |bits, pair| bits | bit(pair)))
    }

    const fn are_among(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }
}

impl Form {
    fn of(text: &str) -> Self {
        Self {
            pairs: Pairs::of(text.split(['*', '?'])),
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
            between: Between::of(between),
            tail: tail.into(),
            least_bytes: text.bytes().filter(|byte| *byte != b'*').count(),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => **exact == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Mixed {
                head,
                between,
                tail,
                least_bytes,
            } => {
                text.len() >= *least_bytes
                    && text.starts_with(&**head)
                    && text.ends_with(&**tail)
                    && between.matches(&text.as_bytes()[head.len()..text.len() - tail.len()])
            }
        }
    }
}

impl Between {
    fn of(text: &str) -> Self {
        if text.contains('?') {
            return Self::Mixed(Piece::all(text));
        }
        let texts = text.split('*').filter(|text| !text.is_empty());
        Self::Stars(texts.map(|text| Finder::new(text).into_owned()).collect())
    }

    fn matches(&self, mut text: &[u8]) -> bool {
        match self {
            Self::Mixed(pieces) => walk(pieces, text),
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

impl Piece {
    fn all(text: &str) -> Box<[Self]> {
        let mut pieces = Vec::new();
        for part in text.split_inclusive(['*', '?']) {
            let run = part.trim_end_matches(['*', '?']);
            if !run.is_empty() {
                pieces.push(Self::Run(run.into()));
            }
            pieces.extend(part[run.len()..].bytes().map(|byte| match byte {
                b'*' => Self::Star,
                _ => Self::One,
            }));
        }
        pieces.into_boxed_slice()
    }
}

/// Walks pieces and text at once and remembers the last `*` only: where the walk fails, that `*`
/// takes more. Earlier ones need not, since what stood between them has been found as far left as
/// can be. So the cost is at most the product of the lengths, never exponential; and since runs are
/// compared as a whole, it is a small part of that.
///
/// `text` is UTF-8, and the walk stands between characters whenever it comes to a wildcard.
fn walk(pieces: &[Piece], text: &[u8]) -> bool {
    let (mut at, mut left) = (0, text);
    let mut star: Option<(usize, &[u8])> = None;
    loop {
        match (pieces.get(at), left) {
            (None, []) => return true,
            (Some(Piece::Star), _) => {
                at += 1;
                star = Some((at, left));
            }
            (Some(Piece::One), [lead, ..]) => {
                at += 1;
                left = &left[char_len(*lead)..];
                continue;
            }
            (Some(Piece::Run(run)), _) if left.starts_with(run.as_bytes()) => {
                at += 1;
                left = &left[run.len()..];
                continue;
            }
            _ => match star {
                None | Some((_, [])) => return false,
                Some((after, from @ [lead, ..])) => {
                    star = Some((after, &from[char_len(*lead)..]));
                }
            },
        }
        // The `*` reaches to where what follows it can start, and not less far.
        let Some((after, from)) = star else { continue };
        let from = match pieces.get(after) {
            None => return true,
            Some(Piece::Star | Piece::One) => from,
            Some(Piece::Run(run)) => {
                let first = run.as_bytes().first();
                match from.iter().position(|byte| Some(byte) == first) {
                    Some(skipped) => &from[skipped..],
                    None => return false,
                }
            }
        };
        star = Some((after, from));
        (at, left) = (after, from);
    }
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

    fn matches(glob: &str, text: &str, case: Case) -> bool {
        Glob::new(glob).matches(&Subject::new(text, case))
    }

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
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn as_the_naive_one(glob in "[ab*?é€😀]{0,9}", text in "[abé€😀]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = naive(&chars(&glob), &chars(&text));
            prop_assert_eq!(matches(&glob, &text, Matters), expected);
            prop_assert_eq!(matches(&glob.to_ascii_uppercase(), &text, Ignored), expected);
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
            assert_eq!(matches(glob, text, case), expected, "{glob} {text} {case:?}");
        }
    }

    #[test]
    fn a_hostile_glob_costs_little() {
        let (glob, text) = ("*a".repeat(3000) + "b", "a".repeat(6000));
        // Exponential backtracking would not come back from this.
        assert!(!matches(&glob, &text, Matters));
    }
}
