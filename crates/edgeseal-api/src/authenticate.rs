//! Step 3 of a call: authentication. Common parameters, clock, source address, key, signature, then
//! nonce.

mod unauthenticated;

use std::collections::HashSet;

use ::http::HeaderMap;
use edgeseal_core::{
    Secret, Timestamp,
    identity::RoleName,
    policy::{Document, Principal},
};
use edgeseal_store::{
    Fault,
    catalog::{AuditContext, NonceUse},
    session::Session,
};

use crate::{
    actions::{Access, Action},
    authorize::unverified_audit_context,
    canonical::{self, V3_ALGORITHM},
    code::Code,
    context::Context,
    error::StoreError,
    policy_cache::EffectivePolicies,
    quirks,
    request::{BEARER_TOKEN_HEADER, Request, Scheme},
    sanitize::sanitize,
};

pub use unauthenticated::{Redacted, Unauthenticated};

/// Allowed difference between the request's time and the server's, in either direction.
pub const CLOCK_WINDOW_MS: i64 = 15 * 60 * 1000;
/// How long a nonce is remembered: longer than any signature with it can be accepted.
const NONCE_MS: i64 = 2 * CLOCK_WINDOW_MS + 60 * 1000;
/// Longest access key id in bytes: those of the cloud have up to 128 characters.
const KEY_ID_MAX: usize = 128;
/// Longest nonce in bytes: a UUID, with any prefix or suffix that clients add.
const NONCE_MAX: usize = 256;
/// Longest signature in bytes: 64 in hex, 28 in base64.
const SIGNATURE_MAX: usize = 256;
/// Most headers that a signature covers: as many as the server reads.
const SIGNED_HEADERS_MAX: usize = 100;
/// Headers that a V3 signature must cover.
const V3_REQUIRED: [&str; 6] = [
    "host",
    "x-acs-action",
    "x-acs-version",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-content-sha256",
];
/// The session token of a temporary key in V3.
const TOKEN_HEADER: &str = "x-acs-security-token";
/// The session token of a temporary key in V1.
const TOKEN_PARAM: &str = "SecurityToken";
/// Headers that a V3 signature must cover if they are present.
///
/// Content-Type decides whether the body is read as a form: if it were unsigned, an attacker on the
/// path could drop the parameters in the body (the policy of a session, the user of a new key).
const V3_IF_PRESENT: [&str; 3] = [TOKEN_HEADER, "x-acs-accesskey-id", "content-type"];

/// The authenticated caller; only this module constructs it.
pub struct Caller {
    /// The request.
    pub request: Request,
    /// The called action.
    pub action: &'static Action,
    /// The caller.
    pub principal: Principal,
    /// The caller's policies; `None` for an account itself, which needs none.
    pub policies: Option<EffectivePolicies>,
    /// Id of the access key that signed.
    pub access_key: String,
    /// The nonce that a change uses.
    pub nonce: Option<NonceUse>,
    /// When the request arrived.
    pub now: Timestamp,
}

/// The signature and the common parameters of a request.
struct RequestSignature {
    key_id: String,
    signature: String,
    nonce: String,
    /// V3 only: the signed headers.
    signed_headers: Vec<String>,
}

/// Authenticates the caller. As soon as the owner of the key is known, `audit` is set to the audit
/// context of a refusal in that account.
///
/// # Errors
/// [`Unauthenticated`], in the order of its variants.
pub async fn authenticate(
    context: &Context,
    request: Request,
    action: &'static Action,
    audit: &mut Option<AuditContext>,
    now: Timestamp,
) -> Result<Caller, Unauthenticated> {
    let request_signature = RequestSignature::parse(&request, now)?;
    context
        .auth_failures
        .check(request.source, now)
        .map_err(|retry_after_ms| Unauthenticated::Throttled { retry_after_ms })?;
    let verified = verify(context, &request, &request_signature, action, audit, now).await;
    if verified
        .as_ref()
        .is_err_and(Unauthenticated::is_auth_failure)
    {
        context.auth_failures.count(request.source, now);
    }
    let ResolvedKey {
        principal,
        policies,
        ..
    } = verified?;
    Ok(Caller {
        request,
        action,
        principal,
        policies,
        access_key: request_signature.key_id,
        nonce: (action.access == Access::Write).then(|| NonceUse {
            nonce: request_signature.nonce,
            expires: now.plus_ms(NONCE_MS),
        }),
        now,
    })
}

/// The second half: key, signature, replay.
async fn verify(
    context: &Context,
    request: &Request,
    request_signature: &RequestSignature,
    action: &'static Action,
    audit: &mut Option<AuditContext>,
    now: Timestamp,
) -> Result<ResolvedKey, Unauthenticated> {
    let found = find_key(context, request, request_signature, now).await?;
    let account = found.principal.account_id();
    *audit = Some(unverified_audit_context(
        request,
        action,
        account,
        &request_signature.key_id,
        now,
    ));
    let found = found.into_verified(request, request_signature)?;
    let (access_key, nonce) = (&request_signature.key_id, &request_signature.nonce);
    if !context.nonces.use_nonce(access_key, nonce, now, NONCE_MS) {
        return Err(Unauthenticated::NonceUsed);
    }
    // A replay is refused whatever happened to the resource. Among concurrent calls with one nonce,
    // the first to commit succeeds.
    if action.access == Access::Write && is_nonce_used(context, access_key, nonce).await? {
        return Err(Unauthenticated::NonceUsed);
    }
    Ok(found)
}

async fn is_nonce_used(
    context: &Context,
    access_key: &str,
    nonce: &str,
) -> Result<bool, StoreError> {
    Ok(context.catalog.is_nonce_used(access_key, nonce).await?)
}

/// An access key with its owner.
struct ResolvedKey {
    principal: Principal,
    policies: Option<EffectivePolicies>,
    secret: Secret,
    active: bool,
}

async fn find_key(
    context: &Context,
    request: &Request,
    request_signature: &RequestSignature,
    now: Timestamp,
) -> Result<ResolvedKey, Unauthenticated> {
    if quirks::is_temporary_key(&request_signature.key_id) {
        return find_session(context, request, request_signature, now).await;
    }
    let catalog = &context.catalog;
    let found = catalog.access_key(&request_signature.key_id).await;
    let (key, secret) = found
        .map_err(StoreError::from)?
        .ok_or(Unauthenticated::UnknownKey)?;
    let (principal, policies) = match &key.user {
        None => {
            let account = catalog
                .account(&key.account)
                .await
                .map_err(StoreError::from)?;
            let gone = Fault::new("an access key whose account is gone");
            let account = account.ok_or(StoreError::Fault(gone))?;
            (Principal::Account(account), None)
        }
        Some(name) => {
            let user = context.policy_cache.user(catalog, &key.account, name).await;
            let user = user.map_err(StoreError::from)?;
            // The user's last key was deleted just before the user.
            let (user, policies) = user.ok_or(Unauthenticated::UnknownKey)?;
            (user, Some(policies))
        }
    };
    Ok(ResolvedKey {
        principal,
        policies,
        secret,
        active: key.active,
    })
}

async fn find_session(
    context: &Context,
    request: &Request,
    request_signature: &RequestSignature,
    now: Timestamp,
) -> Result<ResolvedKey, Unauthenticated> {
    let token = request.common_param(TOKEN_HEADER, TOKEN_PARAM);
    let token = token.ok_or(Unauthenticated::MissingParam(Code::MissingSecurityToken))?;
    let session = Session::open(token, context.catalog.keyring())
        .map_err(|_| Unauthenticated::TokenMalformed)?;
    if session.access_key != request_signature.key_id {
        return Err(Unauthenticated::TokenMismatch);
    }
    if session.expires <= now {
        return Err(Unauthenticated::TokenExpired {
            ended: session.expires,
        });
    }
    let gone = || Unauthenticated::RoleDeleted {
        role: session.role.clone(),
    };
    let name = RoleName::parse(&session.role).map_err(|_| gone())?;
    let found = context
        .policy_cache
        .role(&context.catalog, &session.account, &name, &session.name)
        .await;
    let role = found.map_err(StoreError::from)?.filter(
        |(principal, _)| matches!(principal, Principal::Role { id, .. } if *id == session.role_id),
    );
    let (principal, mut policies) = role.ok_or_else(gone)?;
    policies.session = session
        .policy
        .as_deref()
        .map(Document::parse_stored)
        .transpose()
        .map_err(|cause| StoreError::Fault(Fault::of("read the policy of a session")(cause)))?;
    Ok(ResolvedKey {
        principal,
        policies: Some(policies),
        secret: session.secret,
        active: true,
    })
}

impl ResolvedKey {
    /// The caller, once the key is active and the signature is valid.
    fn into_verified(
        self,
        request: &Request,
        request_signature: &RequestSignature,
    ) -> Result<Self, Unauthenticated> {
        if !self.active {
            return Err(Unauthenticated::InactiveKey);
        }
        // A temporary key was compared with its token before.
        let is_temporary = quirks::is_temporary_key(&request_signature.key_id);
        if !is_temporary && request.common_param(TOKEN_HEADER, TOKEN_PARAM).is_some() {
            return Err(Unauthenticated::TokenMismatch);
        }
        verify_signature(request, request_signature, &self.secret)?;
        Ok(self)
    }
}

fn verify_signature(
    request: &Request,
    request_signature: &RequestSignature,
    secret: &Secret,
) -> Result<(), Unauthenticated> {
    let method = request.method.as_str();
    let (good, shown) = match request.scheme {
        Scheme::V1 => {
            let text = canonical::v1_string_to_sign(method, &request.params);
            (
                canonical::v1_verify(secret, &text, &request_signature.signature),
                text,
            )
        }
        Scheme::V3 => {
            let signed: Vec<&str> = request_signature
                .signed_headers
                .iter()
                .map(String::as_str)
                .collect();
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
                    &request_signature.signature,
                ),
                text,
            )
        }
    };
    if good {
        Ok(())
    } else {
        Err(Unauthenticated::SignatureMismatch {
            string_to_sign: Redacted(shown),
        })
    }
}

impl RequestSignature {
    fn parse(request: &Request, now: Timestamp) -> Result<Self, Unauthenticated> {
        let bearer = request.params.get("SignatureType") == Some("BEARERTOKEN")
            || request.header(BEARER_TOKEN_HEADER).is_some();
        if bearer {
            return Err(Unauthenticated::BearerToken);
        }
        match request.scheme {
            Scheme::V1 => Self::parse_v1(request, now),
            Scheme::V3 => Self::parse_v3(request, now),
        }
    }

    fn parse_v1(request: &Request, now: Timestamp) -> Result<Self, Unauthenticated> {
        let params = &request.params;
        let need = |name: &str, code| {
            params
                .get_non_empty(name)
                .map(str::to_owned)
                .ok_or(Unauthenticated::MissingParam(code))
        };
        if params.get_non_empty("Signature").is_none()
            && request.headers.contains_key("authorization")
        {
            return Err(Unauthenticated::MalformedAuthorization);
        }
        let key_id = need("AccessKeyId", Code::MissingAccessKeyId)?;
        let signature = need("Signature", Code::MissingSignature)?;
        let method = need("SignatureMethod", Code::MissingSignatureMethod)?;
        let version = need("SignatureVersion", Code::MissingSignatureVersion)?;
        let nonce = need("SignatureNonce", Code::MissingSignatureNonce)?;
        let timestamp = quirks::timestamp(params)
            .ok_or(Unauthenticated::MissingParam(Code::MissingTimestamp))?;
        if method != "HMAC-SHA1" {
            return Err(Unauthenticated::SignatureMethod { given: method });
        }
        if version != "1.0" {
            return Err(Unauthenticated::SignatureVersion);
        }
        check_lengths(&key_id, &nonce, &signature)?;
        check_clock(timestamp, now)?;
        Ok(Self {
            key_id,
            signature,
            nonce,
            signed_headers: Vec::new(),
        })
    }

    fn parse_v3(request: &Request, now: Timestamp) -> Result<Self, Unauthenticated> {
        let header = request.header("authorization").unwrap_or_default();
        let (algorithm, rest) = header.split_once(' ').unwrap_or((header, ""));
        if algorithm != V3_ALGORITHM {
            return Err(Unauthenticated::SignatureMethod {
                given: sanitize(algorithm),
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
            return Err(Unauthenticated::MalformedAuthorization);
        };
        if key_id.is_empty() {
            return Err(Unauthenticated::MissingParam(Code::MissingAccessKeyId));
        }
        let nonce = request
            .header("x-acs-signature-nonce")
            .ok_or(Unauthenticated::MissingParam(Code::MissingSignatureNonce))?;
        let timestamp = request
            .header("x-acs-date")
            .ok_or(Unauthenticated::MissingParam(Code::MissingTimestamp))?;
        let signed_headers = signed_headers(&signed)?;
        let optional = V3_IF_PRESENT
            .iter()
            .filter(|name| request.headers.contains_key(**name));
        for name in V3_REQUIRED.iter().chain(optional) {
            let covered = request.headers.contains_key(*name)
                && signed_headers.iter().any(|signed| signed == name);
            if !covered {
                return Err(Unauthenticated::UnsignedHeader { name });
            }
        }
        check_single(&request.headers, &signed_headers)?;
        // A list in one header and a repeated header have the same canonical form.
        if nonce.contains(',') {
            return Err(Unauthenticated::NonceFormat);
        }
        check_lengths(&key_id, nonce, &signature)?;
        check_clock(timestamp, now)?;
        Ok(Self {
            key_id,
            signature,
            nonce: nonce.to_owned(),
            signed_headers,
        })
    }
}

/// The names in `SignedHeaders`, in order.
fn signed_headers(list: &str) -> Result<Vec<String>, Unauthenticated> {
    let mut seen = HashSet::new();
    let names = list.split(';').take(SIGNED_HEADERS_MAX + 1);
    let names: Vec<String> = names.map(str::to_ascii_lowercase).collect();
    if names.len() > SIGNED_HEADERS_MAX || !names.iter().all(|name| seen.insert(name)) {
        return Err(Unauthenticated::SignedHeaders);
    }
    Ok(names)
}

/// Refuses a repeated signed header. The canonical form joins the values, but the server reads only
/// the first: a header split at another place would be a different request with the same signature.
fn check_single(headers: &HeaderMap, signed: &[String]) -> Result<(), Unauthenticated> {
    let repeated = |name: &&String| headers.get_all(name.as_str()).iter().nth(1).is_some();
    match signed.iter().find(repeated) {
        Some(name) => Err(Unauthenticated::RepeatedHeader { name: name.clone() }),
        None => Ok(()),
    }
}

fn check_lengths(key_id: &str, nonce: &str, signature: &str) -> Result<(), Unauthenticated> {
    for (name, text, max) in [
        ("AccessKeyId", key_id, KEY_ID_MAX),
        ("SignatureNonce", nonce, NONCE_MAX),
        ("Signature", signature, SIGNATURE_MAX),
    ] {
        let bytes = text.len();
        if bytes > max {
            return Err(Unauthenticated::TooLong { name, bytes, max });
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests;
