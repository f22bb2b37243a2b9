//! `Functions` and lists of names, in every form that clients send.

use serde_json::{Map, Value};

use super::{ARGUMENTS_MAX, Function, InvalidFunctions, NAME_MAX, SETTINGS_MAX, arguments_size};
use crate::ops::cdn::wire_names::WireName as _;

/// Reads names of functions, separated by commas.
///
/// # Errors
/// [`InvalidFunctions::Name`] and [`InvalidFunctions::TooMany`].
pub(in crate::ops::cdn) fn names(text: &str) -> Result<Vec<String>, InvalidFunctions> {
    let parts = text.split(',').map(str::trim);
    let names = parts
        .filter(|name| !name.is_empty())
        .map(|name| checked_name(name).map(str::to_owned))
        .collect::<Result<Vec<_>, _>>()?;
    match names.len() {
        count if count > SETTINGS_MAX => Err(InvalidFunctions::TooMany { count }),
        _ => Ok(names),
    }
}

/// Reads the parameter `Functions`.
///
/// # Errors
/// [`InvalidFunctions`].
pub(in crate::ops::cdn) fn parse(text: Option<&str>) -> Result<Vec<Function>, InvalidFunctions> {
    let text = text.ok_or(InvalidFunctions::Missing)?;
    let json: Value = serde_json::from_str(text).map_err(|error| InvalidFunctions::NotJson {
        reason: error.to_string(),
    })?;
    let items = match json {
        Value::Array(items) if items.is_empty() => return Err(InvalidFunctions::Missing),
        Value::Array(items) if items.len() > SETTINGS_MAX => {
            let count = items.len();
            return Err(InvalidFunctions::TooMany { count });
        }
        Value::Array(items) => items,
        one @ Value::Object(_) => vec![one],
        _ => {
            return Err(InvalidFunctions::NotJson {
                reason: "it is not a list of objects".to_owned(),
            });
        }
    };
    (1..)
        .zip(items)
        .map(|(position, item)| function(position, &item))
        .collect()
}

fn function(position: usize, item: &Value) -> Result<Function, InvalidFunctions> {
    let wrong = |expected| InvalidFunctions::Shape { position, expected };
    let Value::Object(members) = item else {
        return Err(wrong("it must be an object"));
    };
    let name = member(members, "functionName").and_then(Value::as_str);
    let name = checked_name(
        name.ok_or_else(|| wrong("functionName must be a string"))?
            .trim(),
    )?;
    let arguments = match member(members, "functionArgs") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items
            .iter()
            .map(argument)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| wrong("each of functionArgs must have argName and argValue"))?,
        Some(_) => return Err(wrong("functionArgs must be a list")),
    };
    if arguments_size(&arguments) > ARGUMENTS_MAX {
        return Err(wrong("its arguments are longer than 16 KiB"));
    }
    let number = |name, expected| match member(members, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(value) => plain(value)
            .and_then(|text| text.parse::<i64>().ok())
            .map(Some)
            .ok_or_else(|| wrong(expected)),
    };
    Ok(Function {
        name: name.to_owned(),
        arguments,
        id: number("configId", "configId must be a number")?,
        parent: number("parentId", "parentId must be a number")?.filter(|id| *id > 0),
    })
}

fn argument(item: &Value) -> Option<(String, String)> {
    let members = item.as_object()?;
    let name = member(members, "argName")?.as_str()?;
    let value = member(members, "argValue").map_or(Some(String::new()), plain)?;
    Some((name.to_owned(), value))
}

/// A member, whatever the case of its name.
fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members
        .iter()
        .find(|(have, _)| have.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// A value as text: clients send booleans and numbers as such too.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(on) => Some(on.wire_name().to_owned()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn checked_name(name: &str) -> Result<&str, InvalidFunctions> {
    if is_name(name) {
        Ok(name)
    } else {
        Err(InvalidFunctions::Name {
            given: name.chars().take(NAME_MAX).collect(),
        })
    }
}

/// Whether a string can be the name of a function.
fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
