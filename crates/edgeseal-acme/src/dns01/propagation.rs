//! Waits until the servers of a zone answer with a record.

use std::{net::SocketAddr, time::Duration};

use edgeseal_core::Backoff;
use futures_util::future::join_all;
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::time::{Instant, timeout};

use super::DnsChallengeError;
use crate::dns::{DnsClient, DnsError, shown};

/// Pauses between two rounds.
const PAUSES: Backoff = Backoff::doubling(Duration::from_millis(250), Duration::from_secs(5));

/// How long the round may take that begins when the time is over: four addresses that are silent
/// take nine seconds each.
const LAST_ROUND: Duration = Duration::from_secs(40);

/// Whom to ask, and for how long.
pub(super) struct Propagation {
    /// Finds the servers.
    pub(super) dns: DnsClient,
    /// Asked instead of the servers of the zone.
    pub(super) resolver: Option<SocketAddr>,
    /// The port of the servers of the zone.
    pub(super) port: u16,
    /// How long.
    pub(super) timeout: Duration,
}

/// What one server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It has the record.
    Present,
    /// It answers without the record.
    Absent,
    /// It does not answer.
    Silent,
}

impl Propagation {
    /// Waits until all servers answer with the record.
    ///
    /// # Errors
    /// [`DnsChallengeError::NotSeen`], or the [`DnsError`] for which no server was found.
    pub(super) async fn wait(&self, name: &Name, value: &str) -> Result<(), DnsChallengeError> {
        let waited = timeout(self.timeout + LAST_ROUND, self.rounds(name, value)).await;
        waited.unwrap_or_else(|_| {
            Err(DnsChallengeError::NotSeen {
                name: shown(name),
                missing: "its servers take too long to answer".to_owned(),
                after: self.timeout,
            })
        })
    }

    async fn rounds(&self, name: &Name, value: &str) -> Result<(), DnsChallengeError> {
        let deadline = Instant::now() + self.timeout;
        let mut servers = Vec::new();
        let mut round = 0;
        loop {
            let found = if servers.is_empty() {
                self.servers(name).await
            } else {
                Ok(servers)
            };
            let is_late = Instant::now() >= deadline;
            servers = match found {
                Ok(found) => found,
                Err(error) if is_late => return Err(error.into()),
                Err(_) => Vec::new(),
            };
            let looks = servers.iter().map(|(_, client)| look(client, name, value));
            let seen = join_all(looks).await;
            if is_visible(&seen, is_late) {
                return Ok(());
            }
            if is_late {
                return Err(self.not_seen(name, &servers, &seen));
            }
            let pause = Instant::now() + PAUSES.delay(round);
            tokio::time::sleep_until(pause.min(deadline)).await;
            round += 1;
        }
    }

    /// The servers to ask, with how to show them.
    async fn servers(&self, name: &Name) -> Result<Vec<(String, DnsClient)>, DnsError> {
        if let Some(resolver) = self.resolver {
            let client = DnsClient::resolver(Some(resolver));
            return Ok(vec![(resolver.to_string(), client)]);
        }
        let zone = self.dns.zone(name).await?;
        let servers = self.dns.name_servers(&zone, self.port).await?.into_iter();
        let client = |(name, addresses)| (shown(&name), DnsClient::authoritative(addresses));
        let servers: Vec<_> = servers.map(client).collect();
        if servers.is_empty() {
            return Err(DnsError::NoZone { name: shown(name) });
        }
        Ok(servers)
    }

    fn not_seen(
        &self,
        name: &Name,
        servers: &[(String, DnsClient)],
        seen: &[Seen],
    ) -> DnsChallengeError {
        let missing = servers.iter().zip(seen).filter_map(|((server, _), seen)| {
            Some(match seen {
                Seen::Present => return None,
                Seen::Absent => format!("{server} does not have it"),
                Seen::Silent => format!("{server} does not answer"),
            })
        });
        DnsChallengeError::NotSeen {
            name: shown(name),
            missing: missing.collect::<Vec<_>>().join(", "),
            after: self.timeout,
        }
    }
}

/// Whether an authority can see the record. A silent server is waited for to the end, but does not
/// stop an order that the others let pass: an authority asks those then as well.
pub(super) fn is_visible(seen: &[Seen], is_late: bool) -> bool {
    let is_somewhere = seen.contains(&Seen::Present);
    let is_fine = |seen: &Seen| *seen == Seen::Present || (is_late && *seen == Seen::Silent);
    is_somewhere && seen.iter().all(is_fine)
}

async fn look(client: &DnsClient, name: &Name, value: &str) -> Seen {
    let Ok(answer) = client.query(name, RecordType::TXT).await else {
        return Seen::Silent;
    };
    let has = answer.answers.iter().any(|record| match &record.data {
        RData::TXT(txt) => txt.txt_data.concat() == value.as_bytes(),
        _ => false,
    });
    if has { Seen::Present } else { Seen::Absent }
}
