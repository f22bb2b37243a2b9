//! Configuration functions: settings of a domain under the cloud's names, and how the edge applies
//! them.
//!
//! | function | arguments | what the edge does |
//! |---|---|---|
//! | `https_option` | `http2`, `ocsp_stapling`: on or off | offers HTTP/2; `ocsp_stapling` has no effect |
//! | `https_force` | `enable`: on or off | redirects HTTP to HTTPS |
//! | `http_force` | `enable`: on or off | redirects HTTPS to HTTP |
//! | `https_tls_version` | `tls10` … `tls13`: on or off | accepts TLS 1.2, 1.3 or both; nothing older |
//! | `HSTS` | `enabled`, `https_hsts_max_age`, `https_hsts_include_subdomains` | sends the header |
//!
//! Any other function is stored and returned, without effect.

use crate::{code::Code, operation::ApiError};
use edgeseal_core::delivery::{DeliveryConfig, Hsts, Redirect, Setting, TlsVersions};

mod ids;
mod parse;

pub(super) use ids::by_id;
pub(super) use parse::{names, parse};

const OPTION: &str = "https_option";
const TO_HTTPS: &str = "https_force";
const TO_HTTP: &str = "http_force";
const TLS: &str = "https_tls_version";
const HSTS: &str = "HSTS";

/// Functions that the edge supports.
const SUPPORTED: [&str; 5] = [OPTION, TO_HTTPS, TO_HTTP, TLS, HSTS];

/// Functions that a domain can have several times, each with its own condition or value. Any other
/// is replaced when it is set again.
const REPEATABLE: [&str; 12] = [
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

/// Most settings of a domain.
pub(super) const SETTINGS_MAX: usize = 100;
/// Longest name of a function, in characters.
const NAME_MAX: usize = 64;
/// Most bytes of the arguments of one function.
const ARGUMENTS_MAX: usize = 16 * 1024;
/// Most bytes of the arguments of all functions of a domain: their record must fit into the store,
/// twice if as much is staged.
const ALL_ARGUMENTS_MAX: usize = 64 * 1024;

/// A function to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub(super) name: String,
    arguments: Vec<(String, String)>,
    /// The setting that it replaces, if the caller names one.
    id: Option<i64>,
    parent: Option<i64>,
}

/// Why functions are invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFunctions {
    /// The parameter is absent or empty.
    #[error(
        "Functions must be a JSON list, such as [{{\"functionName\":\"https_force\",\"functionArgs\":[{{\"argName\":\"enable\",\"argValue\":\"on\"}}]}}]"
    )]
    Missing,
    /// Not JSON.
    #[error("Functions is not JSON: {reason}")]
    NotJson {
        /// Position and cause.
        reason: String,
    },
    /// A member with an invalid value.
    #[error("function {position}: {expected}")]
    Shape {
        /// Its position, from 1.
        position: usize,
        /// The expected value.
        expected: &'static str,
    },
    /// An unknown function.
    #[error("function {given:?} is none: a name has letters, digits and underscores")]
    Name {
        /// The value given.
        given: String,
    },
    /// The domain has no such setting.
    #[error("the domain has no {name} with the configId {id}")]
    NoSetting {
        /// The function.
        name: String,
        /// The config id.
        id: i64,
    },
    /// More settings than a domain, or more functions than a call may have.
    #[error("{count} settings are too many; at most {SETTINGS_MAX} are accepted")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// More argument bytes than a domain may have.
    #[error(
        "the arguments of all settings would have {bytes} bytes; at most {ALL_ARGUMENTS_MAX} are accepted"
    )]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// An argument that the edge does not support.
    #[error("{function}: {argument} is {given:?}; use {expected}")]
    Argument {
        /// The function.
        function: &'static str,
        /// The argument.
        argument: &'static str,
        /// The value given.
        given: String,
        /// The expected value.
        expected: &'static str,
    },
    /// No version of TLS would be enabled.
    #[error("https_tls_version: tls12 or tls13 must be on; the edge speaks no older version")]
    NoTls,
}

/// How much of a setting the edge applies: `edge` for all, `part` for some of its arguments, `none`
/// if it is only stored.
pub(super) fn effect(setting: &Setting) -> &'static str {
    let is_on = |argument| value(setting, argument).is_some_and(|v| v.eq_ignore_ascii_case("on"));
    let beyond = match setting.name.as_str() {
        OPTION => is_on("ocsp_stapling"),
        TLS => is_on("tls10") || is_on("tls11"),
        _ => false,
    };
    if !SUPPORTED.contains(&setting.name.as_str()) || setting.parent.is_some() {
        "none"
    } else if beyond {
        "part"
    } else {
        "edge"
    }
}

/// The staged setting that must accompany `staged` so that not both redirects are enabled: the
/// other one disabled. `None` if nothing is missing.
pub(super) fn staged_redirect_off(
    settings: &[Setting],
    staged: &[Setting],
    new_id: i64,
) -> Option<Setting> {
    let on = staged.iter().find(|setting| is_redirect_on(setting))?;
    let other = if on.name == TO_HTTPS {
        TO_HTTP
    } else {
        TO_HTTPS
    };
    let is_missing = settings
        .iter()
        .any(|setting| setting.name == other && is_redirect_on(setting))
        && !staged.iter().any(|setting| setting.name == other);
    is_missing.then(|| Setting {
        id: new_id,
        name: other.to_owned(),
        arguments: vec![("enable".to_owned(), "off".to_owned())],
        repeatable: false,
        parent: None,
    })
}

/// `enable` of the two redirects, as the function sets them.
pub(super) fn redirect(to: Option<Redirect>) -> Vec<Function> {
    let force = |name: &str, on: bool| Function {
        name: name.to_owned(),
        arguments: vec![(
            "enable".to_owned(),
            super::wire_names::on_off(on).to_owned(),
        )],
        id: None,
        parent: None,
    };
    vec![
        force(TO_HTTPS, to == Some(Redirect::ToHttps)),
        force(TO_HTTP, to == Some(Redirect::ToHttp)),
    ]
}

/// The settings after `function` is set, and its config id: that of the setting which it replaces,
/// or `new_id`. Enabling one redirect disables the other.
///
/// # Errors
/// [`InvalidFunctions`] of the current or the resulting settings.
pub(super) fn set(
    settings: &mut Vec<Setting>,
    function: &Function,
    new_id: i64,
) -> Result<i64, InvalidFunctions> {
    let several = REPEATABLE.contains(&function.name.as_str());
    let present = match function.id {
        Some(id) => Some(
            settings
                .iter()
                .position(|have| have.id == id && have.name == function.name)
                .ok_or_else(|| InvalidFunctions::NoSetting {
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
        repeatable: several,
        parent: function.parent,
    };
    let id = setting.id;
    if is_redirect_on(&setting) {
        settings.iter_mut().for_each(disable_redirect);
    }
    match present {
        Some(at) => settings[at] = setting,
        None => settings.push(setting),
    }
    check_size(settings)?;
    Ok(id)
}

fn check_size(settings: &[Setting]) -> Result<(), InvalidFunctions> {
    let bytes = settings
        .iter()
        .map(|one| arguments_size(&one.arguments))
        .sum();
    match settings.len() {
        count if count > SETTINGS_MAX => Err(InvalidFunctions::TooMany { count }),
        _ if bytes > ALL_ARGUMENTS_MAX => Err(InvalidFunctions::TooLong { bytes }),
        _ => Ok(()),
    }
}

fn arguments_size(arguments: &[(String, String)]) -> usize {
    arguments
        .iter()
        // Includes the overhead of the record.
        .map(|(name, value)| name.len() + value.len() + 8)
        .sum()
}

/// What follows from settings. One with a condition (its parent) follows nothing: the edge knows no
/// conditions, and to obey it for every request would be wrong.
///
/// # Errors
/// [`InvalidFunctions::Argument`], [`InvalidFunctions::NoTls`], or they are too many or too long together.
pub(super) fn derive(settings: &[Setting]) -> Result<DeliveryConfig, InvalidFunctions> {
    check_size(settings)?;
    let mut delivery = DeliveryConfig::default();
    for setting in settings.iter().filter(|setting| setting.parent.is_none()) {
        match setting.name.as_str() {
            OPTION => {
                delivery.http2 = flag(setting, OPTION, "http2")?.unwrap_or(true);
                flag(setting, OPTION, "ocsp_stapling")?;
            }
            TO_HTTPS if flag(setting, TO_HTTPS, "enable")?.unwrap_or(false) => {
                delivery.redirect = Some(Redirect::ToHttps);
            }
            TO_HTTP if flag(setting, TO_HTTP, "enable")?.unwrap_or(false) => {
                delivery.redirect = Some(Redirect::ToHttp);
            }
            TLS => delivery.tls = tls(setting)?,
            HSTS => delivery.hsts = hsts(setting)?,
            _ => {}
        }
    }
    Ok(delivery)
}

fn is_redirect_on(setting: &Setting) -> bool {
    (setting.name == TO_HTTPS || setting.name == TO_HTTP)
        && value(setting, "enable").is_some_and(|word| word.eq_ignore_ascii_case("on"))
}

fn disable_redirect(setting: &mut Setting) {
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

fn tls(setting: &Setting) -> Result<TlsVersions, InvalidFunctions> {
    for old in ["tls10", "tls11"] {
        flag(setting, TLS, old)?;
    }
    let tls12 = flag(setting, TLS, "tls12")?.unwrap_or(true);
    let tls13 = flag(setting, TLS, "tls13")?.unwrap_or(true);
    match (tls12, tls13) {
        (true, true) => Ok(TlsVersions::Both),
        (true, false) => Ok(TlsVersions::Only12),
        (false, true) => Ok(TlsVersions::Only13),
        (false, false) => Err(InvalidFunctions::NoTls),
    }
}

fn hsts(setting: &Setting) -> Result<Option<Hsts>, InvalidFunctions> {
    /// Two months, as the documentation recommends.
    const MAX_AGE_S: u32 = 5_184_000;
    let enabled = flag(setting, HSTS, "enabled")?.unwrap_or(false);
    let include_subdomains = flag(setting, HSTS, "https_hsts_include_subdomains")?.unwrap_or(false);
    let given = value(setting, "https_hsts_max_age").filter(|text| !text.is_empty());
    let max_age_s = match given {
        None => MAX_AGE_S,
        Some(text) => text.parse().map_err(|_| InvalidFunctions::Argument {
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
) -> Result<Option<bool>, InvalidFunctions> {
    match value(setting, argument) {
        None | Some("") => Ok(None),
        Some(on) if on.eq_ignore_ascii_case("on") => Ok(Some(true)),
        Some(off) if off.eq_ignore_ascii_case("off") => Ok(Some(false)),
        Some(other) => Err(InvalidFunctions::Argument {
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

impl ApiError for InvalidFunctions {
    fn code(&self) -> Code {
        match self {
            Self::Missing => Code::MissingFunctions,
            Self::NotJson { .. }
            | Self::Shape { .. }
            | Self::NoSetting { .. }
            | Self::TooMany { .. }
            | Self::TooLong { .. } => Code::InvalidFunctions,
            Self::Name { .. } => Code::FunctionNotSupported,
            Self::Argument { .. } | Self::NoTls => Code::InvalidArgValue,
        }
    }

    fn wire_code(&self) -> String {
        let wire = self.code().spec().wire_code;
        match self {
            Self::Name { given } => {
                let name: String = given.chars().filter(char::is_ascii_alphanumeric).collect();
                wire.replace("{FunctionName}", &name)
            }
            _ => wire.to_owned(),
        }
    }

    fn message(&self) -> String {
        let message = self.code().spec().message;
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
