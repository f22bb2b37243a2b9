//! What must hold after a fault.

use std::{collections::HashMap, fmt};

use super::{
    history,
    load::{Domain, Kind, Outcome, Records, fingerprint, read},
    world::{NODES, TIMEOUT, World},
};
use crate::{
    audit,
    harness::{SET, tls},
};

/// What was found.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) acknowledged: usize,
    pub(super) unknown: usize,
    pub(super) violations: Vec<String>,
}

/// A change of a domain by an audit record, which is written in the transaction of the change.
struct Change {
    request: String,
    before: String,
    after: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acknowledged,
            unknown,
            violations,
        } = self;
        write!(
            f,
            "{acknowledged} acknowledged, {unknown} unknown, {violations:?}"
        )
    }
}

/// Decides, after everything is healed.
pub(super) async fn of(world: &World, records: &Records) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.violations.extend(records.failures.iter().cloned());
    for domain in &records.domains {
        let stored = changes(records, domain).await;
        let found = check(world, records, domain, stored, &mut verdict).await;
        let named = found
            .into_iter()
            .map(|what| format!("{}: {what}", domain.name));
        verdict.violations.extend(named);
    }
    verdict
}

async fn check(
    world: &World,
    records: &Records,
    domain: &Domain,
    stored: Vec<Change>,
    verdict: &mut Verdict,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut requests: HashMap<&str, usize> = HashMap::new();
    for change in &stored {
        *requests.entry(&change.request).or_default() += 1;
    }
    for call in &domain.calls {
        match (call.kind, &call.outcome) {
            (Kind::Write(number), Outcome::Done(request)) => {
                verdict.acknowledged += 1;
                if requests.get(request.as_str()) != Some(&1) {
                    found.push(format!("{number} was acknowledged and is lost"));
                }
            }
            (Kind::Write(number), Outcome::Refused(request)) => {
                if requests.contains_key(request.as_str()) {
                    found.push(format!("{number} was refused and is there"));
                }
            }
            (Kind::Write(_), Outcome::Unknown) => verdict.unknown += 1,
            (Kind::Read(_), _) => {}
        }
    }
    let order = match in_order(stored) {
        Ok(order) => order,
        Err(why) => {
            found.push(why);
            return found;
        }
    };
    let order: Vec<u32> = order.iter().map(|leaf| records.numbers[leaf]).collect();
    for call in &domain.calls {
        if let Kind::Read(number) = call.kind
            && !order.contains(&number)
        {
            found.push(format!("{number} was read and is not in the audit log"));
        }
    }
    for node in NODES {
        let shown = &domain.shown[node];
        if !is_in_order(shown, &order) {
            found.push(format!(
                "the edge of node {node} went back: {shown:?} of {order:?}"
            ));
        }
    }
    if !world.staleness.is_zero() {
        let stale = history::stale_read(&domain.calls, &order, world.staleness);
        found.extend(stale.map(|number| format!("{number} was read long after it was replaced")));
    } else if !history::is_linearizable(&domain.calls) {
        found.push("the calls are not linearizable".to_owned());
    }
    let last = order.last().copied();
    for node in NODES {
        found.extend(equals_the_store(world, records, domain, node, last).await);
    }
    found
}

/// The changes of a domain, by the audit log.
async fn changes(records: &Records, domain: &Domain) -> Vec<Change> {
    let filter = [
        ("ActionName", SET),
        ("Resource", domain.name.as_str()),
        ("Code", "OK"),
    ];
    let found = audit::records(&records.clients[0], &filter).await;
    let changes = found.iter().map(|record| {
        let text = |of: &serde_json::Value, name: &str| of[name].as_str().unwrap().to_owned();
        let bound = &record["Bindings"][0];
        Change {
            request: text(record, "RequestId"),
            before: text(bound, "BeforeSha256"),
            after: text(bound, "AfterSha256"),
        }
    });
    changes.collect()
}

/// The leaves in the order of the changes, each of which names its predecessor. The order of the
/// records is that of the clocks of the nodes, which may differ by a little.
fn in_order(mut changes: Vec<Change>) -> Result<Vec<String>, String> {
    let mut order: Vec<String> = Vec::new();
    let mut current = String::new();
    while !changes.is_empty() {
        let next = changes.iter().position(|change| change.before == current);
        let Some(next) = next else {
            return Err(format!(
                "{} changes do not follow from the others",
                changes.len()
            ));
        };
        current = changes.remove(next).after;
        order.push(current.clone());
    }
    Ok(order)
}

/// Whether each follows its predecessor, or leaves some out, in the order of the changes.
fn is_in_order(shown: &[u32], order: &[u32]) -> bool {
    let mut rest = order.iter();
    shown.iter().all(|number| rest.any(|other| other == number))
}

/// Waits until the API and the edge of a node have the last certificate; what they have instead.
async fn equals_the_store(
    world: &World,
    records: &Records,
    domain: &Domain,
    node: usize,
    last: Option<u32>,
) -> Option<String> {
    let deadline = std::time::Instant::now() + TIMEOUT;
    loop {
        let number = |leaf: Option<String>| leaf.and_then(|it| records.numbers.get(&it).copied());
        let told = number(read(&records.clients[node], &domain.name).await);
        let served = tls::served_leaf(world.edge(node), &domain.name).await;
        let served = number(served.ok().map(|leaf| fingerprint(&leaf)));
        if told == last && served == last {
            return None;
        }
        if std::time::Instant::now() > deadline {
            return Some(format!(
                "node {node} has {told:?}, its edge {served:?}, not {last:?}"
            ));
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
