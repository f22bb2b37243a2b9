//! The settings in `docs/reference/configuration.md` and in the README.

use std::{collections::BTreeSet, fmt::Write as _};

use super::table::{self, SETTINGS, Setting};
use crate::generated_docs::assert_generated;

#[test]
fn the_reference_lists_every_setting() {
    let mut page = String::new();
    for (section, rows) in SETTINGS {
        let head =
            "| key | type or unit | default | flag | since | meaning |\n|---|---|---|---|---|---|";
        writeln!(page, "\n## {section}\n\n{head}").unwrap();
        for row in *rows {
            let Setting {
                key, help, since, ..
            } = row;
            let flag = row
                .flag
                .map_or_else(String::new, |flag| format!("`{flag}`"));
            let kind = row.unit.map_or_else(row.describe, str::to_owned);
            let default = row.default();
            writeln!(
                page,
                "| `{key}` | {kind} | {default} | {flag} | {since} | {help} |"
            )
            .unwrap();
        }
    }
    page.push('\n');
    assert_generated("docs/reference/configuration.md", "settings", &page);
}

#[test]
fn the_readme_lists_the_settings_that_matter_first() {
    let mut table = "| key | | default | meaning |\n|---|---|---|---|\n".to_owned();
    for row in table::all().filter(|row| row.is_in_readme) {
        let mark = if row.flag.is_some() { "● " } else { "" };
        let help = row.help.replace("](", "](docs/reference/");
        let help = help.replace("docs/reference/../", "docs/");
        writeln!(
            table,
            "| `{}` | {mark}| {} | {help} |",
            row.key,
            row.default()
        )
        .unwrap();
    }
    assert_generated("README.md", "settings", &table);
}

/// A flag is named like its key, and its help is plain text.
#[test]
fn flags_and_keys() {
    let keys: BTreeSet<&str> = table::all().map(|row| row.key).collect();
    assert_eq!(keys.len(), table::all().count());
    for row in table::all() {
        if let Some(flag) = row.flag {
            let name = format!("--{} ", row.key.replace('_', "-"));
            assert!(flag.starts_with(&name) && !row.help.contains('['), "{flag}");
        }
        assert!(
            !row.help.ends_with('.') && !row.help.contains('|'),
            "{}",
            row.key
        );
    }
}
