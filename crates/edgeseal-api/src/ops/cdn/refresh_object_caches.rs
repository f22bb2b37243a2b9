//! `RefreshObjectCaches` and `PushObjectCache`, in the DCDN `RefreshDcdnObjectCaches` and
//! `PreloadDcdnObjectCaches`: remove objects from caches, or preload them.
//!
//! Divergence: the edge has no cache, so the task is complete at once.

use std::marker::PhantomData;

use edgeseal_core::{DomainName, DomainPattern, domain::Domain, name::InvalidDomainName};
use edgeseal_store::{
    Fault,
    catalog::{ChangeError, Draft},
};
use serde::Serialize;

use super::{
    domain_lookup::{self, DomainError},
    refresh_task::{Task, TaskKind},
    wire_names::WireName as _,
};
use crate::{
    authorize::Authorized,
    context::Context,
    domain_list::{DomainList, InvalidDomainList, host_and_path},
    error::{StoreError, api_error, from_change_error},
    operation::{Input, Operation, Success},
    request::ParamMap,
    sanitize::sanitize,
};

/// `RefreshObjectCaches`.
pub struct RefreshObjectCaches;

/// `PushObjectCache`.
pub type PushObjectCache = Preload<Pushed>;

/// `PreloadDcdnObjectCaches`.
pub type PreloadDcdnObjectCaches = Preload<Preloaded>;

/// Preloads objects.
pub struct Preload<R>(PhantomData<R>);

/// Most domains of the URLs of one call.
const DOMAINS_MAX: usize = 10;
/// Longest URL, in characters.
const URL_MAX: usize = 1024;

/// The parameters.
pub struct Params {
    kind: TaskKind,
    domains: Vec<DomainPattern>,
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

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No URLs.
    #[error("name the URLs in ObjectPath, one per line, such as http://example.com/index.html")]
    Unnamed,
    /// No such task type.
    #[error("ObjectType is {given:?}; use File, Directory, Regex or IgnoreParams")]
    Kind {
        /// The value given.
        given: String,
    },
    /// More URLs than a call may have.
    #[error("{count} URLs are given; at most {max} are accepted for this type")]
    TooMany {
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// An invalid URL.
    #[error("URL {position}, {given:?}: {reason}")]
    Url {
        /// Its position, from 1.
        position: usize,
        /// The value given.
        given: String,
        /// The cause.
        reason: String,
    },
    /// A wildcard instead of a name.
    #[error("URL {position}: name a host instead of the wildcard")]
    Wildcard {
        /// Its position, from 1.
        position: usize,
    },
    /// More domains than the URLs of a call may have.
    #[error("the URLs have more than {DOMAINS_MAX} domains")]
    TooManyDomains,
    /// An invalid name.
    #[error(transparent)]
    Name(#[from] InvalidDomainName),
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for RefreshObjectCaches {
    type Params = Params;
    type Reply = Refreshed;
    type Error = Error;

    fn parse(Input { params, domains }: Input<'_>) -> Result<Params, Error> {
        let word = params.get_non_empty("ObjectType").unwrap_or("File");
        let kind = TaskKind::from_wire_name(word).filter(|kind| *kind != TaskKind::Preload);
        let kind = kind.ok_or_else(|| Error::Kind {
            given: sanitize(word),
        })?;
        Params::parse(domains, params, kind)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Refreshed>, Error> {
        let done = run(context, call, &params).await?;
        Ok(done.map(|refresh_task_id| Refreshed { refresh_task_id }))
    }
}

impl<R: From<String> + Serialize + Send + 'static> Operation for Preload<R> {
    type Params = Params;
    type Reply = R;
    type Error = Error;

    fn parse(Input { params, domains }: Input<'_>) -> Result<Params, Error> {
        Params::parse(domains, params, TaskKind::Preload)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<R>, Error> {
        Ok(run(context, call, &params).await?.map(R::from))
    }
}

impl From<String> for Pushed {
    fn from(push_task_id: String) -> Self {
        Self { push_task_id }
    }
}

impl From<String> for Preloaded {
    fn from(preload_task_id: String) -> Self {
        Self { preload_task_id }
    }
}

/// Writes the call to the audit log; nothing else changes.
async fn run(
    context: &Context,
    call: &Authorized,
    params: &Params,
) -> Result<Success<String>, Error> {
    let done = context
        .catalog
        .transact(&call.audit, |mut draft| async move {
            for name in &params.domains {
                let served = find_serving_domain(&mut draft, call, name).await;
                served.map_err(ChangeError::Refused)?;
            }
            Ok((draft, ()))
        });
    let committed = done.await.map_err(from_change_error::<Error, Error>)?;
    let task = Task {
        kind: params.kind,
        at: call.now(),
    };
    Ok(Success::changed_with(
        task.id(call.account()),
        committed.revision,
        None,
    ))
}

/// The account's domain that serves a host: the domain of that name, or the wildcard that covers
/// it.
async fn find_serving_domain(
    draft: &mut Draft,
    call: &Authorized,
    name: &DomainPattern,
) -> Result<Domain, Error> {
    let exact = domain_lookup::find_in(draft, call.account(), name).await;
    let (Err(DomainError::NotFound(_)), DomainPattern::Exact(host)) = (&exact, name) else {
        return Ok(exact?);
    };
    let Some(parent) = host.parent() else {
        return Ok(exact?);
    };
    let parent = DomainName::parse(parent).map_err(Fault::of("parse a parent's name"));
    let wildcard = DomainPattern::Wildcard(parent.map_err(StoreError::from)?);
    match domain_lookup::find_in(draft, call.account(), &wildcard).await {
        Err(DomainError::NotFound(_)) => Ok(exact?),
        found => Ok(found?),
    }
}

impl TaskKind {
    /// Most URLs of one call, according to the reference pages.
    const fn urls_max(self) -> usize {
        match self {
            Self::File | Self::IgnoreParams => 1000,
            Self::Directory | Self::Preload => 100,
            Self::Regex => 1,
        }
    }
}

impl Params {
    fn parse(domains: &DomainList, params: &ParamMap, kind: TaskKind) -> Result<Self, Error> {
        let text = params.get_non_empty("ObjectPath").unwrap_or_default();
        let lines = text.lines().map(str::trim);
        let addresses: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        let (count, max) = (addresses.len(), kind.urls_max());
        match count {
            0 => return Err(Error::Unnamed),
            _ if count > max => return Err(Error::TooMany { count, max }),
            _ => {}
        }
        for (position, address) in (1..).zip(addresses) {
            check(position, address, kind)?;
        }
        let domains = domains.names().map_err(|reason| match reason {
            InvalidDomainList::Malformed(error) => Error::Name(error),
            // The list is not indexed, and it is not empty.
            InvalidDomainList::TooMany { .. }
            | InvalidDomainList::Gap(_)
            | InvalidDomainList::Empty { .. } => Error::TooManyDomains,
        })?;
        if domains.len() > DOMAINS_MAX {
            return Err(Error::TooManyDomains);
        }
        Ok(Self { kind, domains })
    }
}

fn check(position: usize, address: &str, kind: TaskKind) -> Result<(), Error> {
    let wrong = |reason: String| Error::Url {
        position,
        given: sanitize(address),
        reason,
    };
    if address.chars().count() > URL_MAX {
        return Err(wrong(format!("it has more than {URL_MAX} characters")));
    }
    let (host, path) = host_and_path(address);
    match DomainPattern::parse(host) {
        Ok(DomainPattern::Exact(_)) => {}
        Ok(DomainPattern::Wildcard(_)) => return Err(Error::Wildcard { position }),
        Err(error) => return Err(wrong(error.to_string())),
    }
    if !path.starts_with('/') {
        return Err(wrong("a path must follow the host, at least /".to_owned()));
    }
    if kind == TaskKind::Directory && !path.ends_with('/') {
        return Err(wrong("a directory must end with /".to_owned()));
    }
    Ok(())
}

api_error!(Error {
    Unnamed => MissingObjectPath,
    Kind => InvalidObjectType,
    TooMany => TooManyObjectPaths,
    Url | TooManyDomains | Name => InvalidObjectPath,
    Wildcard => ExtensiveObjectPath,
    Domain(DomainError),
    Store(StoreError),
});

#[cfg(test)]
mod tests;
