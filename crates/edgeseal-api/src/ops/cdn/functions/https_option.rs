//! `https_option`: `http2` offers HTTP/2 (on by default). `ocsp_stapling` is only stored: the edge
//! does not staple OCSP responses (decision 22).

use super::{Effect, SupportedFunction};

pub(super) const HTTPS_OPTION: SupportedFunction = SupportedFunction {
    apply: |arguments, delivery| {
        delivery.http2 = arguments.flag("http2")?.unwrap_or(true);
        arguments.flag("ocsp_stapling")?;
        Ok(())
    },
    effect: |arguments| Effect::part_if(arguments.is_on("ocsp_stapling")),
    ..SupportedFunction::named("https_option")
};
