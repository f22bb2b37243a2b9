//! What RAM's parameters must be.

use edgeseal_core::{
    identity::{InvalidName, PolicyKind, PolicyName, PolicyRef, RoleName, UserName},
    policy::InvalidPolicy,
};

use crate::{
    code::Code,
    operation::{Failure, shown},
    request::Params,
};

/// Why a parameter is not taken. Each parameter has its own codes, so they come with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadParameter {
    /// It is not there.
    #[error("{parameter} is not given")]
    Missing {
        /// Which.
        parameter: &'static str,
        /// Its code for that.
        code: Code,
    },
    /// It is no name.
    #[error("{parameter}: {why}")]
    Name {
        /// Which.
        parameter: &'static str,
        /// What is wrong with it.
        why: InvalidName,
        /// Its code for that.
        code: Code,
    },
    /// It is no policy.
    #[error("{parameter}: {why}")]
    Document {
        /// Which.
        parameter: &'static str,
        /// What is wrong with it, and where.
        why: InvalidPolicy,
        /// Its code for that.
        code: Code,
    },
    /// It is too long.
    #[error("{parameter} has {length} characters; at most {max} are allowed")]
    Length {
        /// Which.
        parameter: &'static str,
        /// Its length in characters.
        length: usize,
        /// The most that it may have.
        max: usize,
        /// Its code for that.
        code: Code,
    },
    /// It is not of the form that is needed.
    #[error("{parameter} is {given:?}; it must be {expected}")]
    Value {
        /// Which.
        parameter: &'static str,
        /// What was given, shortened.
        given: String,
        /// The form that is needed.
        expected: &'static str,
        /// Its code for that.
        code: Code,
    },
}

/// A parameter that holds a name, with its codes.
struct Named {
    parameter: &'static str,
    missing: Code,
    chars: Code,
    length: Code,
}

const USER: Named = Named {
    parameter: "UserName",
    missing: Code::MissingUserName,
    chars: Code::UserNameChars,
    length: Code::UserNameLength,
};
/// It may be absent, so it is never missing.
const NEW_USER: Named = Named {
    parameter: "NewUserName",
    missing: Code::NewUserNameLength,
    chars: Code::NewUserNameChars,
    length: Code::NewUserNameLength,
};
const ROLE: Named = Named {
    parameter: "RoleName",
    missing: Code::MissingRoleName,
    chars: Code::RoleNameChars,
    length: Code::RoleNameLength,
};
const POLICY: Named = Named {
    parameter: "PolicyName",
    missing: Code::MissingPolicyName,
    chars: Code::PolicyNameChars,
    length: Code::PolicyNameLength,
};

/// Characters of a description at most (the page of RAM's errors).
pub(super) const DESCRIPTION_MAX: usize = 1024;
/// Characters of comments at most (the same page).
pub(super) const COMMENTS_MAX: usize = 128;
/// A display name has these besides letters and digits of any script (the page of RAM's errors).
const DISPLAY_NAME_MARKS: &str = "@._-";
/// Characters of a display name at most (the same page).
const DISPLAY_NAME_MAX: usize = 128;

impl BadParameter {
    pub(super) fn value(
        parameter: &'static str,
        given: &str,
        expected: &'static str,
        code: Code,
    ) -> Self {
        Self::Value {
            parameter,
            given: shown(given),
            expected,
            code,
        }
    }
}

/// The user that must be named.
pub(super) fn user(params: &Params) -> Result<UserName, BadParameter> {
    USER.required(params, UserName::parse)
}

/// The user that may be named.
pub(super) fn user_if_named(params: &Params) -> Result<Option<UserName>, BadParameter> {
    USER.given(params, UserName::parse)
}

/// The name that a user is to have.
pub(super) fn new_user(params: &Params) -> Result<Option<UserName>, BadParameter> {
    NEW_USER.given(params, UserName::parse)
}

/// The role that must be named.
pub(super) fn role(params: &Params) -> Result<RoleName, BadParameter> {
    ROLE.required(params, RoleName::parse)
}

/// The policy that must be named, of whichever type.
pub(super) fn policy(params: &Params) -> Result<PolicyName, BadParameter> {
    POLICY.required(params, PolicyName::parse)
}

/// The policy that must be named with its type.
pub(super) fn policy_ref(params: &Params) -> Result<PolicyRef, BadParameter> {
    let given = required(params, "PolicyType", Code::MissingPolicyType)?;
    Ok(PolicyRef::new(kind(given)?, policy(params)?))
}

/// The type of policies that may be named.
pub(super) fn kind_if_named(params: &Params) -> Result<Option<PolicyKind>, BadParameter> {
    params.given("PolicyType").map(kind).transpose()
}

/// The number in a version's name, `v1` and so on.
pub(super) fn version(params: &Params) -> Result<u32, BadParameter> {
    let given = required(params, "VersionId", Code::MissingVersionId)?;
    let digits = given
        .strip_prefix('v')
        .filter(|digits| !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| {
            let expected = "v and a number, as in v2";
            BadParameter::value("VersionId", given, expected, Code::VersionIdFormat)
        })
}

/// A policy as it was written, which `parse` understands.
pub(super) fn document<T>(
    text: &str,
    parameter: &'static str,
    too_long: Code,
    parse: fn(&str) -> Result<T, InvalidPolicy>,
) -> Result<String, BadParameter> {
    match parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(why) => Err(BadParameter::Document {
            parameter,
            code: match why {
                InvalidPolicy::TooLong { .. } => too_long,
                _ => Code::MalformedPolicyDocument,
            },
            why,
        }),
    }
}

/// A number of seconds that a session may last; `None` if the parameter is absent.
pub(super) fn session_length(
    params: &Params,
    parameter: &'static str,
    code: Code,
) -> Result<Option<u32>, BadParameter> {
    // The page of `CreateRole`; sessions themselves may be shorter.
    const RANGE_S: std::ops::RangeInclusive<u32> = 3600..=43_200;
    let Some(given) = params.given(parameter) else {
        return Ok(None);
    };
    let seconds = given.trim().parse().ok();
    match seconds.filter(|seconds| RANGE_S.contains(seconds)) {
        Some(seconds) => Ok(Some(seconds)),
        None => {
            let expected = "a number of seconds from 3600 to 43200";
            Err(BadParameter::value(parameter, given, expected, code))
        }
    }
}

/// A parameter that must be there.
pub(super) fn required<'a>(
    params: &'a Params,
    parameter: &'static str,
    code: Code,
) -> Result<&'a str, BadParameter> {
    params
        .given(parameter)
        .ok_or(BadParameter::Missing { parameter, code })
}

/// A text of at most `max` characters; `None` if the parameter is absent. It may be empty.
pub(super) fn text(
    params: &Params,
    parameter: &'static str,
    max: usize,
    code: Code,
) -> Result<Option<String>, BadParameter> {
    let Some(text) = params.get(parameter) else {
        return Ok(None);
    };
    let length = text.chars().count();
    if length > max {
        return Err(BadParameter::Length {
            parameter,
            length,
            max,
            code,
        });
    }
    Ok(Some(text.to_owned()))
}

/// A display name; `None` if the parameter is absent. It may be empty.
pub(super) fn display_name(
    params: &Params,
    parameter: &'static str,
    (chars, length): (Code, Code),
) -> Result<Option<String>, BadParameter> {
    let name = text(params, parameter, DISPLAY_NAME_MAX, length)?;
    let good = |c: char| c.is_alphanumeric() || DISPLAY_NAME_MARKS.contains(c);
    match name {
        Some(name) if !name.chars().all(good) => {
            let expected = "letters, digits, @, dots, dashes and underscores only";
            Err(BadParameter::value(parameter, &name, expected, chars))
        }
        name => Ok(name),
    }
}

/// A phone number as RAM writes it, `86-18600008888`; `None` if the parameter is absent.
pub(super) fn phone(
    params: &Params,
    parameter: &'static str,
    code: Code,
) -> Result<Option<String>, BadParameter> {
    let digits = |part: &str, max: usize| {
        (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    let good = |text: &str| {
        let parts = text.split_once('-');
        parts.is_some_and(|(country, number)| digits(country, 4) && digits(number, 20))
    };
    let expected = "a country code, a dash and a number, as in 86-18600008888";
    formed(params, parameter, good, expected, code)
}

/// A mail address, as far as its form can tell; `None` if the parameter is absent.
pub(super) fn email(
    params: &Params,
    parameter: &'static str,
    code: Code,
) -> Result<Option<String>, BadParameter> {
    // RFC 5321 §4.5.3.1.3: a path has 256 octets, two of them brackets.
    const OCTETS_MAX: usize = 254;
    let good = |text: &str| {
        let parts = text.rsplit_once('@');
        let plain = |part: &str| {
            let bad = |c: char| c.is_whitespace() || c.is_control() || c == '@';
            !part.is_empty() && !part.contains(bad)
        };
        text.len() <= OCTETS_MAX
            && parts
                .is_some_and(|(name, domain)| plain(name) && plain(domain) && domain.contains('.'))
    };
    formed(params, parameter, good, "a mail address", code)
}

/// `true` or `false`, which some SDKs begin with a capital; `false` if the parameter is absent.
pub(super) fn flag(
    params: &Params,
    parameter: &'static str,
    code: Code,
) -> Result<bool, BadParameter> {
    let given = params.given(parameter).unwrap_or("false");
    match given.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(BadParameter::value(parameter, given, "true or false", code)),
    }
}

/// Refuses tags: there are none of policies and roles, and to pass over a filter would show what
/// was not asked for.
pub(super) fn no_tags(params: &Params) -> Result<(), BadParameter> {
    let is_tag = |name: &str| name == "Tag" || name.starts_with("Tag.");
    match params.iter().find(|(name, _)| is_tag(name)) {
        Some((_, given)) => {
            let expected = "left out: policies and roles have no tags here";
            Err(BadParameter::value("Tag", given, expected, Code::TagValue))
        }
        None => Ok(()),
    }
}

fn kind(given: &str) -> Result<PolicyKind, BadParameter> {
    match given {
        "System" => Ok(PolicyKind::System),
        "Custom" => Ok(PolicyKind::Custom),
        _ => {
            let code = Code::PolicyTypeValue;
            Err(BadParameter::value(
                "PolicyType",
                given,
                "System or Custom",
                code,
            ))
        }
    }
}

impl Named {
    fn required<T>(
        &self,
        params: &Params,
        parse: fn(&str) -> Result<T, InvalidName>,
    ) -> Result<T, BadParameter> {
        let missing = BadParameter::Missing {
            parameter: self.parameter,
            code: self.missing,
        };
        self.given(params, parse)?.ok_or(missing)
    }

    fn given<T>(
        &self,
        params: &Params,
        parse: fn(&str) -> Result<T, InvalidName>,
    ) -> Result<Option<T>, BadParameter> {
        let name = params.given(self.parameter).map(parse).transpose();
        name.map_err(|why| BadParameter::Name {
            parameter: self.parameter,
            code: match why {
                InvalidName::Length { .. } => self.length,
                InvalidName::Character { .. } => self.chars,
            },
            why,
        })
    }
}

/// A text that `good` finds well-formed, or an empty one; `None` if the parameter is absent.
fn formed(
    params: &Params,
    parameter: &'static str,
    good: impl Fn(&str) -> bool,
    expected: &'static str,
    code: Code,
) -> Result<Option<String>, BadParameter> {
    match params.get(parameter) {
        Some(text) if !text.is_empty() && !good(text) => {
            Err(BadParameter::value(parameter, text, expected, code))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

impl Failure for BadParameter {
    fn code(&self) -> Code {
        match self {
            Self::Missing { code, .. }
            | Self::Name { code, .. }
            | Self::Document { code, .. }
            | Self::Length { code, .. }
            | Self::Value { code, .. } => *code,
        }
    }

    /// What is wrong with a policy stands in the message too, as it does on the cloud.
    fn message(&self) -> String {
        match self {
            Self::Document { why, code, .. } if *code == Code::MalformedPolicyDocument => {
                why.to_string()
            }
            other => other.code().row().message.to_owned(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(self.to_string())
    }
}

#[cfg(test)]
mod tests;
