//! Configuration functions: settings of a domain as the cloud names them, and what the edge does of
//! them.
//!
//! | function | arguments | what the edge does |
//! |---|---|---|
//! | `https_option` | `http2`, `ocsp_stapling`: on or off | offers HTTP/2 or not |
//! | `https_force` | `enable`: on or off | redirects HTTP to HTTPS |
//! | `http_force` | `enable`: on or off | redirects HTTPS to HTTP |
//! | `https_tls_version` | `tls10` … `tls13`: on or off | speaks TLS 1.2 and 1.3, or one of them |
//! | `HSTS` | `enabled`, `https_hsts_max_age`, `https_hsts_include_subdomains` | announces it |
//!
//! Any other function is stored, read back, and without effect.

use edgeseal_core::delivery::{Delivery, Hsts, Redirect, Setting, TlsVersions};
use serde_json::{Map, Value};

use crate::{code::Code, operation::Failure};

const OPTION: &str = "https_option";
const TO_HTTPS: &str = "https_force";
const TO_HTTP: &str = "http_force";
const TLS: &str = "https_tls_version";
const HSTS: &str = "HSTS";

/// Functions that the edge obeys.
const OBEYED: [&str; 5] = [OPTION, TO_HTTPS, TO_HTTP, TLS, HSTS];

/// Functions that a domain can have several times: each has its own condition or value. Any other
/// is replaced when it is set again.
const SEVERAL: [&str; 12] = [
    "advanced_origin",
    "back_to_origin_argument_rewrite",
    "back_to_origin_url_rewrite",
    "condition",
    "filetype_based_ttl_set",
    "filetype_force_ttl_code",
    "host_redirect",
    "origin_request_header",
    "origin_response_header",
    "path_based_ttl_set",
    "path_force_ttl_code",
    "set_req_header",
];

/// Settings that a domain may have.
const SETTINGS_MAX: usize = 100;
/// Longest name of a function, in characters.
const NAME_MAX: usize = 64;
/// Octets that the arguments of one function may have together.
const ARGUMENTS_MAX: usize = 16 * 1024;
/// Octets that the arguments of all functions of a domain may have together: their record must be
/// stored, and twice if as much is staged.
const ALL_ARGUMENTS_MAX: usize = 64 * 1024;

/// A function that is to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub(super) name: String,
    arguments: Vec<(String, String)>,
    /// The setting that it replaces, if the caller names one.
    id: Option<i64>,
    parent: Option<i64>,
}

/// Why functions are not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFunctions {
    /// The parameter is absent or empty.
    #[error(
        "give a JSON list in Functions, as in [{{\"functionName\":\"https_force\",\"functionArgs\":[{{\"argName\":\"enable\",\"argValue\":\"on\"}}]}}]"
    )]
    Missing,
    /// Not JSON.
    #[error("Functions is not JSON: {why}")]
    NotJson {
        /// Where and why.
        why: String,
    },
    /// A part that is not what it must be.
    #[error("function {position}: {expected}")]
    Shape {
        /// Its position, from 1.
        position: usize,
        /// What it must be.
        expected: &'static str,
    },
    /// A name that no function has.
    #[error("function {given:?} is none: a name has letters, digits and underscores")]
    Name {
        /// What was given.
        given: String,
    },
    /// The domain has no such setting.
    #[error("the domain has no {name} with the configId {id}")]
    NoSetting {
        /// The function.
        name: String,
        /// The number.
        id: i64,
    },
    /// More than a domain may have, or a call may set.
    #[error("{count} settings are too many; at most {SETTINGS_MAX} are accepted")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// Longer than a domain may have.
    #[error(
        "the arguments of all settings would have {octets} octets; at most {ALL_ARGUMENTS_MAX} are accepted"
    )]
    TooLong {
        /// How many.
        octets: usize,
    },
    /// An argument that the edge cannot obey.
    #[error("{function}: {argument} is {given:?}; use {expected}")]
    Argument {
        /// The function.
        function: &'static str,
        /// The argument.
        argument: &'static str,
        /// What was given.
        given: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Browsers would go in circles.
    #[error("https_force and http_force would both be on; set one of them off too")]
    BothRedirects,
    /// No version of TLS would be left.
    #[error("https_tls_version: tls12 or tls13 must be on; the edge speaks no older version")]
    NoTls,
}

/// Whether the edge obeys a function.
pub(super) fn is_obeyed(name: &str) -> bool {
    OBEYED.contains(&name)
}

/// Whether a text can be the name of a function.
pub(super) fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Reads names of functions, separated by commas.
///
/// # Errors
/// [`BadFunctions::Name`].
pub(super) fn names(text: &str) -> Result<Vec<String>, BadFunctions> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| checked_name(name).map(str::to_owned))
        .collect()
}

/// Reads the parameter `Functions`.
///
/// # Errors
/// [`BadFunctions`].
pub(super) fn parse(text: Option<&str>) -> Result<Vec<Function>, BadFunctions> {
    let text = text.ok_or(BadFunctions::Missing)?;
    let json: Value = serde_json::from_str(text).map_err(|error| BadFunctions::NotJson {
        why: error.to_string(),
    })?;
    let items = match json {
        Value::Array(items) if items.is_empty() => return Err(BadFunctions::Missing),
        Value::Array(items) if items.len() > SETTINGS_MAX => {
            let count = items.len();
            return Err(BadFunctions::TooMany { count });
        }
        Value::Array(items) => items,
        one @ Value::Object(_) => vec![one],
        _ => {
            return Err(BadFunctions::NotJson {
                why: "it is no list of objects".to_owned(),
            });
        }
    };
    (1..)
        .zip(items)
        .map(|(position, item)| function(position, &item))
        .collect()
}

/// `enable` of the two redirects, as their function sets it.
pub(super) fn redirect(to: Option<Redirect>) -> Vec<Function> {
    let force = |name: &str, on: bool| Function {
        name: name.to_owned(),
        arguments: vec![("enable".to_owned(), super::words::on_off(on).to_owned())],
        id: None,
        parent: None,
    };
    vec![
        force(TO_HTTPS, to == Some(Redirect::ToHttps)),
        force(TO_HTTP, to == Some(Redirect::ToHttp)),
    ]
}

/// The settings once `function` is set, and the number that it has then: that of the setting which
/// it replaces, or `new_id`. To redirect one way ends redirecting the other way.
///
/// # Errors
/// [`BadFunctions`] of what the domain has or would have.
pub(super) fn set(
    settings: &mut Vec<Setting>,
    function: &Function,
    new_id: i64,
) -> Result<i64, BadFunctions> {
    let several = SEVERAL.contains(&function.name.as_str());
    let present = match function.id {
        Some(id) => Some(
            settings
                .iter()
                .position(|have| have.id == id && have.name == function.name)
                .ok_or_else(|| BadFunctions::NoSetting {
                    name: function.name.clone(),
                    id,
                })?,
        ),
        None if several => None,
        None => settings.iter().position(|have| have.name == function.name),
    };
    let setting = Setting {
        id: present.map_or(new_id, |at| settings[at].id),
        name: function.name.clone(),
        arguments: function.arguments.clone(),
        several,
        parent: function.parent,
    };
    let id = setting.id;
    if is_redirect_on(&setting) {
        settings.iter_mut().for_each(end_redirect);
    }
    match present {
        Some(at) => settings[at] = setting,
        None => settings.push(setting),
    }
    let octets = settings.iter().map(|one| octets(&one.arguments)).sum();
    match settings.len() {
        count if count > SETTINGS_MAX => Err(BadFunctions::TooMany { count }),
        _ if octets > ALL_ARGUMENTS_MAX => Err(BadFunctions::TooLong { octets }),
        _ => Ok(id),
    }
}

fn octets(arguments: &[(String, String)]) -> usize {
    arguments
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

/// What follows from settings.
///
/// # Errors
/// [`BadFunctions::Argument`] and [`BadFunctions::NoTls`].
pub(super) fn derive(settings: &[Setting]) -> Result<Delivery, BadFunctions> {
    let mut delivery = Delivery::default();
    for setting in settings {
        match setting.name.as_str() {
            OPTION => {
                delivery.http2 = flag(setting, OPTION, "http2")?.unwrap_or(true);
                delivery.ocsp_stapling = flag(setting, OPTION, "ocsp_stapling")?.unwrap_or(false);
            }
            TO_HTTPS if flag(setting, TO_HTTPS, "enable")?.unwrap_or(false) => {
                redirect_to(&mut delivery, Redirect::ToHttps)?;
            }
            TO_HTTP if flag(setting, TO_HTTP, "enable")?.unwrap_or(false) => {
                redirect_to(&mut delivery, Redirect::ToHttp)?;
            }
            TLS => delivery.tls = tls(setting)?,
            HSTS => delivery.hsts = hsts(setting)?,
            _ => {}
        }
    }
    Ok(delivery)
}

/// To redirect one way ends the other way where it is set; what is staged may still meet the other
/// in production.
const fn redirect_to(delivery: &mut Delivery, to: Redirect) -> Result<(), BadFunctions> {
    if delivery.redirect.is_some() {
        return Err(BadFunctions::BothRedirects);
    }
    delivery.redirect = Some(to);
    Ok(())
}

fn function(position: usize, item: &Value) -> Result<Function, BadFunctions> {
    let wrong = |expected| BadFunctions::Shape { position, expected };
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
    if octets(&arguments) > ARGUMENTS_MAX {
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

/// A value as the text that it stands for: clients send switches and numbers as such too.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(on) => Some(super::words::on_off(*on).to_owned()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn checked_name(name: &str) -> Result<&str, BadFunctions> {
    if is_name(name) {
        Ok(name)
    } else {
        Err(BadFunctions::Name {
            given: name.chars().take(NAME_MAX).collect(),
        })
    }
}

fn is_redirect_on(setting: &Setting) -> bool {
    (setting.name == TO_HTTPS || setting.name == TO_HTTP)
        && value(setting, "enable").is_some_and(|word| word.eq_ignore_ascii_case("on"))
}

fn end_redirect(setting: &mut Setting) {
    if is_redirect_on(setting) {
        let enable = setting
            .arguments
            .iter_mut()
            .find(|(name, _)| name == "enable");
        if let Some((_, word)) = enable {
            "off".clone_into(word);
        }
    }
}

fn tls(setting: &Setting) -> Result<TlsVersions, BadFunctions> {
    for old in ["tls10", "tls11"] {
        flag(setting, TLS, old)?;
    }
    let tls12 = flag(setting, TLS, "tls12")?.unwrap_or(true);
    let tls13 = flag(setting, TLS, "tls13")?.unwrap_or(true);
    match (tls12, tls13) {
        (true, true) => Ok(TlsVersions::Both),
        (true, false) => Ok(TlsVersions::Only12),
        (false, true) => Ok(TlsVersions::Only13),
        (false, false) => Err(BadFunctions::NoTls),
    }
}

fn hsts(setting: &Setting) -> Result<Option<Hsts>, BadFunctions> {
    /// Two months, as the documentation recommends.
    const MAX_AGE_S: u32 = 5_184_000;
    let enabled = flag(setting, HSTS, "enabled")?.unwrap_or(false);
    let include_subdomains = flag(setting, HSTS, "https_hsts_include_subdomains")?.unwrap_or(false);
    let given = value(setting, "https_hsts_max_age").filter(|text| !text.is_empty());
    let max_age_s = match given {
        None => MAX_AGE_S,
        Some(text) => text.parse().map_err(|_| BadFunctions::Argument {
            function: HSTS,
            argument: "https_hsts_max_age",
            given: text.to_owned(),
            expected: "a number of seconds",
        })?,
    };
    Ok(enabled.then_some(Hsts {
        max_age_s,
        include_subdomains,
    }))
}

/// An argument that is on or off; `None` if it is absent or empty.
fn flag(
    setting: &Setting,
    function: &'static str,
    argument: &'static str,
) -> Result<Option<bool>, BadFunctions> {
    match value(setting, argument) {
        None | Some("") => Ok(None),
        Some(on) if on.eq_ignore_ascii_case("on") => Ok(Some(true)),
        Some(off) if off.eq_ignore_ascii_case("off") => Ok(Some(false)),
        Some(other) => Err(BadFunctions::Argument {
            function,
            argument,
            given: other.chars().take(40).collect(),
            expected: "on or off",
        }),
    }
}

fn value<'a>(setting: &'a Setting, argument: &str) -> Option<&'a str> {
    setting
        .arguments
        .iter()
        .find(|(name, _)| name == argument)
        .map(|(_, value)| value.as_str())
}

impl Failure for BadFunctions {
    fn code(&self) -> Code {
        match self {
            Self::Missing => Code::MissingFunctions,
            Self::NotJson { .. }
            | Self::Shape { .. }
            | Self::NoSetting { .. }
            | Self::TooMany { .. }
            | Self::TooLong { .. } => Code::InvalidFunctions,
            Self::Name { .. } => Code::FunctionNotSupported,
            Self::Argument { .. } | Self::BothRedirects | Self::NoTls => Code::InvalidArgValue,
        }
    }

    fn wire(&self) -> String {
        let wire = self.code().row().wire;
        match self {
            Self::Name { given } => {
                let name: String = given.chars().filter(char::is_ascii_alphanumeric).collect();
                wire.replace("{FunctionName}", &name)
            }
            _ => wire.to_owned(),
        }
    }

    fn message(&self) -> String {
        let message = self.code().row().message;
        match self {
            Self::Name { given } => message.replace("{FunctionName}", given),
            _ => message.to_owned(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(self.to_string())
    }
}

#[cfg(test)]
mod tests;
