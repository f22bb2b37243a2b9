//! `AssumeRoleWithOIDC`: a session of a role for the holder of an OIDC token.
//!
//! The call is unsigned: the token authenticates it. The token is verified with the keys of a
//! provider that the operator configured. Then the role's trust policy decides: it names the
//! provider, and its conditions can read the token's claims as `oidc:iss`, `oidc:aud` and
//! `oidc:sub`. With a valid token, a missing role gets the same error as a role that does not trust
//! the token.

use edgeseal_core::{
    oidc::{Claims, InvalidIdToken, Provider},
    policy::{self, PrincipalArn},
};
use serde::Serialize;

use super::{
    arn::OidcProviderArn,
    session::{InvalidSession, SessionParams, SessionReply, find_trusting_role},
};
use crate::{
    authorize::unverified_audit_context,
    context::Context,
    error::{ApiError, StoreError, api_error},
    oidc_providers::JwksError,
    operation::{Input, Operation, Success, UnsignedCall},
    rate_limit::{RateLimited, check_rate},
    sanitize::sanitize,
};

/// `AssumeRoleWithOIDC`.
pub struct AssumeRoleWithOidc;

/// The parameters.
pub struct Params {
    session: SessionParams,
    provider: OidcProviderArn,
    token: String,
}

/// The session, and the claims of the token. It is the only response with the session's secret.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    #[serde(flatten)]
    opened: SessionReply,
    #[serde(rename = "OIDCTokenInfo")]
    token: TokenInfo,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TokenInfo {
    subject: String,
    issuer: String,
    client_ids: String,
    issuance_time: String,
    expiration_time: String,
    verification_info: &'static str,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The session parameters are invalid.
    #[error(transparent)]
    Session(#[from] InvalidSession),
    /// No provider.
    #[error("no identity provider is named")]
    NoProviderArn,
    /// Not the ARN of a provider.
    #[error("{given:?} is not acs:ram::{{account}}:oidc-provider/{{name}}")]
    ProviderArn {
        /// The value given.
        given: String,
    },
    /// No token.
    #[error("no token is given")]
    NoToken,
    /// The operator has configured no such provider.
    #[error("there is no identity provider {arn}")]
    UnknownProvider {
        /// The value given.
        arn: String,
    },
    /// The provider's keys are unavailable.
    #[error("the keys of the identity provider are unavailable at the moment; try again later")]
    Jwks(#[from] JwksError),
    /// The token is invalid.
    #[error(transparent)]
    Token(#[from] InvalidIdToken),
    /// The account's rate limit is exceeded.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// The role is missing or does not trust the token.
    #[error(
        "there is no such role, or its trust policy does not allow {subject:?} of this provider to assume it"
    )]
    NotFoundOrDenied {
        /// The subject of the token.
        subject: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation<UnsignedCall> for AssumeRoleWithOidc {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let arn = params.get_non_empty("OIDCProviderArn");
        let arn = arn.ok_or(Error::NoProviderArn)?;
        let provider = OidcProviderArn::parse(arn);
        let provider = provider.ok_or_else(|| Error::ProviderArn {
            given: sanitize(arn),
        })?;
        let session = SessionParams::parse(params)?;
        let token = params.get_non_empty("OIDCToken").ok_or(Error::NoToken)?;
        Ok(Params {
            session,
            provider,
            token: token.to_owned(),
        })
    }

    async fn run(
        context: &Context,
        call: &UnsignedCall,
        params: Params,
    ) -> Result<Success<Reply>, Error> {
        let (request, action, now) = (&call.request, call.action, call.now);
        let Params {
            session,
            provider: arn,
            token,
        } = params;
        let providers = &context.settings.oidc_providers;
        let Some(known) = providers.find(&arn.account, &arn.name) else {
            return Err(Error::UnknownProvider {
                arn: arn.to_string(),
            });
        };
        let who = format!("oidc-provider/{}", arn.name);
        let audit = unverified_audit_context(request, action, &arn.account, &who, now);
        // It is still empty: nothing else sets it.
        let _ = call.audit.set(audit.clone());
        let claims = known.verify(&token, now).await??;
        check_rate(context, &arn.account, action, now)?;
        let circumstances = circumstances(&claims, request.source, request.secure, now);
        let principal = PrincipalArn::Federated(arn.to_string());
        let trusting =
            find_trusting_role(context, &session.role, (&principal, None), &circumstances).await?;
        // A provider can only give access to roles of its own account, whatever the trust policies
        // of other accounts say.
        let closed = || Error::NotFoundOrDenied {
            subject: claims.subject.clone(),
        };
        let role = trusting
            .ok()
            .filter(|_| session.role.account == arn.account)
            .ok_or_else(closed)?;
        let duration_s = session.duration(&role, false)?;
        let notes = [format!("for {:?} of {}", claims.subject, claims.issuer)];
        let opened = session
            .issue(context, &audit, &role, duration_s, &notes)
            .await?;
        Ok(opened.map(|opened| Reply {
            opened,
            token: TokenInfo::new(claims, known.provider()),
        }))
    }
}

/// The request context for the conditions of a trust policy.
fn circumstances(
    claims: &Claims,
    source: std::net::IpAddr,
    secure: bool,
    now: edgeseal_core::Timestamp,
) -> policy::RequestContext {
    let context = policy::RequestContext {
        source_ip: Some(source),
        secure_transport: Some(secure),
        ..policy::RequestContext::new(now)
    };
    context
        .with_key("oidc:iss", &*claims.issuer)
        .with_key("oidc:aud", &*claims.audience)
        .with_key("oidc:sub", &*claims.subject)
}

impl TokenInfo {
    fn new(claims: Claims, provider: &Provider) -> Self {
        Self {
            subject: claims.subject,
            issuer: claims.issuer,
            client_ids: provider.client_ids.join(","),
            issuance_time: claims.issued.to_string(),
            expiration_time: claims.expires.to_string(),
            verification_info: "Success",
        }
    }
}

api_error!(Error {
    Session(InvalidSession),
    NoProviderArn => MissingOidcProviderArn,
    ProviderArn => InvalidOidcProviderArn,
    NoToken => OidcTokenEmpty,
    UnknownProvider => OidcProviderUnknown,
    Jwks => ServiceUnavailable,
    Token(InvalidIdToken),
    RateLimited(RateLimited),
    NotFoundOrDenied => AssumeRoleWithOidcDenied,
    Store(StoreError),
}
fn is_auth_failure(&self) -> bool {
    match self {
        Self::UnknownProvider { .. } | Self::NotFoundOrDenied { .. } => true,
        other => other.inner().is_some_and(ApiError::is_auth_failure),
    }
});

api_error!(InvalidIdToken {
    Parts => OidcTokenParts,
    Encoding => OidcTokenEncoding,
    Algorithm => OidcTokenAlgorithm,
    UnknownKey | Signature => OidcTokenSignature,
    Audience => OidcTokenAudience,
    Expired | TooOld => OidcTokenExpired,
    TooLong | Json | Critical | NoKeyId | Issuer | NotYetValid => OidcTokenContent,
}
fn message(&self) -> String {
    let message = self.code().spec().message;
    match self {
        Self::Algorithm { given } => message.replace("{algorithm}", given),
        _ => message.to_owned(),
    }
}
fn is_auth_failure(&self) -> bool {
    true
});
