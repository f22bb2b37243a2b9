//! `DescribeRollout`: which edges serve the latest state of a domain, and which of them have proven
//! it; for the operator also the status of all edges.

mod fleet;
mod row;

use edgeseal_core::{DomainPattern, domain::Environment};
use edgeseal_store::{
    Revision,
    rollout::{EdgeState, ExpectedHandshake, RolloutTarget},
};
use serde::Serialize;

use self::{fleet::Fleet, row::EdgeRow};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::cdn::domain_lookup::{self, DomainError},
    sanitize::sanitize,
};

/// `DescribeRollout`.
pub struct DescribeRollout;

/// The parameters.
pub struct Params {
    domain: Option<DomainPattern>,
    since: Since,
    environment: Environment,
}

/// The commit to compare with.
enum Since {
    /// The latest commit of the domain.
    Newest,
    /// This commit.
    Revision(Revision),
    /// The commit that this request made.
    Request(String),
}

/// The status.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// Of one domain.
    Domain(Box<Rollout>),
    /// Of all edges.
    Fleet(Fleet),
}

/// The status of one domain.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rollout {
    domain_name: String,
    env: &'static str,
    /// The commit that edges are compared with.
    revision: u64,
    /// When the request of the latest change arrived.
    changed_at: String,
    changed_at_ms: i64,
    /// SHA-256 of the leaf that a handshake must show; empty if it must be refused.
    fingerprint: String,
    /// The same for the second certificate, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    companion_fingerprint: Option<String>,
    live_edges: usize,
    /// Live edges that report serving it.
    served_edges: usize,
    /// Live edges that have proven it in a handshake.
    proven_edges: usize,
    /// Time until the last live edge proved it; absent while one has not, or if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<i64>,
    edges: Vec<EdgeRow>,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain, or none is named and the caller is not the operator.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// No such environment.
    #[error("Env is {given:?}; use production or staging")]
    Environment {
        /// The value given.
        given: String,
    },
    /// Not a revision.
    #[error(
        "Revision is {given:?}; it must be a whole number above 0, as x-edgeseal-revision says"
    )]
    Revision {
        /// The value given.
        given: String,
    },
    /// The request made no change to the domain.
    #[error("the request {given:?} of ChangeRequestId made no change to the domain")]
    Request {
        /// The value given.
        given: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for DescribeRollout {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let domain = params
            .get_non_empty("DomainName")
            .map(|_| domain_lookup::parse_name(params));
        let environment = match params.get_non_empty("Env") {
            None | Some("production") => Environment::Production,
            Some("staging") => Environment::Staging,
            Some(other) => {
                let given = sanitize(other);
                return Err(Error::Environment { given });
            }
        };
        let since = match (
            params.get_non_empty("Revision"),
            params.get_non_empty("ChangeRequestId"),
        ) {
            (Some(given), _) => Since::Revision(revision(given)?),
            (None, Some(request)) => Since::Request(request.to_owned()),
            (None, None) => Since::Newest,
        };
        Ok(Params {
            domain: domain.transpose()?,
            since,
            environment,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        query: Params,
    ) -> Result<Success<Reply>, Error> {
        let is_operator = call.is_operator(context).await?;
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
                let edges = context.catalog.edges().await.map_err(StoreError::from)?;
                Reply::Fleet(Fleet::of(edges, asked, call.now()))
            }
            None => return Err(DomainError::Missing.into()),
        };
        Ok(Success::read(reply))
    }
}

fn revision(given: &str) -> Result<Revision, Error> {
    let number = given.trim().parse().ok().filter(|number| *number > 0);
    let invalid = || Error::Revision {
        given: sanitize(given),
    };
    number.map(Revision).ok_or_else(invalid)
}

/// The status of a domain, once every live edge has proven it or the wait has timed out.
async fn rollout(
    context: &Context,
    call: &Authorized,
    name: &DomainPattern,
    since: &Since,
    environment: Environment,
) -> Result<Rollout, Error> {
    let catalog = &context.catalog;
    check_owner(context, call, name).await?;
    let asked = match since {
        Since::Newest => None,
        Since::Revision(revision) => Some(*revision),
        Since::Request(request) => {
            let found = catalog.revision_of_request(name, request);
            let found = found.await.map_err(StoreError::from)?;
            let given = sanitize(request);
            Some(found.ok_or(Error::Request { given })?)
        }
    };
    let target = async || {
        let target = catalog.rollout_target(name, asked, environment).await;
        let target = target.map_err(StoreError::from)?;
        let gone = || DomainError::NotFound(name.clone());
        Ok::<RolloutTarget, Error>(target.ok_or_else(gone)?)
    };
    if let Some(wait) = call.prefer_wait() {
        let revision = target().await?.revision;
        let names = std::slice::from_ref(name);
        let _ = context
            .count_proven(names, revision, environment, wait)
            .await;
    }
    // Read the reports first: they must not be newer than the state they are compared with.
    let edges = catalog.edges().await.map_err(StoreError::from)?;
    let target = target().await?;
    // Another account may have added the domain in the meantime.
    check_owner(context, call, name).await?;
    let is_operator = call.is_operator(context).await?;
    let now = (context.clock)();
    let rows = edges
        .iter()
        .filter(|edge| edge.environment() == environment)
        .map(|edge| EdgeRow::of(edge, &edge.status(&target, now), is_operator, now));
    Ok(Rollout::of(&target, environment, rows.collect()))
}

/// The operator may name any domain, an account only its own.
async fn check_owner(
    context: &Context,
    call: &Authorized,
    name: &DomainPattern,
) -> Result<(), Error> {
    if call.is_operator(context).await? {
        let found = context
            .catalog
            .domain(name)
            .await
            .map_err(StoreError::from)?;
        found.ok_or_else(|| DomainError::NotFound(name.clone()))?;
    } else {
        domain_lookup::find(&context.catalog, call.account(), name).await?;
    }
    Ok(())
}

impl Rollout {
    fn of(target: &RolloutTarget, environment: Environment, edges: Vec<EdgeRow>) -> Self {
        let live = || {
            edges
                .iter()
                .filter(|row| row.state != EdgeState::Silent.to_string())
        };
        let newest = target.latest.as_ref();
        let changed = newest.map(|newest| newest.changed).unwrap_or_default();
        let mut leaves = match newest.map(|newest| &newest.expected) {
            Some(ExpectedHandshake::Leaves(leaves)) => leaves.as_slice(),
            _ => &[],
        }
        .iter()
        .cloned();
        let took: Option<Vec<i64>> = live().map(|row| row.took_ms).collect();
        Self {
            domain_name: target.domain.to_string(),
            env: environment.as_str(),
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

api_error!(Error {
    Domain(DomainError),
    Environment => InvalidEnv,
    Revision | Request => InvalidRevision,
    Store(StoreError),
}
fn detail(&self) -> Option<String> {
    match self {
        Self::Domain(DomainError::Missing) => {
            Some("name one of your domains in DomainName; all edges are shown to the root account only, and to its users with a right on acs:edgeseal:*:ROOT:*".to_owned())
        }
        Self::Domain(error) => error.detail(),
        Self::Store(error) => error.detail(),
        other => Some(other.to_string()),
    }
});
