//! The other side of a decision: what is asked, on what, in which circumstances.

use std::{borrow::Cow, fmt, net::IpAddr};

use super::glob::{Case, Subject};
use crate::{AccountId, Pattern, Timestamp};

/// What somebody asks to do.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `service:Operation`, as in `cdn:SetCdnDomainSSLCertificate`.
    pub action: &'a str,
    /// Everything that it would act upon. The request is allowed if each of these is; a request
    /// that names nothing is not.
    pub resources: &'a [Resource],
    /// The circumstances.
    pub context: &'a Context,
}

/// Something that is acted upon: its name, and the tags that `acs:ResourceTag/<key>` reads. Tags
/// are here and not in the context, since those of two domains in one request differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    name: Name,
    tags: Vec<(String, String)>,
    also: Option<Also>,
}

/// A name, ready to be compared with globs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    arn: String,
    case: Case,
    /// The name in lower case, if case is ignored and there are capitals.
    lower_case: Option<String>,
}

/// What else a `Deny` of a resource may be about, though no `Allow` is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Also {
    /// The same deed done to the same thing in the words of another service.
    Known { action: String, name: Name },
    /// Something in here: which, the action does not tell.
    Within(String),
}

/// As [`Also`], for a comparison: one of the two.
pub(super) struct DeniedAs<'a> {
    /// Another action on a thing with another name.
    pub(super) known: Option<(Subject<'a>, Subject<'a>)>,
    /// Something in here.
    pub(super) within: Option<&'a str>,
}

/// The circumstances of a request, as conditions see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// `acs:CurrentTime`: when the request came; conditions see it to the second.
    pub now: Timestamp,
    /// `acs:SourceIp`: from where it came. An IPv4 address mapped into IPv6 is the IPv4 address.
    pub source_ip: Option<IpAddr>,
    /// `acs:SecureTransport`: whether it came over TLS.
    pub secure_transport: Option<bool>,
    /// `acs:MFAPresent`: whether a second factor was shown at the login. Requests signed with an
    /// access key had no login, so the cloud has no such key for them, and neither should callers.
    pub mfa_present: Option<bool>,
    /// Other keys and their values, such as `sts:ExternalId`. A key that has a field of its own, or
    /// that belongs to the resource, is not read from here.
    pub others: Vec<(String, String)>,
}

/// The name of a circumstance, in the spelling of the documentation. The cloud's pages do not say
/// whether case matters; here it does not, except in the key of a tag, since a `Deny` that is
/// spelt `acs:SourceIP` must not be blind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    SourceIp,
    CurrentTime,
    SecureTransport,
    MfaPresent,
    /// `acs:ResourceTag/<key>`.
    ResourceTag(Box<str>),
    /// Any other; absent unless the caller put it there.
    Other(Box<str>),
}

/// The value of a circumstance.
pub(super) enum Value<'a> {
    Text(&'a str),
    Address(IpAddr),
    Time(Timestamp),
    Bool(bool),
}

const RESOURCE_TAG: &str = "acs:ResourceTag/";

impl Resource {
    /// The resource called `arn`, without tags. Names of domains are compared without regard to case,
    /// all others with. `*` stands for nothing in particular, as actions without rights on single
    /// resources have it.
    #[must_use]
    pub fn new(arn: impl Into<String>) -> Self {
        Self {
            name: Name::new(arn.into()),
            tags: Vec::new(),
            also: None,
        }
    }

    /// The domain `name` of `account` in `service` (`cdn` or `dcdn`):
    /// `acs:cdn:*:{account}:domain/{name}`.
    ///
    /// The wildcard domain is `domain/.example.com`. A policy for `domain/*.example.com` therefore
    /// covers the wildcard domain itself (`*` may stand for nothing), `a.example.com` and
    /// `a.b.example.com`, and not `example.com`. A policy for `domain/.example.com` covers the
    /// wildcard domain alone: `a.example.com` is another domain with a certificate of its own.
    #[must_use]
    pub fn domain(service: &str, account: &AccountId, name: &Pattern) -> Self {
        Self::new(format!("acs:{service}:*:{account}:domain/{name}"))
    }

    /// The same with a tag.
    #[must_use]
    pub fn with_tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// The same, which another service calls `arn`, and for which it calls the action `action`: a
    /// `Deny` in its words counts. An `Allow` in them does not.
    #[must_use]
    pub fn known_as(mut self, action: &str, arn: impl Into<String>) -> Self {
        self.also = Some(Also::Known {
            action: action.to_ascii_lowercase(),
            name: Name::new(arn.into()),
        });
        self
    }

    /// The same, for something that is somewhere in `arn`, a name with wildcards, without being
    /// named: a `Deny` of anything that may be in there counts.
    #[must_use]
    pub fn within(mut self, arn: impl Into<String>) -> Self {
        self.also = Some(Also::Within(arn.into()));
        self
    }

    /// Its name.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.name.arn
    }

    /// Its tags.
    pub(super) fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        let tags = self.tags.iter();
        tags.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Its name as globs take it.
    pub(super) fn subject(&self) -> Subject<'_> {
        self.name.subject()
    }

    /// What else a `Deny` of it may be about.
    pub(super) fn denied_as(&self) -> Option<DeniedAs<'_>> {
        Some(match self.also.as_ref()? {
            Also::Known { action, name } => DeniedAs {
                known: Some((Subject::new(action.as_str(), Case::Ignored), name.subject())),
                within: None,
            },
            Also::Within(arn) => DeniedAs {
                known: None,
                within: Some(arn),
            },
        })
    }
}

impl Name {
    fn new(arn: String) -> Self {
        // Host names have no case (RFC 4343): a `Deny` must not miss its domain by a capital letter,
        // however much of the name its wildcards leave out.
        let is_domain = arn.contains(":domain/");
        let has_capitals = arn.bytes().any(|byte| byte.is_ascii_uppercase());
        Self {
            case: if is_domain {
                Case::Ignored
            } else {
                Case::Matters
            },
            lower_case: (is_domain && has_capitals).then(|| arn.to_ascii_lowercase()),
            arn,
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject::new(self.lower_case.as_deref().unwrap_or(&self.arn), self.case)
    }
}

impl Context {
    /// The circumstances of a request of which nothing is known but the time.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self {
            now,
            source_ip: None,
            secure_transport: None,
            mfa_present: None,
            others: Vec::new(),
        }
    }

    /// The same with one more of [`Self::others`].
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.others.push((key.into(), value.into()));
        self
    }
}

impl Key {
    /// Parses `service:Name`; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        const KNOWN: [(&str, Key); 4] = [
            ("acs:SourceIp", Key::SourceIp),
            ("acs:CurrentTime", Key::CurrentTime),
            ("acs:SecureTransport", Key::SecureTransport),
            ("acs:MFAPresent", Key::MfaPresent),
        ];
        if let Some((_, known)) = KNOWN
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
        {
            return Some(known.clone());
        }
        let (service, name) = text.split_once(':')?;
        let is_service = !service.is_empty()
            && service
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_service || name.is_empty() || name.chars().any(char::is_control) {
            return None;
        }
        match text.split_at_checked(RESOURCE_TAG.len()) {
            Some((prefix, tag)) if prefix.eq_ignore_ascii_case(RESOURCE_TAG) => {
                (!tag.is_empty()).then(|| Self::ResourceTag(tag.into()))
            }
            _ => Some(Self::Other(text.into())),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceIp => f.write_str("acs:SourceIp"),
            Self::CurrentTime => f.write_str("acs:CurrentTime"),
            Self::SecureTransport => f.write_str("acs:SecureTransport"),
            Self::MfaPresent => f.write_str("acs:MFAPresent"),
            Self::ResourceTag(tag) => write!(f, "{RESOURCE_TAG}{tag}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

impl<'a> Value<'a> {
    /// The value as string operators see it.
    pub(super) fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Address(ip) => Cow::Owned(ip.to_string()),
            Self::Time(time) => Cow::Owned(time.to_string()),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
        }
    }
}
