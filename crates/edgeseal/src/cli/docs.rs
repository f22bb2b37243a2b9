//! Commands, flags and exit codes in `docs/reference/cli.md`.

use std::fmt::Write as _;

use clap::{Arg, Args as _, Command, CommandFactory as _};

use super::{Cli, EXIT_CODES, connection::Connection};
use crate::{config::SettingFlags, generated_docs::assert_generated};

const PAGE: &str = "docs/reference/cli.md";

#[test]
fn the_reference_lists_every_command() {
    let shared = Connection::augment_args(Command::new("connection"));
    let mut flags = "| flag | variable | meaning |\n|---|---|---|\n".to_owned();
    for arg in shared.get_arguments() {
        let variable = arg.get_env().map(|name| format!("`{}`", name.display()));
        let (flag, variable) = (syntax(arg), variable.unwrap_or_default());
        writeln!(flags, "| {flag} | {variable} | {} |", help(arg)).unwrap();
    }
    assert_generated(PAGE, "connection flags", &flags);

    let mut commands = String::new();
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        writeln!(commands, "\n### {name}\n").unwrap();
        if command.has_subcommands() {
            writeln!(commands, "{}.\n", about(command)).unwrap();
        }
        commands += "| | |\n|---|---|\n";
        push_command(&mut commands, name, command, &shared);
    }
    commands.push('\n');
    assert_generated(PAGE, "commands", &commands);

    let mut codes = "| code | |\n|---|---|\n".to_owned();
    for (code, meaning) in EXIT_CODES {
        writeln!(codes, "| {code} | {meaning} |").unwrap();
    }
    assert_generated(PAGE, "exit codes", &codes);
}

/// A row for each command without subcommands, and for each of its arguments but the shared ones.
fn push_command(rows: &mut String, name: &str, command: &Command, connection: &Command) {
    if command.has_subcommands() {
        if command.is_subcommand_negates_reqs_set() {
            push_row(rows, name, command, connection);
        }
        for below in command.get_subcommands() {
            let name = format!("{name} {}", below.get_name());
            push_command(rows, &name, below, connection);
        }
        return;
    }
    push_row(rows, name, command, connection);
}

fn push_row(rows: &mut String, name: &str, command: &Command, connection: &Command) {
    let calls_api = has_all(command, connection);
    let settings = SettingFlags::augment_args(Command::new("settings"));
    let shared: Vec<&Arg> = [connection, &settings]
        .into_iter()
        .filter(|flags| has_all(command, flags))
        .flat_map(Command::get_arguments)
        .collect();
    let positional = command.get_positionals().map(value_name);
    let positional: String = positional.map(|value| format!(" {value}")).collect();
    let (mark, about) = (if calls_api { " ●" } else { "" }, about(command));
    writeln!(rows, "| **`{name}{positional}`**{mark} | {about} |").unwrap();
    for arg in command.get_arguments().filter(|arg| !shared.contains(arg)) {
        writeln!(rows, "| {} | {} |", syntax(arg), help(arg)).unwrap();
    }
}

/// Whether a command has all of these flags.
fn has_all(command: &Command, flags: &Command) -> bool {
    let has = |flag: &Arg| command.get_arguments().any(|arg| arg == flag);
    flags.get_arguments().all(has)
}

fn about(command: &Command) -> String {
    command.get_about().unwrap().to_string().replace('|', "\\|")
}

fn value_name(arg: &Arg) -> String {
    arg.get_value_names().unwrap_or_default().join(" ")
}

/// `--flag VALUE`, or the placeholder of an argument without a flag.
fn syntax(arg: &Arg) -> String {
    match arg.get_long() {
        Some(long) if arg.get_action().takes_values() => format!("`--{long} {}`", value_name(arg)),
        Some(long) => format!("`--{long}`"),
        None => format!("`{}`", value_name(arg)),
    }
}

fn help(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let default = arg.get_default_values().iter();
    let default = default.filter(|_| arg.get_action().takes_values());
    let default = default.map(|value| format!(" [default: {}]", value.display()));
    (help + &default.collect::<String>()).replace('|', "\\|")
}
