//! The settings in `docs/reference/configuration.md` and in the README.

use std::{collections::BTreeSet, fmt::Write as _};

use super::table::{self, SETTINGS};
use crate::generated_docs::assert_generated;

#[test]
fn the_reference_lists_every_setting() {
    let mut page = String::new();
    for (section, rows) in SETTINGS {
        let head =
            "| key | type or unit | default | flag | since | meaning |\n|---|---|---|---|---|---|";
        writeln!(page, "\n## {section}\n\n{head}").unwrap();
        for row in *rows {
            let flag = row.flag.map(|flag| format!("`{flag}`"));
            let cells = [
                format!("`{}`", row.key),
                row.unit.map_or_else(row.describe, str::to_owned),
                row.default(),
                flag.unwrap_or_default(),
                row.since.to_owned(),
                row.help.to_owned(),
            ];
            writeln!(page, "| {} |", cells.join(" | ")).unwrap();
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
        let (key, default) = (row.key, row.default());
        writeln!(table, "| `{key}` | {mark}| {default} | {help} |").unwrap();
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
