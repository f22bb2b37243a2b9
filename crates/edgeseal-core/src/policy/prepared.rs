//! A request prepared for evaluation: each string is processed once for all statements.

use std::cell::OnceCell;

use super::{
    budget::StepBudget,
    glob::{Case, Haystack},
    request::{ConditionKey, ConditionValue, PreparedRelated, RequestContext, Resource},
};

/// The context of a request.
pub(super) struct PreparedContext<'a> {
    source_ip: Option<PreparedValue<'a>>,
    now: PreparedValue<'a>,
    secure_transport: Option<PreparedValue<'a>>,
    mfa_present: Option<PreparedValue<'a>>,
    other_keys: Vec<(&'a str, PreparedValue<'a>)>,
}

/// One action on one resource, with its context.
pub(super) struct PreparedRequest<'a> {
    pub(super) action: &'a Haystack<'a>,
    pub(super) name: Haystack<'a>,
    pub(super) steps: &'a StepBudget,
    context: &'a PreparedContext<'a>,
    tags: Vec<(&'a str, PreparedValue<'a>)>,
    resource: &'a Resource,
    related: OnceCell<Option<PreparedRelated<'a>>>,
}

/// The value of a condition key; its text is computed when a condition needs it.
pub(super) struct PreparedValue<'a> {
    pub(super) value: ConditionValue<'a>,
    text: OnceCell<Haystack<'a>>,
    lowercase: OnceCell<Box<str>>,
}

impl<'a> PreparedContext<'a> {
    pub(super) fn of(context: &'a RequestContext) -> Self {
        let others = context.other_keys.iter();
        let others = others.map(|(key, value)| {
            (
                key.as_str(),
                PreparedValue::new(ConditionValue::Text(value)),
            )
        });
        let ip = context.source_ip.map(|ip| ip.to_canonical());
        Self {
            source_ip: ip.map(|ip| PreparedValue::new(ConditionValue::Address(ip))),
            now: PreparedValue::new(ConditionValue::Time(context.now)),
            secure_transport: context
                .secure_transport
                .map(|is| PreparedValue::new(ConditionValue::Bool(is))),
            mfa_present: context
                .mfa_present
                .map(|is| PreparedValue::new(ConditionValue::Bool(is))),
            other_keys: others.collect(),
        }
    }
}

impl<'a> PreparedRequest<'a> {
    pub(super) fn new(
        action: &'a Haystack<'a>,
        resource: &'a Resource,
        circumstances: &'a PreparedContext<'a>,
        steps: &'a StepBudget,
    ) -> Self {
        let tags = resource.tags();
        Self {
            action,
            name: resource.haystack(),
            steps,
            context: circumstances,
            tags: tags
                .map(|(key, value)| (key, PreparedValue::new(ConditionValue::Text(value))))
                .collect(),
            resource,
            related: OnceCell::new(),
        }
    }

    /// The value of `key`, if the request has it.
    pub(super) fn value(&self, key: &ConditionKey) -> Option<&PreparedValue<'a>> {
        let PreparedContext {
            source_ip,
            now,
            secure_transport,
            mfa_present,
            other_keys: others,
        } = self.context;
        match key {
            ConditionKey::SourceIp => source_ip.as_ref(),
            ConditionKey::CurrentTime => Some(now),
            ConditionKey::SecureTransport => secure_transport.as_ref(),
            ConditionKey::MfaPresent => mfa_present.as_ref(),
            ConditionKey::ResourceTag(tag) => find(&self.tags, |key| *key == **tag),
            ConditionKey::Other(other) => find(others, |key| key.eq_ignore_ascii_case(other)),
        }
    }

    /// A related resource to which a `Deny` may apply.
    pub(super) fn related(&self) -> Option<&PreparedRelated<'a>> {
        let denied_as = self.related.get_or_init(|| self.resource.prepare_related());
        denied_as.as_ref()
    }
}

fn find<'k, 'a>(
    known: &'k [(&'a str, PreparedValue<'a>)],
    is_it: impl Fn(&str) -> bool,
) -> Option<&'k PreparedValue<'a>> {
    let mut found = known.iter().filter(|(key, _)| is_it(key));
    found.next().map(|(_, known)| known)
}

impl<'a> PreparedValue<'a> {
    const fn new(value: ConditionValue<'a>) -> Self {
        Self {
            value,
            text: OnceCell::new(),
            lowercase: OnceCell::new(),
        }
    }

    /// The value as string operators compare it.
    pub(super) fn text(&self) -> &Haystack<'a> {
        self.text
            .get_or_init(|| Haystack::new(self.value.text(), Case::Sensitive))
    }

    /// The same in lower case, character by character, so that folding does not depend on context.
    pub(super) fn lowercase(&self) -> &str {
        self.lowercase
            .get_or_init(|| to_lowercase(self.text().text()))
    }
}

/// Lower case, character by character.
pub(super) fn to_lowercase(text: &str) -> Box<str> {
    let folded: String = text.chars().flat_map(char::to_lowercase).collect();
    folded.into_boxed_str()
}
