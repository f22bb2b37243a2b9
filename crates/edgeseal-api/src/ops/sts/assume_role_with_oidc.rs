//! `AssumeRoleWithOIDC`: a session of a role for the holder of an OIDC token.
//!
//! The call is unsigned: the token authenticates it. It is verified with the keys of the provider
//! that the operator configured; then the role's trust policy decides, which names the provider and
//! sees the token as `oidc:iss`, `oidc:aud` and `oidc:sub`. For a valid token, a missing role gets
//! the same error as one that does not trust it.

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
    admit::{RateLimited, check_rate},
    authorize::unverified_audit_context,
    code::Code,
    context::Context,
    error::{ApiError, StoreError},
    oidc_providers::JwksError,
    operation::{Success, UnsignedCall, UnsignedOperation},
    request::ParamMap,
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

/// The session, with the only sight of its secret, and what was read in the token.
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
    /// Not the full name of a provider.
    #[error("{given:?} is not acs:ram::{{account}}:oidc-provider/{{name}}")]
    ProviderArn {
        /// The value given.
        given: String,
    },
    /// No token.
    #[error("there is no token")]
    NoToken,
    /// The operator has configured no such provider.
    #[error("there is no identity provider {arn}")]
    UnknownProvider {
        /// The value given.
        arn: String,
    },
    /// The provider's keys are unavailable.
    #[error("the keys of the identity provider cannot be had just now")]
    Jwks(#[from] JwksError),
    /// The token is invalid.
    #[error(transparent)]
    Token(#[from] InvalidIdToken),
    /// The account's rate limit is exceeded.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// The role is missing or does not trust the token.
    #[error(
        "there is no such role, or its trust policy does not let {subject:?} of this provider assume it"
    )]
    NotFoundOrDenied {
        /// The subject of the token.
        subject: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl UnsignedOperation for AssumeRoleWithOidc {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        InvalidSession::CODES[0],
        InvalidSession::CODES[1],
        InvalidSession::CODES[2],
        InvalidSession::CODES[3],
        InvalidSession::CODES[4],
        InvalidSession::CODES[5],
        InvalidSession::CODES[6],
        Code::MissingOidcProviderArn,
        Code::InvalidOidcProviderArn,
        Code::OidcProviderUnknown,
        Code::AssumeRoleWithOidcDenied,
        Code::OidcTokenEmpty,
        Code::OidcTokenParts,
        Code::OidcTokenEncoding,
        Code::OidcTokenAlgorithm,
        Code::OidcTokenContent,
        Code::OidcTokenSignature,
        Code::OidcTokenAudience,
        Code::OidcTokenExpired,
        Code::ThrottlingUser,
    ];

    fn parse(params: &ParamMap) -> Result<Params, Error> {
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
        call: UnsignedCall<'_>,
        params: Params,
    ) -> Result<Success<Reply>, Error> {
        let UnsignedCall {
            request,
            action,
            audit: suspect,
            now,
        } = call;
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
        *suspect = Some(audit.clone());
        let claims = known.verify(&token, now).await??;
        check_rate(context, &arn.account, action, now)?;
        let circumstances = circumstances(&claims, request.source, request.secure, now);
        let principal = PrincipalArn::Federated(arn.to_string());
        let trusting =
            find_trusting_role(context, &session.role, (&principal, None), &circumstances).await?;
        // A provider grants roles of its own account only, whatever the trust policy of another
        // says.
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
        Ok(Success {
            reply: Reply {
                opened: opened.reply,
                token: TokenInfo::new(claims, known.provider()),
            },
            change: opened.change,
            warnings: Vec::new(),
        })
    }

    fn is_auth_failure(error: &Error) -> bool {
        matches!(
            error,
            Error::Token(_) | Error::UnknownProvider { .. } | Error::NotFoundOrDenied { .. }
        )
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

impl ApiError for Error {
    fn code(&self) -> Code {
        match self {
            Self::Session(error) => error.code(),
            Self::NoProviderArn => Code::MissingOidcProviderArn,
            Self::ProviderArn { .. } => Code::InvalidOidcProviderArn,
            Self::NoToken => Code::OidcTokenEmpty,
            Self::UnknownProvider { .. } => Code::OidcProviderUnknown,
            Self::Jwks(_) => Code::ServiceUnavailable,
            Self::Token(error) => code_of(error),
            Self::RateLimited(too_often) => too_often.code(),
            Self::NotFoundOrDenied { .. } => Code::AssumeRoleWithOidcDenied,
            Self::Store(error) => error.code(),
        }
    }

    fn message(&self) -> String {
        let message = self.code().spec().message;
        match self {
            Self::Token(InvalidIdToken::Algorithm { given }) => {
                message.replace("{algorithm}", given)
            }
            _ => message.to_owned(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.detail(),
            _ => Some(self.to_string()),
        }
    }

    fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::RateLimited(too_often) => too_often.retry_after_ms(),
            _ => None,
        }
    }

    fn should_audit(&self) -> bool {
        match self {
            Self::RateLimited(too_often) => too_often.should_audit(),
            _ => true,
        }
    }
}

const fn code_of(error: &InvalidIdToken) -> Code {
    match error {
        InvalidIdToken::Parts { .. } => Code::OidcTokenParts,
        InvalidIdToken::Encoding { .. } => Code::OidcTokenEncoding,
        InvalidIdToken::Algorithm { .. } => Code::OidcTokenAlgorithm,
        InvalidIdToken::UnknownKey { .. } | InvalidIdToken::Signature { .. } => {
            Code::OidcTokenSignature
        }
        InvalidIdToken::Audience { .. } => Code::OidcTokenAudience,
        InvalidIdToken::Expired { .. } | InvalidIdToken::TooOld { .. } => Code::OidcTokenExpired,
        InvalidIdToken::TooLong { .. }
        | InvalidIdToken::Json { .. }
        | InvalidIdToken::Critical
        | InvalidIdToken::NoKeyId
        | InvalidIdToken::Issuer { .. }
        | InvalidIdToken::NotYetValid { .. } => Code::OidcTokenContent,
    }
}
