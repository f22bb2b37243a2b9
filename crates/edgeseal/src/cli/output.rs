//! What people and scripts see.

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use edgeseal_api::client::{CallError, Reply};

use super::{Connection, Failure};

/// Prints a reply: as JSON if that is wanted, else as `text` says.
pub(super) fn reply(connection: &Connection, reply: &Reply, text: impl FnOnce()) {
    if connection.json {
        println!("{}", reply.body)
    } else {
        text()
    }
}

/// Prints rows under a heading.
pub(super) fn table<const COLUMNS: usize>(
    heading: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(heading);
    for row in rows {
        table.add_row(row);
    }
    println!("{table}");
}

/// Text of a member of a reply; numbers too.
pub(super) fn text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Says on standard error what failed and what helps.
pub(super) fn failure(failure: &Failure) {
    let Failure::Call(CallError::Refused(refusal)) = failure else {
        eprintln!("edgeseal: {failure}");
        let mut said = failure.to_string();
        let mut cause = std::error::Error::source(failure);
        while let Some(error) = cause {
            // Many messages hold their cause already.
            if !said.contains(&error.to_string()) {
                eprintln!("  because {error}");
            }
            said = error.to_string();
            cause = error.source();
        }
        return;
    };
    eprintln!("edgeseal: refused: {}: {}", refusal.code, refusal.message);
    if !refusal.detail.is_empty() {
        eprintln!("  {}", refusal.detail);
    }
    eprintln!(
        "  request {}, more about it: {}",
        refusal.request, refusal.recommend
    );
}

/// Shows a new access key, the only time that its secret is seen.
pub(super) fn new_access_key(key: &serde_json::Value) {
    println!("AccessKeyId      {}", text(&key["AccessKeyId"]));
    println!("AccessKeySecret  {}", text(&key["AccessKeySecret"]));
    println!("The secret is shown this once; keep it.");
}
