//! `https_force` and `http_force`: `enable` redirects HTTP to HTTPS, or HTTPS to HTTP. Both would
//! loop: enabling one disables the other.

use edgeseal_core::delivery::{Redirect, Setting};

use super::{Arguments, Function, SupportedFunction};
use crate::ops::cdn::wire_names::WireName as _;

pub(super) const HTTPS_FORCE: SupportedFunction = SupportedFunction {
    apply: |arguments, delivery| {
        if arguments.flag(ENABLE)? == Some(true) {
            delivery.redirect = Some(Redirect::ToHttps);
        }
        Ok(())
    },
    ..SupportedFunction::named(TO_HTTPS)
};

pub(super) const HTTP_FORCE: SupportedFunction = SupportedFunction {
    apply: |arguments, delivery| {
        if arguments.flag(ENABLE)? == Some(true) {
            delivery.redirect = Some(Redirect::ToHttp);
        }
        Ok(())
    },
    ..SupportedFunction::named(TO_HTTP)
};

const TO_HTTPS: &str = "https_force";
const TO_HTTP: &str = "http_force";
const ENABLE: &str = "enable";

/// The two functions that set this redirect, or none.
pub(in crate::ops::cdn) fn redirect(to: Option<Redirect>) -> Vec<Function> {
    let force = |name: &str, on: bool| Function {
        name: name.to_owned(),
        arguments: vec![(ENABLE.to_owned(), on.wire_name().to_owned())],
        id: None,
        parent: None,
    };
    vec![
        force(TO_HTTPS, to == Some(Redirect::ToHttps)),
        force(TO_HTTP, to == Some(Redirect::ToHttp)),
    ]
}

/// Disables every redirect of `settings` if `new` enables one.
pub(super) fn replace_redirect(settings: &mut [Setting], new: &Setting) {
    if !is_redirect_on(new) {
        return;
    }
    let enabled = settings.iter_mut().filter(|have| is_redirect_on(have));
    for (name, word) in enabled.flat_map(|have| &mut have.arguments) {
        if name == ENABLE {
            "off".clone_into(word);
        }
    }
}

/// The setting that must be staged with `staged` so that not both redirects are enabled: the other
/// redirect, disabled. `None` if nothing is missing.
pub(in crate::ops::cdn) fn staged_redirect_off(
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
        arguments: vec![(ENABLE.to_owned(), "off".to_owned())],
        repeatable: false,
        parent: None,
    })
}

fn is_redirect_on(setting: &Setting) -> bool {
    [TO_HTTPS, TO_HTTP]
        .iter()
        .any(|name| *name == setting.name && Arguments::of(name, setting).is_on(ENABLE))
}
