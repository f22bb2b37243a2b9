//! The codes in `docs/reference/alarms.md`.

use std::fmt::Write as _;

use edgeseal_core::alarm::Code;

use crate::generated_docs::assert_generated;

#[test]
fn the_reference_lists_every_code() {
    let mut page = String::new();
    for code in Code::ALL {
        let facts = code.facts();
        let severities = facts.severities.iter().map(|it| it.as_str());
        let severities = severities.collect::<Vec<_>>().join(", ");
        let timing = match (facts.raise_after_ms / 1000, facts.clear_after_ms / 1000) {
            (0, 0) => String::new(),
            (0, clear) => format!(" Resolved after {clear} s without it."),
            (raise, clear) => {
                format!(" Raised after {raise} s, resolved after {clear} s without it.")
            }
        };
        writeln!(
            page,
            "\n<a id=\"{word}\"></a>\n\n### {word}\n\nSeverity: {severities}. Subject: {subject}.{timing}\n\n{}\n\n\
             What to do: {}",
            facts.meaning,
            facts.remedy,
            word = facts.word,
            subject = facts.subject
        )
        .unwrap();
    }
    page.push('\n');
    assert_generated("docs/reference/alarms.md", "codes", &page);
}
