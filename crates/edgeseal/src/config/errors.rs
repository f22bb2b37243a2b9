//! Messages about configuration errors: the value, its location, and a suggestion.

use figment::{
    Figment, Metadata,
    error::{Actual, Kind},
    value::Value,
};

use super::{ConfigError, flags::FLAGS, suggest};

/// The syntax of addresses.
const ADDRESS: &str = "ADDRESS:PORT, such as \"127.0.0.1:7080\" or \"[::1]:7080\"";
/// The syntax of the sources of key-encryption keys.
pub(super) const KEK: &str =
    "\"file:PATH\", \"env:NAME\", { command = [\"PROGRAM\", …] }, or a list of these";

/// The first error of figment.
pub(super) fn from_figment(
    error: &figment::Error,
    figment: &Figment,
    text: Option<&str>,
) -> ConfigError {
    let path: Vec<&str> = error.path.iter().map(String::as_str).collect();
    // The first step may be a profile, which this program does not use.
    let path = path.strip_prefix(&["default"]).unwrap_or(&path);
    let key = path.join(".").to_ascii_lowercase();
    ConfigError::At {
        place: location(error.metadata.as_ref(), path, text),
        why: parse_reason(&error.kind, &key, figment),
    }
}

/// The location of the value of a key, for a value that parses and is invalid.
pub(super) fn location_of(key: &str, figment: &Figment, text: Option<&str>) -> String {
    let path: Vec<&str> = key.split('.').collect();
    location(figment.find_metadata(path[0]), &path, text)
}

fn location(source: Option<&Metadata>, path: &[&str], text: Option<&str>) -> String {
    let file = source.and_then(|it| it.source.as_ref()?.file_path());
    match (file, source, path.first()) {
        (Some(file), ..) => match text.and_then(|text| line_of(text, path)) {
            Some(line) => format!("{}:{line}", file.display()),
            None => file.display().to_string(),
        },
        (None, Some(source), Some(key)) if source.name == FLAGS => {
            format!("--{}", key.replace('_', "-"))
        }
        (None, Some(_), Some(key)) => format!("EDGESEAL_{}", key.to_ascii_uppercase()),
        _ => "configuration".to_owned(),
    }
}

fn parse_reason(kind: &Kind, key: &str, figment: &Figment) -> String {
    let expected = match kind {
        Kind::UnknownField(name, known) => {
            return format!(
                "there is no key {name:?}{}",
                suggest::did_you_mean(name, known)
            );
        }
        Kind::MissingField(name) => return format!("{key}: the key {name:?} is missing"),
        Kind::DuplicateField(name) => return format!("the key {name:?} stands twice"),
        Kind::InvalidType(_, expected)
        | Kind::InvalidValue(_, expected)
        | Kind::InvalidLength(_, expected) => type_description(expected),
        Kind::Message(text) if text.contains("socket address") => ADDRESS.to_owned(),
        Kind::Message(text) if key.is_empty() => return text.trim_end().to_owned(),
        Kind::Message(_) if key == "kek" => KEK.to_owned(),
        other => return format!("{key}: {other}"),
    };
    // The value may be a key.
    let given = if key.starts_with("kek") {
        "\"(not shown)\"".to_owned()
    } else {
        match (figment.find_value(key), kind) {
            (Ok(value), _) => format_value(&value),
            (Err(_), Kind::InvalidValue(Actual::Str(text), _)) => format!("{text:?}"),
            (Err(_), Kind::InvalidType(actual, _) | Kind::InvalidValue(actual, _)) => {
                actual.to_string()
            }
            (Err(_), _) => "what it is".to_owned(),
        }
    };
    let key = match key.rsplit_once('.') {
        Some((list, item)) if item.parse::<usize>().is_ok() => list,
        _ => key,
    };
    format!("{key} is {given}; it must be {expected}")
}

/// Rust's type names in words.
fn type_description(expected: &str) -> String {
    let words = match expected {
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" | "u128" => "a whole number, 0 or more",
        "a boolean" => "true or false",
        "a sequence" => "a list, as [\"a\", \"b\"]",
        "a map" => "a table",
        "socket address" => ADDRESS,
        other => other,
    };
    words.to_owned()
}

fn format_value(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, c) => format!("{c:?}"),
        Value::Bool(_, is) => is.to_string(),
        Value::Num(_, number) => {
            let number = number
                .to_i128()
                .map(|n| n.to_string())
                .or_else(|| number.to_u128().map(|n| n.to_string()))
                .or_else(|| number.to_f64().map(|n| n.to_string()));
            number.unwrap_or_default()
        }
        Value::Empty(..) => "empty".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(..) => "a list".to_owned(),
    }
}

/// The line, from 1, of the key at `path`, if it is written as a bare key.
fn line_of(text: &str, path: &[&str]) -> Option<usize> {
    let (key, tables) = path.split_last()?;
    let table = tables.iter().filter(|step| step.parse::<usize>().is_err());
    let table: Vec<&str> = table.copied().collect();
    let wanted = table.join(".");
    let mut current = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            let name = line.split('#').next().unwrap_or_default();
            current = name.trim().trim_matches(['[', ']', ' ']).to_owned();
            continue;
        }
        let Some((name, _)) = line.split_once('=') else {
            continue;
        };
        let name = name.trim().trim_matches('"');
        if current == wanted && name.eq_ignore_ascii_case(key) {
            return Some(number + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_keys() {
        const TEXT: &str = "# api = 1\napi = \"x\"\n\n[rate_limits] # a table\nA = 1\n\"B\" = 2\n[[oidc_provider]]\nname = 3\n";
        for (path, line) in [
            (&["api"][..], Some(2)),
            (&["rate_limits", "A"], Some(5)),
            (&["rate_limits", "B"], Some(6)),
            (&["oidc_provider", "0", "name"], Some(8)),
            (&["A"], None),
            (&["rate_limits", "api"], None),
            (&[], None),
        ] {
            assert_eq!(line_of(TEXT, path), line, "{path:?}");
        }
    }
}
