//! The keys of identity providers: read where the operator said, and remembered for a while.
//!
//! Keys come from a file or over HTTPS from one address, never from what a token says. A file is
//! read each time. An address is asked when its keys are an hour old, or when a token names a key
//! that is not among them, but at most once a minute; nobody can make this process ask more often.
//! While it does not answer, the last keys count for a day.

mod fetch;

use std::{fmt, path::PathBuf, sync::Arc};

use edgeseal_core::{
    AccountId, Timestamp,
    oidc::{self, Claims, InvalidIdToken, InvalidJwks, JWKS_BYTES_MAX, Jwks, Provider},
};
use tokio::{io::AsyncReadExt as _, sync::Mutex};

use crate::operation::error_chain;

pub use fetch::{FetchError, HttpsSource, InvalidSource};

/// Keys this old are asked for anew, in milliseconds.
const MAX_AGE_MS: i64 = 3_600_000;
/// Between two questions, in milliseconds.
const REFRESH_INTERVAL_MIN_MS: i64 = 60_000;
/// Keys older than that count no more, in milliseconds.
const STALE_IF_ERROR_MS: i64 = 24 * 3_600_000;

/// The identity providers that the operator configured. Clones share what they remember.
#[derive(Clone, Debug, Default)]
pub struct OidcProviders(Arc<Vec<OidcProvider>>);

/// An identity provider, and how to come by its keys.
pub struct OidcProvider {
    provider: Provider,
    source: KeySource,
    cache: Mutex<JwksCache>,
}

/// Where keys are.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Https(HttpsSource),
}

#[derive(Default)]
struct JwksCache {
    keys: Option<(Arc<Jwks>, Timestamp)>,
    last_attempt: Option<Timestamp>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The file does not read.
    #[error("the key set {path} cannot be read")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The address does not answer as it should.
    #[error("the keys cannot be fetched")]
    Fetch(#[from] FetchError),
    /// What is there is no key set.
    #[error("what should be a key set is none")]
    Malformed(#[from] InvalidJwks),
    /// It was asked a moment ago, in vain.
    #[error("the address was asked for the keys a moment ago, in vain")]
    Throttled,
}

impl OidcProviders {
    /// These providers; the pair of account and name should be unique.
    #[must_use]
    pub fn new(providers: impl IntoIterator<Item = (Provider, KeySource)>) -> Self {
        let known = |(provider, source)| OidcProvider {
            provider,
            source,
            cache: Mutex::default(),
        };
        Self(Arc::new(providers.into_iter().map(known).collect()))
    }

    /// The provider of this name in an account.
    #[must_use]
    pub fn find(&self, account: &AccountId, name: &str) -> Option<&OidcProvider> {
        let mut all = self.0.iter();
        all.find(|known| known.provider.account == *account && known.provider.name == name)
    }
}

impl OidcProvider {
    /// What is known of it.
    #[must_use]
    pub const fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Believes a token of this provider, or says why not.
    ///
    /// # Errors
    /// [`NoKeys`] if there is nothing to judge by.
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
            // The keys at hand are good; that there are no newer ones is no failure of them.
            Ok(_) | Err(_) => Ok(verified),
        }
    }

    /// The keys; `unknown` if those at hand lack one that is wanted.
    async fn keys(&self, unknown: bool, now: Timestamp) -> Result<Arc<Jwks>, JwksError> {
        let source = match &self.source {
            KeySource::File(_) if unknown => return Err(JwksError::Throttled),
            KeySource::File(path) => {
                let keys = read(path).await.map(Arc::new);
                return keys.inspect_err(|why| self.report(why));
            }
            KeySource::Https(source) => source,
        };
        // Held while the address is asked: others wait for the same answer.
        let mut remembered = self.cache.lock().await;
        let kept = remembered.keys.clone();
        let kept = kept.filter(|(_, at)| now.since_ms(*at) < STALE_IF_ERROR_MS);
        let fresh = |at: Timestamp| now.since_ms(at) < MAX_AGE_MS;
        let wanted = unknown || kept.as_ref().is_none_or(|(_, at)| !fresh(*at));
        let pause = remembered.last_attempt.is_some_and(|at| {
            let since_ms = now.since_ms(at);
            // A clock that was set back must not make the pause longer.
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
            Err(why) => {
                self.report(&why);
                kept.map(|(keys, _)| keys).ok_or(why)
            }
        }
    }

    /// Tells the operator; the caller is told no more than that there are no keys.
    fn report(&self, why: &JwksError) {
        tracing::warn!(
            oidc.provider = self.provider.name,
            account.id = %self.provider.account,
            why = error_chain(why),
            "the keys of an identity provider cannot be had"
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
    // One octet more than allowed tells that there is more.
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
