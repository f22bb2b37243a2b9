//! The parameter `Sources`: a JSON list of origins, in every form that clients send: member names
//! in any case, numbers as numbers or strings, a single origin without a list.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    str::FromStr,
};

use edgeseal_core::{
    AccountId, DomainName,
    address::{OriginAddressError, check_origin},
    domain::{Origin, OriginKind},
    private_origins::OriginPermission,
};
use edgeseal_store::catalog::{ChangeError, Draft};
use serde::Serialize;
use serde_json::{Map, Value};

use super::wire_names::WireName as _;
use crate::{context::Context, error::api_error};

/// Most origins of a domain.
const ORIGINS_MAX: usize = 20;
/// Default priority: a primary origin. The console sets 30 for a secondary one.
const PRIORITY_DEFAULT: u8 = 20;
/// Largest priority. The documentation names 20 and 30; the Terraform provider allows 0 to 100, and
/// its acceptance tests use 40.
const PRIORITY_MAX: u8 = 100;
/// Default weight.
const WEIGHT_DEFAULT: u8 = 10;
/// Largest weight.
const WEIGHT_MAX: u8 = 100;

/// Why a list of origins is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSources {
    /// The parameter is absent or empty.
    #[error(
        "name at least one origin in Sources, as in [{{\"content\":\"192.0.2.1\",\"type\":\"ipaddr\"}}]"
    )]
    Missing,
    /// Not JSON.
    #[error("Sources is not JSON: {reason}")]
    NotJson {
        /// Position and cause.
        reason: String,
    },
    /// Not a list of objects.
    #[error("Sources must be a JSON list of objects")]
    NotAList,
    /// Too many.
    #[error("{count} origins are given; at most {ORIGINS_MAX} are accepted")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// No such origin type.
    #[error(
        "origin {position}: type is {given:?}; use one of {}",
        OriginKind::all_wire_names()
    )]
    Kind {
        /// Its position, from 1.
        position: usize,
        /// The value given.
        given: String,
    },
    /// A member that is absent or out of range.
    #[error("origin {position}: {member} must be {expected}")]
    Member {
        /// Its position, from 1.
        position: usize,
        /// The member.
        member: &'static str,
        /// The expected value.
        expected: &'static str,
    },
    /// An address that is forbidden for all accounts or for this one.
    #[error("origin {position}: {address} cannot be an origin: {reason}{}", advice(*reason))]
    Address {
        /// Its position, from 1.
        position: usize,
        /// The address.
        address: String,
        /// The cause.
        reason: OriginAddressError,
    },
    /// A name that resolves to the local machine (RFC 6761 section 6.3).
    #[error(
        "origin {position}: {address} is the machine of the edge itself; name the machine of the origin"
    )]
    Localhost {
        /// Its position, from 1.
        position: usize,
        /// The name.
        address: String,
    },
}

/// Advice to the caller.
const fn advice(reason: OriginAddressError) -> &'static str {
    match reason {
        OriginAddressError::Private => "; the operator can allow them for your account",
        OriginAddressError::NotAHost
        | OriginAddressError::Metadata
        | OriginAddressError::OwnListener => "",
    }
}

/// Checks the origins of a domain of `account`, and returns the private origin permission for its
/// record. Host names are resolved and checked when connecting.
///
/// # Errors
/// [`InvalidSources::Address`] and [`InvalidSources::Localhost`], or the store failed.
pub(super) async fn check_permitted<E: From<InvalidSources>>(
    draft: &mut Draft,
    context: &Context,
    account: &AccountId,
    origins: &[Origin],
) -> Result<OriginPermission, ChangeError<E>> {
    let permission = draft.origin_permission(account).await?;
    let private = context.settings.private_origins.permits(permission);
    let listeners = context.listen_addresses();
    check(origins, private, &listeners, is_local)
        .map_err(|error| ChangeError::Refused(error.into()))?;
    Ok(permission)
}

fn check(
    origins: &[Origin],
    private: bool,
    listeners: &[SocketAddr],
    is_local: impl Fn(IpAddr) -> bool,
) -> Result<(), InvalidSources> {
    for (position, origin) in (1..).zip(origins) {
        let address = || origin.address.clone();
        let Ok(ip) = origin.address.parse::<IpAddr>() else {
            if is_localhost(&origin.address) {
                let address = address();
                return Err(InvalidSources::Localhost { position, address });
            }
            continue;
        };
        let socket = SocketAddr::new(ip, origin.port);
        check_origin(socket, private, listeners, &is_local).map_err(|reason| {
            let address = address();
            InvalidSources::Address {
                position,
                address,
                reason,
            }
        })?;
    }
    Ok(())
}

/// The names of RFC 6761 section 6.3, and further names of loopback addresses in hosts files.
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    [
        "localhost",
        "localhost.localdomain",
        "ip6-localhost",
        "ip6-loopback",
    ]
    .contains(&name)
        || name.ends_with(".localhost")
}

/// Whether this is an address of this machine: only then can a socket bind it. Nothing is sent.
fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// An origin in a response.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OriginView {
    r#type: &'static str,
    content: String,
    port: u16,
    priority: String,
    weight: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<&'static str>,
}

/// Origins, in the wrapper that the SDKs expect.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::ops) struct Sources {
    source: Vec<OriginView>,
}

impl Sources {
    /// As lists of domains contain them.
    pub(in crate::ops) fn listed(origins: &[Origin]) -> Self {
        Self {
            source: origins.iter().map(OriginView::listed).collect(),
        }
    }

    /// As the detail of a domain contains them.
    pub(in crate::ops) fn detailed(origins: &[Origin]) -> Self {
        Self {
            source: origins.iter().map(OriginView::detailed).collect(),
        }
    }
}

impl OriginView {
    /// As lists of domains contain it.
    fn listed(origin: &Origin) -> Self {
        Self {
            r#type: origin.kind.wire_name(),
            content: origin.address.clone(),
            port: origin.port,
            priority: origin.priority.to_string(),
            weight: origin.weight.to_string(),
            enabled: None,
        }
    }

    /// As the detail of a domain contains it.
    pub(super) fn detailed(origin: &Origin) -> Self {
        Self {
            enabled: Some("online"),
            ..Self::listed(origin)
        }
    }
}

/// Reads the parameter.
///
/// # Errors
/// [`InvalidSources`].
pub(super) fn parse(text: &str) -> Result<Vec<Origin>, InvalidSources> {
    let json: Value = serde_json::from_str(text).map_err(|error| InvalidSources::NotJson {
        reason: error.to_string(),
    })?;
    let items = match json {
        Value::Array(items) => items,
        one @ Value::Object(_) => vec![one],
        _ => return Err(InvalidSources::NotAList),
    };
    match items.len() {
        0 => Err(InvalidSources::Missing),
        count if count > ORIGINS_MAX => Err(InvalidSources::TooMany { count }),
        _ => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| origin(item, index + 1))
            .collect(),
    }
}

fn origin(item: Value, position: usize) -> Result<Origin, InvalidSources> {
    let Value::Object(members) = item else {
        return Err(InvalidSources::NotAList);
    };
    let wrong = |member, expected| InvalidSources::Member {
        position,
        member,
        expected,
    };
    let given = text(&members, "type").unwrap_or_default();
    let kind =
        OriginKind::from_wire_name(&given).ok_or(InvalidSources::Kind { position, given })?;
    let address = text(&members, "content").unwrap_or_default();
    let address = match kind {
        OriginKind::Ipaddr => address.parse::<IpAddr>().ok().map(|ip| ip.to_string()),
        OriginKind::Domain | OriginKind::Oss | OriginKind::FcDomain | OriginKind::Common => {
            host(&address)
        }
    };
    let expected = if kind == OriginKind::Ipaddr {
        "an IP address"
    } else {
        "a host name"
    };
    let address = address.ok_or_else(|| wrong("content", expected))?;
    let port = number(&members, "port", 80)
        .filter(|port| *port > 0)
        .ok_or_else(|| wrong("port", "a port number, 1 to 65535"))?;
    let priority = number(&members, "priority", PRIORITY_DEFAULT)
        .filter(|priority| *priority <= PRIORITY_MAX)
        .ok_or_else(|| {
            wrong(
                "priority",
                "a number from 0 to 100: 20 for a primary, 30 for a secondary",
            )
        })?;
    let weight = number(&members, "weight", WEIGHT_DEFAULT)
        .filter(|weight| *weight <= WEIGHT_MAX)
        .ok_or_else(|| wrong("weight", "a number from 0 to 100"))?;
    Ok(Origin {
        address,
        kind,
        port,
        priority,
        weight,
    })
}

/// A numeric member, or `default` if it is absent; `None` if it is not such a number.
fn number<T: FromStr>(members: &Map<String, Value>, name: &str, default: T) -> Option<T> {
    text(members, name).map_or(Some(default), |text| text.parse().ok())
}

/// A host name. Unlike a domain name, it may be a single label, as in private networks.
fn host(text: &str) -> Option<String> {
    if let Ok(name) = DomainName::parse(text) {
        return Some(name.to_string());
    }
    let label = text.trim().to_ascii_lowercase();
    let plain = label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (plain && (1..=63).contains(&label.len()) && !label.starts_with('-')).then_some(label)
}

/// A member as text; the case of its name is ignored. `None` if it is absent, null or empty.
fn text(members: &Map<String, Value>, name: &str) -> Option<String> {
    let (_, value) = members
        .iter()
        .find(|(have, _)| have.eq_ignore_ascii_case(name))?;
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

api_error!(InvalidSources {
    Missing => MissingSources,
    NotJson | NotAList | Member | Address | Localhost => InvalidSources,
    TooMany => TooManySources,
    Kind => InvalidSourceType,
});

#[cfg(test)]
mod tests;
