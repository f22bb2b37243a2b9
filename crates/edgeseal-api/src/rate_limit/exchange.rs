//! Rate limits of accounts that several nodes on one store enforce together; the rule is in core
//! `rate/shared.rs`.

use std::collections::{BTreeMap, HashMap};

use edgeseal_core::{
    AccountId, Timestamp,
    rate::{OthersUsage, RateUse, UsageReport},
};
use edgeseal_store::nodes::NodeStatus;

use super::rate_limit;
use crate::{
    actions::{ACTIONS, Action},
    context::Context,
};

/// Most limits that a node reports: those that are asked for most. At 60 bytes each, 240 kB a
/// second.
const REPORTED_MAX: usize = 4000;

/// What this node has read of the others.
#[derive(Default)]
pub struct RateExchange(BTreeMap<String, HashMap<(AccountId, String), UsageReport>>);

impl RateExchange {
    /// Ends an interval; returns what to tell the other nodes. To be called about once a second,
    /// before [`learn`](Self::learn).
    #[must_use]
    pub fn report(context: &Context) -> Vec<RateUse> {
        let mut table = context.rate_limiter.lock();
        let mut reports = Vec::new();
        table.used.retain(|(account, action), used| {
            let report = used.usage.report(used.limit);
            reports.extend(report.map(|usage| RateUse {
                account: account.clone(),
                action: (*action).to_owned(),
                usage,
            }));
            report.is_some() || !used.usage.is_expired((context.clock)())
        });
        drop(table);
        if reports.len() > REPORTED_MAX {
            reports.sort_unstable_by_key(|it| std::cmp::Reverse(it.usage.demand));
            reports.truncate(REPORTED_MAX);
        }
        reports
    }

    /// Takes into account what the other nodes reported: those that are still alive.
    pub fn learn<'a>(
        &mut self,
        context: &Context,
        others: impl Iterator<Item = &'a NodeStatus>,
        now: Timestamp,
    ) {
        let mut usage: HashMap<(AccountId, String), OthersUsage> = HashMap::new();
        let mut read = BTreeMap::new();
        for other in others {
            let before = self.0.get(&other.node.id);
            let mut reports = HashMap::with_capacity(other.node.rates.len());
            for report in &other.node.rates {
                let key = (report.account.clone(), report.action.clone());
                let one = usage.entry(key.clone()).or_default();
                one.demand = one.demand.saturating_add(report.usage.demand);
                // What a node allowed before this one read its first report is not known.
                if let Some(before) = before {
                    one.allowed += report.usage.allowed_since(before.get(&key));
                }
                reports.insert(key, report.usage);
            }
            read.insert(other.node.id.clone(), reports);
        }
        self.0 = read;
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
}

fn find_action(key: &str) -> Option<&'static Action> {
    let mut actions = ACTIONS.iter();
    actions.find(|action| action.rate_limit_key() == key)
}
