//! Escapes text for a terminal, so that names chosen by others cannot control it.

use std::{borrow::Cow, fmt::Write as _};

/// The text with control characters (Unicode category Cc) other than line feeds and tabs, with the
/// characters that reorder text (Unicode Standard Annex #9, §2) and with the separators of lines
/// and paragraphs written as `\uXXXX`. JSON stays the same JSON: it has such characters in strings
/// only, where the escape means the character (RFC 8259 §7).
pub(crate) fn escape_controls(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && c != '\t')
}

/// As [`escape_controls`], for text in one line or table cell: line feeds and tabs are escaped,
/// too.
pub(crate) fn escape_line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| true)
}

fn escaped(text: &str, may_escape: impl Fn(char) -> bool) -> Cow<'_, str> {
    let steers = |c: char| is_terminal_control(c) && may_escape(c);
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// All of these are below U+10000, so four digits suffice.
const fn is_terminal_control(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        for (given, lines, line) in [
            ("plain, 中文, é", "plain, 中文, é", "plain, 中文, é"),
            (
                "a\x1b]0;title\x07b",
                r"a\u001b]0;title\u0007b",
                r"a\u001b]0;title\u0007b",
            ),
            ("\u{9b}2J", r"\u009b2J", r"\u009b2J"),
            (
                "x\u{202e}y\u{2066}z",
                r"x\u202ey\u2066z",
                r"x\u202ey\u2066z",
            ),
            (
                "\u{61c}\u{200e}\u{200f}",
                r"\u061c\u200e\u200f",
                r"\u061c\u200e\u200f",
            ),
            ("a\r\nb\tc", "a\\u000d\nb\tc", r"a\u000d\u000ab\u0009c"),
            ("\u{2028}\x7f", r"\u2028\u007f", r"\u2028\u007f"),
        ] {
            assert_eq!(escape_controls(given), lines);
            assert_eq!(escape_line(given), line);
        }
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({ "name": "\u{202e}\u{9b}x\x1b\n" });
        let text = value.to_string();
        let printed = escape_controls(&text);
        assert!(!printed.contains(is_terminal_control), "{printed}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&printed).unwrap(),
            value
        );
    }
}
