//! What visitors are shown: handshakes with the edge of the process that runs, and what that process
//! reports of itself.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use edgeseal_core::Pattern;
use edgeseal_edge::{Offer, Probe, Seen};
use edgeseal_store::{Catalog, Keyring, Store, sqlite::SqliteView};
use tokio::{task::JoinSet, time::sleep};

use super::{
    DoctorError, Effort, RESTORE, Report,
    bound::{self, Bound, Shown},
};
use crate::{clock, config::Config, running::Addresses};

/// Handshakes at a time: visitors come first.
const AT_A_TIME: usize = 8;
/// Domains whose wrong handshake is told one by one.
const TOLD: usize = 50;
const LOOK: &str = "see edgeseal rollout and the log of the server";

/// Compares what a server shows with what the store says, if that is known.
pub(super) async fn examine(
    config: &Config,
    bound: Option<Bound>,
    effort: Effort,
    report: &mut Report,
) -> Result<(), DoctorError> {
    let addresses = fs::read(config.data.join("addresses.json")).ok();
    let addresses = addresses.and_then(|json| serde_json::from_slice::<Addresses>(&json).ok());
    let Some(addresses) = addresses else {
        report.problem(
            "a server runs on this data directory, and addresses.json does not say where"
                .to_owned(),
            "restart Edgeseal",
        );
        return Ok(());
    };
    let Some(bound) = bound else {
        report.problem(
            "a server runs without its store: it serves its last good state and refuses changes"
                .to_owned(),
            "put the store back: it is taken up without a restart",
        );
        return Ok(());
    };
    reports(config, report).await?;
    let expects_header = !config.proxy_protocol_from.is_empty();
    let probe = match Probe::new(addresses.https, expects_header) {
        Ok(probe) => Arc::new(probe),
        Err(error) => {
            report.problem(format!("no handshake can be made: {error}"), LOOK);
            return Ok(());
        }
    };
    handshakes(config, &probe, bound, effort, report).await
}

/// Handshakes with some of the domains, or all.
async fn handshakes(
    config: &Config,
    probe: &Arc<Probe>,
    bound: Bound,
    effort: Effort,
    report: &mut Report,
) -> Result<(), DoctorError> {
    let all = bound.domains.len();
    let step = all.div_ceil(effort.handshakes.max(1)).max(1);
    let mut wanted: BTreeMap<Pattern, Shown> = match effort.handshakes {
        0 => BTreeMap::new(),
        _ => bound.domains.into_iter().step_by(step).collect(),
    };
    let made = wanted.len();
    let mut wrong = visit(probe, &wanted).await;
    // A change may have come since the store was read: what differs is compared with the store of now.
    for _ in 0..3 {
        if wrong.is_empty() {
            break;
        }
        sleep(Duration::from_millis(300)).await;
        let now = store(config)?;
        let now = bound::read(&now, config).await?;
        wanted.retain(|name, _| wrong.contains_key(name) && now.domains.contains_key(name));
        for (name, shown) in &mut wanted {
            if let Some(now) = now.domains.get(name) {
                shown.clone_from(now);
            }
        }
        wrong = visit(probe, &wanted).await;
    }
    report.looked_at(format!(
        "{made} of {all} domains by a handshake with the edge"
    ));
    for (name, why) in wrong.iter().take(TOLD) {
        report.problem(format!("{name}: {why}"), LOOK);
    }
    if wrong.len() > TOLD {
        let more = wrong.len() - TOLD;
        report.problem(
            format!("and {more} more domains that are not served as they should be"),
            LOOK,
        );
    }
    Ok(())
}

/// What is wrong, by domain.
async fn visit(probe: &Arc<Probe>, wanted: &BTreeMap<Pattern, Shown>) -> BTreeMap<Pattern, String> {
    let mut wrong = BTreeMap::new();
    let mut under_way = JoinSet::new();
    for (name, shown) in wanted {
        let Some(host) = host(name, wanted) else {
            continue;
        };
        let (probe, name, shown) = (Arc::clone(probe), name.clone(), shown.clone());
        if under_way.len() >= AT_A_TIME {
            wrong.extend(under_way.join_next().await.and_then(Result::ok).flatten());
        }
        under_way.spawn(async move {
            let why = match probe.see(&host, Offer::Any).await {
                Ok(Seen::Leaf(leaf)) if shown.leaves.contains(&leaf) => return None,
                Ok(Seen::Refused) if shown.leaves.is_empty() => return None,
                Ok(Seen::Leaf(leaf)) if shown.leaves.is_empty() => {
                    format!("visitors are shown a certificate (sha256 {leaf}), and should be shown none")
                }
                Ok(Seen::Leaf(leaf)) => {
                    format!("visitors are shown another certificate (sha256 {leaf}) than the store has bound")
                }
                Ok(Seen::Refused) => "visitors are shown no certificate".to_owned(),
                Err(error) => format!("visitors are not served: {error}"),
            };
            Some((name, why))
        });
    }
    while let Some(done) = under_way.join_next().await {
        wrong.extend(done.ok().flatten());
    }
    wrong
}

/// A host name that the domain answers for; for a wildcard one that has no domain of its own.
fn host(name: &Pattern, all: &BTreeMap<Pattern, Shown>) -> Option<String> {
    let base = match name {
        Pattern::Exact(name) => return Some(name.as_str().to_owned()),
        Pattern::Wildcard(base) => base,
    };
    let hosts =
        ["edgeseal-doctor", "edgeseal-doctor-2", "p", "q"].map(|label| format!("{label}.{base}"));
    let free = |host: &String| Pattern::parse(host).is_ok_and(|exact| !all.contains_key(&exact));
    hosts.into_iter().find(free)
}

/// What the edges say of themselves.
async fn reports(config: &Config, report: &mut Report) -> Result<(), DoctorError> {
    let view: Arc<dyn Store> = Arc::new(store(config)?);
    // Reports are not sealed.
    let keyring = Keyring::parse(&Keyring::generate()).ok();
    let Some(keyring) = keyring else {
        return Ok(());
    };
    let now = clock::now();
    for edge in Catalog::new(view, keyring).edges().await? {
        let id = format!("{}/{}", edge.group, edge.id);
        if edge.is_silent(now) {
            let what = format!("edge {id} is silent since {}", edge.at);
            report.warning(what, "see whether it runs and reaches the store");
            continue;
        }
        for held in &edge.quarantined {
            let what = format!("edge {id}: {} is in quarantine: {}", held.domain, held.why);
            report.problem(what, RESTORE);
        }
        for unproved in &edge.unproved {
            let what = format!(
                "edge {id}: {} is not proved: {}",
                unproved.domain, unproved.why
            );
            report.problem(what, LOOK);
        }
    }
    Ok(())
}

/// The store of now.
fn store(config: &Config) -> Result<SqliteView, DoctorError> {
    let url = config.store_url();
    let path = url.strip_prefix("sqlite:").unwrap_or_default();
    SqliteView::open(Path::new(path)).map_err(|error| DoctorError::NoFile {
        store: url.clone(),
        why: error.to_string(),
    })
}
