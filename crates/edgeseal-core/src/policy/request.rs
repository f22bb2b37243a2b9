//! Requests to evaluate: an action, resources and a context.

use std::{borrow::Cow, fmt, net::IpAddr};

use super::glob::{Case, Haystack};
use crate::{AccountId, DomainPattern, Timestamp};

/// A request to evaluate.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `service:Operation`, as in `cdn:SetCdnDomainSSLCertificate`.
    pub action: &'a str,
    /// Every resource that it would act upon. The request is allowed if each of them is; a request
    /// without resources is denied.
    pub resources: &'a [Resource],
    /// The request context.
    pub context: &'a RequestContext,
}

/// A resource: its name, and the tags that `acs:ResourceTag/<key>` reads. Tags are here and not in
/// the context, because two domains in one request have different tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    name: ResourceName,
    tags: Vec<(String, String)>,
    related: Option<RelatedResource>,
}

/// A resource name, prepared for globs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ResourceName {
    arn: String,
    case: Case,
    /// The name in lower case, if matching ignores case and the name has capitals.
    lower_case: Option<String>,
}

/// A resource related to the requested one, to which a `Deny` may apply but no `Allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RelatedResource {
    /// The same operation on the same resource, as another service names them.
    Alias { action: String, name: ResourceName },
    /// An unspecified resource within this name.
    Within(String),
}

/// As [`RelatedResource`], prepared for evaluation: one of the two is set.
pub(super) struct PreparedRelated<'a> {
    /// The other action and the other name.
    pub(super) alias: Option<(Haystack<'a>, Haystack<'a>)>,
    /// The name that contains the resource.
    pub(super) within: Option<&'a str>,
}

/// The request context, as conditions see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContext {
    /// `acs:CurrentTime`: when the request arrived; conditions see it to the second.
    pub now: Timestamp,
    /// `acs:SourceIp`: the source address. An IPv4-mapped IPv6 address counts as IPv4.
    pub source_ip: Option<IpAddr>,
    /// `acs:SecureTransport`: whether it arrived over TLS.
    pub secure_transport: Option<bool>,
    /// `acs:MFAPresent`: whether a second factor was used at login. Requests signed with an access
    /// key had no login, so the cloud has no such key for them, and callers should not set it.
    pub mfa_present: Option<bool>,
    /// Other condition keys and their values, such as `sts:ExternalId`. A key that has its own
    /// field, or that belongs to the resource, is not read from here.
    pub other_keys: Vec<(String, String)>,
}

/// A condition key, written as in the documentation. The cloud's pages do not say whether case
/// matters; here it does not, except in the key of a tag, so that a `Deny` on `acs:SourceIP` is not
/// ineffective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConditionKey {
    SourceIp,
    CurrentTime,
    SecureTransport,
    MfaPresent,
    /// `acs:ResourceTag/<key>`.
    ResourceTag(Box<str>),
    /// Any other; absent unless the caller set it.
    Other(Box<str>),
}

/// The value of a condition key.
pub(super) enum ConditionValue<'a> {
    Text(&'a str),
    Address(IpAddr),
    Time(Timestamp),
    Bool(bool),
}

const RESOURCE_TAG: &str = "acs:ResourceTag/";

impl Resource {
    /// The resource called `arn`, without tags. Domain names are case-insensitive, all other names
    /// case-sensitive. `*` names no particular resource, for actions without permissions on single
    /// resources.
    #[must_use]
    pub fn new(arn: impl Into<String>) -> Self {
        Self {
            name: ResourceName::new(arn.into()),
            tags: Vec::new(),
            related: None,
        }
    }

    /// The domain `name` of `account` in `service` (`cdn` or `dcdn`):
    /// `acs:cdn:*:{account}:domain/{name}`.
    ///
    /// The wildcard domain is `domain/.example.com`. A policy for `domain/*.example.com` therefore
    /// covers the wildcard domain itself (`*` also matches nothing), `a.example.com` and
    /// `a.b.example.com`, and not `example.com`. A policy for `domain/.example.com` covers the
    /// wildcard domain alone: `a.example.com` is another domain with its own certificate.
    #[must_use]
    pub fn domain(service: &str, account: &AccountId, name: &DomainPattern) -> Self {
        Self::new(format!("acs:{service}:*:{account}:domain/{name}"))
    }

    /// Adds a tag.
    #[must_use]
    pub fn with_tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// Adds the name `arn` and the action `action` under which another service knows this
    /// operation: a `Deny` of that applies too, an `Allow` of that does not.
    #[must_use]
    pub fn with_alias(mut self, action: &str, arn: impl Into<String>) -> Self {
        self.related = Some(RelatedResource::Alias {
            action: action.to_ascii_lowercase(),
            name: ResourceName::new(arn.into()),
        });
        self
    }

    /// States that the resource is somewhere within `arn`, a name with wildcards, without being
    /// named: a `Deny` of anything that may be within it applies.
    #[must_use]
    pub fn within(mut self, arn: impl Into<String>) -> Self {
        self.related = Some(RelatedResource::Within(arn.into()));
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

    /// Its name, for matching with globs.
    pub(super) fn haystack(&self) -> Haystack<'_> {
        self.name.haystack()
    }

    /// Its related resource, prepared for evaluation.
    pub(super) fn prepare_related(&self) -> Option<PreparedRelated<'_>> {
        Some(match self.related.as_ref()? {
            RelatedResource::Alias { action, name } => PreparedRelated {
                alias: Some((
                    Haystack::new(action.as_str(), Case::Insensitive),
                    name.haystack(),
                )),
                within: None,
            },
            RelatedResource::Within(arn) => PreparedRelated {
                alias: None,
                within: Some(arn),
            },
        })
    }
}

impl ResourceName {
    fn new(arn: String) -> Self {
        // Host names are case-insensitive (RFC 4343): a `Deny` must not miss its domain because of
        // a capital letter, however much of the name its wildcards leave out.
        let is_domain = arn.contains(":domain/");
        let has_capitals = arn.bytes().any(|byte| byte.is_ascii_uppercase());
        Self {
            case: if is_domain {
                Case::Insensitive
            } else {
                Case::Sensitive
            },
            lower_case: (is_domain && has_capitals).then(|| arn.to_ascii_lowercase()),
            arn,
        }
    }

    fn haystack(&self) -> Haystack<'_> {
        Haystack::new(self.lower_case.as_deref().unwrap_or(&self.arn), self.case)
    }
}

impl RequestContext {
    /// A context with nothing but the time.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self {
            now,
            source_ip: None,
            secure_transport: None,
            mfa_present: None,
            other_keys: Vec::new(),
        }
    }

    /// Adds a key to [`Self::other_keys`].
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.other_keys.push((key.into(), value.into()));
        self
    }
}

impl ConditionKey {
    /// Parses `service:Name`; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        const KNOWN: [(&str, ConditionKey); 4] = [
            ("acs:SourceIp", ConditionKey::SourceIp),
            ("acs:CurrentTime", ConditionKey::CurrentTime),
            ("acs:SecureTransport", ConditionKey::SecureTransport),
            ("acs:MFAPresent", ConditionKey::MfaPresent),
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

impl fmt::Display for ConditionKey {
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

impl<'a> ConditionValue<'a> {
    /// The value as string operators compare it.
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
