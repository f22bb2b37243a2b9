//! How long the replacement of many certificates takes, asked from outside the task that orders.

use std::sync::Arc;

use edgeseal_core::{
    Timestamp,
    acme::{
        Scheduler, Task, TaskKey,
        reissue::{Forecast, Reissue, Throughput, forecast},
    },
    managed_certificate::ManagedCertificate,
};
use edgeseal_store::record;
use tokio::sync::{mpsc, oneshot};

use super::OrderTask;
use crate::plan::{Plan, plan};

/// What a forecast supposes that an order takes: placing it, a few seconds until all edges have
/// confirmed the challenge, validation from several places, issuance.
const ORDER_MS: i64 = 10_000;
/// Most questions that wait.
pub(super) const QUESTIONS_MAX: usize = 16;

/// Asks the task that orders certificates. Cheap to clone.
#[derive(Clone)]
pub struct OrderHandle {
    questions: mpsc::Sender<Question>,
    issuers: Arc<[String]>,
}

/// What would become of a replacement of many certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Certificates that it concerns and that are not replaced yet.
    pub left: u64,
    /// Those of them whose last order failed; they are tried again.
    pub failing: u64,
    /// When the replacements would be issued if it ran from now on.
    pub forecast: Forecast,
}

/// A question to the task.
pub(super) struct Question {
    reissue: Reissue,
    answer: oneshot::Sender<Computation>,
}

/// What is left to be computed, outside of the task.
struct Computation {
    scheduler: Scheduler,
    batch: Vec<(TaskKey, Task)>,
    throughput: Throughput,
    outlook: Outlook,
    now: Timestamp,
}

impl OrderHandle {
    /// The names of the issuers, in the order of preference.
    #[must_use]
    pub fn issuers(&self) -> &[String] {
        &self.issuers
    }

    /// What would become of `reissue`; `None` if the task has ended.
    pub async fn outlook(&self, reissue: Reissue) -> Option<Outlook> {
        let (answer, answered) = oneshot::channel();
        let question = Question { reissue, answer };
        self.questions.send(question).await.ok()?;
        let computation = answered.await.ok()?;
        let computed = tokio::task::spawn_blocking(|| computation.run());
        computed.await.ok()
    }
}

impl Computation {
    fn run(self) -> Outlook {
        Outlook {
            forecast: forecast(&self.scheduler, self.batch, self.throughput, self.now),
            ..self.outlook
        }
    }
}

impl OrderTask {
    /// By which the task is asked while it runs.
    #[must_use]
    pub fn handle(&self) -> OrderHandle {
        let issuers = self.driver.issuers.iter();
        let names = issuers.map(|issuer| issuer.name().to_owned());
        OrderHandle {
            issuers: names.collect(),
            questions: self.questions.0.clone(),
        }
    }

    /// The next work for a managed certificate, if `reissue` was asked for.
    pub(super) fn plan_of(&self, managed: &ManagedCertificate, reissue: Option<&Reissue>) -> Plan {
        let concerns = |it: &&Reissue| {
            let issued = managed.issued.as_ref();
            it.stopped_at.is_none() && issued.is_some_and(|issued| it.concerns(issued))
        };
        let revoked = self.replacement_of_revoked(managed);
        let reissue = reissue.filter(concerns).or(revoked.as_ref());
        plan(managed, self.orders(), &self.driver.issuers, reissue)
    }

    /// Plans everything anew: another replacement of many was asked for, stopped or resumed.
    pub(super) fn apply_reissue(&mut self, value: Option<&[u8]>) {
        match value.map(record::decode::<Reissue>).transpose() {
            Ok(reissue) => self.reissue = reissue,
            Err(fault) => {
                let error: &dyn std::error::Error = &fault;
                tracing::error!(error, "the replacement of certificates cannot be read");
                return;
            }
        }
        let domains: Vec<_> = self.domains.keys().cloned().collect();
        for domain in domains {
            let look = self.look_at.get(&domain).copied();
            self.plan(&domain, look);
        }
    }

    /// Answers with what the task knows; the forecast is computed elsewhere.
    pub(super) fn answer(&self, question: Question) {
        let Question {
            mut reissue,
            answer,
        } = question;
        let now = self.driver.now();
        // As if it ran.
        reissue.resume(now);
        let mut outlook = Outlook::default();
        let mut batch = Vec::new();
        let domains = self.domains.iter();
        let all =
            domains.flat_map(|(domain, managed)| managed.values().map(move |it| (domain, it)));
        for (domain, managed) in all {
            let key = TaskKey {
                domain: Arc::clone(domain),
                environment: managed.environment,
            };
            let issued = managed.issued.as_ref();
            if !issued.is_some_and(|issued| reissue.concerns(issued)) {
                continue;
            }
            outlook.left += 1;
            outlook.failing += u64::from(managed.failure.is_some());
            // One with an order in progress is no more to be started.
            let task = self.plan_of(managed, Some(&reissue)).task;
            batch.extend(task.map(|task| (key, task)));
        }
        // If nobody waits any more, there is nothing to do.
        let _ = answer.send(Computation {
            scheduler: self.scheduler.clone(),
            batch,
            throughput: Throughput {
                parallel: self.concurrent,
                order_ms: ORDER_MS,
            },
            outlook,
            now,
        });
    }
}
