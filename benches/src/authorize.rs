//! CPU of authentication and authorization of a user with very many policy statements, compared
//! with an account's own key.

use std::{sync::Arc, time::Duration};

use edgeseal_api::{
    Context, Settings, actions,
    authenticate::authenticate,
    authorize::authorize,
    error::ApiError,
    rate_limit::check_rates,
    request::{RawRequest, Request},
};
use edgeseal_core::{
    AccountId, Secret,
    account::{AccessKey, Account},
    identity::{
        ATTACHED_POLICIES_MAX, Policy, PolicyKind, PolicyName, PolicyRef, User, UserName,
        UserProfile,
    },
    rate::RateLimit,
};
use edgeseal_store::{
    Catalog, Keyring,
    catalog::{AuditContext, NewAccessKey},
    open,
};
use edgeseal_testing::clock;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use rustix::time::{ClockId, clock_gettime};

use crate::{
    BenchError, BenchResult, call,
    report::{Report, percentile_ms},
    server::ServerConfig,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Calls of each kind in a round
    #[arg(long, default_value_t = 5000)]
    calls: usize,
}

const STATEMENTS: usize = 20;
const CDN: &str = "2018-05-10";
/// The called actions: a read, and a change, whose nonce is looked up in the store.
const KINDS: [(&str, &str); 2] = [
    ("a read", "DescribeCdnDomainDetail"),
    ("a change", "StopCdnDomain"),
];
const SECRET: &str = "ThisIsTheSecretOfAnAccessKey12";
/// The target for a call of the user, in microseconds.
const AIM_US: f64 = 50.0;

pub(crate) fn run(place: &ServerConfig, rounds: usize, options: &Options) -> BenchResult<()> {
    let mut report = Report::new("authorize", &place.program);
    let directory = tempfile::tempdir_in(&place.disk)?;
    let url = format!("sqlite:{}", directory.path().join("store.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let context = runtime.block_on(prepare(&url))?;
    report.setup(format!(
        "{ATTACHED_POLICIES_MAX} policies of {STATEMENTS} statements, the last one of which allows; V3; SQLite; \
         CPU of the whole process from the key to the permission, one call after the other"
    ));
    for round in 0..rounds {
        println!("round {}", round + 1);
        for (kind, action) in KINDS {
            for (who, key) in [("the account's key", "account"), ("a user's key", "user")] {
                let name = format!("{kind}, {who}");
                let mut times = runtime.block_on(measure(&context, key, action, options.calls))?;
                times.sort_unstable();
                let mean = times.iter().sum::<Duration>() / u32::try_from(times.len().max(1))?;
                report.add(&format!("{name}, mean"), "us", mean.as_secs_f64() * 1e6);
                let p50 = percentile_ms(&times, 0.5) * 1e3;
                report.add(&format!("{name}, p50"), "us", p50);
                if key == "user" {
                    report.target(&format!("{name}, p50"), AIM_US);
                }
            }
        }
    }
    report.finish()
}

/// An account, its user, and the user's policies.
async fn prepare(url: &str) -> BenchResult<Context> {
    let store = open::open(&url.parse()?, clock::now).await?;
    let catalog = Catalog::new(Arc::clone(&store), Keyring::parse(&Keyring::generate())?);
    let now = clock::now();
    let account = Account {
        id: AccountId::from_random(1),
        name: "bench".to_owned(),
        root: false,
        created: now,
        private_origins: None,
        quotas: Default::default(),
    };
    let audit = AuditContext {
        account: account.id.clone(),
        principal: String::new(),
        access_key: "-".to_owned(),
        source: "-".to_owned(),
        action: "Bench".to_owned(),
        resource: String::new(),
        request_id: "-".to_owned(),
        nonce: None,
        now,
    };
    let key = |id: &str, user: Option<UserName>| NewAccessKey {
        key: AccessKey {
            id: id.to_owned(),
            account: account.id.clone(),
            user,
            active: true,
            created: now,
        },
        secret: Secret::from(SECRET.to_owned()),
    };
    let own = key("account", None);
    catalog
        .create_account(&audit, &account, &own)
        .await
        .map_err(debug_error)?;
    let user = User::new(
        "200000000000000001".to_owned(),
        UserName::parse("bench")?,
        UserProfile::default(),
        now,
    );
    catalog
        .create_identity(&audit, &account.id, &user)
        .await
        .map_err(debug_error)?;
    attach_policies(&catalog, &audit, &user.name).await?;
    let key = key("user", Some(user.name));
    catalog
        .create_access_key(&audit, &key)
        .await
        .map_err(debug_error)?;
    let unlimited =
        |(_, action): (&str, &str)| (action.to_owned(), RateLimit::per_second(1_000_000));
    let settings = Settings {
        rate_limits: KINDS.into_iter().map(unlimited).collect(),
        ..Settings::default()
    };
    Ok(Context::new(catalog, clock::now, settings, None).0)
}

/// Attaches as many policies as a user can have.
async fn attach_policies(
    catalog: &Catalog,
    audit: &AuditContext,
    user: &UserName,
) -> BenchResult<()> {
    let account = &audit.account;
    for number in 0..ATTACHED_POLICIES_MAX {
        let name = PolicyName::parse(&format!("policy-{number}"))?;
        let policy = Policy::new(name.clone(), String::new(), document(number), audit.now);
        let created = catalog.create_policy(audit, account, &policy).await;
        created.map_err(debug_error)?;
        let policy = PolicyRef::new(PolicyKind::Custom, name);
        let attached = catalog.attach_policy(audit, account, user, &policy).await;
        attached.map_err(debug_error)?;
    }
    Ok(())
}

/// A policy as in large accounts; only the last statement of the last policy allows the calls.
fn document(number: usize) -> String {
    let statement = |index: usize| {
        let name = format!("n{number}-{index}");
        match index % 4 {
            _ if number == ATTACHED_POLICIES_MAX - 1 && index == STATEMENTS - 1 => {
                serde_json::json!({
                    "Effect": "Allow", "Action": "cdn:*", "Resource": "acs:cdn:*:*:domain/target.example.com",
                    "Condition": {"IpAddress": {"acs:SourceIp": ["127.0.0.0/8"]}},
                })
            }
            0 => serde_json::json!({
                "Effect": "Allow", "Action": ["cdn:Describe*", "cdn:S*Domain"],
                "Resource": format!("acs:cdn:*:*:domain/{name}.example.com"),
            }),
            1 => serde_json::json!({
                "Effect": "Allow", "Action": "cdn:*",
                "Resource": [format!("acs:cdn:*:*:domain/*.{name}.example.com"), format!("acs:cdn:*:*:domain/{name}.*")],
            }),
            2 => serde_json::json!({
                "Effect": "Deny", "Action": "*", "Resource": "*",
                "Condition": {"IpAddress": {"acs:SourceIp": [format!("10.{number}.{index}.0/24"), "192.0.2.0/24"]}},
            }),
            _ => serde_json::json!({
                "Effect": "Allow", "Action": "cdn:*", "Resource": "*",
                "Condition": {"DateGreaterThan": {"acs:CurrentTime": "2099-01-01T00:00:00Z"}},
            }),
        }
    };
    let statements: Vec<_> = (0..STATEMENTS).map(statement).collect();
    serde_json::json!({"Version": "1", "Statement": statements}).to_string()
}

/// CPU per call, without creating, signing and decoding the request, and without the operation.
async fn measure(
    context: &Context,
    key: &str,
    action: &str,
    calls: usize,
) -> BenchResult<Vec<Duration>> {
    let secret = Secret::from(SECRET.to_owned());
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let params = [("DomainName", "target.example.com")];
        let bytes = call::sign((key, &secret), (CDN, action), &params);
        let request = Request::parse(raw(&bytes)?)?;
        let action = actions::find(&request)?;
        let before = cpu();
        let caller = authenticate(context, request, action, &mut None, clock::now()).await?;
        let authorized = authorize(context, check_rates(context, caller)?).await;
        let took = cpu().saturating_sub(before);
        authorized.map_err(|refused| refused.message())?;
        times.push(took);
    }
    Ok(times)
}

/// CPU time of all threads of this process, including SQLite's readers.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
    seconds + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

/// A signed call in the form that the listener passes on.
fn raw(bytes: &[u8]) -> BenchResult<RawRequest> {
    let text = std::str::from_utf8(bytes)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no head")?;
    let mut headers = HeaderMap::new();
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(": ").ok_or("no header")?;
        headers.insert(name.parse::<HeaderName>()?, HeaderValue::from_str(value)?);
    }
    Ok(RawRequest {
        method: Method::POST,
        path: "/".to_owned(),
        query: String::new(),
        headers,
        body: Some(body.to_owned().into()),
        source: [127, 0, 0, 1].into(),
        secure: false,
        id: "00000000-0000-4000-8000-000000000000".to_owned(),
    })
}

fn debug_error(error: impl std::fmt::Debug) -> BenchError {
    format!("{error:?}").into()
}
