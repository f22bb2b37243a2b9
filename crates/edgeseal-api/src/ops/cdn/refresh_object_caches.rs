//! `RefreshObjectCaches` and `PushObjectCache`, in the DCDN `RefreshDcdnObjectCaches` and
//! `PreloadDcdnObjectCaches`: something is to leave the caches, or to be brought into them.
//!
//! Divergence: the edge has no cache. What is asked for is so already, and the task is complete.

use edgeseal_core::{DomainName, Pattern, domain::Domain, name::InvalidName};
use edgeseal_store::{
    Fault,
    catalog::{ChangeError, Draft},
};
use serde::Serialize;

use super::{
    named_domain::{self, NoDomain},
    refresh_task::{Kind, Task},
    words::Word as _,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::{BadDomainList, DomainList, host_and_path},
    operation::{BatchOperation, Done, Failure, Trouble, refused_or, shown},
    request::Params,
};

/// The operation that removes.
pub struct RefreshObjectCaches;

/// The operation that brings in.
pub struct PushObjectCache;

/// The operation that brings in, in the DCDN.
pub struct PreloadDcdnObjectCaches;

/// Domains that the addresses of one call may be of.
const DOMAINS_MAX: usize = 10;
/// Longest address, in characters.
const ADDRESS_MAX: usize = 1024;

/// What is asked for.
pub struct Wanted {
    kind: Kind,
    domains: Vec<Pattern>,
}

/// The task.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Refreshed {
    refresh_task_id: String,
}

/// The task.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pushed {
    push_task_id: String,
}

/// The task.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Preloaded {
    preload_task_id: String,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No addresses.
    #[error("name the addresses in ObjectPath, one a line, as in http://example.com/index.html")]
    Unnamed,
    /// No such kind.
    #[error("ObjectType is {given:?}; use File, Directory, Regex or IgnoreParams")]
    Kind {
        /// What was given.
        given: String,
    },
    /// More addresses than a call may have.
    #[error("{count} addresses are given; a call of this kind takes {max}")]
    TooMany {
        /// How many.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// An address that is none.
    #[error("address {position}, {given:?}: {why}")]
    Address {
        /// Its position, from 1.
        position: usize,
        /// What was given.
        given: String,
        /// What is wrong.
        why: String,
    },
    /// A wildcard in the place of a name.
    #[error("address {position}: name a host in the place of the wildcard")]
    Wildcard {
        /// Its position, from 1.
        position: usize,
    },
    /// More domains than the addresses of a call may be of.
    #[error("the addresses are of more than {DOMAINS_MAX} domains")]
    TooManyDomains,
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] NoDomain),
    /// The store did not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

const REFRESH: &[Code] = &[
    Code::MissingObjectPath,
    Code::InvalidObjectPath,
    Code::InvalidObjectType,
    Code::TooManyObjectPaths,
    Code::ExtensiveObjectPath,
    Code::DomainNotFound,
];

const PRELOAD: &[Code] = &[
    Code::MissingObjectPath,
    Code::InvalidObjectPath,
    Code::TooManyObjectPaths,
    Code::ExtensiveObjectPath,
    Code::DomainNotFound,
];

impl BatchOperation for RefreshObjectCaches {
    type Params = Wanted;
    type Reply = Refreshed;
    type Error = Error;

    const CODES: &'static [Code] = REFRESH;

    fn parse(domains: &DomainList, params: &Params) -> Result<Wanted, Error> {
        let word = params.given("ObjectType").unwrap_or("File");
        let kind = Kind::of_word(word).filter(|kind| *kind != Kind::Preload);
        let kind = kind.ok_or_else(|| Error::Kind { given: shown(word) })?;
        Wanted::parse(domains, params, kind)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Refreshed>, Error> {
        let done = run(context, call, &wanted).await?;
        Ok(done.map(|refresh_task_id| Refreshed { refresh_task_id }))
    }
}

impl BatchOperation for PushObjectCache {
    type Params = Wanted;
    type Reply = Pushed;
    type Error = Error;

    const CODES: &'static [Code] = PRELOAD;

    fn parse(domains: &DomainList, params: &Params) -> Result<Wanted, Error> {
        Wanted::parse(domains, params, Kind::Preload)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Pushed>, Error> {
        let done = run(context, call, &wanted).await?;
        Ok(done.map(|push_task_id| Pushed { push_task_id }))
    }
}

impl BatchOperation for PreloadDcdnObjectCaches {
    type Params = Wanted;
    type Reply = Preloaded;
    type Error = Error;

    const CODES: &'static [Code] = PRELOAD;

    fn parse(domains: &DomainList, params: &Params) -> Result<Wanted, Error> {
        Wanted::parse(domains, params, Kind::Preload)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Preloaded>, Error> {
        let done = run(context, call, &wanted).await?;
        Ok(done.map(|preload_task_id| Preloaded { preload_task_id }))
    }
}

/// Writes down who asked for it: that is all that changes.
async fn run(context: &Context, call: &Authorized, wanted: &Wanted) -> Result<Done<String>, Error> {
    let done = context
        .catalog
        .transact(&call.deed, |mut draft| async move {
            for name in &wanted.domains {
                let served = served_by(&mut draft, call, name).await;
                served.map_err(ChangeError::Refused)?;
            }
            Ok((draft, ()))
        });
    let committed = done.await.map_err(refused_or::<Error, Error>)?;
    let task = Task {
        kind: wanted.kind,
        at: call.now(),
    };
    Ok(Done::with(
        task.id(call.account()),
        committed.revision,
        None,
    ))
}

/// The account's domain that serves a host: that of the name, or the wildcard above it.
async fn served_by(draft: &mut Draft, call: &Authorized, name: &Pattern) -> Result<Domain, Error> {
    let exact = named_domain::find_in(draft, call.account(), name).await;
    let (Err(NoDomain::NotFound(_)), Pattern::Exact(host)) = (&exact, name) else {
        return Ok(exact?);
    };
    let Some(parent) = host.parent() else {
        return Ok(exact?);
    };
    let parent = DomainName::parse(parent).map_err(Fault::of("parse a parent's name"));
    let wildcard = Pattern::Wildcard(parent.map_err(Trouble::from)?);
    match named_domain::find_in(draft, call.account(), &wildcard).await {
        Err(NoDomain::NotFound(_)) => Ok(exact?),
        found => Ok(found?),
    }
}

impl Kind {
    /// Addresses that one call may have, as the reference pages say.
    const fn addresses_max(self) -> usize {
        match self {
            Self::File | Self::IgnoreParams => 1000,
            Self::Directory | Self::Preload => 100,
            Self::Regex => 1,
        }
    }
}

impl Wanted {
    fn parse(domains: &DomainList, params: &Params, kind: Kind) -> Result<Self, Error> {
        let text = params.given("ObjectPath").unwrap_or_default();
        let lines = text.lines().map(str::trim);
        let addresses: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        let (count, max) = (addresses.len(), kind.addresses_max());
        match count {
            0 => return Err(Error::Unnamed),
            _ if count > max => return Err(Error::TooMany { count, max }),
            _ => {}
        }
        for (position, address) in (1..).zip(addresses) {
            check(position, address, kind)?;
        }
        let domains = domains.names().map_err(|why| match why {
            BadDomainList::Malformed(why) => Error::Name(why),
            // Numbers there are none, and empty it is not.
            BadDomainList::TooMany { .. }
            | BadDomainList::Gap(_)
            | BadDomainList::Unnamed { .. } => Error::TooManyDomains,
        })?;
        if domains.len() > DOMAINS_MAX {
            return Err(Error::TooManyDomains);
        }
        Ok(Self { kind, domains })
    }
}

fn check(position: usize, address: &str, kind: Kind) -> Result<(), Error> {
    let wrong = |why: String| Error::Address {
        position,
        given: shown(address),
        why,
    };
    if address.chars().count() > ADDRESS_MAX {
        return Err(wrong(format!("it has more than {ADDRESS_MAX} characters")));
    }
    let (host, path) = host_and_path(address);
    match Pattern::parse(host) {
        Ok(Pattern::Exact(_)) => {}
        Ok(Pattern::Wildcard(_)) => return Err(Error::Wildcard { position }),
        Err(why) => return Err(wrong(why.to_string())),
    }
    if !path.starts_with('/') {
        return Err(wrong("a path must follow the host, at least /".to_owned()));
    }
    if kind == Kind::Directory && !path.ends_with('/') {
        return Err(wrong("a directory must end with /".to_owned()));
    }
    Ok(())
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Unnamed => Code::MissingObjectPath,
            Self::Kind { .. } => Code::InvalidObjectType,
            Self::TooMany { .. } => Code::TooManyObjectPaths,
            Self::Address { .. } | Self::TooManyDomains | Self::Name(_) => Code::InvalidObjectPath,
            Self::Wildcard { .. } => Code::ExtensiveObjectPath,
            Self::Domain(why) => why.code(),
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
