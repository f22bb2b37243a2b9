//! Key sets (JWKS) of OIDC providers: fetched from where the operator configured, and cached.
//!
//! Keys come from a file or over HTTPS from one URL, never from what a token says. A file is read
//! each time. A URL is fetched when its keys are an hour old, or when a token names an unknown key,
//! but at most once a minute; no caller can make this process fetch more often. While it does not
//! respond, the last keys remain valid for a day.

mod https_source;

use std::{fmt, path::PathBuf, sync::Arc};

use edgeseal_core::{
    AccountId, Timestamp,
    oidc::{self, Claims, InvalidIdToken, InvalidJwks, JWKS_BYTES_MAX, Jwks, Provider},
};
use tokio::{io::AsyncReadExt as _, sync::Mutex};

use crate::error::error_chain;

pub use crate::fetch::FetchError;
pub use https_source::{HttpsSource, InvalidSource};

/// Age at which keys are fetched again, in milliseconds.
const MAX_AGE_MS: i64 = 3_600_000;
/// Minimum interval between two fetches, in milliseconds.
const REFRESH_INTERVAL_MIN_MS: i64 = 60_000;
/// Age at which keys become invalid if they cannot be fetched, in milliseconds.
const STALE_IF_ERROR_MS: i64 = 24 * 3_600_000;

/// The configured OIDC providers. Clones share their caches.
#[derive(Clone, Debug, Default)]
pub struct OidcProviders(Arc<Vec<OidcProvider>>);

/// An OIDC provider and the source of its keys.
pub struct OidcProvider {
    provider: Provider,
    source: KeySource,
    cache: Mutex<JwksCache>,
}

/// The source of a provider's keys.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// A URL.
    Https(HttpsSource),
}

#[derive(Default)]
struct JwksCache {
    keys: Option<(Arc<Jwks>, Timestamp)>,
    last_attempt: Option<Timestamp>,
}

/// Why keys are unavailable.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The file cannot be read.
    #[error("the key set {path} cannot be read")]
    File {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// The URL cannot be fetched.
    #[error("the keys cannot be fetched")]
    Fetch(#[from] FetchError),
    /// The content is not a JWK set.
    #[error("the content is not a key set")]
    Malformed(#[from] InvalidJwks),
    /// The last fetch failed a moment ago.
    #[error("fetching the keys failed a moment ago")]
    Throttled,
}

impl OidcProviders {
    /// Creates the providers; pairs of account and name should be unique.
    #[must_use]
    pub fn new(providers: impl IntoIterator<Item = (Provider, KeySource)>) -> Self {
        let known = |(provider, source)| OidcProvider {
            provider,
            source,
            cache: Mutex::default(),
        };
        Self(Arc::new(providers.into_iter().map(known).collect()))
    }

    /// Finds the provider of this name in an account.
    #[must_use]
    pub fn find(&self, account: &AccountId, name: &str) -> Option<&OidcProvider> {
        let mut all = self.0.iter();
        all.find(|known| known.provider.account == *account && known.provider.name == name)
    }
}

impl OidcProvider {
    /// The configuration of the provider.
    #[must_use]
    pub const fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Verifies a token of this provider.
    ///
    /// # Errors
    /// [`JwksError`] if no keys are available.
    pub async fn verify(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Result<Claims, InvalidIdToken>, JwksError> {
        let keys = self.keys(false, now).await?;
        let verified = oidc::verify(token, &keys, &self.provider, now);
        let Err(InvalidIdToken::UnknownKey { .. }) = verified else {
            return Ok(verified);
        };
        match self.keys(true, now).await {
            Ok(newer) if *newer != *keys => Ok(oidc::verify(token, &newer, &self.provider, now)),
            // The token verifies with the cached keys; failing to fetch newer ones is no error.
            Ok(_) | Err(_) => Ok(verified),
        }
    }

    /// The keys; `unknown` if the cached ones lack the key of a token.
    async fn keys(&self, unknown: bool, now: Timestamp) -> Result<Arc<Jwks>, JwksError> {
        let source = match &self.source {
            KeySource::File(_) if unknown => return Err(JwksError::Throttled),
            KeySource::File(path) => {
                let keys = read(path).await.map(Arc::new);
                return keys.inspect_err(|error| self.report(error));
            }
            KeySource::Https(source) => source,
        };
        // The lock is held during the fetch: other calls wait for the result.
        let mut remembered = self.cache.lock().await;
        let kept = remembered.keys.clone();
        let kept = kept.filter(|(_, at)| now.since_ms(*at) < STALE_IF_ERROR_MS);
        let fresh = |at: Timestamp| now.since_ms(at) < MAX_AGE_MS;
        let wanted = unknown || kept.as_ref().is_none_or(|(_, at)| !fresh(*at));
        let pause = remembered.last_attempt.is_some_and(|at| {
            let since_ms = now.since_ms(at);
            // A clock that was set back must not extend the interval.
            (0..REFRESH_INTERVAL_MIN_MS).contains(&since_ms)
        });
        if !wanted || pause {
            return kept.map(|(keys, _)| keys).ok_or(JwksError::Throttled);
        }
        remembered.last_attempt = Some(now);
        let fetched = source.fetch(JWKS_BYTES_MAX).await;
        let fetched = fetched
            .map_err(JwksError::from)
            .and_then(|json| Ok(Jwks::parse(&json)?));
        match fetched {
            Ok(keys) => {
                let keys = Arc::new(keys);
                remembered.keys = Some((Arc::clone(&keys), now));
                Ok(keys)
            }
            Err(error) => {
                self.report(&error);
                kept.map(|(keys, _)| keys).ok_or(error)
            }
        }
    }

    /// Logs the cause for the operator; the caller only learns that there are no keys.
    fn report(&self, error: &JwksError) {
        tracing::warn!(
            oidc.provider = self.provider.name,
            account.id = %self.provider.account,
            error = error_chain(error),
            "keys of an OIDC provider are unavailable"
        );
    }
}

async fn read(path: &PathBuf) -> Result<Jwks, JwksError> {
    let failed = |cause| JwksError::File {
        path: path.clone(),
        cause,
    };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut json = Vec::new();
    // Read one byte more than allowed, to detect a file that is too long.
    let mut limited = file.take(JWKS_BYTES_MAX as u64 + 1);
    limited.read_to_end(&mut json).await.map_err(failed)?;
    Ok(Jwks::parse(&json)?)
}

impl fmt::Debug for OidcProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownProvider")
            .field("provider", &self.provider)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
