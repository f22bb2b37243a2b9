//! `HSTS`: with `enabled` the edge sends the header, for `https_hsts_max_age` seconds and, with
//! `https_hsts_include_subdomains`, for the subdomains too.

use edgeseal_core::delivery::Hsts;

use super::{Arguments, InvalidFunctions, SupportedFunction};

/// Two months, as the documentation recommends.
const MAX_AGE_S: u32 = 5_184_000;

pub(super) const HSTS: SupportedFunction = SupportedFunction {
    apply: |arguments, delivery| {
        delivery.hsts = hsts(arguments)?;
        Ok(())
    },
    ..SupportedFunction::named("HSTS")
};

fn hsts(arguments: Arguments<'_>) -> Result<Option<Hsts>, InvalidFunctions> {
    const MAX_AGE: &str = "https_hsts_max_age";
    let enabled = arguments.flag("enabled")?.unwrap_or(false);
    let include_subdomains = arguments
        .flag("https_hsts_include_subdomains")?
        .unwrap_or(false);
    let max_age_s = match arguments.text(MAX_AGE) {
        None => MAX_AGE_S,
        Some(text) => text
            .parse()
            .map_err(|_| arguments.invalid(MAX_AGE, "a number of seconds"))?,
    };
    Ok(enabled.then_some(Hsts {
        max_age_s,
        include_subdomains,
    }))
}
