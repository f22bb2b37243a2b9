//! `SetForceRedirectConfig` of 2014: one scheme is redirected to the other, or none is.

use edgeseal_core::{Pattern, delivery::Redirect, domain::Environment};

use super::{
    configure::{self, Error},
    functions, named_domain,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation},
    request::Params,
};

/// The operation.
pub struct SetForceRedirectConfig;

impl Operation for SetForceRedirectConfig {
    type Params = (Pattern, Option<Redirect>);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
        Code::DomainOffline,
        Code::MissingRedirectType,
        Code::InvalidRedirectType,
        Code::InvalidFunctions,
    ];

    fn parse(params: &Params) -> Result<(Pattern, Option<Redirect>), Error> {
        let name = named_domain::name(params)?;
        let given = params.given("RedirectType").unwrap_or_default();
        let to = match given.to_ascii_lowercase().as_str() {
            "off" => None,
            "http" => Some(Redirect::ToHttp),
            "https" => Some(Redirect::ToHttps),
            _ => {
                return Err(Error::RedirectType {
                    given: given.chars().take(40).collect(),
                });
            }
        };
        Ok((name, to))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, to): (Pattern, Option<Redirect>),
    ) -> Result<Done<Nothing>, Error> {
        let (names, environment) = (std::slice::from_ref(&name), Environment::Production);
        let functions = functions::redirect(to);
        let (revision, _) = configure::set(context, call, names, &functions, environment).await?;
        Ok(Done::served(revision, environment))
    }
}
