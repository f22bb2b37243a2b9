//! Which domain a request belongs to: a pure function of the index, the request headers and the
//! domain of the connection's certificate.
//!
//! The first that applies decides:
//! 1. CONNECT and TRACE are not forwarded → [`RouteError::Method`];
//! 2. the target `*` with a method other than OPTIONS (RFC 9112 §3.2.4); no host, more than one, or
//!    a malformed one (§3.2) → [`RouteError::Malformed`];
//! 3. over TLS, the host's domain is not the domain of the certificate, or another one of the same
//!    name that was added since → [`RouteError::Misdirected`] (RFC 9110 §15.5.20);
//! 4. no domain has the host's name → [`RouteError::UnknownHost`];
//! 5. the domain is stopped → [`RouteError::Stopped`].

use http::{Method, Request, Version, header, uri::Authority};

use crate::{
    index::{Host, Index, MatchedDomain},
    served_domain::ServedDomain,
};

/// Where a request is routed.
#[derive(Debug)]
pub(super) struct Routed {
    /// Its domain.
    pub(super) entry: ServedDomain,
    /// Host and port as the client spelled them.
    pub(super) authority: Authority,
}

/// Why a request is not routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteError {
    Method,
    Malformed,
    Misdirected,
    UnknownHost,
    Stopped,
}

/// Routes a request; `certified` is the domain that the connection's certificate was selected for.
pub(super) fn route<B>(
    index: &Index<ServedDomain>,
    request: &Request<B>,
    certified: Option<&MatchedDomain<'static>>,
) -> Result<Routed, RouteError> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(RouteError::Method);
    }
    if request.uri().path() == "*" && *request.method() != Method::OPTIONS {
        return Err(RouteError::Malformed);
    }
    let authority = authority(request)?;
    // A host that cannot be a domain, such as an address, is not malformed but unknown.
    let found = Host::parse(authority.host()).and_then(|host| {
        let (entry, found) = index.find(&host)?;
        let domain_id = entry.domain_id;
        let domain = MatchedDomain {
            host,
            found,
            domain_id,
        };
        Some((entry, domain))
    });
    if let Some(certified) = certified
        && !matches!(&found, Some((_, domain)) if domain.is_same(certified))
    {
        return Err(RouteError::Misdirected);
    }
    let (entry, _) = found.ok_or(RouteError::UnknownHost)?;
    if !entry.online {
        return Err(RouteError::Stopped);
    }
    Ok(Routed { entry, authority })
}

/// The requested host: of the target, which takes precedence (RFC 9112 §3.2.2), otherwise of the
/// `Host` header.
pub(super) fn authority<B>(request: &Request<B>) -> Result<Authority, RouteError> {
    let mut fields = request.headers().get_all(header::HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (_, Some(_)) => return Err(RouteError::Malformed),
        (Some(value), None) => {
            Some(Authority::try_from(value.as_bytes()).map_err(|_| RouteError::Malformed)?)
        }
        (None, None) => None,
    };
    let authority = match request.uri().authority() {
        Some(target) if request.version() == Version::HTTP_2 => {
            // Two different hosts in one request are an attack or an error (RFC 9113 §8.3.1).
            if field.is_some_and(|field| field != *target) {
                return Err(RouteError::Malformed);
            }
            target.clone()
        }
        Some(target) => target.clone(),
        None => field.ok_or(RouteError::Malformed)?,
    };
    // User information is not allowed in a request for an http or https URI (RFC 9110 §4.2.4).
    let text = authority.as_str();
    let port = text.strip_prefix(authority.host());
    let well_formed = !text.contains('@') && port.is_some_and(is_port);
    if well_formed {
        Ok(authority)
    } else {
        Err(RouteError::Malformed)
    }
}

/// Whether this may follow a host: nothing, or a port in digits (RFC 3986 §3.2.3), which may be
/// empty.
fn is_port(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(':') else {
        return text.is_empty();
    };
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits && (digits.is_empty() || digits.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests;
