//! Configuration functions: settings of a domain under the cloud's names.
//!
//! Each function that the edge supports has a file and a row in [`SUPPORTED`]: from a setting's
//! arguments it derives what the edge applies, [`DeliveryConfig`]. Any other function is stored and
//! returned, without effect.

use edgeseal_core::delivery::{DeliveryConfig, HeaderChange, ResponseHeader, Setting};
use serde::Serialize;

mod arguments;
mod error;
mod facts;
mod parse;

mod force_redirect;
mod hsts;
mod https_option;
mod https_tls_version;
mod set_resp_header;

use arguments::Arguments;
pub(super) use error::InvalidFunctions;
pub(super) use facts::by_id;
pub(super) use force_redirect::{redirect, staged_redirect_off};
pub(super) use parse::{names, parse};

/// The functions that the edge supports; each has its file.
static SUPPORTED: [SupportedFunction; 6] = [
    https_option::HTTPS_OPTION,
    force_redirect::HTTPS_FORCE,
    force_redirect::HTTP_FORCE,
    https_tls_version::HTTPS_TLS_VERSION,
    hsts::HSTS,
    set_resp_header::SET_RESP_HEADER,
];

/// A function that the edge supports.
struct SupportedFunction {
    name: &'static str,
    /// Reads the arguments and sets what the edge applies.
    apply: fn(Arguments<'_>, &mut DeliveryConfig) -> Result<(), InvalidFunctions>,
    /// How much of these arguments the edge applies.
    effect: fn(Arguments<'_>) -> Effect,
}

/// How much of a setting the edge applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Effect {
    /// All of it.
    Edge,
    /// Some of its arguments.
    Part,
    /// Nothing: it is only stored.
    None,
}

/// Most settings of a domain.
pub(super) const SETTINGS_MAX: usize = 100;
/// Longest name of a function, in characters.
const NAME_MAX: usize = 64;
/// Most bytes of the arguments of one function.
const ARGUMENTS_MAX: usize = 16 * 1024;
/// Most bytes of the arguments of all functions of a domain: the record must fit into the store,
/// even if the staged settings are as long.
const ALL_ARGUMENTS_MAX: usize = 64 * 1024;

/// Most bytes of the names and values of the response headers that a domain changes: they are in
/// the memory of every edge, and in every response.
const RESPONSE_HEADERS_MAX: usize = 4 * 1024;

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

impl Effect {
    /// The effect of a function, some of whose arguments are ignored if `ignored`.
    const fn part_if(ignored: bool) -> Self {
        if ignored { Self::Part } else { Self::Edge }
    }
}

impl SupportedFunction {
    /// A function that applies nothing yet.
    const fn named(name: &'static str) -> Self {
        Self {
            name,
            apply: |_, _| Ok(()),
            effect: |_| Effect::Edge,
        }
    }

    /// The function of this setting, with the setting's arguments. `None` if the edge does not
    /// support the function, or the setting has a condition (its parent): the edge does not
    /// evaluate conditions, and applying the setting to every request would be wrong.
    fn of(setting: &Setting) -> Option<(&'static Self, Arguments<'_>)> {
        let function = SUPPORTED.iter().find(|one| one.name == setting.name)?;
        let arguments = Arguments::of(function.name, setting);
        setting.parent.is_none().then_some((function, arguments))
    }
}

/// How much of a setting the edge applies.
pub(super) fn effect(setting: &Setting) -> Effect {
    match SupportedFunction::of(setting) {
        // Stored before the edge supported the function, with arguments that it does not.
        Some((function, arguments)) if is_invalid(function, arguments) => Effect::None,
        Some((function, arguments)) => (function.effect)(arguments),
        None => Effect::None,
    }
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
    let repeatable = facts::is_repeatable(&function.name);
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
        None if repeatable => None,
        None => settings.iter().position(|have| have.name == function.name),
    };
    let setting = Setting {
        id: present.map_or(new_id, |at| settings[at].id),
        name: function.name.clone(),
        arguments: function.arguments.clone(),
        repeatable,
        parent: function.parent,
    };
    let id = setting.id;
    force_redirect::replace_redirect(settings, &setting);
    let at = present.unwrap_or(settings.len());
    match settings.get_mut(at) {
        Some(replaced) => *replaced = setting,
        None => settings.push(setting),
    }
    check_size(settings)?;
    if let Some((function, arguments)) = SupportedFunction::of(&settings[at]) {
        (function.apply)(arguments, &mut DeliveryConfig::default())?;
    }
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
        // This includes the overhead of the record.
        .map(|(name, value)| name.len() + value.len() + 8)
        .sum()
}

fn is_invalid(function: &SupportedFunction, arguments: Arguments<'_>) -> bool {
    (function.apply)(arguments, &mut DeliveryConfig::default()).is_err()
}

/// What the edge applies of these settings. Those with arguments that the edge does not support
/// have no effect: [`set`] refuses them, but they may have been stored before the edge supported
/// the function, and must not prevent other changes.
///
/// # Errors
/// The settings are too many or too long in total.
pub(super) fn derive(settings: &[Setting]) -> Result<DeliveryConfig, InvalidFunctions> {
    check_size(settings)?;
    let mut delivery = DeliveryConfig::default();
    for (function, arguments) in settings.iter().filter_map(SupportedFunction::of) {
        let mut changed = delivery.clone();
        if (function.apply)(arguments, &mut changed).is_ok() {
            delivery = changed;
        }
    }
    let bytes = delivery.response_headers.iter().map(header_bytes).sum();
    if bytes > RESPONSE_HEADERS_MAX {
        return Err(InvalidFunctions::HeadersTooLong { bytes });
    }
    Ok(delivery)
}

fn header_bytes(header: &ResponseHeader) -> usize {
    let value = match &header.change {
        HeaderChange::Set(value) | HeaderChange::Append(value) => value.len(),
        HeaderChange::Remove => 0,
    };
    header.name.len() + value
}

#[cfg(test)]
mod tests;
