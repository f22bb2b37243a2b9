//! A request as it is compared with statements: each text of it is prepared once for all of them.

use std::cell::OnceCell;

use super::{
    glob::{Case, Subject},
    request::{Context, DeniedAs, Key, Resource, Value},
    steps::Steps,
};

/// The circumstances of a request.
pub(super) struct Circumstances<'a> {
    source_ip: Option<Known<'a>>,
    now: Known<'a>,
    secure_transport: Option<Known<'a>>,
    mfa_present: Option<Known<'a>>,
    others: Vec<(&'a str, Known<'a>)>,
}

/// One action on one resource, in some circumstances.
pub(super) struct Asked<'a> {
    pub(super) action: &'a Subject<'a>,
    pub(super) name: Subject<'a>,
    pub(super) steps: &'a Steps,
    circumstances: &'a Circumstances<'a>,
    tags: Vec<(&'a str, Known<'a>)>,
    resource: &'a Resource,
    denied_as: OnceCell<Option<DeniedAs<'a>>>,
}

/// The value of a circumstance, and its text once a condition asks for it.
pub(super) struct Known<'a> {
    pub(super) value: Value<'a>,
    text: OnceCell<Subject<'a>>,
    folded: OnceCell<Box<str>>,
}

impl<'a> Circumstances<'a> {
    pub(super) fn of(context: &'a Context) -> Self {
        let others = context.others.iter();
        let others = others.map(|(key, value)| (key.as_str(), Known::new(Value::Text(value))));
        let ip = context.source_ip.map(|ip| ip.to_canonical());
        Self {
            source_ip: ip.map(|ip| Known::new(Value::Address(ip))),
            now: Known::new(Value::Time(context.now)),
            secure_transport: context
                .secure_transport
                .map(|is| Known::new(Value::Bool(is))),
            mfa_present: context.mfa_present.map(|is| Known::new(Value::Bool(is))),
            others: others.collect(),
        }
    }
}

impl<'a> Asked<'a> {
    pub(super) fn new(
        action: &'a Subject<'a>,
        resource: &'a Resource,
        circumstances: &'a Circumstances<'a>,
        steps: &'a Steps,
    ) -> Self {
        let tags = resource.tags();
        Self {
            action,
            name: resource.subject(),
            steps,
            circumstances,
            tags: tags
                .map(|(key, value)| (key, Known::new(Value::Text(value))))
                .collect(),
            resource,
            denied_as: OnceCell::new(),
        }
    }

    /// The value of `key`, if the request has one.
    pub(super) fn value(&self, key: &Key) -> Option<&Known<'a>> {
        let Circumstances {
            source_ip,
            now,
            secure_transport,
            mfa_present,
            others,
        } = self.circumstances;
        match key {
            Key::SourceIp => source_ip.as_ref(),
            Key::CurrentTime => Some(now),
            Key::SecureTransport => secure_transport.as_ref(),
            Key::MfaPresent => mfa_present.as_ref(),
            Key::ResourceTag(tag) => find(&self.tags, |key| *key == **tag),
            Key::Other(other) => find(others, |key| key.eq_ignore_ascii_case(other)),
        }
    }

    /// What else a `Deny` of the resource may be about.
    pub(super) fn denied_as(&self) -> Option<&DeniedAs<'a>> {
        let denied_as = self.denied_as.get_or_init(|| self.resource.denied_as());
        denied_as.as_ref()
    }
}

fn find<'k, 'a>(
    known: &'k [(&'a str, Known<'a>)],
    is_it: impl Fn(&str) -> bool,
) -> Option<&'k Known<'a>> {
    let mut found = known.iter().filter(|(key, _)| is_it(key));
    found.next().map(|(_, known)| known)
}

impl<'a> Known<'a> {
    const fn new(value: Value<'a>) -> Self {
        Self {
            value,
            text: OnceCell::new(),
            folded: OnceCell::new(),
        }
    }

    /// The value as string operators see it.
    pub(super) fn text(&self) -> &Subject<'a> {
        self.text
            .get_or_init(|| Subject::new(self.value.text(), Case::Matters))
    }

    /// The same in lower case: of every character by itself, so that folding does not depend on its
    /// neighbours.
    pub(super) fn folded(&self) -> &str {
        self.folded.get_or_init(|| fold(self.text().text()))
    }
}

/// Lower case of every character by itself.
pub(super) fn fold(text: &str) -> Box<str> {
    let folded: String = text.chars().flat_map(char::to_lowercase).collect();
    folded.into_boxed_str()
}
