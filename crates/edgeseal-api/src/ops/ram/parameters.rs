//! Validation of RAM's parameters.

use edgeseal_core::{
    identity::{InvalidIdentityName, PolicyKind, PolicyName, PolicyRef, RoleName, UserName},
    policy::InvalidPolicy,
};

use crate::{code::Code, error::ApiError, request::ParamMap, sanitize::sanitize};

/// Why a parameter is invalid. Each parameter has its own codes, so the error carries the code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParameter {
    /// The parameter is absent.
    #[error("{parameter} is not given")]
    Missing {
        /// The parameter.
        parameter: &'static str,
        /// The code for it.
        code: Code,
    },
    /// An invalid name.
    #[error("{parameter}: {reason}")]
    Name {
        /// The parameter.
        parameter: &'static str,
        /// The cause.
        reason: InvalidIdentityName,
        /// The code for it.
        code: Code,
    },
    /// An invalid policy.
    #[error("{parameter}: {reason}")]
    Document {
        /// The parameter.
        parameter: &'static str,
        /// The cause, with its position.
        reason: InvalidPolicy,
        /// The code for it.
        code: Code,
    },
    /// The value is too long.
    #[error("{parameter} has {length} characters; at most {max} are allowed")]
    Length {
        /// The parameter.
        parameter: &'static str,
        /// Its length in characters.
        length: usize,
        /// The longest allowed, in characters.
        max: usize,
        /// The code for it.
        code: Code,
    },
    /// An invalid value.
    #[error("{parameter} is {given:?}; it must be {expected}")]
    Value {
        /// The parameter.
        parameter: &'static str,
        /// The value given, shortened.
        given: String,
        /// The expected form.
        expected: &'static str,
        /// The code for it.
        code: Code,
    },
}

/// A parameter that holds a name, with its codes.
struct NameParam {
    parameter: &'static str,
    missing: Code,
    chars: Code,
    length: Code,
}

const USER: NameParam = NameParam {
    parameter: "UserName",
    missing: Code::MissingUserName,
    chars: Code::UserNameChars,
    length: Code::UserNameLength,
};
/// `NewUserName` is optional, so its code for a missing name is never used.
const NEW_USER: NameParam = NameParam {
    parameter: "NewUserName",
    missing: Code::NewUserNameLength,
    chars: Code::NewUserNameChars,
    length: Code::NewUserNameLength,
};
const ROLE: NameParam = NameParam {
    parameter: "RoleName",
    missing: Code::MissingRoleName,
    chars: Code::RoleNameChars,
    length: Code::RoleNameLength,
};
const POLICY: NameParam = NameParam {
    parameter: "PolicyName",
    missing: Code::MissingPolicyName,
    chars: Code::PolicyNameChars,
    length: Code::PolicyNameLength,
};

/// Longest description, in characters (the page of RAM's errors).
pub(super) const DESCRIPTION_MAX: usize = 1024;
/// Longest comments, in characters (the same page).
pub(super) const COMMENTS_MAX: usize = 128;
/// Characters of a display name besides letters and digits of any script (the page of RAM's
/// errors).
const DISPLAY_NAME_MARKS: &str = "@._-";
/// Longest display name, in characters (the same page).
const DISPLAY_NAME_MAX: usize = 128;

impl InvalidParameter {
    pub(super) fn value(
        parameter: &'static str,
        given: &str,
        expected: &'static str,
        code: Code,
    ) -> Self {
        Self::Value {
            parameter,
            given: sanitize(given),
            expected,
            code,
        }
    }
}

/// The user, a required parameter.
pub(super) fn user(params: &ParamMap) -> Result<UserName, InvalidParameter> {
    USER.required(params, UserName::parse)
}

/// The user, an optional parameter.
pub(super) fn optional_user(params: &ParamMap) -> Result<Option<UserName>, InvalidParameter> {
    USER.given(params, UserName::parse)
}

/// The new name of a user.
pub(super) fn new_user(params: &ParamMap) -> Result<Option<UserName>, InvalidParameter> {
    NEW_USER.given(params, UserName::parse)
}

/// The role, a required parameter.
pub(super) fn role(params: &ParamMap) -> Result<RoleName, InvalidParameter> {
    ROLE.required(params, RoleName::parse)
}

/// The custom policy, a required parameter. Another policy type is refused rather than ignored,
/// because the caller was authorized for a policy of the given type.
pub(super) fn custom_policy(params: &ParamMap) -> Result<PolicyName, InvalidParameter> {
    let name = POLICY.required(params, PolicyName::parse)?;
    match params.get_non_empty("PolicyType") {
        None | Some("Custom") => Ok(name),
        Some(given) => {
            let expected = "Custom: only custom policies can be changed";
            let code = Code::PolicyTypeValue;
            Err(InvalidParameter::value("PolicyType", given, expected, code))
        }
    }
}

/// The policy with its type, both required parameters.
pub(super) fn policy_ref(params: &ParamMap) -> Result<PolicyRef, InvalidParameter> {
    let given = required(params, "PolicyType", Code::MissingPolicyType)?;
    Ok(PolicyRef::new(
        kind(given)?,
        POLICY.required(params, PolicyName::parse)?,
    ))
}

/// The policy type, an optional parameter.
pub(super) fn optional_policy_kind(
    params: &ParamMap,
) -> Result<Option<PolicyKind>, InvalidParameter> {
    params.get_non_empty("PolicyType").map(kind).transpose()
}

/// The number in a version's name, `v1` and so on.
pub(super) fn version(params: &ParamMap) -> Result<u32, InvalidParameter> {
    let given = required(params, "VersionId", Code::MissingVersionId)?;
    let digits = given
        .strip_prefix('v')
        .filter(|digits| !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| {
            let expected = "v and a number, as in v2";
            InvalidParameter::value("VersionId", given, expected, Code::VersionIdFormat)
        })
}

/// A policy document as written, checked with `parse`.
pub(super) fn document<T>(
    text: &str,
    parameter: &'static str,
    too_long: Code,
    parse: fn(&str) -> Result<T, InvalidPolicy>,
) -> Result<String, InvalidParameter> {
    match parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(reason) => Err(InvalidParameter::Document {
            parameter,
            code: match reason {
                InvalidPolicy::TooLong { .. } => too_long,
                _ => Code::MalformedPolicyDocument,
            },
            reason,
        }),
    }
}

/// The longest duration of a role's sessions, in seconds; `None` if the parameter is absent.
pub(super) fn session_length(
    params: &ParamMap,
    parameter: &'static str,
    code: Code,
) -> Result<Option<u32>, InvalidParameter> {
    // From the page of `CreateRole`; a session itself may be shorter.
    const RANGE_S: std::ops::RangeInclusive<u32> = 3600..=43_200;
    let Some(given) = params.get_non_empty(parameter) else {
        return Ok(None);
    };
    let seconds = given.trim().parse().ok();
    match seconds.filter(|seconds| RANGE_S.contains(seconds)) {
        Some(seconds) => Ok(Some(seconds)),
        None => {
            let expected = "a number of seconds from 3600 to 43200";
            Err(InvalidParameter::value(parameter, given, expected, code))
        }
    }
}

/// A required parameter.
pub(super) fn required<'a>(
    params: &'a ParamMap,
    parameter: &'static str,
    code: Code,
) -> Result<&'a str, InvalidParameter> {
    params
        .get_non_empty(parameter)
        .ok_or(InvalidParameter::Missing { parameter, code })
}

/// A text of at most `max` characters; `None` if the parameter is absent. It may be empty.
pub(super) fn text(
    params: &ParamMap,
    parameter: &'static str,
    max: usize,
    code: Code,
) -> Result<Option<String>, InvalidParameter> {
    let Some(text) = params.get(parameter) else {
        return Ok(None);
    };
    let length = text.chars().count();
    if length > max {
        return Err(InvalidParameter::Length {
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
    params: &ParamMap,
    parameter: &'static str,
    (chars, length): (Code, Code),
) -> Result<Option<String>, InvalidParameter> {
    let name = text(params, parameter, DISPLAY_NAME_MAX, length)?;
    let good = |c: char| c.is_alphanumeric() || DISPLAY_NAME_MARKS.contains(c);
    match name {
        Some(name) if !name.chars().all(good) => {
            let expected = "letters, digits, @, dots, dashes and underscores only";
            Err(InvalidParameter::value(parameter, &name, expected, chars))
        }
        name => Ok(name),
    }
}

/// A phone number as RAM writes it, `86-18600008888`; `None` if the parameter is absent.
pub(super) fn phone(
    params: &ParamMap,
    parameter: &'static str,
    code: Code,
) -> Result<Option<String>, InvalidParameter> {
    let digits = |part: &str, max: usize| {
        (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    let good = |text: &str| {
        let parts = text.split_once('-');
        parts.is_some_and(|(country, number)| digits(country, 4) && digits(number, 20))
    };
    let expected = "a country code, a dash and a number, as in 86-18600008888";
    text_matching(params, parameter, good, expected, code)
}

/// An email address, checked for its form only; `None` if the parameter is absent.
pub(super) fn email(
    params: &ParamMap,
    parameter: &'static str,
    code: Code,
) -> Result<Option<String>, InvalidParameter> {
    // RFC 5321 §4.5.3.1.3: a path has 256 bytes, two of them brackets.
    const EMAIL_MAX: usize = 254;
    let good = |text: &str| {
        let parts = text.rsplit_once('@');
        let plain = |part: &str| {
            let bad = |c: char| c.is_whitespace() || c.is_control() || c == '@';
            !part.is_empty() && !part.contains(bad)
        };
        text.len() <= EMAIL_MAX
            && parts
                .is_some_and(|(name, domain)| plain(name) && plain(domain) && domain.contains('.'))
    };
    text_matching(params, parameter, good, "an email address", code)
}

/// As [`ParamMap::flag`]: some SDKs capitalize `True` and `False`.
pub(super) fn flag(
    params: &ParamMap,
    parameter: &'static str,
    code: Code,
) -> Result<bool, InvalidParameter> {
    let invalid = |given| InvalidParameter::value(parameter, given, "true or false", code);
    params.flag(parameter).map_err(invalid)
}

/// Refuses tags: policies and roles have none, and ignoring a filter would return entries that do
/// not match it.
pub(super) fn reject_tags(params: &ParamMap) -> Result<(), InvalidParameter> {
    // An SDK sends an empty list as `[]`.
    let is_tag = |name: &str, given: &str| {
        name.starts_with("Tag.") || (name == "Tag" && !matches!(given, "" | "[]"))
    };
    match params.iter().find(|(name, given)| is_tag(name, given)) {
        Some((_, given)) => {
            let expected = "left out: policies and roles have no tags here";
            Err(InvalidParameter::value(
                "Tag",
                given,
                expected,
                Code::TagValue,
            ))
        }
        None => Ok(()),
    }
}

fn kind(given: &str) -> Result<PolicyKind, InvalidParameter> {
    match given {
        "System" => Ok(PolicyKind::System),
        "Custom" => Ok(PolicyKind::Custom),
        _ => {
            let code = Code::PolicyTypeValue;
            Err(InvalidParameter::value(
                "PolicyType",
                given,
                "System or Custom",
                code,
            ))
        }
    }
}

impl NameParam {
    fn required<T>(
        &self,
        params: &ParamMap,
        parse: fn(&str) -> Result<T, InvalidIdentityName>,
    ) -> Result<T, InvalidParameter> {
        let missing = InvalidParameter::Missing {
            parameter: self.parameter,
            code: self.missing,
        };
        self.given(params, parse)?.ok_or(missing)
    }

    fn given<T>(
        &self,
        params: &ParamMap,
        parse: fn(&str) -> Result<T, InvalidIdentityName>,
    ) -> Result<Option<T>, InvalidParameter> {
        let name = params.get_non_empty(self.parameter).map(parse).transpose();
        name.map_err(|reason| InvalidParameter::Name {
            parameter: self.parameter,
            code: match reason {
                InvalidIdentityName::Length { .. } => self.length,
                InvalidIdentityName::Character { .. } => self.chars,
            },
            reason,
        })
    }
}

/// A text that satisfies `good`, or an empty one; `None` if the parameter is absent.
fn text_matching(
    params: &ParamMap,
    parameter: &'static str,
    good: impl Fn(&str) -> bool,
    expected: &'static str,
    code: Code,
) -> Result<Option<String>, InvalidParameter> {
    match params.get(parameter) {
        Some(text) if !text.is_empty() && !good(text) => {
            Err(InvalidParameter::value(parameter, text, expected, code))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

impl ApiError for InvalidParameter {
    fn code(&self) -> Code {
        match self {
            Self::Missing { code, .. }
            | Self::Name { code, .. }
            | Self::Document { code, .. }
            | Self::Length { code, .. }
            | Self::Value { code, .. } => *code,
        }
    }

    /// The codes that parameters of RAM can have; which of them a call can get depends on the
    /// parameters it reads.
    fn codes() -> Vec<Code> {
        const FAMILIES: [&str; 4] = [
            "Missing",
            "Malformed",
            "InvalidParameter.",
            "InvalidResourceType",
        ];
        let of_parameter = |code: &Code| {
            let wire_code = code.spec().wire_code;
            FAMILIES.iter().any(|family| wire_code.starts_with(family))
        };
        Code::ALL.iter().copied().filter(of_parameter).collect()
    }

    /// For an invalid policy, the message contains the cause, as in the cloud.
    fn message(&self) -> String {
        match self {
            Self::Document { reason, code, .. } if *code == Code::MalformedPolicyDocument => {
                reason.to_string()
            }
            other => other.code().spec().message.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
