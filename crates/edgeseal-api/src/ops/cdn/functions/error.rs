//! Why functions are refused.

use super::{ALL_ARGUMENTS_MAX, RESPONSE_HEADERS_MAX, SETTINGS_MAX};
use crate::error::api_error;

/// Why functions are invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFunctions {
    /// The parameter is absent or empty.
    #[error(
        "Functions must be a JSON list, such as [{{\"functionName\":\"https_force\",\"functionArgs\":[{{\"argName\":\"enable\",\"argValue\":\"on\"}}]}}]"
    )]
    Missing,
    /// Not JSON.
    #[error("Functions is not JSON: {reason}")]
    NotJson {
        /// Position and cause.
        reason: String,
    },
    /// A member with an invalid value.
    #[error("function {position}: {expected}")]
    Shape {
        /// Its position, from 1.
        position: usize,
        /// The expected value.
        expected: &'static str,
    },
    /// An unknown function.
    #[error("function {given:?} is invalid: a name has letters, digits and underscores")]
    Name {
        /// The value given.
        given: String,
    },
    /// The domain has no such setting.
    #[error("the domain has no {name} with the configId {id}")]
    NoSetting {
        /// The function.
        name: String,
        /// The config id.
        id: i64,
    },
    /// More settings than a domain, or more functions than a call may have.
    #[error("{count} settings are too many; at most {SETTINGS_MAX} are accepted")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// More argument bytes than a domain may have.
    #[error(
        "the arguments of all settings would have {bytes} bytes; at most {ALL_ARGUMENTS_MAX} are accepted"
    )]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// More bytes of response headers than a domain may change.
    #[error(
        "the response headers of all settings would have {bytes} bytes; at most {RESPONSE_HEADERS_MAX} are accepted"
    )]
    HeadersTooLong {
        /// How many.
        bytes: usize,
    },
    /// An argument that the edge does not support.
    #[error("{function}: {argument} is {given:?}; use {expected}")]
    Argument {
        /// The function.
        function: &'static str,
        /// The argument.
        argument: &'static str,
        /// The value given.
        given: String,
        /// The expected value.
        expected: &'static str,
    },
    /// No version of TLS would be enabled.
    #[error("https_tls_version: tls12 or tls13 must be on; the edge speaks no older version")]
    NoTls,
}

api_error!(InvalidFunctions {
    Missing => MissingFunctions,
    NotJson | Shape | NoSetting | TooMany | TooLong | HeadersTooLong => InvalidFunctions,
    Name => FunctionNotSupported,
    Argument | NoTls => InvalidArgValue,
}
fn wire_code(&self) -> String {
    let wire = self.code().spec().wire_code;
    match self {
        Self::Name { given } => {
            let name: String = given.chars().filter(char::is_ascii_alphanumeric).collect();
            wire.replace("{FunctionName}", &name)
        }
        _ => wire.to_owned(),
    }
}
fn message(&self) -> String {
    let message = self.code().spec().message;
    match self {
        Self::Name { given } => message.replace("{FunctionName}", given),
        _ => message.to_owned(),
    }
});
