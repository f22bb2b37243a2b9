//! The URL of a database.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use edgeseal_core::Secret;
use percent_encoding::percent_decode_str;

/// `postgres://USER[:PASSWORD]@HOST[:PORT][,HOST[:PORT]…]/DATABASE[?KEY=VALUE&…]`.
///
/// Several hosts are the members of one replicated database; the one that takes writes is used. A
/// host that begins with `%2F` is the directory of a Unix socket. Keys:
/// - `sslmode`: `verify-full` (default), or `disable` (default if all hosts are on this machine).
///   The other modes of PostgreSQL's own clients do not tell whom they talk to, and are refused.
/// - `sslrootcert`: PEM file of the CAs of the servers; default: those of the system.
/// - `password_file`: file that holds the password.
/// - `schema`: schema of the tables, `edgeseal` by default.
///
/// [`Display`](fmt::Display) hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: String,
    /// Where servers may be, in order of preference.
    pub(super) hosts: Vec<HostPort>,
    pub(super) user: String,
    pub(super) password: Option<Password>,
    pub(super) database: String,
    pub(super) schema: String,
    /// `None` without TLS.
    pub(super) tls: Option<TlsRoots>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostPort {
    /// Name or address, or the absolute path of a directory with a Unix socket.
    pub(super) host: String,
    pub(super) port: u16,
}

/// Where the password comes from.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Password {
    Given(String),
    File(PathBuf),
}

/// Whom TLS trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TlsRoots {
    System,
    File(PathBuf),
}

/// Why a text is not the URL of a database. The messages are for the operator, and contain no
/// password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostgresUrlError {
    /// A part is missing.
    #[error("it has no {part}: use postgres://USER@HOST[:PORT][,HOST…]/DATABASE")]
    Missing {
        /// The part.
        part: &'static str,
    },
    /// A part cannot be read.
    #[error("its {part} is invalid: {expected}")]
    Invalid {
        /// The part.
        part: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A parameter that does not exist.
    #[error("there is no parameter {name:?}: use sslmode, sslrootcert, password_file or schema")]
    UnknownParameter {
        /// Its name.
        name: String,
    },
}

const PORT: u16 = 5432;
const SCHEMA: &str = "edgeseal";
/// The longest identifier of PostgreSQL, in bytes.
const IDENTIFIER_MAX: usize = 63;

impl PostgresUrl {
    /// The password, now: a file is read each time, so that it can be changed while the program
    /// runs.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn password(&self) -> std::io::Result<Option<Secret>> {
        match &self.password {
            None => Ok(None),
            Some(Password::Given(text)) => Ok(Some(Secret::from(text.clone()))),
            Some(Password::File(path)) => {
                let text = std::fs::read_to_string(path)?;
                let text = text.trim_end_matches(['\r', '\n']);
                Ok(Some(Secret::from(text.to_owned())))
            }
        }
    }

    /// The hosts, the database and the schema.
    pub(crate) fn name(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(HostPort::to_string).collect();
        let name = format!("postgres://{}/{}", hosts.join(","), self.database);
        match self.schema.as_str() {
            SCHEMA => name,
            other => format!("{name}?schema={other}"),
        }
    }

    /// Whether all hosts are on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.hosts.iter().all(HostPort::is_local)
    }

    /// The same database, another schema.
    pub(super) fn with_schema(&self, schema: &str) -> Self {
        Self {
            schema: schema.to_owned(),
            ..self.clone()
        }
    }

    /// The text with the password.
    pub(crate) fn reveal(&self) -> &str {
        &self.text
    }
}

impl FromStr for PostgresUrl {
    type Err = PostgresUrlError;

    fn from_str(text: &str) -> Result<Self, PostgresUrlError> {
        let missing = |part| PostgresUrlError::Missing { part };
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or_else(|| missing("host"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').ok_or_else(|| missing("database"))?;
        let (credentials, hosts) = authority.rsplit_once('@').ok_or_else(|| missing("user"))?;
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(decode(password, "password")?)),
            None => (credentials, None),
        };
        let hosts = hosts
            .split(',')
            .map(host_port)
            .collect::<Result<Vec<_>, _>>()?;
        let is_local = hosts.iter().all(HostPort::is_local);
        let mut url = Self {
            text: text.to_owned(),
            user: not_empty(decode(user, "user")?, "user")?,
            password: password.map(Password::Given),
            database: not_empty(decode(database, "database")?, "database")?,
            schema: SCHEMA.to_owned(),
            tls: (!is_local).then_some(TlsRoots::System),
            hosts,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            url.set(name, decode(value, "parameter")?)?;
        }
        Ok(url)
    }
}

impl PostgresUrl {
    fn set(&mut self, name: &str, value: String) -> Result<(), PostgresUrlError> {
        let invalid = |part, expected| PostgresUrlError::Invalid { part, expected };
        match name {
            "sslmode" => match value.as_str() {
                "disable" => self.tls = None,
                "verify-full" => {
                    self.tls.get_or_insert(TlsRoots::System);
                }
                _ => {
                    let expected = "verify-full or disable; other modes do not verify the server";
                    return Err(invalid("sslmode", expected));
                }
            },
            "sslrootcert" => self.tls = Some(TlsRoots::File(value.into())),
            "password_file" => self.password = Some(Password::File(value.into())),
            "schema" if is_identifier(&value) => self.schema = value,
            "schema" => {
                let expected = "1 to 63 of a-z, 0-9 and _, and no digit first";
                return Err(invalid("schema", expected));
            }
            _ => {
                let name = name.to_owned();
                return Err(PostgresUrlError::UnknownParameter { name });
            }
        }
        Ok(())
    }
}

/// Whether it can stand in SQL as it is.
fn is_identifier(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=IDENTIFIER_MAX).contains(&text.len())
        && text.bytes().all(is_word)
        && !text.starts_with(|first: char| first.is_ascii_digit())
}

fn decode(text: &str, part: &'static str) -> Result<String, PostgresUrlError> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.ok().filter(|text| !text.contains('\0'));
    let expected = "UTF-8 in percent-encoding";
    decoded.map_or(Err(PostgresUrlError::Invalid { part, expected }), |text| {
        Ok(text.into_owned())
    })
}

fn not_empty(text: String, part: &'static str) -> Result<String, PostgresUrlError> {
    if text.is_empty() {
        return Err(PostgresUrlError::Missing { part });
    }
    Ok(text)
}

fn host_port(text: &str) -> Result<HostPort, PostgresUrlError> {
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, port)) => (address, Some(port.trim_start_matches(':'))),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let part = "port";
    let expected = "1 to 65535";
    let port = port.map_or(Ok(PORT), |port| {
        let port = port.parse().ok().filter(|port| *port > 0);
        port.ok_or(PostgresUrlError::Invalid { part, expected })
    })?;
    Ok(HostPort {
        host: not_empty(decode(host, "host")?, "host")?,
        port,
    })
}

impl HostPort {
    fn is_local(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.host.starts_with('/')
            || self.host == "localhost"
            || address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(HostPort::to_string).collect();
        write!(
            f,
            "postgres://{}@{}/{}",
            self.user,
            hosts.join(","),
            self.database
        )
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PostgresUrl, String> {
        text.parse()
            .map_err(|error: PostgresUrlError| error.to_string())
    }

    #[test]
    fn parts() {
        let url = parse("postgres://me:s%40cret@a,b:6432,[2001:db8::1]:1/db?schema=one").unwrap();
        let hosts: Vec<String> = url.hosts.iter().map(HostPort::to_string).collect();
        assert_eq!(hosts, ["a:5432", "b:6432", "[2001:db8::1]:1"]);
        assert_eq!(url.password().unwrap().unwrap().expose(), b"s@cret");
        assert_eq!((url.user.as_str(), url.schema.as_str()), ("me", "one"));
        assert_eq!(url.tls, Some(TlsRoots::System));
        for shown in [url.to_string(), format!("{url:?}")] {
            assert_eq!(shown, "postgres://me@a:5432,b:6432,[2001:db8::1]:1/db");
        }
        assert!(url.reveal().contains("s%40cret"));
    }

    #[test]
    fn tls_is_on_unless_all_hosts_are_on_this_machine() {
        for (hosts, query, tls) in [
            ("a", "", true),
            ("127.0.0.1,a", "", true),
            ("127.0.0.1,localhost", "", false),
            ("%2Frun%2Fpostgresql", "", false),
            ("localhost", "?sslmode=verify-full", true),
            ("localhost", "?sslrootcert=/ca.pem", true),
            ("a", "?sslmode=disable", false),
        ] {
            let url = parse(&format!("postgresql://me@{hosts}/db{query}")).unwrap();
            assert_eq!(url.tls.is_some(), tls, "{hosts}{query}");
        }
    }

    #[test]
    fn what_cannot_be_says_why() {
        for (text, expected) in [
            ("postgres://me@a", "no database"),
            ("postgres://me@a/", "no database"),
            ("postgres://a/db", "no user"),
            ("postgres://@a/db", "no user"),
            ("postgres://me@/db", "no host"),
            ("postgres://me@a,/db", "no host"),
            ("postgres://me@a:x/db", "port is invalid"),
            ("postgres://me@a:0/db", "port is invalid"),
            ("postgres://me:%ff@a/db", "password is invalid"),
            ("postgres://me@a/db?sslmode=require", "do not verify"),
            ("postgres://me@a/db?schema=A", "schema is invalid"),
            ("postgres://me@a/db?options=-c", "no parameter \"options\""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
