//! Checks what clients are served: by handshakes with the running edge, and by the reports of
//! edges.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use edgeseal_core::{
    DomainPattern,
    alarm::Code,
    outside::{Observation, Selection},
};
use edgeseal_edge::{OfferedKeys, Probe, ProbeResult};
use edgeseal_store::{Catalog, Keyring};
use tokio::{task::JoinSet, time::sleep};

use super::{
    DoctorError, ExamineOptions, RESTORE, Report,
    expected::{self, ExpectedLeaves, ExpectedState},
    view::StoreView,
};
use crate::{clock, config::Config, node::Addresses, outside::findings};

/// Concurrent handshakes: few, so that clients are not slowed down.
const CONCURRENT_HANDSHAKES: usize = 8;
/// Most domains whose wrong handshakes are reported one by one.
const REPORTED_MAX: usize = 50;
const SEE_ROLLOUT: &str = "see edgeseal rollout and the log of the server";

/// Compares what a server serves with the store, if that could be read.
pub(super) async fn examine(
    config: &Config,
    (view, bound): (Option<StoreView>, Option<ExpectedState>),
    effort: ExamineOptions,
    report: &mut Report,
) -> Result<(), DoctorError> {
    let Some(addresses) = Addresses::read(&config.data) else {
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
            "restore the store: it is attached without a restart",
        );
        return Ok(());
    };
    check_reports(config, view, report).await?;
    let Some(https) = addresses.https else {
        // It has no edge.
        return Ok(());
    };
    let expects_header = !config.proxy_protocol_from.is_empty();
    let probe = match Probe::new(https, expects_header) {
        Ok(probe) => Arc::new(probe),
        Err(error) => {
            report.problem(format!("no handshake can be made: {error}"), SEE_ROLLOUT);
            return Ok(());
        }
    };
    check_handshakes(config, &probe, bound, effort, report).await
}

/// Makes handshakes with some of the domains, or all.
async fn check_handshakes(
    config: &Config,
    probe: &Arc<Probe>,
    bound: ExpectedState,
    effort: ExamineOptions,
    report: &mut Report,
) -> Result<(), DoctorError> {
    let all = bound.domains.len();
    let step = all.div_ceil(effort.handshakes.max(1)).max(1);
    let mut wanted: BTreeMap<DomainPattern, ExpectedLeaves> = match effort.handshakes {
        0 => BTreeMap::new(),
        _ => bound.domains.into_iter().step_by(step).collect(),
    };
    let made = wanted.len();
    let mut wrong = probe_all(probe, &wanted).await;
    // The store may have changed since it was read: differences are compared with a new snapshot.
    for _ in 0..3 {
        if wrong.is_empty() {
            break;
        }
        sleep(Duration::from_millis(300)).await;
        let now = open_store(config).await?;
        let now = expected::read(&*now, config).await?;
        wanted.retain(|name, _| wrong.contains_key(name) && now.domains.contains_key(name));
        for (name, shown) in &mut wanted {
            if let Some(now) = now.domains.get(name) {
                shown.clone_from(now);
            }
        }
        wrong = probe_all(probe, &wanted).await;
    }
    report.checked(format!(
        "{made} of {all} domains by a handshake with the edge"
    ));
    for (name, why) in wrong.iter().take(REPORTED_MAX) {
        report.problem(format!("{name}: {why}"), SEE_ROLLOUT);
    }
    if wrong.len() > REPORTED_MAX {
        let more = wrong.len() - REPORTED_MAX;
        report.problem(
            format!("and {more} more domains that are not served as they should be"),
            SEE_ROLLOUT,
        );
    }
    Ok(())
}

/// The differences, by domain.
async fn probe_all(
    probe: &Arc<Probe>,
    wanted: &BTreeMap<DomainPattern, ExpectedLeaves>,
) -> BTreeMap<DomainPattern, String> {
    let mut wrong = BTreeMap::new();
    let mut under_way = JoinSet::new();
    for (name, shown) in wanted {
        let Some(host) = probe_host(name, wanted) else {
            continue;
        };
        let (probe, name, shown) = (Arc::clone(probe), name.clone(), shown.clone());
        if under_way.len() >= CONCURRENT_HANDSHAKES {
            wrong.extend(under_way.join_next().await.and_then(Result::ok).flatten());
        }
        under_way.spawn(async move {
            let why = match probe.probe(&host, OfferedKeys::Any).await {
                Ok(ProbeResult::Leaf(leaf)) if shown.leaves.contains(&leaf) => return None,
                Ok(ProbeResult::UnrecognizedName) if shown.leaves.is_empty() => return None,
                Ok(ProbeResult::Leaf(leaf)) if shown.leaves.is_empty() => {
                    format!("visitors are shown a certificate (sha256 {leaf}), and should be shown none")
                }
                Ok(ProbeResult::Leaf(leaf)) => {
                    format!("visitors are shown another certificate (sha256 {leaf}) than the store has bound")
                }
                Ok(ProbeResult::UnrecognizedName) => "visitors are shown no certificate".to_owned(),
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

/// A host name that the domain serves; for a wildcard, one without a domain of its own.
fn probe_host(
    name: &DomainPattern,
    all: &BTreeMap<DomainPattern, ExpectedLeaves>,
) -> Option<String> {
    let base = match name {
        DomainPattern::Exact(name) => return Some(name.as_str().to_owned()),
        DomainPattern::Wildcard(base) => base,
    };
    let hosts =
        ["edgeseal-doctor", "edgeseal-doctor-2", "p", "q"].map(|label| format!("{label}.{base}"));
    let free =
        |host: &String| DomainPattern::parse(host).is_ok_and(|exact| !all.contains_key(&exact));
    hosts.into_iter().find(free)
}

/// Reports what only the server's alarms know.
async fn check_alarms(catalog: &Catalog, report: &mut Report) -> Result<(), DoctorError> {
    let alarms = catalog.alarms().await?.into_iter();
    let raised = alarms.filter(|(id, alarm)| {
        matches!(id.code, Code::RenewalMissed | Code::OrderFailed) && alarm.is_active()
    });
    for (id, alarm) in raised.take(REPORTED_MAX) {
        report.warning(alarm.text, id.code.facts().remedy);
    }
    Ok(())
}

/// Checks the reports of the edges, and what visitors found.
async fn check_reports(
    config: &Config,
    view: Option<StoreView>,
    report: &mut Report,
) -> Result<(), DoctorError> {
    let view = match view {
        Some(view) => view,
        None => open_store(config).await?,
    };
    let view = view.into_shared();
    // Nothing of this is sealed.
    let keyring = Keyring::parse(&Keyring::generate()).ok();
    let Some(keyring) = keyring else {
        return Ok(());
    };
    let catalog = Catalog::new(view, keyring);
    let now = clock::now();
    // What is old says nothing: perhaps nothing is checked any more.
    let is_current = |found: &Observation| found.is_current(now);
    let all = Selection::default();
    let (found, _) = findings(&catalog, &all, REPORTED_MAX, is_current).await?;
    for (domain, found) in found {
        let what = format!(
            "{domain}: seen from outside at {}: {}",
            found.at, found.text
        );
        report.warning(
            what,
            "look at the DNS, and at what is in front of the edges",
        );
    }
    check_alarms(&catalog, report).await?;
    for edge in catalog.edges().await? {
        let id = format!("{}/{}", edge.group, edge.id);
        if edge.is_silent(now) {
            let what = format!("edge {id} is silent since {}", edge.at);
            report.warning(what, "see whether it runs and reaches the store");
            continue;
        }
        for held in &edge.quarantined {
            let what = format!(
                "edge {id}: {} is in quarantine: {}",
                held.domain, held.reason
            );
            report.problem(what, RESTORE);
        }
        for unproven in &edge.unproven {
            let what = format!(
                "edge {id}: {} is not proven: {}",
                unproven.domain, unproven.reason
            );
            report.problem(what, SEE_ROLLOUT);
        }
    }
    Ok(())
}

/// A new snapshot of the store.
async fn open_store(config: &Config) -> Result<StoreView, DoctorError> {
    let opened = StoreView::open(config).await;
    opened.map_err(|error| DoctorError::NoStore {
        store: config.store_url(),
        why: error.to_string(),
    })
}
