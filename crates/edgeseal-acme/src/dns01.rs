//! dns-01 (RFC 8555 §8.4): a TXT record at `_acme-challenge.NAME`, the only challenge that proves a
//! wildcard.
//!
//! What publishes the record is configured: a command ([`CommandHook`]), or the name server itself
//! by dynamic updates ([`DynamicUpdate`]). Where a CNAME record delegates `_acme-challenge.NAME` to
//! another zone, the record is published there. The authority is told only when all servers of the
//! zone answer with it.
//!
//! What is published is noted in the store first, with the name that it is published at, and
//! removed by that note: also after a crash, and after the CNAME record has changed.

mod command;
mod propagation;
mod solver;
mod update;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, time::Duration};

use edgeseal_core::{DomainName, Timestamp};
use edgeseal_store::{Catalog, Fault, record::DnsChallengeRecord};
use hickory_proto::rr::Name;

use self::{command::Hook, propagation::Propagation};
pub use self::{
    command::{CommandHook, HookStyle},
    update::{DynamicUpdate, TsigAlgorithm, TsigKey},
};
use crate::dns::{DnsClient, DnsError, absolute};

/// How often it is tried to remove a record. It is harmless, and what removes it may be gone.
const CLEAN_UPS_MAX: u32 = 10;
/// The port of authoritative servers.
const DNS_PORT: u16 = 53;

/// How challenges by dns-01 are published.
#[derive(Debug)]
pub struct DnsSettings {
    /// What publishes the records.
    pub publisher: DnsPublisher,
    /// The DNS server that finds zones, and where CNAME records lead; `None`: the system's.
    pub dns: Option<SocketAddr>,
    /// A DNS server for that, and to be asked for the record instead of the servers of its zone.
    pub resolver: Option<SocketAddr>,
    /// How long a record may take until all servers answer with it.
    pub propagation_timeout: Duration,
    /// Domains below which CNAME records may delegate challenges, besides names that say what they
    /// are for; see [`DnsChallengeError::Delegated`].
    pub delegated_to: Vec<DomainName>,
}

/// What publishes TXT records.
#[derive(Debug)]
pub enum DnsPublisher {
    /// A command.
    Command(CommandHook),
    /// The name server (RFC 2136).
    Update(DynamicUpdate),
}

/// One challenge.
#[derive(Clone, Copy, Debug)]
pub struct TxtChallenge<'a> {
    /// The name that is proved; of a wildcard the name below which it is.
    pub name: &'a str,
    /// The challenge's token.
    pub token: &'a str,
    /// Token and thumbprint of the account key (RFC 8555 §8.1).
    pub key_authorization: &'a str,
    /// The value of the record.
    pub value: &'a str,
}

/// Why a record was not published, or not removed.
#[derive(Debug, thiserror::Error)]
pub enum DnsChallengeError {
    /// The command cannot be run.
    #[error("{command} cannot be run: {cause}")]
    NotRun {
        /// The command.
        command: String,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// The command failed.
    #[error("{command} failed ({status}): {said}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: String,
        /// The last line that it wrote.
        said: String,
    },
    /// The command did not end in time, and was killed.
    #[error("{command} did not end within {} s", after.as_secs())]
    TimedOut {
        /// The command.
        command: String,
        /// The time limit.
        after: Duration,
    },
    /// A DNS server does not answer as it must.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// The owner of a domain chooses where its CNAME record leads. A record is published there only
    /// if the name is `_acme-challenge.…`, begins with the domain, or is below a domain that the
    /// operator lists: otherwise an owner could have the operator's other records changed.
    #[error(
        "the CNAME record of _acme-challenge.{name} leads to {target}, which is neither below a domain of \
         acme_dns.delegated_to nor begins with {name}"
    )]
    Delegated {
        /// The name that is proved.
        name: String,
        /// Where it leads.
        target: String,
    },
    /// The server refuses an update.
    #[error("the DNS server {server} refuses to change {name} in the zone {zone}: {reason}")]
    UpdateRefused {
        /// The server.
        server: SocketAddr,
        /// The name of the record.
        name: String,
        /// The zone.
        zone: String,
        /// Its response code, and what it means.
        reason: String,
    },
    /// The name of the record is not in the configured zone.
    #[error("{name} is not in the zone {zone}")]
    OtherZone {
        /// The name of the record.
        name: String,
        /// The zone.
        zone: String,
    },
    /// Some servers did not answer with the record in time.
    #[error("the TXT record of {name} was not seen within {} s: {missing}", after.as_secs())]
    NotSeen {
        /// The name of the record.
        name: String,
        /// Where it is missing.
        missing: String,
        /// The time limit.
        after: Duration,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Fault),
}

/// Publishes challenges in DNS.
pub struct DnsSolver {
    catalog: Catalog,
    publisher: DnsPublisher,
    dns: DnsClient,
    propagation: Propagation,
    delegated_to: Vec<DomainName>,
    clock: fn() -> Timestamp,
}

impl DnsSolver {
    /// Contacts nobody yet.
    #[must_use]
    pub fn new(catalog: Catalog, settings: DnsSettings, clock: fn() -> Timestamp) -> Self {
        let dns = DnsClient::resolver(settings.resolver.or(settings.dns));
        Self {
            catalog,
            publisher: settings.publisher,
            propagation: Propagation {
                dns: dns.clone(),
                resolver: settings.resolver,
                port: DNS_PORT,
                timeout: settings.propagation_timeout,
            },
            dns,
            delegated_to: settings.delegated_to,
            clock,
        }
    }

    /// Publishes the records of an order, and waits until all servers answer with them.
    ///
    /// # Errors
    /// [`DnsChallengeError`]. What was published until then stays, to be removed by
    /// [`withdraw`](Self::withdraw).
    pub async fn publish(&self, challenges: &[TxtChallenge<'_>]) -> Result<(), DnsChallengeError> {
        let names: Vec<&str> = challenges.iter().map(|it| it.name).collect();
        let mut published = Vec::with_capacity(challenges.len());
        for (index, challenge) in challenges.iter().enumerate() {
            let name = absolute(&format!("_acme-challenge.{}", challenge.name))?;
            let target = self.dns.follow(&name).await?;
            let shown = target.to_ascii();
            if target != name && !may_be_delegated(challenge.name, &shown, &self.delegated_to) {
                return Err(DnsChallengeError::Delegated {
                    name: challenge.name.to_owned(),
                    target: shown,
                });
            }
            let earlier = self.catalog.dns_challenge(challenge.name, challenge.value);
            if let Some(earlier) = earlier.await? {
                // A process that crashed may have published it, perhaps where the CNAME record led
                // then; what the command wrote is that of one run.
                let hook = Hook::of(challenges, &names, index, &earlier.target);
                self.remove(&hook, &earlier.output).await?;
            }
            let mut note = DnsChallengeRecord {
                name: challenge.name.to_owned(),
                value: challenge.value.to_owned(),
                target: shown,
                output: String::new(),
                failed_clean_ups: 0,
            };
            self.catalog.put_dns_challenge(&note).await?;
            match &self.publisher {
                DnsPublisher::Command(command) => {
                    let hook = Hook::of(challenges, &names, index, &note.target);
                    note.output = command.present(&hook).await?;
                    if !note.output.is_empty() {
                        self.catalog.put_dns_challenge(&note).await?;
                    }
                }
                DnsPublisher::Update(update) => {
                    update.add(&target, challenge.value, (self.clock)()).await?;
                }
            }
            published.push((target, challenge.value));
        }
        for (target, value) in published {
            self.propagation.wait(&target, value).await?;
        }
        Ok(())
    }

    /// Removes the records of an order, as far as they were published.
    ///
    /// # Errors
    /// [`DnsChallengeError`] of the last one that was not removed; to be called again then.
    pub async fn withdraw(&self, challenges: &[TxtChallenge<'_>]) -> Result<(), DnsChallengeError> {
        let names: Vec<&str> = challenges.iter().map(|it| it.name).collect();
        let mut failed = None;
        for (index, challenge) in challenges.iter().enumerate() {
            let (name, value) = (challenge.name, challenge.value);
            let Some(mut note) = self.catalog.dns_challenge(name, value).await? else {
                continue;
            };
            let hook = Hook::of(challenges, &names, index, &note.target);
            match self.remove(&hook, &note.output).await {
                Ok(()) => self.catalog.delete_dns_challenge(name, value).await?,
                Err(error) if note.failed_clean_ups + 1 >= CLEAN_UPS_MAX => {
                    let (record, error) = (&note.target, error.to_string());
                    tracing::error!(record, value, error, "a TXT record is left for good");
                    self.catalog.delete_dns_challenge(name, value).await?;
                }
                Err(error) => {
                    note.failed_clean_ups += 1;
                    self.catalog.put_dns_challenge(&note).await?;
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn remove(&self, hook: &Hook<'_>, output: &str) -> Result<(), DnsChallengeError> {
        match &self.publisher {
            DnsPublisher::Command(command) => command.clean_up(hook, output).await,
            DnsPublisher::Update(update) => {
                let target: Name = absolute(hook.target)?;
                let value = hook.challenge.value;
                update.delete(&target, value, (self.clock)()).await
            }
        }
    }
}

/// Whether the challenge of `name` may be published at `target`; see
/// [`DnsChallengeError::Delegated`].
fn may_be_delegated(name: &str, target: &str, allowed: &[DomainName]) -> bool {
    let target = target.trim_end_matches('.').to_ascii_lowercase();
    let begins_with = |prefix: &str| {
        let rest = target.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    let is_below = |domain: &DomainName| {
        let parent = target.strip_suffix(domain.as_str());
        parent.is_some_and(|parent| parent.ends_with('.'))
    };
    begins_with("_acme-challenge") || begins_with(name) || allowed.iter().any(is_below)
}
