//! Rate limits of accounts that several nodes on one store enforce together; the rule is in core
//! `rate/shared.rs`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use edgeseal_core::{
    AccountId, Timestamp,
    rate::{OthersUsage, RateUse, UsageReport},
};
use edgeseal_store::{nodes::NodeStatus, reports::RunId};

use super::rate_limit;
use crate::{
    actions::{ACTIONS, Action},
    context::Context,
};

/// Most limits that a node reports. At 60 bytes each, 240 kB a second.
const REPORTED_MAX: usize = 4000;
/// A limit that is not reported takes the place of one that is if it is asked for more than so many
/// times as often. Demand falls to a quarter within one interval.
const OUTDONE_BY: u64 = 4;

/// An account, and the key of a limit.
type LimitKey = (AccountId, String);

/// What this node has read of the others: the last report of each.
#[derive(Default)]
pub struct RateExchange(BTreeMap<String, LastReport>);

struct LastReport {
    /// Of which process it was: each counts its calls from its start.
    run: RunId,
    limits: HashMap<LimitKey, UsageReport>,
}

/// A limit that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    account: AccountId,
    action: &'static str,
    usage: UsageReport,
    /// Whether it was in the report before.
    was_reported: bool,
}

impl RateExchange {
    /// Ends an interval; returns what to tell the other nodes. To be called about once a second,
    /// before [`learn`](Self::learn).
    #[must_use]
    pub fn report(context: &Context) -> Vec<RateUse> {
        let mut candidates = Vec::new();
        let now = (context.clock)();
        context
            .rate_limiter
            .lock()
            .used
            .retain(|(account, action), used| {
                let report = used.usage.report(used.limit);
                let was_reported = std::mem::replace(&mut used.is_reported, report.is_some());
                candidates.extend(report.map(|usage| Candidate {
                    account: account.clone(),
                    action,
                    usage,
                    was_reported,
                }));
                report.is_some() || !used.usage.is_expired(now)
            });
        let surplus = split_off_surplus(&mut candidates, REPORTED_MAX);
        if !surplus.is_empty() {
            let mut table = context.rate_limiter.lock();
            for left_out in surplus {
                let key = (left_out.account, left_out.action);
                if let Some(used) = table.used.get_mut(&key) {
                    used.usage.leave_out();
                    used.is_reported = false;
                }
            }
        }
        let reports = candidates.into_iter().map(|it| RateUse {
            account: it.account,
            action: it.action.to_owned(),
            usage: it.usage,
        });
        reports.collect()
    }

    /// Takes into account what the other nodes reported: those that are still alive.
    pub fn learn<'a>(
        &mut self,
        context: &Context,
        others: impl Iterator<Item = &'a NodeStatus>,
        now: Timestamp,
    ) {
        let usage = self.read(others);
        let mut table = context.rate_limiter.lock();
        for ((account, action), used) in &mut table.used {
            // Nobody asked for it elsewhere, unless the loop below finds it.
            if !usage.contains_key(&(account.clone(), (*action).to_owned())) {
                used.usage.learn(used.limit, OthersUsage::default(), now);
            }
        }
        for ((account, action), others) in usage {
            // Of another release, it may have an action that this one lacks.
            let Some(action) = find_action(&action) else {
                continue;
            };
            let limit = rate_limit(context, action);
            let used = table.entry(account, action.rate_limit_key(), limit);
            used.usage.learn(limit, others, now);
        }
    }

    /// What the others were asked for, and what they have allowed since the reports that were read
    /// before.
    fn read<'a>(
        &mut self,
        others: impl Iterator<Item = &'a NodeStatus>,
    ) -> HashMap<LimitKey, OthersUsage> {
        let mut usage: HashMap<LimitKey, OthersUsage> = HashMap::new();
        let mut read = BTreeMap::new();
        for other in others {
            let before = self.0.get(&other.node.id);
            let before = before.filter(|before| before.run == other.run);
            let mut limits = HashMap::with_capacity(other.node.rates.len());
            for report in &other.node.rates {
                let key = (report.account.clone(), report.action.clone());
                let one = usage.entry(key.clone()).or_default();
                one.demand = one.demand.saturating_add(report.usage.demand);
                // What a process allowed before this one read its first report is not known.
                if let Some(before) = before {
                    one.allowed += report.usage.allowed_since(before.limits.get(&key));
                }
                limits.insert(key, report.usage);
            }
            let run = other.run;
            read.insert(other.node.id.clone(), LastReport { run, limits });
        }
        self.0 = read;
        usage
    }
}

/// Keeps the limits to report, at most `most`, and returns the others. Those are kept that are
/// asked for most, by name if several are asked for as much; one that was reported before stays
/// until it is [outdone](OUTDONE_BY). So the choice is the same from report to report as long as
/// the calls are.
fn split_off_surplus(limits: &mut Vec<Candidate>, most: usize) -> Vec<Candidate> {
    if limits.len() <= most {
        return Vec::new();
    }
    let rank = |it: &Candidate| {
        let factor = if it.was_reported { OUTDONE_BY } else { 1 };
        (
            Reverse(u64::from(it.usage.demand) * factor),
            !it.was_reported,
        )
    };
    limits.sort_unstable_by(|a, b| {
        let by_name = || (&a.account, a.action).cmp(&(&b.account, b.action));
        rank(a).cmp(&rank(b)).then_with(by_name)
    });
    limits.split_off(most)
}

fn find_action(key: &str) -> Option<&'static Action> {
    let mut actions = ACTIONS.iter();
    actions.find(|action| action.rate_limit_key() == key)
}

#[cfg(test)]
mod tests;
