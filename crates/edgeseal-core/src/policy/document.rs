//! Policy documents: parsed once, then compared many times.
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
//! (read 2026-11; `NotResource` is in older ones only). What they do not have is refused and not
//! passed over: a word that is skipped turns a `Deny` into nothing. Names of elements, effects and
//! resources are case-sensitive; actions and the names of domains are not. The region of a resource
//! counts for nothing: nothing here is in one. Without an account it means every account where that
//! makes a policy allow less, and is refused elsewhere.
//!
//! The limit on the text bounds everything else: 6,144 characters hold fewer than 1,600 values. What
//! comparing them may cost has a limit of its own, [`STEPS_MAX`](super::STEPS_MAX).

mod print;
mod resource;

pub(super) use print::one_or_list;

use resource::{Anyones, read_resource, read_stored_resource};

use serde::Serialize;

use super::{
    asked::Asked,
    condition::Condition,
    glob::{Glob, Subject},
    invalid::{InvalidPolicy, short},
    principal::{IdentityName, Trusted},
    steps::Steps,
    tree::{Node, Path},
};

/// Characters that a policy may have (the cloud's limit for custom policies). Policies of a session
/// have a lower one, which their caller checks.
pub const CHARACTERS_MAX: usize = 6144;

/// A policy for an identity or a session: what may be done with what.
///
/// Two documents are equal if their statements are, however they are spaced. It serializes into
/// JSON that parses into an equal document.
#[derive(Clone, Debug)]
pub struct Document {
    text: Box<str>,
    pub(super) statements: Vec<Statement>,
}

/// The trust policy of a role: who may assume it. Its statements have `Principal` instead of
/// `Resource`, and actions of `sts` only.
///
/// Equality and serialization are those of [`Document`].
#[derive(Clone, Debug)]
pub struct TrustDocument {
    text: Box<str>,
    pub(super) statements: Vec<TrustStatement>,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Effect {
    /// It permits, unless another one denies.
    Allow,
    /// It denies, whatever others permit.
    Deny,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) effect: Effect,
    actions: Scope,
    resources: Scope,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct TrustStatement {
    pub(super) effect: Effect,
    pub(super) principals: Vec<Trusted>,
    actions: Scope,
    conditions: Vec<Condition>,
}

/// `X` or `NotX`: what the globs match, or everything else.
#[derive(Clone, Debug, PartialEq)]
struct Scope {
    name: &'static str,
    excepted: bool,
    globs: Vec<Glob>,
}

impl Document {
    /// Parses a policy for an identity or a session.
    ///
    /// # Errors
    /// [`InvalidPolicy`] with the first thing that is wrong.
    pub fn parse(json: &str) -> Result<Self, InvalidPolicy> {
        Ok(Self {
            statements: statements(json, |node, path| {
                Statement::read(node, path, read_resource)
            })?,
            text: json.into(),
        })
    }

    /// Parses one that has been taken before, perhaps by a release that took more: a resource that
    /// [`parse`](Self::parse) refuses since it can match nothing stands for nothing here.
    ///
    /// # Errors
    /// [`InvalidPolicy`] with the first thing that is wrong.
    pub fn parse_stored(json: &str) -> Result<Self, InvalidPolicy> {
        let read = |node: &Node, path: &Path<'_>| Statement::read(node, path, read_stored_resource);
        Ok(Self {
            statements: statements(json, read)?,
            text: json.into(),
        })
    }

    /// The text as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it asks for tags of what is acted upon.
    #[must_use]
    pub fn reads_tags(&self) -> bool {
        let conditions = self.statements.iter().flat_map(|one| &one.conditions);
        conditions.into_iter().any(Condition::reads_tags)
    }

    /// A document without statements, which no text parses into.
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
    /// [`InvalidPolicy`] with the first thing that is wrong.
    pub fn parse(json: &str) -> Result<Self, InvalidPolicy> {
        Ok(Self {
            statements: statements(json, TrustStatement::read)?,
            text: json.into(),
        })
    }

    /// The text as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl TrustDocument {
    /// The users and roles that it names; of accounts, services and identity providers there is
    /// nothing to tell.
    pub fn identities(&self) -> impl Iterator<Item = IdentityName> {
        let principals = self.statements.iter().flat_map(|one| &one.principals);
        principals.filter_map(Trusted::identity)
    }
}

impl Statement {
    fn read(
        node: &Node,
        path: &Path<'_>,
        read_resource: fn(&Node, &Path<'_>, Anyones) -> Result<Glob, InvalidPolicy>,
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
        let anyones = if narrows { Anyones::All } else { Anyones::None };
        let read_resource = |node: &Node, path: &Path<'_>| read_resource(node, path, anyones);
        Ok(Self {
            effect,
            actions: Scope::read("Action", action, not_action, path, read_action)?,
            resources: Scope::read("Resource", resource, not_resource, path, read_resource)?,
            conditions: read_conditions(condition, path)?,
        })
    }

    /// Whether this statement is about what is asked.
    pub(super) fn applies(&self, asked: &Asked<'_>) -> bool {
        self.actions.has(asked.action, asked.steps)
            && self.resources.has(&asked.name, asked.steps)
            && self.conditions_hold(asked)
    }

    /// Whether this statement, a `Deny`, is about what else the resource is: see
    /// [`Resource::known_as`](super::Resource::known_as) and
    /// [`Resource::within`](super::Resource::within).
    ///
    /// An exception (`NotAction`, `NotResource`) holds for a thing by whichever name it makes it, so
    /// that a second name does not take away what a policy leaves alone.
    pub(super) fn denies_otherwise(&self, asked: &Asked<'_>) -> bool {
        let Some(denied_as) = asked.denied_as() else {
            return false;
        };
        let (action, steps) = (asked.action, asked.steps);
        let is_known = denied_as.known.as_ref().is_some_and(|(other, other_name)| {
            self.actions.has_any(&[action, other], steps)
                && self.resources.has_any(&[&asked.name, other_name], steps)
        });
        let is_within = denied_as.within.is_some_and(|arn| {
            self.actions.has(action, steps) && self.resources.overlaps(arn, steps)
        });
        (is_known || is_within) && self.conditions_hold(asked)
    }

    fn conditions_hold(&self, asked: &Asked<'_>) -> bool {
        let holds = |condition: &Condition| condition.holds(self.effect, asked);
        self.conditions.iter().all(holds)
    }
}

impl TrustStatement {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, InvalidPolicy> {
        let [effect, principal, action, condition] =
            node.elements(path, ["Effect", "Principal", "Action", "Condition"])?;
        let principal = principal.ok_or_else(|| missing(path, "Principal"))?;
        Ok(Self {
            effect: Effect::read(effect, path)?,
            principals: Trusted::read_all(principal, &Path::Element(path, "Principal"))?,
            actions: Scope::read("Action", action, None, path, read_trust_action)?,
            conditions: read_conditions(condition, path)?,
        })
    }

    /// Whether this statement is about what is asked; its principals come on top.
    pub(super) fn applies(&self, asked: &Asked<'_>) -> bool {
        let holds = |condition: &Condition| condition.holds(self.effect, asked);
        self.actions.has(asked.action, asked.steps) && self.conditions.iter().all(holds)
    }
}

impl Scope {
    fn read(
        name: &'static str,
        only: Option<&Node>,
        except: Option<&Node>,
        path: &Path<'_>,
        read: impl Fn(&Node, &Path<'_>) -> Result<Glob, InvalidPolicy>,
    ) -> Result<Self, InvalidPolicy> {
        let (excepted, node) = match (only, except) {
            (Some(node), None) => (false, node),
            (None, Some(node)) => (true, node),
            (None, None) => return Err(missing(path, name)),
            (Some(_), Some(_)) => {
                return Err(InvalidPolicy::Both {
                    path: path.to_string(),
                    element: name,
                });
            }
        };
        let spelt = Self::spelt(name, excepted);
        Ok(Self {
            globs: node.each(&Path::Element(path, spelt), read)?,
            name,
            excepted,
        })
    }

    fn has(&self, subject: &Subject<'_>, steps: &Steps) -> bool {
        self.has_any(&[subject], steps)
    }

    /// Whether it has a thing with several names.
    fn has_any(&self, names: &[&Subject<'_>], steps: &Steps) -> bool {
        let is_one = |glob: &Glob| names.iter().any(|name| glob.matches(name, steps));
        self.globs.iter().any(is_one) != self.excepted
    }

    /// Whether it names something that may be in `arn`. What is excepted names nothing.
    fn overlaps(&self, arn: &str, steps: &Steps) -> bool {
        !self.excepted && self.globs.iter().any(|glob| glob.overlaps(arn, steps))
    }

    fn spelt(name: &'static str, excepted: bool) -> &'static str {
        match (name, excepted) {
            ("Action", true) => "NotAction",
            ("Resource", true) => "NotResource",
            _ => name,
        }
    }
}

impl Effect {
    fn read(node: Option<&Node>, path: &Path<'_>) -> Result<Self, InvalidPolicy> {
        let node = node.ok_or_else(|| missing(path, "Effect"))?;
        let path = Path::Element(path, "Effect");
        match node.text(&path)? {
            "Allow" => Ok(Self::Allow),
            "Deny" => Ok(Self::Deny),
            other => Err(value(other, &path, "Allow or Deny")),
        }
    }
}

/// Reads what all policies have in common, and each statement with `read`.
fn statements<S>(
    json: &str,
    read: impl Fn(&Node, &Path<'_>) -> Result<S, InvalidPolicy>,
) -> Result<Vec<S>, InvalidPolicy> {
    let length = json.chars().count();
    if length > CHARACTERS_MAX {
        return Err(InvalidPolicy::TooLong {
            length,
            max: CHARACTERS_MAX,
        });
    }
    let root = Node::parse(json)?;
    let [version, statement] = root.elements(&Path::Root, ["Version", "Statement"])?;
    let version = version.ok_or_else(|| missing(&Path::Root, "Version"))?;
    let path = Path::Element(&Path::Root, "Version");
    let version = version.text(&path)?;
    if version != "1" {
        return Err(value(version, &path, "\"1\""));
    }
    let statement = statement.ok_or_else(|| missing(&Path::Root, "Statement"))?;
    statement.each(&Path::Element(&Path::Root, "Statement"), read)
}

/// `*`, or `service:Operation` with wildcards anywhere.
fn read_action(node: &Node, path: &Path<'_>) -> Result<Glob, InvalidPolicy> {
    let text = name(node, path)?;
    let parts: Vec<&str> = text.split(':').collect();
    let good = text.bytes().all(|b| b.is_ascii_graphic())
        && (text == "*" || (parts.len() == 2 && parts.iter().all(|part| !part.is_empty())));
    if good {
        Ok(Glob::new(text))
    } else {
        Err(value(text, path, "an action, service:Operation or *"))
    }
}

/// An action that a trust policy can be about.
fn read_trust_action(node: &Node, path: &Path<'_>) -> Result<Glob, InvalidPolicy> {
    let glob = read_action(node, path)?;
    let text = glob.as_str();
    let of_sts = text.split_at_checked(4);
    if of_sts.is_some_and(|(service, _)| service.eq_ignore_ascii_case("sts:")) {
        Ok(glob)
    } else {
        Err(value(
            text,
            path,
            "an action of sts, such as sts:AssumeRole",
        ))
    }
}

/// A text without variables and control characters.
fn name<'n>(node: &'n Node, path: &Path<'_>) -> Result<&'n str, InvalidPolicy> {
    let text = node.text(path)?;
    if text.contains("${") {
        return Err(InvalidPolicy::Variable {
            path: path.to_string(),
        });
    }
    if text.chars().any(char::is_control) {
        return Err(value(text, path, "free of control characters"));
    }
    Ok(text)
}

fn read_conditions(node: Option<&Node>, path: &Path<'_>) -> Result<Vec<Condition>, InvalidPolicy> {
    node.map_or(Ok(Vec::new()), |node| {
        Condition::read_all(node, &Path::Element(path, "Condition"))
    })
}

fn missing(path: &Path<'_>, element: &'static str) -> InvalidPolicy {
    InvalidPolicy::Missing {
        path: path.to_string(),
        element,
    }
}

fn value(given: &str, path: &Path<'_>, expected: &'static str) -> InvalidPolicy {
    InvalidPolicy::Value {
        path: path.to_string(),
        given: short(given),
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
