//! Documents as canonical JSON.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{Document, PatternSet, Statement, TrustDocument, TrustStatement};
use crate::policy::{condition::Condition, glob::Glob, principal::TrustedPrincipal};

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.statements, serializer)
    }
}

impl Serialize for TrustDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.statements, serializer)
    }
}

fn serialize<T: Serialize, S: Serializer>(
    statements: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("Version", "1")?;
    match statements {
        // Never longer than its source, so that the length limit cannot refuse it.
        [one] => map.serialize_entry("Statement", one)?,
        several => map.serialize_entry("Statement", several)?,
    }
    map.end()
}

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Effect", &self.effect)?;
        for scope in [&self.actions, &self.resources] {
            map.serialize_entry(PatternSet::element_name(scope.name, scope.negated), scope)?;
        }
        end_with_conditions(map, &self.conditions)
    }
}

impl Serialize for TrustStatement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Effect", &self.effect)?;
        map.serialize_entry("Principal", &TrustedPrincipal::by_kind(&self.principals))?;
        map.serialize_entry("Action", &self.actions)?;
        end_with_conditions(map, &self.conditions)
    }
}

impl Serialize for PatternSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        one_or_list(self.globs.iter().map(Glob::as_str), serializer)
    }
}

fn end_with_conditions<M: SerializeMap>(
    mut map: M,
    conditions: &[Condition],
) -> Result<M::Ok, M::Error> {
    if !conditions.is_empty() {
        map.serialize_entry("Condition", &Conditions(conditions))?;
    }
    map.end()
}

/// All conditions of a statement.
struct Conditions<'a>(&'a [Condition]);

/// The conditions with one operator.
struct Keys<'a>(&'a [Condition]);

/// The values of one key.
struct Values<'a>(&'a [Box<str>]);

impl Serialize for Conditions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let by_operator = self
            .0
            .chunk_by(|one, next| one.operator() == next.operator());
        serializer.collect_map(by_operator.map(|same| (same[0].operator(), Keys(same))))
    }
}

impl Serialize for Keys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for condition in self.0 {
            map.serialize_entry(&condition.key().to_string(), &Values(condition.values()))?;
        }
        map.end()
    }
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        one_or_list(self.0.iter().map(|value| &**value), serializer)
    }
}

/// A single value as a string, several as a list.
pub(in crate::policy) fn one_or_list<'a, S: Serializer>(
    mut texts: impl ExactSizeIterator<Item = &'a str>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match texts.len() {
        1 => serializer.serialize_str(texts.next().unwrap_or_default()),
        _ => serializer.collect_seq(texts),
    }
}
