//! Conditions: an operator, a condition key, and the values to compare the request's value with.
//!
//! The operators are those of the cloud's page "Conditional operators" (read 2026-11). `…IfExists`
//! and `Null` are refused, as the cloud refuses them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    budget::StepBudget,
    document::Effect,
    glob::Glob,
    invalid::{InvalidPolicy, truncate},
    json::{JsonPath, Node},
    prepared::{PreparedRequest, PreparedValue, to_lowercase},
    request::{ConditionKey, ConditionValue},
};

/// A condition on one key with one operator.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    operator: &'static Operator,
    key: ConditionKey,
    operands: Operands,
    raw_values: Vec<Box<str>>,
}

/// A row of [`OPERATORS`].
#[derive(Debug, PartialEq)]
struct Operator {
    name: &'static str,
    comparison: Comparison,
    /// Holds if the test fails for every value.
    negated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equals,
    EqualsIgnoreCase,
    Like,
    Number(Relation),
    Date(Relation),
    Bool,
    Address,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The values of the policy, parsed for comparison.
#[derive(Clone, Debug, PartialEq)]
enum Operands {
    Texts,
    Folded(Vec<Box<str>>),
    Globs(Vec<Glob>),
    Numbers(Vec<Number>),
    /// Seconds since the Unix epoch.
    Dates(Vec<i64>),
    Bools(Vec<bool>),
    Networks(Vec<IpNet>),
}

/// A decimal number in units of 10⁻⁹: exact, so that different numbers never compare as equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Number(i128);

const fn operator(name: &'static str, test: Comparison, negated: bool) -> Operator {
    Operator {
        name,
        comparison: test,
        negated,
    }
}

#[rustfmt::skip]
static OPERATORS: [Operator; 21] = [
    operator("StringEquals",              Comparison::Equals,                           false),
    operator("StringNotEquals",           Comparison::Equals,                           true),
    operator("StringEqualsIgnoreCase",    Comparison::EqualsIgnoreCase,                 false),
    operator("StringNotEqualsIgnoreCase", Comparison::EqualsIgnoreCase,                 true),
    operator("StringLike",                Comparison::Like,                             false),
    operator("StringNotLike",             Comparison::Like,                             true),
    operator("NumericEquals",             Comparison::Number(Relation::Equal),          false),
    operator("NumericNotEquals",          Comparison::Number(Relation::Equal),          true),
    operator("NumericLessThan",           Comparison::Number(Relation::Less),           false),
    operator("NumericLessThanEquals",     Comparison::Number(Relation::LessOrEqual),    false),
    operator("NumericGreaterThan",        Comparison::Number(Relation::Greater),        false),
    operator("NumericGreaterThanEquals",  Comparison::Number(Relation::GreaterOrEqual), false),
    operator("DateEquals",                Comparison::Date(Relation::Equal),            false),
    operator("DateNotEquals",             Comparison::Date(Relation::Equal),            true),
    operator("DateLessThan",              Comparison::Date(Relation::Less),             false),
    operator("DateLessThanEquals",        Comparison::Date(Relation::LessOrEqual),      false),
    operator("DateGreaterThan",           Comparison::Date(Relation::Greater),          false),
    operator("DateGreaterThanEquals",     Comparison::Date(Relation::GreaterOrEqual),   false),
    operator("Bool",                      Comparison::Bool,                             false),
    operator("IpAddress",                 Comparison::Address,                          false),
    operator("NotIpAddress",              Comparison::Address,                          true),
];

/// The names of all operators.
#[cfg(test)]
pub(super) fn operator_names() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().map(|operator| operator.name)
}

impl Condition {
    /// Parses the element `Condition`: one condition for each key of each operator.
    pub(super) fn read_all(node: &Node, path: &JsonPath<'_>) -> Result<Vec<Self>, InvalidPolicy> {
        let mut conditions: Vec<Self> = Vec::new();
        for (name, keys) in node.object(path)? {
            let path = JsonPath::Element(path, name);
            let operator = OPERATORS.iter().find(|row| row.name == name);
            let Some(operator) = operator else {
                return Err(InvalidPolicy::UnknownOperator {
                    path: path.to_string(),
                });
            };
            let first = conditions.len();
            for (key, values) in keys.object(&path)? {
                let path = JsonPath::Element(&path, key);
                let condition = Self::read(operator, key, values, &path)?;
                if conditions[first..]
                    .iter()
                    .any(|other| other.key == condition.key)
                {
                    return Err(InvalidPolicy::Duplicate {
                        path: path.to_string(),
                    });
                }
                conditions.push(condition);
            }
        }
        Ok(conditions)
    }

    fn read(
        operator: &'static Operator,
        name: &str,
        values: &Node,
        path: &JsonPath<'_>,
    ) -> Result<Self, InvalidPolicy> {
        let key = ConditionKey::parse(name).ok_or_else(|| InvalidPolicy::Value {
            path: path.to_string(),
            given: truncate(name),
            expected: "a condition key, service:Name",
        })?;
        let given = values.each(path, |node, path| {
            let text = node.text(path)?;
            operator
                .comparison
                .check(text, path)
                .map(|()| Box::from(text))
        })?;
        Ok(Self {
            operands: operator.comparison.operands(&given),
            operator,
            key,
            raw_values: given,
        })
    }

    /// The name of its operator.
    pub(super) const fn operator(&self) -> &'static str {
        self.operator.name
    }

    /// Whether it reads a tag of the resource.
    pub(super) const fn reads_tags(&self) -> bool {
        matches!(self.key, ConditionKey::ResourceTag(_))
    }

    /// Its condition key.
    pub(super) const fn key(&self) -> &ConditionKey {
        &self.key
    }

    /// Its values as they were written.
    pub(super) fn values(&self) -> &[Box<str>] {
        &self.raw_values
    }

    /// Whether it holds, in a statement with this effect.
    ///
    /// Several values are alternatives: one match is enough, and a negated operator holds if none
    /// matches. If the request lacks the key, or has a value that cannot be compared, positive
    /// operators do not hold: the cloud does the same for `Bool` and `acs:MFAPresent`. For negated
    /// operators the cloud's pages are silent. Here they hold in a `Deny` and not in an `Allow`, so
    /// that no `Allow` ever applies because something about a request is unknown.
    pub(super) fn holds(&self, effect: Effect, asked: &PreparedRequest<'_>) -> bool {
        let known = asked.value(&self.key);
        match known.and_then(|known| self.matches(known, asked.steps)) {
            Some(fits) => fits != self.operator.negated,
            None => self.operator.negated && effect == Effect::Deny,
        }
    }

    /// Whether one of the operands matches; `None` if the value cannot be compared with them.
    fn matches(&self, known: &PreparedValue<'_>, steps: &StepBudget) -> Option<bool> {
        let value = &known.value;
        if !steps.spend(self.raw_values.len()) {
            return None;
        }
        Some(match &self.operands {
            Operands::Texts => {
                let text = known.text().text();
                self.raw_values.iter().any(|given| **given == *text)
            }
            Operands::Folded(folded) => {
                let text = known.lowercase();
                folded.iter().any(|folded| **folded == *text)
            }
            Operands::Globs(globs) => {
                let subject = known.text();
                globs.iter().any(|glob| glob.matches(subject, steps))
            }
            Operands::Numbers(numbers) => {
                let number = Number::parse(known.text().text())?;
                numbers.iter().any(|other| self.compare(&number, other))
            }
            Operands::Dates(dates) => {
                let date = value.unix_seconds()?;
                dates.iter().any(|other| self.compare(&date, other))
            }
            Operands::Bools(bools) => bools.contains(&value.boolean()?),
            Operands::Networks(networks) => {
                let ip = value.address()?;
                networks.iter().any(|network| network.contains(&ip))
            }
        })
    }

    fn compare<T: Ord>(&self, left: &T, right: &T) -> bool {
        let (Comparison::Number(relation) | Comparison::Date(relation)) = self.operator.comparison
        else {
            return false;
        };
        match relation {
            Relation::Equal => left == right,
            Relation::Less => left < right,
            Relation::LessOrEqual => left <= right,
            Relation::Greater => left > right,
            Relation::GreaterOrEqual => left >= right,
        }
    }
}

impl Comparison {
    /// Checks that `text` is a valid value for this test.
    fn check(self, text: &str, path: &JsonPath<'_>) -> Result<(), InvalidPolicy> {
        if text.contains("${") {
            return Err(InvalidPolicy::Variable {
                path: path.to_string(),
            });
        }
        let (good, expected) = match self {
            Self::Equals | Self::EqualsIgnoreCase | Self::Like => (true, "a string"),
            Self::Number(_) => (
                Number::parse(text).is_some(),
                "a decimal number with at most 18 digits before and 9 after the point",
            ),
            Self::Date(_) => (
                parse_date(text).is_some(),
                "a date, yyyy-MM-ddTHH:mm:ssZ or with an offset such as +08:00",
            ),
            Self::Bool => (parse_bool(text).is_some(), "true or false"),
            Self::Address => (
                parse_networks(text).is_some(),
                "an IP address or a CIDR block",
            ),
        };
        if good {
            return Ok(());
        }
        Err(InvalidPolicy::Value {
            path: path.to_string(),
            given: truncate(text),
            expected,
        })
    }

    /// Parses values that passed [`Self::check`] for comparison.
    fn operands(self, given: &[Box<str>]) -> Operands {
        let texts = given.iter().map(|text| &**text);
        match self {
            Self::Equals => Operands::Texts,
            Self::EqualsIgnoreCase => Operands::Folded(texts.map(to_lowercase).collect()),
            Self::Like => Operands::Globs(texts.map(Glob::new).collect()),
            Self::Number(_) => Operands::Numbers(texts.filter_map(Number::parse).collect()),
            Self::Date(_) => Operands::Dates(texts.filter_map(parse_date).collect()),
            Self::Bool => Operands::Bools(texts.filter_map(parse_bool).collect()),
            Self::Address => {
                Operands::Networks(texts.filter_map(parse_networks).flatten().collect())
            }
        }
    }
}

impl ConditionValue<'_> {
    fn unix_seconds(&self) -> Option<i64> {
        match self {
            Self::Time(time) => Some(time.unix_seconds()),
            Self::Text(text) => parse_date(text),
            Self::Address(_) | Self::Bool(_) => None,
        }
    }

    fn boolean(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Text(text) => parse_bool(text),
            Self::Address(_) | Self::Time(_) => None,
        }
    }

    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(ip) => Some(*ip),
            Self::Text(text) => text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical()),
            Self::Time(_) | Self::Bool(_) => None,
        }
    }
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        const UNITS: i128 = 1_000_000_000;
        let (negative, digits) = text
            .strip_prefix('-')
            .map_or((false, text), |digits| (true, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let are_digits = |text: &str, max: usize| {
            (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        };
        if !are_digits(whole, 18) || !are_digits(fraction, 9) {
            return None;
        }
        let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
        let units = whole.parse::<i128>().ok()? * UNITS + fraction;
        Some(Self(if negative { -units } else { units }))
    }
}

/// Parses an ISO 8601 date with time and zone, in the profile of RFC 3339, into seconds since the
/// Unix epoch. Fractions of a second are dropped, as they are from a request's time.
fn parse_date(text: &str) -> Option<i64> {
    if text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(date.unix_timestamp())
}

fn parse_bool(text: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .into_iter()
        .find_map(|(name, value)| name.eq_ignore_ascii_case(text).then_some(value))
}

/// Parses an operand of `IpAddress` into networks: an address, a CIDR block, or the older form with
/// `*` for the last octets (`10.1.*`; `*` alone is every address).
fn parse_networks(text: &str) -> Option<Vec<IpNet>> {
    if text == "*" {
        return Some(vec![
            IpNet::V4(Ipv4Net::default()),
            IpNet::V6(Ipv6Net::default()),
        ]);
    }
    if let Some(at) = text.find('*') {
        return parse_wildcard_ipv4(text, at).map(|network| vec![network]);
    }
    let network = match text.parse::<IpAddr>() {
        Ok(ip) => IpNet::from(ip),
        Err(_) => text.parse::<IpNet>().ok()?,
    };
    Some(vec![unmap(network)])
}

/// `10.1.*` and `10.1.*.*`: `at` is the index of the first `*`.
fn parse_wildcard_ipv4(text: &str, at: usize) -> Option<IpNet> {
    let (octets, stars) = text.split_at(at);
    let octets: Vec<&str> = octets.strip_suffix('.')?.split('.').collect();
    let star_count = stars.split('.').count();
    if octets.len() + star_count > 4 || stars.split('.').any(|star| star != "*") {
        return None;
    }
    let bits = u8::try_from(octets.len() * 8).ok()?;
    let zeros = ".0".repeat(4 - octets.len());
    let ip: Ipv4Addr = format!("{}{zeros}", octets.join(".")).parse().ok()?;
    Ipv4Net::new(ip, bits).ok().map(IpNet::V4)
}

/// Converts a network of mapped IPv4 addresses (RFC 4291 §2.5.5.2) to the IPv4 network.
fn unmap(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    let mapped = Ipv6Addr::to_ipv4_mapped(&v6.network());
    let bits = v6.prefix_len().checked_sub(96);
    match (mapped, bits) {
        (Some(ip), Some(bits)) => Ipv4Net::new(ip, bits).map_or(network, IpNet::V4),
        _ => network,
    }
}
