//! Accounts with a domain each: enough to keep every account within its rate limit.

use std::net::SocketAddr;

use edgeseal_api::client::{CallError, Client};
use edgeseal_core::Secret;
use edgeseal_testing::clock::now;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BenchResult, server::Server};

/// Rate limit per account of `CreateAccount` and of the measured action, in calls per second.
const PER_SECOND: u64 = 30;

/// An account with one domain.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) key_id: String,
    pub(crate) secret: String,
    pub(crate) domain: String,
}

/// Creates accounts, each with a domain whose origin is `origin`.
pub(crate) async fn create(
    server: &Server,
    count: usize,
    origin: SocketAddr,
) -> BenchResult<Vec<Account>> {
    let endpoint = format!("http://{}", server.addresses.api);
    let root = server.root.as_ref().ok_or("no root account")?;
    let root = Client::new(
        &endpoint,
        root.access_key_id.clone(),
        Secret::from(root.access_key_secret.clone()),
        now,
    )?;
    let sources = format!(
        r#"[{{"content":"{}","type":"ipaddr","port":{}}}]"#,
        origin.ip(),
        origin.port()
    );
    let mut accounts = Vec::with_capacity(count);
    for number in 0..count {
        let name = format!("bench-{number}");
        let params = [("AccountName", name.as_str())];
        let reply = call_with_retries(&root, "2026-12-01", "CreateAccount", &params).await?;
        let text = |field: &str| reply["AccessKey"][field].as_str().map(str::to_owned);
        let account = Account {
            key_id: text("AccessKeyId").ok_or("no access key")?,
            secret: text("AccessKeySecret").ok_or("no secret")?,
            domain: format!("{name}.example.com"),
        };
        let secret = Secret::from(account.secret.clone());
        let own = Client::new(&endpoint, account.key_id.clone(), secret, now)?;
        let params = [
            ("DomainName", account.domain.as_str()),
            ("CdnType", "web"),
            ("Sources", &sources),
        ];
        call_with_retries(&own, "2018-05-10", "AddCdnDomain", &params).await?;
        accounts.push(account);
    }
    Ok(accounts)
}

/// Calls, and waits while it is throttled.
async fn call_with_retries(
    client: &Client,
    version: &str,
    action: &str,
    params: &[(&str, &str)],
) -> BenchResult<Value> {
    loop {
        match client.call(version, action, params).await {
            Ok(reply) => return Ok(reply.body),
            Err(CallError::Api(why)) if why.code == "Throttling.User" => {
                tokio::time::sleep(std::time::Duration::from_millis(1000 / PER_SECOND)).await;
            }
            Err(CallError::Api(why)) => {
                return Err(format!("{action}: {} {}", why.code, why.detail).into());
            }
            Err(other) => return Err(other.into()),
        }
    }
}
