//! Types of settings: what is written in the file, and how the reference describes it.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use edgeseal_api::context::{BoundCertificatePolicy, DuplicateContentPolicy, NameMismatchPolicy};
use edgeseal_core::{DomainName, DomainPattern, private_origins::PrivateOrigins, quota::Quota};
use edgeseal_store::open::StoreUrl;
use ipnet::IpNet;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, Unexpected},
};

use super::{acme::AcmeIssuer, acme_dns::AcmeDns, alarm::AlarmChannel, oidc::OidcProvider};
use crate::kek::KekSources;

/// A type of settings.
pub(super) trait SettingType {
    /// The type in the reference.
    fn describe() -> String;

    /// The words that are valid, if they are a fixed set.
    fn choices() -> Vec<&'static str> {
        Vec::new()
    }

    /// The value in the reference; `None` if nothing is set.
    fn show(&self) -> Option<String> {
        None
    }
}

/// A value that is written as a string.
pub(crate) trait Written: Clone + PartialEq + 'static {
    /// The type in the reference.
    const TYPE: &'static str;
    /// What the value must be, in messages.
    const EXPECTED: &'static str = Self::TYPE;
    /// The valid words with their values; empty if they are no fixed set.
    const WORDS: &'static [(&'static str, Self)] = &[];

    /// The value of a text; `None` if it is not valid.
    fn parse(text: &str) -> Option<Self> {
        let found = Self::WORDS.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| value.clone())
    }
}

/// A setting that is written as a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<T>(pub(crate) T);

/// A duration in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis(pub(crate) Duration);

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// What happens at a start if something is sealed under a missing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LostKeys {
    /// The start fails.
    Refuse,
    /// The start continues.
    Accept,
}

macro_rules! words {
    ($($type:ty: $name:literal { $($word:literal => $value:expr),* })*) => {
        $(impl Written for $type {
            const TYPE: &'static str = $name;
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $value)),*];
        })*
    };
}

words! {
    bool: "off or on" { "off" => false, "on" => true }
    LogFormat: "auto, text or json" { "auto" => Self::Auto, "text" => Self::Text, "json" => Self::Json }
    LostKeys: "refuse or accept" { "refuse" => Self::Refuse, "accept" => Self::Accept }
    NameMismatchPolicy: "refuse or accept" { "refuse" => Self::Refuse, "accept" => Self::Accept }
    DuplicateContentPolicy: "refuse or accept" { "refuse" => Self::Refuse, "accept" => Self::Accept }
    BoundCertificatePolicy: "refuse or release" { "refuse" => Self::Refuse, "release" => Self::Release }
    PrivateOrigins: "root, all or none" { "root" => Self::Root, "all" => Self::All, "none" => Self::None }
}

impl Written for DomainName {
    const TYPE: &'static str = "a domain name";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl Written for DomainPattern {
    const TYPE: &'static str = "domain";
    const EXPECTED: &'static str = "a list of domains, as \"www.a.example\" or \".a.example\"";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl Written for IpNet {
    const TYPE: &'static str = "network";
    const EXPECTED: &'static str = "a list of networks and addresses, as \"10.0.0.0/8\"";

    fn parse(text: &str) -> Option<Self> {
        let address = || text.parse::<IpAddr>().map(Self::from);
        text.parse().or_else(|_| address()).ok()
    }
}

impl<'de, T: Written> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = String::deserialize(deserializer)?;
        let value = T::parse(&given).map(Self);
        value.ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&given), &T::EXPECTED))
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|ms| Self(Duration::from_millis(ms)))
    }
}

impl<T: Written> SettingType for Text<T> {
    fn describe() -> String {
        T::TYPE.to_owned()
    }

    fn choices() -> Vec<&'static str> {
        T::WORDS.iter().map(|(word, _)| *word).collect()
    }

    fn show(&self) -> Option<String> {
        let found = T::WORDS.iter().find(|(_, value)| *value == self.0);
        found.map(|(word, _)| (*word).to_owned())
    }
}

macro_rules! setting_types {
    ($($type:ty: $name:literal $(, $show:expr)?;)*) => {
        $(impl SettingType for $type {
            fn describe() -> String {
                $name.to_owned()
            }

            $(fn show(&self) -> Option<String> {
                let show: fn(&Self) -> String = $show;
                Some(show(self))
            })?
        })*
    };
}

setting_types! {
    SocketAddr: "address", ToString::to_string;
    PathBuf: "path", |path| path.display().to_string();
    String: "string", Clone::clone;
    bool: "true or false", ToString::to_string;
    u16: "port", ToString::to_string;
    u32: "number", ToString::to_string;
    u64: "number", ToString::to_string;
    usize: "number", ToString::to_string;
    Quota: "number or unlimited", ToString::to_string;
    Millis: "ms", |millis| millis.0.as_millis().to_string();
    StoreUrl: "URL", ToString::to_string;
    KekSources: "source, or list of sources";
    OidcProvider: "table";
    AcmeIssuer: "table";
    AcmeDns: "table";
    AlarmChannel: "table";
    HashMap<String, u32>: "table";
}

impl<T: SettingType> SettingType for Option<T> {
    fn describe() -> String {
        T::describe()
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }
}

impl<T: SettingType> SettingType for Vec<T> {
    fn describe() -> String {
        format!("list of {}s", T::describe())
    }

    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(T::show).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}
