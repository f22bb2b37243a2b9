//! `SetForceRedirectConfig` of version 2014-11-11: redirects one scheme to the other, or disables
//! redirects.

use edgeseal_core::{DomainPattern, delivery::Redirect, domain::Environment};

use super::{
    configure::{self, Error},
    domain_lookup, functions,
};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{EmptyReply, Input, Operation, Success},
    sanitize::sanitize,
};

/// `SetForceRedirectConfig`.
pub struct SetForceRedirectConfig;

impl Operation for SetForceRedirectConfig {
    type Params = (DomainPattern, Option<Redirect>);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(DomainPattern, Option<Redirect>), Error> {
        let name = domain_lookup::parse_name(params)?;
        let given = params.get_non_empty("RedirectType").unwrap_or_default();
        let to = match given.to_ascii_lowercase().as_str() {
            "off" => None,
            "http" => Some(Redirect::ToHttp),
            "https" => Some(Redirect::ToHttps),
            _ => {
                return Err(Error::RedirectType {
                    given: sanitize(given),
                });
            }
        };
        Ok((name, to))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, to): (DomainPattern, Option<Redirect>),
    ) -> Result<Success<EmptyReply>, Error> {
        let (names, environment) = (std::slice::from_ref(&name), Environment::Production);
        let functions = functions::redirect(to);
        let (revision, _) = configure::set(context, call, names, &functions, environment).await?;
        Ok(Success::served(revision, environment))
    }
}
