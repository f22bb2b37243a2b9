//! `https_tls_version`: `tls10` … `tls13` accept a version of TLS. The edge speaks 1.2 and 1.3,
//! which are on by default, and nothing older: `tls10` and `tls11` are only stored.

use edgeseal_core::delivery::TlsVersions;

use super::{Arguments, Effect, InvalidFunctions, SupportedFunction};

pub(super) const HTTPS_TLS_VERSION: SupportedFunction = SupportedFunction {
    apply: |arguments, delivery| {
        delivery.tls = versions(arguments)?;
        Ok(())
    },
    effect: |arguments| Effect::part_if(arguments.is_on("tls10") || arguments.is_on("tls11")),
    ..SupportedFunction::named("https_tls_version")
};

fn versions(arguments: Arguments<'_>) -> Result<TlsVersions, InvalidFunctions> {
    for old in ["tls10", "tls11"] {
        arguments.flag(old)?;
    }
    let tls12 = arguments.flag("tls12")?.unwrap_or(true);
    let tls13 = arguments.flag("tls13")?.unwrap_or(true);
    match (tls12, tls13) {
        (true, true) => Ok(TlsVersions::Both),
        (true, false) => Ok(TlsVersions::Only12),
        (false, true) => Ok(TlsVersions::Only13),
        (false, false) => Err(InvalidFunctions::NoTls),
    }
}
