//! Step 1 of a call: the request as received, and its decoded parameters.

use std::{net::IpAddr, ops::Deref, time::Duration};

use ::http::{HeaderMap, Method, header};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{error::api_error, render::Format};

/// Longest body in bytes: enough for a chain of ten certificates and a key, percent-encoded.
pub const BODY_MAX: usize = 256 * 1024;
/// Longest request line and headers in bytes: some clients put whole chains into the query.
pub const HEAD_MAX: usize = 128 * 1024;

/// The header that SDKs send instead of a V3 signature when they use a bearer token.
pub(crate) const BEARER_TOKEN_HEADER: &str = "x-acs-bearer-token";

/// Most parameters of a request: many times as many as any action has.
pub const PARAMS_MAX: usize = 500;
/// Longest parameter name in bytes, decoded: several times the longest of any action.
pub const PARAM_NAME_MAX: usize = 128;

/// A request as read from the socket.
pub struct RawRequest {
    /// Its method.
    pub method: Method,
    /// Path of the target, as sent.
    pub path: String,
    /// Query of the target, as sent; empty if there is none.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; `None` if it was longer than [`BODY_MAX`].
    pub body: Option<Bytes>,
    /// Address of the peer.
    pub source: IpAddr,
    /// Whether it came over TLS.
    pub secure: bool,
    /// The request id of the response.
    pub id: String,
}

/// A well-formed request.
pub struct Request {
    /// `GET` or `POST`.
    pub method: Method,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Body,
    /// How it is signed, if at all.
    pub scheme: Scheme,
    /// Parameters of the query alone, in order.
    pub query: ParamMap,
    /// Parameters of the query and the form, in order.
    pub params: ParamMap,
    /// Address of the peer.
    pub source: IpAddr,
    /// Whether it came over TLS.
    pub secure: bool,
    /// Its id.
    pub id: String,
}

/// The two signature schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HMAC-SHA1 over the parameters, in the parameter `Signature`.
    V1,
    /// HMAC-SHA256 over request and headers, in the header `Authorization`.
    V3,
}

/// The bytes of a body. They may hold a private key: no `Debug`, and they are zeroized on drop
/// unless shared.
pub struct Body(Bytes);

/// Decoded parameters with unique names. Values may be private keys: no `Debug`, and they are
/// zeroized on drop.
#[derive(Clone, Default)]
pub struct ParamMap(Vec<(String, String)>);

/// Why a request is not well-formed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRequest {
    /// Neither GET nor POST.
    #[error("the method is {method}; use GET or POST")]
    Method {
        /// The method.
        method: String,
    },
    /// A path other than `/`.
    #[error("the path is not /; every action is called on /")]
    Path,
    /// Longer than [`HEAD_MAX`].
    #[error("request line and headers have {bytes} bytes; the limit is {HEAD_MAX}")]
    HeadTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Longer than [`BODY_MAX`].
    #[error("the body is longer than {BODY_MAX} bytes")]
    BodyTooLong,
    /// A `%` that is not followed by two hex digits.
    #[error("parameter {position} has a % that is not followed by two hex digits")]
    Percent {
        /// Its position, from 1.
        position: usize,
    },
    /// Bytes that are not UTF-8.
    #[error("parameter {position} is not UTF-8 once it is decoded")]
    Utf8 {
        /// Its position, from 1.
        position: usize,
    },
    /// A name longer than [`PARAM_NAME_MAX`].
    #[error("the name of parameter {position} has more than {PARAM_NAME_MAX} bytes")]
    NameTooLong {
        /// Its position, from 1.
        position: usize,
    },
    /// More than [`PARAMS_MAX`].
    #[error("more than {PARAMS_MAX} parameters are given")]
    TooManyParams,
    /// A body that is not a form: its parameters would be ignored.
    #[error(
        "the body is not read: send parameters in the query, or in the body with Content-Type application/x-www-form-urlencoded"
    )]
    UnsupportedContentType,
    /// A duplicate name: its value would be ambiguous.
    #[error("parameter {name} is given more than once")]
    DuplicateParam {
        /// The name.
        name: String,
    },
}

impl Request {
    /// Decodes a request.
    ///
    /// # Errors
    /// [`MalformedRequest`], in the order of its variants.
    pub fn parse(mut raw: RawRequest) -> Result<Self, MalformedRequest> {
        if !matches!(raw.method, Method::GET | Method::POST) {
            return Err(MalformedRequest::Method {
                method: raw.method.as_str().chars().take(20).collect(),
            });
        }
        if raw.path != "/" {
            return Err(MalformedRequest::Path);
        }
        let bytes = head_length(&raw);
        if bytes > HEAD_MAX {
            return Err(MalformedRequest::HeadTooLong { bytes });
        }
        let encoded = Zeroizing::new(std::mem::take(&mut raw.query));
        let body = Body(raw.body.ok_or(MalformedRequest::BodyTooLong)?);
        let query = ParamMap::decode(encoded.as_bytes())?;
        let params = if is_form(&raw.headers) {
            query.clone().merge(ParamMap::decode(&body)?)?
        } else if !body.is_empty() {
            return Err(MalformedRequest::UnsupportedContentType);
        } else {
            query.clone()
        };
        let authorization = raw.headers.get(header::AUTHORIZATION);
        // A bearer token replaces the V3 signature; otherwise the request has the form of V3.
        let is_v3 = authorization.is_some_and(|value| value.as_bytes().starts_with(b"ACS3-"))
            || raw.headers.contains_key(BEARER_TOKEN_HEADER);
        Ok(Self {
            method: raw.method,
            headers: raw.headers,
            body,
            scheme: if is_v3 { Scheme::V3 } else { Scheme::V1 },
            query,
            params,
            source: raw.source,
            secure: raw.secure,
            id: raw.id,
        })
    }

    /// A header that is text, trimmed; `None` if it is absent or empty.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header_str(&self.headers, name)
    }

    /// How long the caller wants to wait: `Prefer: wait=N` (RFC 7240 §4.3), 30 seconds at most.
    #[must_use]
    pub fn prefer_wait(&self) -> Option<Duration> {
        const WAIT_MAX_S: u64 = 30;
        let values = self.headers.get_all("prefer").iter();
        let values = values.filter_map(|value| value.to_str().ok());
        let mut preferences = values.flat_map(|value| value.split([',', ';']));
        let seconds: u64 = preferences.find_map(|preference| {
            let wait = preference.trim().strip_prefix("wait=")?;
            wait.trim().parse().ok()
        })?;
        Some(Duration::from_secs(seconds.min(WAIT_MAX_S)))
    }

    /// A common parameter: a header in V3, a parameter in V1; `None` if it is absent or empty.
    #[must_use]
    pub fn common_param(&self, header: &str, param: &str) -> Option<&str> {
        match self.scheme {
            Scheme::V3 => self.header(header),
            Scheme::V1 => self.params.get_non_empty(param),
        }
    }

    /// The format of the response.
    #[must_use]
    pub fn format(&self) -> Format {
        match self.scheme {
            Scheme::V3 => Format::from_accept(self.header("accept")),
            Scheme::V1 => Format::from_param(self.params.get("Format")),
        }
    }
}

impl ParamMap {
    /// Decodes `application/x-www-form-urlencoded` strictly: nothing malformed, no duplicates.
    ///
    /// # Errors
    /// [`MalformedRequest`]: `Percent`, `Utf8`, `NameTooLong`, `TooManyParams` or `DuplicateParam`.
    pub fn decode(encoded: &[u8]) -> Result<Self, MalformedRequest> {
        let mut params = Self::default();
        let pairs = encoded
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty());
        for (index, pair) in pairs.enumerate() {
            let position = index + 1;
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default(), position)?;
            let value = decode(halves.next().unwrap_or_default(), position)?;
            if name.len() > PARAM_NAME_MAX {
                return Err(MalformedRequest::NameTooLong { position });
            }
            params.push(name, value)?;
        }
        Ok(params)
    }

    /// The value of `name`, perhaps empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of `name`, unless it is absent or empty.
    #[must_use]
    pub fn get_non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// A parameter that is `true` or `false`, in any case; `false` if it is absent or empty.
    ///
    /// # Errors
    /// The value, if it is neither.
    pub fn flag(&self, name: &str) -> Result<bool, &str> {
        let given = self.get_non_empty(name).unwrap_or("false");
        given.to_ascii_lowercase().parse().map_err(|_| given)
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn merge(mut self, mut other: Self) -> Result<Self, MalformedRequest> {
        for (name, value) in std::mem::take(&mut other.0) {
            self.push(name, value)?;
        }
        Ok(self)
    }

    fn push(&mut self, name: String, value: String) -> Result<(), MalformedRequest> {
        if self.0.len() == PARAMS_MAX {
            return Err(MalformedRequest::TooManyParams);
        }
        if self.get(&name).is_some() {
            return Err(MalformedRequest::DuplicateParam {
                name: name.chars().take(80).collect(),
            });
        }
        self.0.push((name, value));
        Ok(())
    }
}

impl Drop for ParamMap {
    fn drop(&mut self) {
        for (_, value) in &mut self.0 {
            value.zeroize();
        }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Ok(mut bytes) = std::mem::take(&mut self.0).try_into_mut() {
            bytes.zeroize();
        }
    }
}

impl FromIterator<(String, String)> for ParamMap {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

api_error!(MalformedRequest {
    Method => UnsupportedHttpMethod,
    Path => ApiNotFound,
    HeadTooLong => HeadTooLong,
    BodyTooLong => BodyTooLong,
    Percent
    | Utf8
    | NameTooLong
    | TooManyParams
    | UnsupportedContentType
    | DuplicateParam => ParameterFormat,
});

/// A header that is text, trimmed; `None` if it is absent, empty or not text.
pub(crate) fn header_str<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then_some(value)
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = header_str(headers, "content-type").unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn head_length(raw: &RawRequest) -> usize {
    const SEPARATORS: usize = 4; // ": " and CRLF
    let headers: usize = raw
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS)
        .sum();
    raw.path.len() + raw.query.len() + headers
}

fn decode(encoded: &[u8], position: usize) -> Result<String, MalformedRequest> {
    let encoded = std::str::from_utf8(encoded).map_err(|_| MalformedRequest::Utf8 { position })?;
    let replaced;
    let spaced: &str = if encoded.contains('+') {
        replaced = Zeroizing::new(encoded.replace('+', " "));
        &replaced
    } else {
        encoded
    };
    let hex_follows = |at: usize| {
        let digits = spaced.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !spaced.match_indices('%').all(|(at, _)| hex_follows(at)) {
        return Err(MalformedRequest::Percent { position });
    }
    let decoded = percent_decode_str(spaced)
        .decode_utf8()
        .map_err(|_| MalformedRequest::Utf8 { position })?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests;
