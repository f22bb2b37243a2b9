//! Policy documents: parsed once, then evaluated many times.
//!
//! ```text
//! policy    = { "Version": "1", "Statement": [ statement, … ] | statement }
//! statement = { "Effect": "Allow" | "Deny",
//!               "Action" | "NotAction": text | [ text, … ],
//!               "Resource" | "NotResource": text | [ text, … ],
//!               "Condition"?: { operator: { key: text | [ text, … ] } } }
//! ```
//!
//! The grammar is that of the cloud's pages "Policy structure and syntax" and "Policy elements"
//! (read 2026-11; `NotResource` is in older ones only). Anything else is refused and not skipped:
//! skipping a word turns a `Deny` into nothing. Names of elements, effects and resources are
//! case-sensitive; actions and domain names are not. The region of a resource is ignored, because
//! resources here have no region. A resource without an account matches every account where that
//! makes a policy allow less, and is refused elsewhere.
//!
//! The length limit bounds everything else: 6,144 characters contain fewer than 1,600 values. The
//! cost of evaluation has a limit of its own, [`STEPS_MAX`](super::STEPS_MAX).

mod resource;
mod serialize;

pub(super) use serialize::one_or_list;

use resource::{MissingAccount, read_resource, read_stored_resource};

use serde::Serialize;

use super::{
    budget::StepBudget,
    condition::Condition,
    glob::{Glob, Haystack},
    invalid::{InvalidPolicy, truncate},
    json::{JsonPath, Node},
    prepared::PreparedRequest,
    principal::{IdentityArn, TrustedPrincipal},
};

/// Most characters of a policy (the cloud's limit for custom policies). Session policies have a
/// lower limit, which their caller checks.
pub const POLICY_CHARS_MAX: usize = 6144;

/// A policy for an identity or a session: which actions it may perform on which resources.
///
/// Two documents are equal if their statements are, whatever their white space. A document
/// serializes into JSON that parses into an equal document.
#[derive(Clone, Debug)]
pub struct Document {
    text: Box<str>,
    pub(super) statements: Vec<Statement>,
}

/// The trust policy of a role: who may assume it. Its statements have `Principal` instead of
/// `Resource`, and only actions of `sts`.
///
/// Equality and serialization are as for [`Document`].
#[derive(Clone, Debug)]
pub struct TrustDocument {
    text: Box<str>,
    pub(super) statements: Vec<TrustStatement>,
}

/// The effect of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Effect {
    /// Allows the request, unless another statement denies it.
    Allow,
    /// Denies the request, whatever other statements allow.
    Deny,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) effect: Effect,
    actions: PatternSet,
    resources: PatternSet,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct TrustStatement {
    pub(super) effect: Effect,
    pub(super) principals: Vec<TrustedPrincipal>,
    actions: PatternSet,
    conditions: Vec<Condition>,
}

/// `X` or `NotX`: what the globs match, or everything else.
#[derive(Clone, Debug, PartialEq)]
struct PatternSet {
    name: &'static str,
    negated: bool,
    globs: Vec<Glob>,
}

impl Document {
    /// Parses a policy for an identity or a session.
    ///
    /// # Errors
    /// [`InvalidPolicy`] with the first error.
    pub fn parse(json: &str) -> Result<Self, InvalidPolicy> {
        Ok(Self {
            statements: parse_statements(json, |node, path| {
                Statement::read(node, path, read_resource)
            })?,
            text: json.into(),
        })
    }

    /// Parses a policy that was accepted before, perhaps by a release that accepted more: a
    /// resource that [`parse`](Self::parse) refuses because it can match nothing matches nothing
    /// here.
    ///
    /// # Errors
    /// [`InvalidPolicy`] with the first error.
    pub fn parse_stored(json: &str) -> Result<Self, InvalidPolicy> {
        let read =
            |node: &Node, path: &JsonPath<'_>| Statement::read(node, path, read_stored_resource);
        Ok(Self {
            statements: parse_statements(json, read)?,
            text: json.into(),
        })
    }

    /// The document as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a condition reads tags of the resource.
    #[must_use]
    pub fn reads_tags(&self) -> bool {
        let conditions = self.statements.iter().flat_map(|one| &one.conditions);
        conditions.into_iter().any(Condition::reads_tags)
    }

    /// A document without statements, which no string parses into.
    pub(super) fn granting_nothing(text: &str) -> Self {
        Self {
            text: text.into(),
            statements: Vec::new(),
        }
    }
}

impl TrustDocument {
    /// Parses the trust policy of a role.
    ///
    /// # Errors
    /// [`InvalidPolicy`] with the first error.
    pub fn parse(json: &str) -> Result<Self, InvalidPolicy> {
        Ok(Self {
            statements: parse_statements(json, TrustStatement::read)?,
            text: json.into(),
        })
    }

    /// The document as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl TrustDocument {
    /// The users and roles that it names. Accounts, services and identity providers are not
    /// included.
    pub fn identities(&self) -> impl Iterator<Item = IdentityArn> {
        let principals = self.statements.iter().flat_map(|one| &one.principals);
        principals.filter_map(TrustedPrincipal::identity)
    }
}

impl Statement {
    fn read(
        node: &Node,
        path: &JsonPath<'_>,
        read_resource: fn(&Node, &JsonPath<'_>, MissingAccount) -> Result<Glob, InvalidPolicy>,
    ) -> Result<Self, InvalidPolicy> {
        let [
            effect,
            action,
            not_action,
            resource,
            not_resource,
            condition,
        ] = node.elements(
            path,
            [
                "Effect",
                "Action",
                "NotAction",
                "Resource",
                "NotResource",
                "Condition",
            ],
        )?;
        let effect = Effect::read(effect, path)?;
        let narrows = (effect == Effect::Deny) == not_resource.is_none();
        let anyones = if narrows {
            MissingAccount::EveryAccount
        } else {
            MissingAccount::NoAccount
        };
        let read_resource = |node: &Node, path: &JsonPath<'_>| read_resource(node, path, anyones);
        Ok(Self {
            effect,
            actions: PatternSet::read("Action", action, not_action, path, read_action)?,
            resources: PatternSet::read("Resource", resource, not_resource, path, read_resource)?,
            conditions: read_conditions(condition, path)?,
        })
    }

    /// Whether this statement applies to the request.
    pub(super) fn applies(&self, asked: &PreparedRequest<'_>) -> bool {
        self.actions.matches(asked.action, asked.steps)
            && self.resources.matches(&asked.name, asked.steps)
            && self.conditions_hold(asked)
    }

    /// Whether this statement, a `Deny`, applies to a resource related to the requested one: see
    /// [`Resource::with_alias`](super::Resource::with_alias) and
    /// [`Resource::within`](super::Resource::within).
    ///
    /// An exception (`NotAction`, `NotResource`) applies to a resource under any of its names, so
    /// that an alias does not revoke what a policy exempts.
    pub(super) fn denies_related(&self, asked: &PreparedRequest<'_>) -> bool {
        let Some(denied_as) = asked.related() else {
            return false;
        };
        let (action, steps) = (asked.action, asked.steps);
        let is_known = denied_as.alias.as_ref().is_some_and(|(other, other_name)| {
            self.actions.matches_any(&[action, other], steps)
                && self
                    .resources
                    .matches_any(&[&asked.name, other_name], steps)
        });
        let is_within = denied_as.within.is_some_and(|arn| {
            self.actions.matches(action, steps) && self.resources.overlaps(arn, steps)
        });
        (is_known || is_within) && self.conditions_hold(asked)
    }

    fn conditions_hold(&self, asked: &PreparedRequest<'_>) -> bool {
        let holds = |condition: &Condition| condition.holds(self.effect, asked);
        self.conditions.iter().all(holds)
    }
}

impl TrustStatement {
    fn read(node: &Node, path: &JsonPath<'_>) -> Result<Self, InvalidPolicy> {
        let [effect, principal, action, condition] =
            node.elements(path, ["Effect", "Principal", "Action", "Condition"])?;
        let principal = principal.ok_or_else(|| missing_element(path, "Principal"))?;
        Ok(Self {
            effect: Effect::read(effect, path)?,
            principals: TrustedPrincipal::read_all(
                principal,
                &JsonPath::Element(path, "Principal"),
            )?,
            actions: PatternSet::read("Action", action, None, path, read_trust_action)?,
            conditions: read_conditions(condition, path)?,
        })
    }

    /// Whether this statement applies to the request; its principals are checked separately.
    pub(super) fn applies(&self, asked: &PreparedRequest<'_>) -> bool {
        let holds = |condition: &Condition| condition.holds(self.effect, asked);
        self.actions.matches(asked.action, asked.steps) && self.conditions.iter().all(holds)
    }
}

impl PatternSet {
    fn read(
        name: &'static str,
        only: Option<&Node>,
        except: Option<&Node>,
        path: &JsonPath<'_>,
        read: impl Fn(&Node, &JsonPath<'_>) -> Result<Glob, InvalidPolicy>,
    ) -> Result<Self, InvalidPolicy> {
        let (excepted, node) = match (only, except) {
            (Some(node), None) => (false, node),
            (None, Some(node)) => (true, node),
            (None, None) => return Err(missing_element(path, name)),
            (Some(_), Some(_)) => {
                return Err(InvalidPolicy::Both {
                    path: path.to_string(),
                    element: name,
                });
            }
        };
        let spelt = Self::element_name(name, excepted);
        Ok(Self {
            globs: node.each(&JsonPath::Element(path, spelt), read)?,
            name,
            negated: excepted,
        })
    }

    fn matches(&self, subject: &Haystack<'_>, steps: &StepBudget) -> bool {
        self.matches_any(&[subject], steps)
    }

    /// Whether the set contains a resource with several names.
    fn matches_any(&self, names: &[&Haystack<'_>], steps: &StepBudget) -> bool {
        let is_one = |glob: &Glob| names.iter().any(|name| glob.matches(name, steps));
        self.globs.iter().any(is_one) != self.negated
    }

    /// Whether it names something that may be within `arn`. An exception names nothing.
    fn overlaps(&self, arn: &str, steps: &StepBudget) -> bool {
        !self.negated && self.globs.iter().any(|glob| glob.overlaps(arn, steps))
    }

    fn element_name(name: &'static str, excepted: bool) -> &'static str {
        match (name, excepted) {
            ("Action", true) => "NotAction",
            ("Resource", true) => "NotResource",
            _ => name,
        }
    }
}

impl Effect {
    fn read(node: Option<&Node>, path: &JsonPath<'_>) -> Result<Self, InvalidPolicy> {
        let node = node.ok_or_else(|| missing_element(path, "Effect"))?;
        let path = JsonPath::Element(path, "Effect");
        match node.text(&path)? {
            "Allow" => Ok(Self::Allow),
            "Deny" => Ok(Self::Deny),
            other => Err(invalid_value(other, &path, "Allow or Deny")),
        }
    }
}

/// Parses what all policies have in common, and each statement with `read`.
fn parse_statements<S>(
    json: &str,
    read: impl Fn(&Node, &JsonPath<'_>) -> Result<S, InvalidPolicy>,
) -> Result<Vec<S>, InvalidPolicy> {
    let length = json.chars().count();
    if length > POLICY_CHARS_MAX {
        return Err(InvalidPolicy::TooLong {
            length,
            max: POLICY_CHARS_MAX,
        });
    }
    let root = Node::parse(json)?;
    let [version, statement] = root.elements(&JsonPath::Root, ["Version", "Statement"])?;
    let version = version.ok_or_else(|| missing_element(&JsonPath::Root, "Version"))?;
    let path = JsonPath::Element(&JsonPath::Root, "Version");
    let version = version.text(&path)?;
    if version != "1" {
        return Err(invalid_value(version, &path, "\"1\""));
    }
    let statement = statement.ok_or_else(|| missing_element(&JsonPath::Root, "Statement"))?;
    statement.each(&JsonPath::Element(&JsonPath::Root, "Statement"), read)
}

/// `*`, or `service:Operation` with wildcards anywhere.
fn read_action(node: &Node, path: &JsonPath<'_>) -> Result<Glob, InvalidPolicy> {
    let text = parse_text(node, path)?;
    let parts: Vec<&str> = text.split(':').collect();
    let good = text.bytes().all(|b| b.is_ascii_graphic())
        && (text == "*" || (parts.len() == 2 && parts.iter().all(|part| !part.is_empty())));
    if good {
        Ok(Glob::new(text))
    } else {
        Err(invalid_value(
            text,
            path,
            "an action, service:Operation or *",
        ))
    }
}

/// An action that a trust policy may have.
fn read_trust_action(node: &Node, path: &JsonPath<'_>) -> Result<Glob, InvalidPolicy> {
    let glob = read_action(node, path)?;
    let text = glob.as_str();
    let of_sts = text.split_at_checked(4);
    if of_sts.is_some_and(|(service, _)| service.eq_ignore_ascii_case("sts:")) {
        Ok(glob)
    } else {
        Err(invalid_value(
            text,
            path,
            "an action of sts, such as sts:AssumeRole",
        ))
    }
}

/// A string without variables and control characters.
fn parse_text<'n>(node: &'n Node, path: &JsonPath<'_>) -> Result<&'n str, InvalidPolicy> {
    let text = node.text(path)?;
    if text.contains("${") {
        return Err(InvalidPolicy::Variable {
            path: path.to_string(),
        });
    }
    if text.chars().any(char::is_control) {
        return Err(invalid_value(text, path, "free of control characters"));
    }
    Ok(text)
}

fn read_conditions(
    node: Option<&Node>,
    path: &JsonPath<'_>,
) -> Result<Vec<Condition>, InvalidPolicy> {
    node.map_or(Ok(Vec::new()), |node| {
        Condition::read_all(node, &JsonPath::Element(path, "Condition"))
    })
}

fn missing_element(path: &JsonPath<'_>, element: &'static str) -> InvalidPolicy {
    InvalidPolicy::Missing {
        path: path.to_string(),
        element,
    }
}

fn invalid_value(given: &str, path: &JsonPath<'_>, expected: &'static str) -> InvalidPolicy {
    InvalidPolicy::Value {
        path: path.to_string(),
        given: truncate(given),
        expected,
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.statements == other.statements
    }
}

impl PartialEq for TrustDocument {
    fn eq(&self, other: &Self) -> bool {
        self.statements == other.statements
    }
}
