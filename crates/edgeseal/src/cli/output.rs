//! Output for people and scripts.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
};

use comfy_table::{ContentArrangement, Table, presets};
use edgeseal_api::client::{CallError, Reply};

use super::{CliError, Connection};
use crate::terminal_escape::{escape_controls, escape_line};

/// Prints a line on standard output. A `Result`: the disk may be full, the reader may be gone.
macro_rules! say {
    ($($arg:tt)*) => { $crate::cli::output::write_stdout_line(format_args!($($arg)*)) };
}

/// Prints a line on standard error.
macro_rules! warn_line {
    ($($arg:tt)*) => { $crate::cli::output::write_stderr_line(format_args!($($arg)*)) };
}

pub(super) use {say, warn_line};

/// Prints a line on standard output; see [`escape_controls`].
///
/// # Errors
/// [`CliError::Output`].
pub(super) fn write_stdout_line(text: fmt::Arguments<'_>) -> Result<(), CliError> {
    let text = text.to_string();
    writeln!(io::stdout(), "{}", escape_controls(&text)).map_err(CliError::Output)
}

/// Prints a line on standard error. A failure cannot be reported anywhere.
pub(super) fn write_stderr_line(text: fmt::Arguments<'_>) {
    let text = text.to_string();
    let _ = writeln!(io::stderr(), "{}", escape_controls(&text));
}

/// Prints a text of this program without escaping.
///
/// # Errors
/// [`CliError::Output`].
pub(super) fn print_raw(text: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout();
    let written = out.write_all(text).and_then(|()| out.flush());
    written.map_err(CliError::Output)
}

/// Prints help or an error of the argument parser, in colours unless it shows an argument with
/// control characters.
///
/// # Errors
/// [`CliError::Output`].
pub(super) fn print_clap_error(error: &clap::Error) -> Result<(), CliError> {
    let plain = error.render().to_string();
    if error.use_stderr() && escape_controls(&plain) != plain {
        warn_line!("{}", plain.trim_end());
        return Ok(());
    }
    error.print().map_err(CliError::Output)
}

/// Prints a reply: as JSON with `--json`, else by `text`.
///
/// # Errors
/// [`CliError::Output`].
pub(super) fn print_reply(
    connection: &Connection,
    reply: &Reply,
    text: impl FnOnce() -> Result<(), CliError>,
) -> Result<(), CliError> {
    if connection.json {
        say!("{}", reply.body)
    } else {
        text()
    }
}

/// Prints a table: framed and fitted to the terminal, or in bare columns in a pipe, one row a line.
///
/// # Errors
/// [`CliError::Output`].
pub(super) fn print_table<const COLUMNS: usize>(
    heading: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> Result<(), CliError> {
    let mut table = Table::new();
    table.set_header(heading);
    for row in rows {
        table.add_row(row);
    }
    if io::stdout().is_terminal() {
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.load_style(presets::NOTHING);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
    }
    say!("{}", table.trim_fmt())
}

/// A string or number of a reply as text on one line.
pub(super) fn json_text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => escape_line(text).into_owned(),
        serde_json::Value::Null => String::new(),
        other => escape_line(&other.to_string()).into_owned(),
    }
}

/// `1 domain` or `2 domains`.
pub(super) fn pluralize(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Prints the warnings of an accepted call on standard error.
pub(super) fn print_warnings(reply: &Reply) {
    for warning in reply.body["Warnings"].as_array().into_iter().flatten() {
        let (kind, detail) = (json_text(&warning["Kind"]), json_text(&warning["Detail"]));
        warn_line!("edgeseal: warning: {kind}: {detail}");
    }
}

/// Prints an error and its remedy on standard error.
pub(super) fn print_error(failure: &CliError) {
    let CliError::Call(CallError::Api(refusal)) = failure else {
        warn_line!("edgeseal: {failure}");
        let mut said = failure.to_string();
        let mut cause = std::error::Error::source(failure);
        while let Some(error) = cause {
            let text = error.to_string();
            // Many messages contain their cause already.
            if !said.contains(&text) {
                warn_line!("  because {error}");
            }
            if text.contains("UnknownIssuer") {
                warn_line!(
                    "  --cacert FILE names the authority of a certificate that is not public"
                );
            }
            said = text;
            cause = error.source();
        }
        return;
    };
    warn_line!("edgeseal: refused: {}: {}", refusal.code, refusal.message);
    if !refusal.detail.is_empty() {
        warn_line!("  {}", refusal.detail);
    }
    warn_line!(
        "  request {}, more about it: {}",
        refusal.request,
        refusal.recommend
    );
}

/// Prints a new access key. Its secret is shown only here.
///
/// # Errors
/// [`CliError::Output`].
pub(super) fn print_new_access_key(key: &serde_json::Value) -> Result<(), CliError> {
    say!("AccessKeyId      {}", json_text(&key["AccessKeyId"]))?;
    say!("AccessKeySecret  {}", json_text(&key["AccessKeySecret"]))?;
    say!("The secret is shown this once; keep it.")
}
