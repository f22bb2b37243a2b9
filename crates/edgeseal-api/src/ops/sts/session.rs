//! Session parameters and issuing of sessions, shared by the actions that assume a role.

use std::convert::Infallible;

use edgeseal_core::{
    Timestamp,
    identity::{Role, SESSION_DEFAULT_S, SESSION_MAX_S, SESSION_MIN_S},
    policy::{self, AssumingPrincipal, Document, InvalidPolicy, PrincipalArn, TrustDocument},
};
use edgeseal_store::{
    Fault,
    catalog::{AuditContext, ChangeError},
    session::{Session, temporary_key},
};
use serde::Serialize;

use super::arn::RoleArn;
use crate::{
    context::Context,
    error::{StoreError, api_error},
    operation::{Change, Success},
    request::ParamMap,
    sanitize::sanitize,
};

/// Longest session policy, in characters.
const POLICY_MAX: usize = 2048;
/// Length of a session name, in characters.
const NAME: std::ops::RangeInclusive<usize> = 2..=64;

/// The parameters of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionParams {
    pub(super) role: RoleArn,
    pub(super) name: String,
    /// In seconds; a duration that some role could allow.
    pub(super) duration_s: Option<u32>,
    pub(super) policy: Option<String>,
}

/// Why session parameters are invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSession {
    /// No role.
    #[error("no role is named")]
    NoRole,
    /// Not the ARN of a role.
    #[error("{given:?} is not acs:ram::{{account}}:role/{{name}}")]
    Role {
        /// The value given.
        given: String,
    },
    /// No name.
    #[error("the session has no name")]
    NoName,
    /// The session name is invalid.
    #[error("the session's name {given:?} must have 2 to 64 letters, digits and . @ - _")]
    Name {
        /// The value given.
        given: String,
    },
    /// The duration is too short, too long, or not a number.
    #[error("DurationSeconds is {given:?}; {SESSION_MIN_S} to {max} are allowed {reason}")]
    Duration {
        /// The value given.
        given: String,
        /// The longest allowed duration, in seconds.
        max: u32,
        /// The reason for the limit.
        reason: &'static str,
    },
    /// The session policy is too long.
    #[error("the policy has {characters} characters; {POLICY_MAX} are allowed")]
    PolicySize {
        /// Its length.
        characters: usize,
    },
    /// The session policy is invalid.
    #[error("the policy is invalid: {0}")]
    Policy(InvalidPolicy),
}

/// A session with its temporary key, in the form of the cloud's response.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SessionReply {
    credentials: Credentials,
    assumed_role_user: AssumedRoleUser,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedRoleUser {
    arn: String,
    assumed_role_id: String,
}

impl SessionParams {
    /// Reads the parameters that both actions have.
    pub(super) fn parse(params: &ParamMap) -> Result<Self, InvalidSession> {
        let role = params
            .get_non_empty("RoleArn")
            .ok_or(InvalidSession::NoRole)?;
        let role = RoleArn::parse(role).ok_or_else(|| InvalidSession::Role {
            given: sanitize(role),
        })?;
        let name = params.get_non_empty("RoleSessionName");
        let name = name.ok_or(InvalidSession::NoName)?;
        if !is_session_name(name) {
            return Err(InvalidSession::Name {
                given: sanitize(name),
            });
        }
        let duration_s = params.get_non_empty("DurationSeconds").map(parse_duration);
        let policy = params.get_non_empty("Policy").map(parse_policy);
        Ok(Self {
            role,
            name: name.to_owned(),
            duration_s: duration_s.transpose()?,
            policy: policy.transpose()?,
        })
    }

    /// The duration of the session, in seconds. With role chaining it is an hour at most, so that
    /// repeatedly assuming a role cannot extend access beyond what the role's owner intended.
    pub(super) fn duration(&self, role: &Role, chained: bool) -> Result<u32, InvalidSession> {
        const CHAINED_MAX_S: u32 = 3600;
        let (max, reason) = if chained && role.profile.max_session_s > CHAINED_MAX_S {
            (CHAINED_MAX_S, "to a session that assumes another role")
        } else {
            (
                role.profile.max_session_s,
                "by the role's MaxSessionDuration",
            )
        };
        match self.duration_s {
            None => Ok(SESSION_DEFAULT_S.min(max)),
            Some(duration_s) if duration_s <= max => Ok(duration_s),
            Some(duration_s) => Err(InvalidSession::Duration {
                given: duration_s.to_string(),
                max,
                reason,
            }),
        }
    }

    /// Issues the session, and audits it with `notes`.
    pub(super) async fn issue(
        self,
        context: &Context,
        audit: &AuditContext,
        role: &Role,
        duration_s: u32,
        notes: &[String],
    ) -> Result<Success<SessionReply>, StoreError> {
        let (access_key, secret) = temporary_key();
        let ends = audit.now.plus_ms(i64::from(duration_s) * 1000);
        let session = Session {
            account: self.role.account,
            role: role.name.to_string(),
            role_id: role.id.clone(),
            name: self.name,
            policy: self.policy,
            // In whole seconds, as in the response.
            expires: Timestamp::from_unix_seconds(ends.unix_seconds()),
            access_key,
            secret,
        };
        let opened = SessionReply::new(&session, context)?;
        let committed = context.catalog.transact(audit, |mut draft| {
            // The role may belong to another account, and the session must appear in the audit log
            // of that account.
            draft.also_record_in(&session.account);
            draft.note(format!(
                "session {} with key {}, until {}",
                session.name, session.access_key, session.expires
            ));
            notes.iter().cloned().for_each(|note| draft.note(note));
            std::future::ready(Ok::<_, ChangeError<Infallible>>((draft, ())))
        });
        let revision = committed.await.map_err(store_error)?.revision;
        let change = Some(Change {
            revision,
            environment: None,
        });
        Ok(Success {
            reply: opened,
            change,
            warnings: Vec::new(),
        })
    }
}

impl SessionReply {
    fn new(session: &Session, context: &Context) -> Result<Self, StoreError> {
        let (account, role, name) = (&session.account, &session.role, &session.name);
        let secret = String::from_utf8(session.secret.expose().to_vec());
        let secret = secret.map_err(|_| Fault::new("a temporary secret is not text"))?;
        Ok(Self {
            credentials: Credentials {
                access_key_id: session.access_key.clone(),
                access_key_secret: secret,
                security_token: session.seal(context.catalog.keyring()),
                expiration: session.expires.to_string(),
            },
            assumed_role_user: AssumedRoleUser {
                arn: format!("acs:ram::{account}:role/{role}/{name}"),
                assumed_role_id: format!("{}:{name}", session.role_id),
            },
        })
    }
}

/// The role, if it exists and its trust policy allows `principal`, whose id is `id` for a user or a
/// session.
pub(super) async fn find_trusting_role(
    context: &Context,
    arn: &RoleArn,
    (principal, id): (&PrincipalArn, Option<&str>),
    circumstances: &policy::RequestContext,
) -> Result<Result<Role, AssumeDenied>, StoreError> {
    let Some(role) = context.catalog.identity(&arn.account, &arn.name).await? else {
        return Ok(Err(AssumeDenied::NoRole));
    };
    let trust = TrustDocument::parse(&role.profile.trust_policy);
    let trust = trust.map_err(Fault::of("read the trust policy of a role"))?;
    let name = principal.identity().map(|name| name.to_string());
    let mut named = role.profile.trusted_identities.iter();
    let assumer = AssumingPrincipal {
        arn: principal,
        is_recreated: named.any(|one| Some(&one.name) == name.as_ref() && Some(&*one.id) != id),
    };
    let decision = policy::may_assume(&trust, assumer, circumstances);
    Ok(if decision.is_allowed() {
        Ok(role)
    } else {
        Err(AssumeDenied::Untrusted)
    })
}

/// Why a role cannot be assumed. Only the caller's own account learns which reason applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AssumeDenied {
    NoRole,
    Untrusted,
}

api_error!(InvalidSession {
    NoRole => MissingRoleArn,
    Role => InvalidRoleArn,
    NoName => MissingRoleSessionName,
    Name => InvalidRoleSessionName,
    Duration => InvalidDurationSeconds,
    PolicySize => SessionPolicySize,
    Policy => SessionPolicyGrammar,
});

fn is_session_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b".@-_".contains(&b);
    NAME.contains(&name.len()) && name.bytes().all(good)
}

fn parse_duration(given: &str) -> Result<u32, InvalidSession> {
    let seconds = given.parse().ok();
    seconds
        .filter(|seconds| (SESSION_MIN_S..=SESSION_MAX_S).contains(seconds))
        .ok_or_else(|| InvalidSession::Duration {
            given: sanitize(given),
            max: SESSION_MAX_S,
            reason: "to any role",
        })
}

fn parse_policy(given: &str) -> Result<String, InvalidSession> {
    let characters = given.chars().count();
    if characters > POLICY_MAX {
        return Err(InvalidSession::PolicySize { characters });
    }
    Document::parse(given).map_err(InvalidSession::Policy)?;
    Ok(given.to_owned())
}

/// Converts the error of a change that cannot be refused.
fn store_error(error: ChangeError<Infallible>) -> StoreError {
    match error {
        ChangeError::Refused(never) => match never {},
        ChangeError::NonceUsed => StoreError::NonceUsed,
        ChangeError::Contended => StoreError::Contended,
        ChangeError::Fault(fault) => StoreError::Fault(fault),
    }
}

#[cfg(test)]
mod tests;
