//! `DescribeRollout`: which edges serve a domain's newest state, and where that is proved; for the
//! operator also how all edges are.

mod fleet;
mod row;

use edgeseal_core::{Pattern, domain::Environment};
use edgeseal_store::{
    Revision,
    rollout::{EdgeState, Shows, Target},
};
use serde::Serialize;

use self::{fleet::Fleet, row::Row};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Operation, Trouble, shown},
    ops::cdn::named_domain::{self, NoDomain},
    request::Params,
};

/// The operation.
pub struct DescribeRollout;

/// Of what.
pub struct Query {
    domain: Option<Pattern>,
    since: Since,
    environment: Environment,
}

/// Since which commit.
enum Since {
    /// The domain's newest one.
    Newest,
    /// This one.
    Revision(Revision),
    /// The one that this request made.
    Request(String),
}

/// How it stands.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// With one domain.
    Domain(Box<Rollout>),
    /// With all edges.
    Fleet(Fleet),
}

/// How it stands with one domain.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rollout {
    domain_name: String,
    env: &'static str,
    /// The commit that edges are compared with.
    revision: u64,
    /// When the call of the newest change came.
    changed_at: String,
    changed_at_ms: i64,
    /// SHA-256 of the leaf that a handshake must show; empty if it must be refused.
    fingerprint: String,
    /// The same of the second certificate, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    companion_fingerprint: Option<String>,
    live_edges: usize,
    /// Live edges that serve it by their own word.
    served_edges: usize,
    /// Live edges that have shown it in a handshake.
    proven_edges: usize,
    /// Until the last live edge proved it; absent while one has not, or where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<i64>,
    edges: Vec<Row>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain, or none is named and the caller is no operator.
    #[error(transparent)]
    Domain(#[from] NoDomain),
    /// Neither environment.
    #[error("Env is {given:?}; use production or staging")]
    Environment {
        /// What was given.
        given: String,
    },
    /// No revision.
    #[error(
        "Revision is {given:?}; it must be a whole number above 0, as x-edgeseal-revision says"
    )]
    Revision {
        /// What was given.
        given: String,
    },
    /// No change by this request.
    #[error("no change of the domain was made by the request {given:?} of ChangeRequestId")]
    Request {
        /// What was given.
        given: String,
    },
    /// The store did not do it.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for DescribeRollout {
    type Params = Query;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
        Code::InvalidEnv,
        Code::InvalidRevision,
    ];

    fn parse(params: &Params) -> Result<Query, Error> {
        let domain = params
            .given("DomainName")
            .map(|_| named_domain::name(params));
        let environment = match params.given("Env") {
            None | Some("production") => Environment::Production,
            Some("staging") => Environment::Staging,
            Some(other) => {
                let given = shown(other);
                return Err(Error::Environment { given });
            }
        };
        let since = match (params.given("Revision"), params.given("ChangeRequestId")) {
            (Some(given), _) => Since::Revision(revision(given)?),
            (None, Some(request)) => Since::Request(request.to_owned()),
            (None, None) => Since::Newest,
        };
        Ok(Query {
            domain: domain.transpose()?,
            since,
            environment,
        })
    }

    async fn run(context: &Context, call: &Authorized, query: Query) -> Result<Done<Reply>, Error> {
        let is_operator = call.is_of_operator(context).await?;
        let reply = match query.domain {
            Some(name) => {
                let rollout = rollout(context, call, &name, &query.since, query.environment);
                Reply::Domain(Box::new(rollout.await?))
            }
            None if is_operator => {
                let asked = match query.since {
                    Since::Revision(revision) => Some(revision),
                    Since::Newest | Since::Request(_) => None,
                };
                let edges = context.catalog.edges().await.map_err(Trouble::from)?;
                Reply::Fleet(Fleet::of(edges, asked, call.now()))
            }
            None => return Err(NoDomain::Unnamed.into()),
        };
        Ok(Done::read(reply))
    }
}

fn revision(given: &str) -> Result<Revision, Error> {
    let number = given.trim().parse().ok().filter(|number| *number > 0);
    let invalid = || Error::Revision {
        given: shown(given),
    };
    number.map(Revision).ok_or_else(invalid)
}

/// How it stands with a domain, once every live edge has proved it or the caller waits no longer.
async fn rollout(
    context: &Context,
    call: &Authorized,
    name: &Pattern,
    since: &Since,
    environment: Environment,
) -> Result<Rollout, Error> {
    let catalog = &context.catalog;
    check_owner(context, call, name).await?;
    let asked = match since {
        Since::Newest => None,
        Since::Revision(revision) => Some(*revision),
        Since::Request(request) => {
            let found = catalog.revision_of(name, request);
            let found = found.await.map_err(Trouble::from)?;
            let given = shown(request);
            Some(found.ok_or(Error::Request { given })?)
        }
    };
    let target = async || {
        let target = catalog.target(name, asked, environment).await;
        let target = target.map_err(Trouble::from)?;
        let gone = || NoDomain::NotFound(name.clone());
        Ok::<Target, Error>(target.ok_or_else(gone)?)
    };
    if let Some(wait) = call.wait() {
        let revision = target().await?.revision;
        let names = std::slice::from_ref(name);
        let _ = context.proved(names, revision, environment, wait).await;
    }
    // Reports first: what they show must not be newer than what they are compared with.
    let edges = catalog.edges().await.map_err(Trouble::from)?;
    let target = target().await?;
    // It may have gone to somebody else meanwhile.
    check_owner(context, call, name).await?;
    let is_operator = call.is_of_operator(context).await?;
    let now = (context.clock)();
    let rows = edges
        .iter()
        .filter(|edge| edge.environment() == environment)
        .map(|edge| Row::of(edge, &edge.standing(&target, now), is_operator, now));
    Ok(Rollout::of(&target, environment, rows.collect()))
}

/// An operator may name any domain, an account its own.
async fn check_owner(context: &Context, call: &Authorized, name: &Pattern) -> Result<(), Error> {
    if call.is_of_operator(context).await? {
        let found = context.catalog.domain(name).await.map_err(Trouble::from)?;
        found.ok_or_else(|| NoDomain::NotFound(name.clone()))?;
    } else {
        named_domain::find(&context.catalog, call.account(), name).await?;
    }
    Ok(())
}

impl Rollout {
    fn of(target: &Target, environment: Environment, edges: Vec<Row>) -> Self {
        let live = || {
            edges
                .iter()
                .filter(|row| row.state != EdgeState::Silent.to_string())
        };
        let newest = target.newest.as_ref();
        let changed = newest.map(|newest| newest.changed).unwrap_or_default();
        let mut leaves = match newest.map(|newest| &newest.shows) {
            Some(Shows::Leaves(leaves)) => leaves.as_slice(),
            _ => &[],
        }
        .iter()
        .cloned();
        let took: Option<Vec<i64>> = live().map(|row| row.took_ms).collect();
        Self {
            domain_name: target.domain.to_string(),
            env: env(environment),
            revision: target.revision.0,
            changed_at: changed.to_string(),
            changed_at_ms: changed.unix_ms(),
            fingerprint: leaves.next().unwrap_or_default(),
            companion_fingerprint: leaves.next(),
            live_edges: live().count(),
            served_edges: live().filter(|row| row.served).count(),
            proven_edges: live().filter(|row| row.proven).count(),
            took_ms: took.and_then(|took| took.into_iter().max()),
            edges,
        }
    }
}

const fn env(environment: Environment) -> &'static str {
    match environment {
        Environment::Production => "production",
        Environment::Staging => "staging",
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Domain(why) => why.code(),
            Self::Environment { .. } => Code::InvalidEnv,
            Self::Revision { .. } | Self::Request { .. } => Code::InvalidRevision,
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(NoDomain::Unnamed) => {
                Some("name one of your domains in DomainName; all edges are shown to the root account only, and to its users with a right on acs:edgeseal:*:ROOT:*".to_owned())
            }
            Self::Domain(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
