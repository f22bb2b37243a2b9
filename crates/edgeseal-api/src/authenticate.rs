//! Steps 3 to 7: who calls. Common parameters, clock, key, signature, replay, in this order.

use edgeseal_core::{
    Secret, Timestamp,
    identity::RoleName,
    policy::{Document, Principal},
};
use edgeseal_store::{
    Fault,
    catalog::{Deed, NonceUse},
    session::Session,
};

use crate::{
    actions::{Access, Action},
    authorize::deed_of,
    canonical::{self, V3_ALGORITHM},
    code::Code,
    context::Context,
    operation::{Failure, Trouble},
    quirks,
    request::{Request, Scheme},
    rights::Power,
};

/// A request may be this far off the server's clock, on either side.
pub const CLOCK_WINDOW_MS: i64 = 15 * 60 * 1000;
/// A nonce is remembered longer than any signature that holds it can be accepted.
const NONCE_MS: i64 = 2 * CLOCK_WINDOW_MS + 60 * 1000;
/// Headers that a V3 signature must cover.
const V3_REQUIRED: [&str; 6] = [
    "host",
    "x-acs-action",
    "x-acs-version",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-content-sha256",
];
/// Headers that a V3 signature must cover if they are there.
const V3_IF_PRESENT: [&str; 2] = ["x-acs-security-token", "x-acs-accesskey-id"];

/// Whoever signed the request; made only here.
pub struct Caller {
    /// The request.
    pub request: Request,
    /// The action that is called.
    pub action: &'static Action,
    /// Who calls.
    pub principal: Principal,
    /// What policies let the caller do; `None` for an account itself, which needs none.
    pub power: Option<Power>,
    /// Id of the key that signed.
    pub access_key: String,
    /// The nonce that a change uses up.
    pub nonce: Option<NonceUse>,
    /// When the request came.
    pub now: Timestamp,
}

/// Why the caller is not known.
#[derive(Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// A common parameter is absent or empty; the code names it.
    #[error("{}", .0.row().message)]
    Missing(Code),
    /// A signature method or type that is not supported.
    #[error("supported are HMAC-SHA1 (SignatureVersion 1.0) and {V3_ALGORITHM}; not {given:?}")]
    Method {
        /// What was given.
        given: String,
    },
    /// Not `1.0`.
    #[error("SignatureVersion must be 1.0")]
    SignatureVersion,
    /// A malformed Authorization header.
    #[error(
        "the Authorization header must read {V3_ALGORITHM} Credential=…,SignedHeaders=…,Signature=…"
    )]
    Authorization,
    /// A header that must be signed is not.
    #[error("the header {name} must be there and among SignedHeaders")]
    NotSigned {
        /// The header.
        name: &'static str,
    },
    /// Not `yyyy-MM-ddTHH:mm:ssZ`.
    #[error("a timestamp reads yyyy-MM-ddTHH:mm:ssZ, in UTC")]
    TimestampFormat,
    /// Too far off.
    #[error(
        "the request says {given}, the server's clock {now}; at most 15 minutes may lie between them"
    )]
    TimestampExpired {
        /// The request's time.
        given: Timestamp,
        /// The server's time.
        now: Timestamp,
    },
    /// Too many failures from this address.
    #[error("too many failed authentications from your address; wait {retry_after_ms} ms")]
    Throttled {
        /// Milliseconds to wait.
        retry_after_ms: u64,
    },
    /// No such key.
    #[error("there is no such access key here; keys of the cloud itself do not work on Edgeseal")]
    UnknownKey,
    /// The key is switched off.
    #[error("the access key is disabled; enable it with UpdateAccessKey")]
    InactiveKey,
    /// A temporary key with a token that was not made here.
    #[error("this security token was not made by this Edgeseal")]
    TokenMalformed,
    /// A token that came with another key.
    #[error("this security token belongs to another temporary access key")]
    TokenMismatch,
    /// A token whose session is over.
    #[error("the session ended at {ended}; assume the role again")]
    TokenExpired {
        /// When.
        ended: Timestamp,
    },
    /// A token of a role that is gone.
    #[error("the role {role} of this session was deleted")]
    RoleGone {
        /// The role.
        role: String,
    },
    /// The signature differs.
    #[error(
        "check the secret, and that nothing on the way changes the request: compare the string to sign with yours"
    )]
    Signature {
        /// What the server signed; the caller's own data, for the caller only.
        string_to_sign: Hidden,
    },
    /// The nonce was used before.
    #[error("each call needs a nonce of its own; a retry must be signed anew")]
    NonceUsed,
    /// The store failed.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Text that is for the wire and never for the log.
pub struct Hidden(pub String);

/// What the common parameters claim.
struct Claim {
    key_id: String,
    signature: String,
    nonce: String,
    /// V3 only: the headers that are signed.
    signed_headers: Vec<String>,
}

/// Finds out who calls. As soon as the key is known to be somebody's, `suspect` is what is recorded
/// in his account if the call is refused.
///
/// # Errors
/// [`Unauthenticated`], in the order of its variants.
pub async fn authenticate(
    context: &Context,
    request: Request,
    action: &'static Action,
    suspect: &mut Option<Deed>,
    now: Timestamp,
) -> Result<Caller, Unauthenticated> {
    let claim = Claim::read(&request, now)?;
    context
        .failures
        .check(request.source, now)
        .map_err(|retry_after_ms| Unauthenticated::Throttled { retry_after_ms })?;
    let verified = match find_key(context, &request, &claim, now).await {
        Ok(found) => {
            let account = found.principal.account();
            *suspect = Some(deed_of(&request, action, account, &claim.key_id, now));
            found.verified(&request, &claim)
        }
        Err(why) => Err(why),
    };
    if verified.as_ref().is_err_and(Unauthenticated::is_a_guess) {
        context.failures.count(request.source, now);
    }
    let Found {
        principal, power, ..
    } = verified?;
    let access_key = claim.key_id;
    if !context
        .nonces
        .take(&access_key, &claim.nonce, now, NONCE_MS)
    {
        return Err(Unauthenticated::NonceUsed);
    }
    let nonce = match action.access {
        Access::Read => None,
        // A replay is one whatever has become of its subject; among several at once the commit
        // decides.
        Access::Write if is_used_up(context, &access_key, &claim.nonce).await? => {
            return Err(Unauthenticated::NonceUsed);
        }
        Access::Write => Some(NonceUse {
            nonce: claim.nonce,
            expires: now.plus_ms(NONCE_MS),
        }),
    };
    Ok(Caller {
        request,
        action,
        principal,
        power,
        access_key,
        nonce,
        now,
    })
}

async fn is_used_up(context: &Context, access_key: &str, nonce: &str) -> Result<bool, Trouble> {
    Ok(context.catalog.is_nonce_used(access_key, nonce).await?)
}

/// A key that is somebody's.
struct Found {
    principal: Principal,
    power: Option<Power>,
    secret: Secret,
    active: bool,
}

async fn find_key(
    context: &Context,
    request: &Request,
    claim: &Claim,
    now: Timestamp,
) -> Result<Found, Unauthenticated> {
    if quirks::is_temporary_key(&claim.key_id) {
        return find_session(context, request, claim, now).await;
    }
    let catalog = &context.catalog;
    let found = catalog.access_key(&claim.key_id).await;
    let (key, secret) = found
        .map_err(Trouble::from)?
        .ok_or(Unauthenticated::UnknownKey)?;
    let (principal, power) = match &key.user {
        None => {
            let account = catalog.account(&key.account).await.map_err(Trouble::from)?;
            let gone = Fault::new("an access key whose account is gone");
            let account = account.ok_or(Trouble::Fault(gone))?;
            (Principal::Account(account), None)
        }
        Some(name) => {
            let user = context.rights.user(catalog, &key.account, name).await;
            let user = user.map_err(Trouble::from)?;
            // Its last key was deleted before it, a moment ago.
            let (user, power) = user.ok_or(Unauthenticated::UnknownKey)?;
            (user, Some(power))
        }
    };
    Ok(Found {
        principal,
        power,
        secret,
        active: key.active,
    })
}

async fn find_session(
    context: &Context,
    request: &Request,
    claim: &Claim,
    now: Timestamp,
) -> Result<Found, Unauthenticated> {
    let token = request.common("x-acs-security-token", "SecurityToken");
    let token = token.ok_or(Unauthenticated::Missing(Code::MissingSecurityToken))?;
    let session = Session::open(token, context.catalog.keyring())
        .map_err(|_| Unauthenticated::TokenMalformed)?;
    if session.access_key != claim.key_id {
        return Err(Unauthenticated::TokenMismatch);
    }
    if session.expires <= now {
        return Err(Unauthenticated::TokenExpired {
            ended: session.expires,
        });
    }
    let gone = || Unauthenticated::RoleGone {
        role: session.role.clone(),
    };
    let name = RoleName::parse(&session.role).map_err(|_| gone())?;
    let found = context
        .rights
        .role(&context.catalog, &session.account, &name, &session.name)
        .await;
    let role = found.map_err(Trouble::from)?.filter(
        |(principal, _)| matches!(principal, Principal::Role { id, .. } if *id == session.role_id),
    );
    let (principal, mut power) = role.ok_or_else(gone)?;
    power.session = session
        .policy
        .as_deref()
        .map(Document::parse)
        .transpose()
        .map_err(|cause| Trouble::Fault(Fault::of("read the policy of a session")(cause)))?;
    Ok(Found {
        principal,
        power: Some(power),
        secret: session.secret,
        active: true,
    })
}

impl Found {
    /// The same, once the key may be used and the signature is good.
    fn verified(self, request: &Request, claim: &Claim) -> Result<Self, Unauthenticated> {
        if !self.active {
            return Err(Unauthenticated::InactiveKey);
        }
        verify_signature(request, claim, &self.secret)?;
        Ok(self)
    }
}

fn verify_signature(
    request: &Request,
    claim: &Claim,
    secret: &Secret,
) -> Result<(), Unauthenticated> {
    let method = request.method.as_str();
    let (good, shown) = match request.scheme {
        Scheme::V1 => {
            let text = canonical::v1_string_to_sign(method, &request.params);
            (canonical::v1_verify(secret, &text, &claim.signature), text)
        }
        Scheme::V3 => {
            let signed: Vec<&str> = claim.signed_headers.iter().map(String::as_str).collect();
            let text = canonical::v3_canonical_request(
                method,
                &request.query,
                &request.headers,
                &signed,
                &request.body,
            );
            (
                canonical::v3_verify(
                    secret,
                    &canonical::v3_string_to_sign(&text),
                    &claim.signature,
                ),
                text,
            )
        }
    };
    if good {
        Ok(())
    } else {
        Err(Unauthenticated::Signature {
            string_to_sign: Hidden(shown),
        })
    }
}

impl Claim {
    fn read(request: &Request, now: Timestamp) -> Result<Self, Unauthenticated> {
        match request.scheme {
            Scheme::V1 => Self::read_v1(request, now),
            Scheme::V3 => Self::read_v3(request, now),
        }
    }

    fn read_v1(request: &Request, now: Timestamp) -> Result<Self, Unauthenticated> {
        let params = &request.params;
        let bearer = params.get("SignatureType") == Some("BEARERTOKEN")
            || request.header("x-acs-bearer-token").is_some();
        if bearer {
            return Err(Unauthenticated::Method {
                given: "BEARERTOKEN".to_owned(),
            });
        }
        let need = |name: &str, code| {
            params
                .given(name)
                .map(str::to_owned)
                .ok_or(Unauthenticated::Missing(code))
        };
        if params.given("Signature").is_none() && request.headers.contains_key("authorization") {
            return Err(Unauthenticated::Authorization);
        }
        let key_id = need("AccessKeyId", Code::MissingAccessKeyId)?;
        let signature = need("Signature", Code::MissingSignature)?;
        let method = need("SignatureMethod", Code::MissingSignatureMethod)?;
        let version = need("SignatureVersion", Code::MissingSignatureVersion)?;
        let nonce = need("SignatureNonce", Code::MissingSignatureNonce)?;
        let timestamp =
            quirks::timestamp(params).ok_or(Unauthenticated::Missing(Code::MissingTimestamp))?;
        if method != "HMAC-SHA1" {
            return Err(Unauthenticated::Method { given: method });
        }
        if version != "1.0" {
            return Err(Unauthenticated::SignatureVersion);
        }
        check_clock(timestamp, now)?;
        Ok(Self {
            key_id,
            signature,
            nonce,
            signed_headers: Vec::new(),
        })
    }

    fn read_v3(request: &Request, now: Timestamp) -> Result<Self, Unauthenticated> {
        let header = request.header("authorization").unwrap_or_default();
        let (algorithm, rest) = header.split_once(' ').unwrap_or((header, ""));
        if algorithm != V3_ALGORITHM {
            return Err(Unauthenticated::Method {
                given: algorithm.chars().take(40).collect(),
            });
        }
        let field = |name: &str| {
            let values = rest
                .split(',')
                .filter_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            values.map(str::to_owned).next()
        };
        let (Some(key_id), Some(signed), Some(signature)) = (
            field("Credential"),
            field("SignedHeaders"),
            field("Signature"),
        ) else {
            return Err(Unauthenticated::Authorization);
        };
        if key_id.is_empty() {
            return Err(Unauthenticated::Missing(Code::MissingAccessKeyId));
        }
        let nonce = request
            .header("x-acs-signature-nonce")
            .ok_or(Unauthenticated::Missing(Code::MissingSignatureNonce))?;
        let timestamp = request
            .header("x-acs-date")
            .ok_or(Unauthenticated::Missing(Code::MissingTimestamp))?;
        let signed_headers: Vec<String> = signed.split(';').map(str::to_ascii_lowercase).collect();
        let optional = V3_IF_PRESENT
            .iter()
            .filter(|name| request.headers.contains_key(**name));
        for name in V3_REQUIRED.iter().chain(optional) {
            let covered = request.headers.contains_key(*name)
                && signed_headers.iter().any(|signed| signed == name);
            if !covered {
                return Err(Unauthenticated::NotSigned { name });
            }
        }
        check_clock(timestamp, now)?;
        Ok(Self {
            key_id,
            signature,
            nonce: nonce.to_owned(),
            signed_headers,
        })
    }
}

fn check_clock(text: &str, now: Timestamp) -> Result<(), Unauthenticated> {
    let given = Timestamp::parse_iso(text).ok_or(Unauthenticated::TimestampFormat)?;
    let off_ms = now.since_ms(given).saturating_abs();
    if off_ms > CLOCK_WINDOW_MS {
        Err(Unauthenticated::TimestampExpired { given, now })
    } else {
        Ok(())
    }
}

impl Unauthenticated {
    /// Whether somebody may be guessing: these failures count against the address.
    const fn is_a_guess(&self) -> bool {
        matches!(
            self,
            Self::UnknownKey | Self::Signature { .. } | Self::TokenMalformed | Self::TokenMismatch
        )
    }
}

impl Failure for Unauthenticated {
    fn code(&self) -> Code {
        match self {
            Self::Missing(code) => *code,
            Self::Method { .. } => Code::InvalidSignatureMethod,
            Self::SignatureVersion => Code::InvalidSignatureVersion,
            Self::Authorization | Self::NotSigned { .. } => Code::IncompleteSignature,
            Self::TimestampFormat => Code::TimestampFormat,
            Self::TimestampExpired { .. } => Code::TimestampExpired,
            Self::Throttled { .. } => Code::Throttling,
            Self::UnknownKey => Code::AccessKeyNotFound,
            Self::InactiveKey => Code::AccessKeyInactive,
            Self::TokenMalformed => Code::SecurityTokenMalformed,
            Self::TokenMismatch => Code::SecurityTokenMismatch,
            Self::TokenExpired { .. } | Self::RoleGone { .. } => Code::SecurityTokenExpired,
            Self::Signature { .. } => Code::SignatureDoesNotMatch,
            Self::NonceUsed => Code::NonceUsed,
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn message(&self) -> String {
        let message = self.code().row().message;
        match self {
            Self::Signature {
                string_to_sign: Hidden(text),
            } => message.replace("{string_to_sign}", text),
            _ => message.to_owned(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Missing(_) => None,
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }

    fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Throttled { retry_after_ms } => Some(*retry_after_ms),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

#[cfg(test)]
mod tests;
