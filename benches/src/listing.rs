//! Pages of 500 entries of an account with many domains and certificates, compared with pages of an
//! account that has only 500.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use edgeseal_core::Secret;
use edgeseal_testing::{
    pki::{Authority, same_key},
    process,
};
use rcgen::KeyPair;
use tokio::task::JoinSet;

use crate::{
    BenchResult,
    accounts::{self, Account},
    call::{self, Connection},
    database::StoreKind,
    report::{Report, percentile_ms},
    server::{Server, ServerConfig},
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Domains in the large account, and certificates, one bound to each
    #[arg(long, default_value_t = 100_000)]
    count: usize,
    /// The store
    #[arg(long, value_enum, default_value = "sqlite")]
    store: StoreKind,
    /// Calls of each kind in a round
    #[arg(long, default_value_t = 40)]
    calls: usize,
}

/// Entries of a page, and of the small account.
const PAGE: usize = 500;
/// Concurrent calls while the accounts are filled.
const FILLERS: usize = 32;
/// Domains added by one call.
const BATCH: usize = 50;

/// Without rate limits: the cost of a call is measured.
const CONFIG: &str = "
[rate_limits]
BatchAddCdnDomain = 1000000
UploadUserCertificate = 1000000
SetCdnDomainSSLCertificate = 1000000
DescribeUserDomains = 1000000
DescribeCdnHttpsDomainList = 1000000
DescribeCdnSSLCertificateList = 1000000
DescribeUserCertificateExpireCount = 1000000
ListUserCertificateOrder = 1000000
";

pub(crate) fn run(place: &ServerConfig, rounds: usize, options: &Options) -> BenchResult<()> {
    let mut report = Report::new("listing", &place.program);
    let database = options.store.start(&place.program)?;
    let shared = database.as_ref().map_or("", |it| it.config.as_str());
    let server = Server::start_with(place, &format!("{shared}{CONFIG}"))?;
    let store = options.store.label();
    let store = store.map_or_else(String::new, |label| format!("{label}, "));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let mut accounts = runtime.block_on(accounts::create(&server, 2, nowhere))?;
    let (small, large) = (accounts.pop(), accounts.pop());
    let (small, large) = small.zip(large).ok_or("no accounts")?;
    let began = Instant::now();
    runtime.block_on(fill(
        server.addresses.api,
        Arc::new(small.clone()),
        PAGE - 1,
    ))?;
    runtime.block_on(fill(
        server.addresses.api,
        Arc::new(large.clone()),
        options.count,
    ))?;
    report.setup(format!(
        "{store}{} domains, each with a certificate of its own, filled over the API in {} s; one client, one connection",
        options.count,
        began.elapsed().as_secs()
    ));
    for round in 0..rounds {
        println!("round {}", round + 1);
        for kind in kinds(options.count) {
            let mut p50 = [0.0; 2];
            for (which, account) in [("small", &small), ("large", &large)]
                .into_iter()
                .enumerate()
            {
                let (label, account) = account;
                process::reset_peak(server.pid())?;
                let before = process::resident_kib(server.pid())?.0;
                let mut times = runtime.block_on(measure(
                    server.addresses.api,
                    account,
                    &kind,
                    options.calls,
                ))?;
                let peak = process::resident_kib(server.pid())?.1;
                times.sort_unstable();
                p50[which] = percentile_ms(&times, 0.5);
                let name = format!("{store}{}, {label} account", kind.name);
                report.add(&format!("{name}, p50"), "ms", p50[which]);
                report.add(&format!("{name}, p99"), "ms", percentile_ms(&times, 0.99));
                let grown = peak.saturating_sub(before);
                report.add(&format!("{name}, memory above idle"), "KiB", to_f64(grown));
                if label == "large" && kind.has_aim {
                    report.target(&format!("{name}, p50"), 50.0);
                }
            }
            report.add(
                &format!("{store}{}, large to small", kind.name),
                "ratio",
                p50[1] / p50[0],
            );
        }
    }
    report.finish()
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
const fn to_f64(kib: u64) -> f64 {
    kib as f64
}

/// A kind of call.
struct Kind {
    name: &'static str,
    version: &'static str,
    action: &'static str,
    /// As in the query of a URL.
    params: String,
    has_aim: bool,
}

fn kinds(count: usize) -> Vec<Kind> {
    const CDN: &str = "2018-05-10";
    const CAS: &str = "2020-04-07";
    let kind = |name, version, action, params: String| Kind {
        name,
        version,
        action,
        params,
        has_aim: true,
    };
    let domains = |name, params| kind(name, CDN, "DescribeUserDomains", params);
    let orders = |name, params| kind(name, CAS, "ListUserCertificateOrder", params);
    let page = |number: usize| format!("PageNumber={number}&PageSize={PAGE}");
    let (first, last) = (page(1), page(count.div_ceil(PAGE).max(1)));
    let online = format!("{first}&DomainStatus=online");
    let fuzzy = format!("{first}&DomainSearchType=fuzzy_match&DomainName=d0000");
    let centre = format!("CurrentPage=1&ShowSize={PAGE}&OrderType=CERT");
    let keyword = format!("{centre}&Keyword=d000001.");
    let (https, certificates) = (
        "DescribeCdnHttpsDomainList",
        "DescribeCdnSSLCertificateList",
    );
    let expiry = "DescribeUserCertificateExpireCount";
    vec![
        domains("domains, first page", first.clone()),
        domains("domains, last page", last),
        domains("domains that are online", online),
        domains("domains by a part of the name", fuzzy),
        kind("HTTPS domains", CDN, https, first.clone()),
        kind("CDN certificates", CDN, certificates, first),
        orders("certificate centre", centre),
        orders("certificate centre by keyword", keyword),
        kind("expiry count", CDN, expiry, String::new()),
    ]
}

async fn measure(
    api: SocketAddr,
    account: &Account,
    kind: &Kind,
    calls: usize,
) -> BenchResult<Vec<std::time::Duration>> {
    let mut connection = Connection::open(api).await?;
    let secret = Secret::from(account.secret.clone());
    let params = kind.params.split('&');
    let params: Vec<_> = params.filter_map(|pair| pair.split_once('=')).collect();
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let key = (account.key_id.as_str(), &secret);
        let request = call::sign(key, (kind.version, kind.action), &params);
        let began = Instant::now();
        connection.call(&request).await?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// Adds domains, uploads a certificate for each and binds it, over the API.
async fn fill(api: SocketAddr, account: Arc<Account>, count: usize) -> BenchResult<()> {
    let authority = Arc::new(Authority::new());
    // One key for all: generating keys would be most of the work, and listings do not read them.
    let key = Arc::new(KeyPair::generate()?);
    let mut fillers = JoinSet::new();
    for filler in 0..FILLERS {
        let (account, authority, key) = (
            Arc::clone(&account),
            Arc::clone(&authority),
            Arc::clone(&key),
        );
        fillers.spawn(async move {
            let mut connection = Connection::open(api).await?;
            let batches = (0..count.div_ceil(BATCH)).skip(filler).step_by(FILLERS);
            for batch in batches {
                let names: Vec<String> = (batch * BATCH..((batch + 1) * BATCH).min(count))
                    .map(|number| format!("d{number:06}.{}", account.domain))
                    .collect();
                fill_batch(&mut connection, &account, &authority, &key, &names).await?;
            }
            BenchResult::Ok(())
        });
    }
    while let Some(filled) = fillers.join_next().await {
        filled??;
    }
    Ok(())
}

async fn fill_batch(
    connection: &mut Connection,
    account: &Account,
    authority: &Authority,
    key: &KeyPair,
    names: &[String],
) -> BenchResult<()> {
    const SOURCES: &str = r#"[{"content":"192.0.2.1","type":"ipaddr"}]"#;
    let secret = Secret::from(account.secret.clone());
    let signer = (account.key_id.as_str(), &secret);
    let joined = names.join(",");
    let params = [
        ("DomainName", joined.as_str()),
        ("CdnType", "web"),
        ("Sources", SOURCES),
    ];
    let action = ("2018-05-10", "BatchAddCdnDomain");
    connection
        .call(&call::sign(signer, action, &params))
        .await?;
    for name in names {
        let certified = authority.issue_for(&[name], same_key(key), |_| {});
        let params = [
            ("Name", name.get(..40).unwrap_or(name)),
            ("Cert", certified.chain.as_str()),
            ("Key", certified.key.as_str()),
        ];
        let action = ("2020-04-07", "UploadUserCertificate");
        connection
            .call(&call::sign(signer, action, &params))
            .await?;
        let id = connection.body()?["CertId"].to_string();
        let params = [
            ("DomainName", name.as_str()),
            ("SSLProtocol", "on"),
            ("CertType", "cas"),
            ("CertId", id.as_str()),
        ];
        let action = ("2018-05-10", "SetCdnDomainSSLCertificate");
        connection
            .call(&call::sign(signer, action, &params))
            .await?;
    }
    Ok(())
}
