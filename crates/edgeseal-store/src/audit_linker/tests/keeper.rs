//! Several processes, of which the keeper links.

use edgeseal_testing::wait::eventually;
use tokio::{sync::oneshot, task::JoinHandle};

use super::*;

/// A linker that runs until it is stopped.
struct Process {
    keeper: watch::Sender<bool>,
    unlinked: watch::Receiver<Option<Unlinked>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Process {
    async fn start(catalog: &Catalog) -> Self {
        let linker = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
        let (keeper, is_keeper) = watch::channel(false);
        let (stop, stopped) = oneshot::channel();
        Self {
            keeper,
            unlinked: linker.unlinked(),
            stop,
            task: tokio::spawn(linker.run(is_keeper, async {
                let _ = stopped.await;
            })),
        }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }

    /// Waits until it says whether records wait for too long.
    async fn says(&mut self, is_behind: bool) {
        let says = |it: &Option<Unlinked>| it.as_ref().is_some_and(|it| it.is_behind == is_behind);
        self.unlinked.wait_for(says).await.unwrap();
    }
}

async fn pending(catalog: &Catalog, account: &AccountId) -> u64 {
    let report = verify(catalog, account, NOW).await;
    assert!(report.is_sound(), "{:?}", report.problems);
    report.pending
}

async fn linked(catalog: &Catalog, account: &AccountId) {
    eventually("everything is linked", async || {
        (pending(catalog, account).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_keeper_links_and_the_next_one_goes_on() {
    let (catalog, account) = (catalog(), account(1));
    let one = Process::start(&catalog).await;
    let two = Process::start(&catalog).await;
    record(&catalog, &account, "1", NOW).await;
    one.keeper.send_replace(true);
    linked(&catalog, &account).await;
    one.keeper.send_replace(false);
    record(&catalog, &account, "2", NOW).await;
    two.keeper.send_replace(true);
    linked(&catalog, &account).await;
    // At its end the keeper links what was written, and nobody else does.
    record(&catalog, &account, "3", NOW).await;
    two.keeper.send_replace(false);
    two.stop().await;
    assert!(pending(&catalog, &account).await <= 1);
    record(&catalog, &account, "4", NOW).await;
    one.stop().await;
    assert!(pending(&catalog, &account).await >= 1);
    let three = Process::start(&catalog).await;
    three.keeper.send_replace(true);
    three.stop().await;
    assert_eq!(pending(&catalog, &account).await, 0);
    assert_eq!(verify(&catalog, &account, NOW).await.records, 4);
}

/// Every process sees that nobody links.
#[tokio::test(start_paused = true)]
async fn records_that_wait_for_too_long_are_noticed() {
    let (catalog, account) = (catalog(), account(1));
    let mut one = Process::start(&catalog).await;
    let mut two = Process::start(&catalog).await;
    one.says(false).await;
    record(&catalog, &account, "1", NOW).await;
    one.says(true).await;
    two.says(true).await;
    one.keeper.send_replace(true);
    one.says(false).await;
    two.says(false).await;
    linked(&catalog, &account).await;
}

/// The accounts of a page are linked beside each other, each whole or not at all.
#[tokio::test]
async fn many_accounts_are_linked() {
    let catalog = catalog();
    let accounts: Vec<AccountId> = (0..40).map(account).collect();
    for n in 0..3 {
        for account in &accounts {
            record(&catalog, account, &n.to_string(), NOW).await;
        }
    }
    let mut linker = AuditLinker::start(catalog.clone(), || NOW).await.unwrap();
    catch_up(&mut linker).await;
    for account in &accounts {
        let report = verify(&catalog, account, NOW).await;
        assert!(report.is_sound(), "{:?}", report.problems);
        assert_eq!((report.links, report.records, report.pending), (1, 3, 0));
    }
}
