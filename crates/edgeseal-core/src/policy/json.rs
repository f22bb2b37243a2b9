//! JSON as a tree that keeps what serde drops: the order of names, and duplicate names.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use super::invalid::{InvalidPolicy, truncate};

/// One JSON value.
pub(super) enum Node {
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
    /// A type that occurs nowhere in policies.
    Other(&'static str),
}

/// The location of a node: a linked list on the stack, printed only in an error.
#[derive(Clone, Copy)]
pub(super) enum JsonPath<'a> {
    Root,
    Element(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl Node {
    /// Parses `json`.
    pub(super) fn parse(json: &str) -> Result<Self, InvalidPolicy> {
        serde_json::from_str(json).map_err(|error| InvalidPolicy::Json {
            line: error.line(),
            column: error.column(),
        })
    }

    /// The elements of an object that may have `names` and no others, in the order of `names`.
    pub(super) fn elements<const N: usize>(
        &self,
        path: &JsonPath<'_>,
        names: [&str; N],
    ) -> Result<[Option<&Self>; N], InvalidPolicy> {
        let mut found = [None; N];
        for (name, node) in self.object(path)? {
            let Some(at) = names.iter().position(|known| known == name) else {
                return Err(InvalidPolicy::Unknown {
                    path: JsonPath::Element(path, name).to_string(),
                });
            };
            found[at] = Some(node);
        }
        Ok(found)
    }

    /// The names and values of an object that is not empty and has no duplicate names.
    pub(super) fn object(&self, path: &JsonPath<'_>) -> Result<&[(String, Self)], InvalidPolicy> {
        let Self::Object(entries) = self else {
            return Err(self.wrong_type(path, "an object"));
        };
        if entries.is_empty() {
            return Err(InvalidPolicy::Empty {
                path: path.to_string(),
            });
        }
        let mut names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(InvalidPolicy::Duplicate {
                path: JsonPath::Element(path, twice[0]).to_string(),
            });
        }
        Ok(entries)
    }

    /// The string.
    pub(super) fn text(&self, path: &JsonPath<'_>) -> Result<&str, InvalidPolicy> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(self.wrong_type(path, "a string")),
        }
    }

    /// The results of `read` for a single value, or for each value of a nonempty list.
    pub(super) fn each<T>(
        &self,
        path: &JsonPath<'_>,
        mut read: impl FnMut(&Self, &JsonPath<'_>) -> Result<T, InvalidPolicy>,
    ) -> Result<Vec<T>, InvalidPolicy> {
        match self {
            Self::List(list) if list.is_empty() => Err(InvalidPolicy::Empty {
                path: path.to_string(),
            }),
            Self::List(list) => list
                .iter()
                .enumerate()
                .map(|(at, node)| read(node, &JsonPath::Item(path, at)))
                .collect(),
            one => Ok(vec![read(one, path)?]),
        }
    }

    fn wrong_type(&self, path: &JsonPath<'_>, expected: &'static str) -> InvalidPolicy {
        InvalidPolicy::Type {
            path: path.to_string(),
            expected,
            found: match self {
                Self::Text(_) => "a string",
                Self::List(_) => "a list",
                Self::Object(_) => "an object",
                Self::Other(kind) => kind,
            },
        }
    }
}

impl fmt::Display for JsonPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the policy"),
            Self::Element(JsonPath::Root, name) => f.write_str(&truncate(name)),
            Self::Element(parent, name) => write!(f, "{parent}.{}", truncate(name)),
            Self::Item(parent, at) => write!(f, "{parent}[{at}]"),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Other("a Boolean without quotation marks"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Other("a number without quotation marks"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Other("a number without quotation marks"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other("a number without quotation marks"))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = object.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Object(entries))
    }
}
