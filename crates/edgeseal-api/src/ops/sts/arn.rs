//! Parses the ARNs in parameters: `acs:ram::{account}:role/{name}` and similar.

use std::fmt;

use edgeseal_core::{AccountId, identity::RoleName};

/// Longest ARN, in characters.
const ARN_MAX: usize = 255;

/// A role, with the account that owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoleArn {
    pub(super) account: AccountId,
    pub(super) name: RoleName,
}

/// An identity provider, with the account that owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OidcProviderArn {
    pub(super) account: AccountId,
    pub(super) name: String,
}

impl RoleArn {
    /// Parses `acs:ram::{account}:role/{name}` in exactly this form, because policies compare the
    /// ARN as given.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (account, name) = split(text, "role/")?;
        let name = RoleName::parse(name).ok()?;
        Some(Self { account, name })
    }
}

impl OidcProviderArn {
    /// Parses `acs:ram::{account}:oidc-provider/{name}`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (account, name) = split(text, "oidc-provider/")?;
        let good = |b: u8| b.is_ascii_alphanumeric() || b".-_@".contains(&b);
        let well_formed = !name.is_empty() && name.bytes().all(good);
        well_formed.then(|| Self {
            account,
            name: name.to_owned(),
        })
    }
}

fn split<'a>(text: &'a str, kind: &str) -> Option<(AccountId, &'a str)> {
    let short = Some(text).filter(|text| text.len() <= ARN_MAX)?;
    let (account, rest) = short.strip_prefix("acs:ram::")?.split_once(':')?;
    Some((AccountId::parse(account).ok()?, rest.strip_prefix(kind)?))
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "acs:ram::{}:role/{}", self.account, self.name)
    }
}

impl fmt::Display for OidcProviderArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "acs:ram::{}:oidc-provider/{}", self.account, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_form_is_an_arn() {
        let role = "acs:ram::1234567890123456:role/deploy.er-1_x";
        assert_eq!(RoleArn::parse(role).unwrap().to_string(), role);
        let provider = "acs:ram::1234567890123456:oidc-provider/ci@x";
        assert_eq!(
            OidcProviderArn::parse(provider).unwrap().to_string(),
            provider
        );
        for text in [
            "",
            "deployer",
            "acs:ram::1234567890123456:role/",
            "acs:ram::1234567890123456:role/a/b",
            "acs:ram::1234567890123456:role/*",
            "acs:ram::1234567890123456:user/a",
            "acs:ram::1234567890123456:Role/a",
            "acs:ram:*:1234567890123456:role/a",
            "acs:ram::123:role/a",
            " acs:ram::1234567890123456:role/a",
            "acs:ram::1234567890123456:role/a ",
            "arn:aws:iam::1234567890123456:role/a",
        ] {
            assert_eq!(RoleArn::parse(text), None, "{text:?}");
            assert_eq!(OidcProviderArn::parse(text), None, "{text:?}");
        }
    }
}
