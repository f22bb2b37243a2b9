//! TXT records by dynamic updates (RFC 2136), signed with a shared key (TSIG, RFC 8945).

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeseal_core::{Secret, Timestamp};
use hickory_proto::{
    op::{Message, OpCode, ResponseCode, update_message},
    rr::{
        Name, RData, Record, TSigner,
        rdata::{TXT, tsig},
    },
};

use super::DnsChallengeError;
use crate::dns::{DnsClient, DnsError, absolute, exchange, shown};

/// TTL of the records in seconds: an authority that asks twice gets the newest.
const TTL: u32 = 60;
/// How far the clocks may be apart, in seconds (RFC 8945 §10 recommends 300).
const FUDGE: u16 = 300;

/// Adds records to a zone at its primary server, and removes them.
#[derive(Debug)]
pub struct DynamicUpdate {
    server: String,
    zone: Option<Name>,
    key: Option<TsigKey>,
}

/// A key that server and client share.
#[derive(Debug)]
pub struct TsigKey {
    /// Its name, as the server calls it.
    pub name: String,
    /// The algorithm that it is for.
    pub algorithm: TsigAlgorithm,
    /// The key.
    pub secret: Secret,
}

/// An algorithm of TSIG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TsigAlgorithm {
    /// hmac-sha256
    #[default]
    HmacSha256,
    /// hmac-sha384
    HmacSha384,
    /// hmac-sha512
    HmacSha512,
}

impl DynamicUpdate {
    /// `server` is `HOST:PORT`. Without `zone` the server is asked in which zone a name is; without
    /// `key` the updates are not signed.
    ///
    /// # Errors
    /// [`DnsError::InvalidName`] if the zone, or the name of the key, is not a name.
    pub fn new(server: String, zone: Option<&str>, key: Option<TsigKey>) -> Result<Self, DnsError> {
        if let Some(key) = &key {
            absolute(&key.name)?;
        }
        let zone = zone.map(absolute).transpose()?;
        Ok(Self { server, zone, key })
    }

    /// Adds a TXT record, besides others of the name.
    pub(super) async fn add(
        &self,
        name: &Name,
        value: &str,
        now: Timestamp,
    ) -> Result<(), DnsChallengeError> {
        let append =
            |record: Record, zone| update_message::append(record.into(), zone, false, false);
        self.update(name, value, append, now).await
    }

    /// Removes this TXT record; other ones of the name stay. Not an error if it is gone.
    pub(super) async fn delete(
        &self,
        name: &Name,
        value: &str,
        now: Timestamp,
    ) -> Result<(), DnsChallengeError> {
        let delete =
            |record: Record, zone| update_message::delete_by_rdata(record.into(), zone, false);
        self.update(name, value, delete, now).await
    }

    async fn update(
        &self,
        name: &Name,
        value: &str,
        message: impl Fn(Record, Name) -> Message + Send,
        now: Timestamp,
    ) -> Result<(), DnsChallengeError> {
        let servers = self.addresses().await?;
        let zone = match &self.zone {
            Some(zone) => zone.clone(),
            None => DnsClient::authoritative(servers.clone()).zone(name).await?,
        };
        if !zone.zone_of(name) {
            return Err(DnsChallengeError::OtherZone {
                name: shown(name),
                zone: shown(&zone),
            });
        }
        let text = RData::TXT(TXT::new(vec![value.to_owned()]));
        let record = Record::from_rdata(name.clone(), TTL, text);
        let (server, code) = self
            .send_to_any(&servers, &message(record, zone.clone()), now)
            .await?;
        if code == ResponseCode::NoError {
            return Ok(());
        }
        Err(DnsChallengeError::UpdateRefused {
            server,
            name: shown(name),
            zone: shown(&zone),
            reason: meaning(code),
        })
    }

    /// The addresses of the server, looked up as this machine does.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, DnsError> {
        let found = tokio::net::lookup_host(&self.server).await;
        let found: Vec<SocketAddr> = found.into_iter().flatten().collect();
        if found.is_empty() {
            return Err(DnsError::InvalidName {
                name: self.server.clone(),
            });
        }
        Ok(found)
    }

    /// The response of the first address that answers.
    async fn send_to_any(
        &self,
        servers: &[SocketAddr],
        message: &Message,
        now: Timestamp,
    ) -> Result<(SocketAddr, ResponseCode), DnsError> {
        let mut last = DnsError::NoServer;
        for server in servers {
            match self.send(*server, message.clone(), now).await {
                Ok(code) => return Ok((*server, code)),
                Err(error @ DnsError::Silent { .. }) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    async fn send(
        &self,
        server: SocketAddr,
        mut message: Message,
        now: Timestamp,
    ) -> Result<ResponseCode, DnsError> {
        let malformed = || DnsError::Malformed { server };
        let mut verifier = None;
        if let Some(key) = &self.key {
            let signer = key.signer()?;
            let seconds = u64::try_from(now.unix_seconds()).unwrap_or_default();
            let signed = message.finalize(&signer, seconds);
            verifier = signed.map_err(|_| malformed())?;
        }
        let request = message.to_vec().map_err(|_| malformed())?;
        let response = exchange(server, &request).await?;
        let received = Message::from_vec(&response).map_err(|_| malformed())?;
        if received.op_code != OpCode::Update {
            return Err(malformed());
        }
        let code = received.response_code;
        // A server that does not know the key cannot sign its refusal (RFC 8945 §5.2).
        if code == ResponseCode::NoError
            && let Some(mut verifier) = verifier
        {
            verifier.verify(&response).map_err(|_| malformed())?;
        }
        Ok(code)
    }
}

impl TsigKey {
    /// A key whose secret is in base64, as name servers write it; `None` if it is not, or is empty.
    #[must_use]
    pub fn parse(name: String, algorithm: TsigAlgorithm, secret: &str) -> Option<Self> {
        let secret = STANDARD.decode(secret.trim()).ok()?;
        let secret = (!secret.is_empty()).then(|| Secret::new(secret))?;
        Some(Self {
            name,
            algorithm,
            secret,
        })
    }

    fn signer(&self) -> Result<TSigner, DnsError> {
        let algorithm = match self.algorithm {
            TsigAlgorithm::HmacSha256 => tsig::TsigAlgorithm::HmacSha256,
            TsigAlgorithm::HmacSha384 => tsig::TsigAlgorithm::HmacSha384,
            TsigAlgorithm::HmacSha512 => tsig::TsigAlgorithm::HmacSha512,
        };
        let invalid = |_| DnsError::InvalidName {
            name: self.name.clone(),
        };
        let secret = self.secret.expose().to_vec();
        TSigner::new(secret, algorithm, absolute(&self.name)?, FUDGE).map_err(invalid)
    }
}

/// What a response code of an update means to whoever configured it.
fn meaning(code: ResponseCode) -> String {
    let why = match code {
        ResponseCode::NotAuth | ResponseCode::BADSIG | ResponseCode::BADKEY => {
            "it does not know the key, or is not the primary server of the zone"
        }
        ResponseCode::BADTIME => "the clocks differ by more than 300 s",
        ResponseCode::Refused => "its policy does not let this key do so",
        ResponseCode::NotZone => "the name is not in the zone",
        ResponseCode::ServFail => "it failed; its log says why",
        _ => "it gives no other reason",
    };
    format!("{code}: {why}")
}

#[cfg(test)]
mod tests {
    use edgeseal_testing::{bind::NameServer, clock::now, origin::dead_port};

    use super::*;

    #[tokio::test]
    async fn the_next_address_is_asked_if_one_does_not_answer() {
        let server = NameServer::start(&[("example.com", "")], &[]).await;
        let dead = SocketAddr::from(([127, 0, 0, 1], dead_port().await));
        let update = DynamicUpdate::new(String::new(), None, None).unwrap();
        let name = absolute("_acme-challenge.example.com").unwrap();
        let text = RData::TXT(TXT::new(vec!["value".to_owned()]));
        let record = Record::from_rdata(name, TTL, text);
        let zone = absolute("example.com").unwrap();
        let message = update_message::append(record.into(), zone, false, false);
        let addresses = [dead, server.address];
        let sent = update.send_to_any(&addresses, &message, now()).await;
        // It takes updates that are signed only.
        assert_eq!(sent.unwrap(), (server.address, ResponseCode::Refused));
        let sent = update.send_to_any(&[dead], &message, now()).await;
        assert!(matches!(sent, Err(DnsError::Silent { .. })), "{sent:?}");
    }
}
