//! Reads the audit records in the order of their commits and links them into the chains, shortly after
//! they are written.
//!
//! Of several processes on one store the keeper does so; the others see how far it is.
//!
//! The linker remembers nothing from one page of records to the next: the *checkpoint* in the store
//! says up to which revision all records are linked. The records of a page are linked in one transaction,
//! which moves the checkpoint and expects it as it was. It covers only records that are not newer than
//! the commit of the checkpoint. If the database goes back to an earlier moment (a backup is put back, a
//! fail-over loses commits), either the checkpoint is lost too and nothing is linked, or everything that
//! is linked is still there. Several linkers at once do no harm for the same reason.

mod link;
mod progress;

use std::{collections::BTreeMap, time::Duration};

use edgeseal_core::{AccountId, Timestamp};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    Catalog, ChangesError, Entry, Fault, Key, Pages, Revision, audit_chain::ChainKey,
    feed::ASK_AGAIN_AFTER, key::AUDIT_HEADS,
};
use link::{genuine_head, log_tampering};
use progress::{Checkpoint, Waiting};

/// How long new records are collected before they are linked.
const LINK_INTERVAL: Duration = Duration::from_millis(400);
/// Most records that are read at once, and so most of a link: about 150 kB.
const LINK_RECORDS_MAX: usize = 1000;
/// Heads of chains that are read at once.
const HEADS_AT_ONCE: usize = 500;
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often a process that is not the keeper looks how far the keeper is.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(5);
/// How long shutdown waits for each page of the last records to be linked.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// See the [module](self).
pub struct AuditLinker {
    catalog: Catalog,
    key: ChainKey,
    clock: Clock,
    /// The newest commit that was read.
    seen: Revision,
    waiting: Option<Waiting>,
    /// The accounts whose chains were tampered with, as far as that is known.
    tampered: Option<Tampered>,
    unlinked: watch::Sender<Option<Unlinked>>,
}

/// What is not linked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unlinked {
    /// The accounts that are left out.
    pub tampered: Tampered,
    /// Whether nothing has been linked for [`BEHIND_AFTER`] although there are records to link, as this
    /// process sees it, whichever is the keeper.
    pub is_behind: bool,
}

/// The accounts whose audit chains were tampered with, so that nothing is linked any more; with what
/// was found.
pub type Tampered = BTreeMap<AccountId, String>;

/// The clock that dates the links.
type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// How long records may wait for their link: a keeper that crashed has a successor by then.
pub const BEHIND_AFTER: Duration = Duration::from_secs(60);

impl AuditLinker {
    /// Creates the secret of the chains if there is none. `clock` dates the links.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed or the keyring cannot unseal the secret.
    pub async fn start(
        catalog: Catalog,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self, Fault> {
        let key = catalog.get_or_create_chain_key().await?;
        Ok(Self {
            catalog,
            key,
            clock: Box::new(clock),
            seen: Revision(0),
            waiting: None,
            tampered: None,
            unlinked: watch::Sender::default(),
        })
    }

    /// What is not linked, as that becomes known; `None` until the keeper has checked the heads of all
    /// chains or, at another process, until that one has read what the keeper found.
    #[must_use]
    pub fn unlinked(&self) -> watch::Receiver<Option<Unlinked>> {
        self.unlinked.subscribe()
    }

    /// Links records while `keeper` says that this process is the keeper, until `stop` is ready; then
    /// it links, as the keeper, what was written before that. Retries while the store fails.
    pub async fn run(
        mut self,
        keeper: watch::Receiver<bool>,
        stop: impl Future<Output = ()> + Send,
    ) {
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = wait_for(keeper.clone(), true) => {}
                () = self.follow() => {}
            }
            tokio::select! {
                () = &mut stop => break,
                () = wait_for(keeper.clone(), false) => {}
                () = self.link_all() => {}
            }
        }
        // No more writers. The next keeper links what remains.
        if *keeper.borrow() {
            while let Ok(Ok(true)) = timeout(DRAIN_TIMEOUT, self.step()).await {}
        }
    }

    /// Looks how far the keeper is, for ever.
    async fn follow(&mut self) {
        loop {
            if let Err(fault) = self.look().await {
                let error: &dyn std::error::Error = &fault;
                tracing::debug!(error, "it is not known how far the audit is linked");
            }
            sleep(FOLLOW_INTERVAL).await;
        }
    }

    /// Checks the chains and links, for ever.
    async fn link_all(&mut self) {
        while let Err(fault) = self.check_heads().await {
            self.note_failure(&fault).await;
            sleep(RETRY_AFTER).await;
        }
        loop {
            match self.step().await {
                Ok(true) => {}
                Ok(false) => {
                    sleep(LINK_INTERVAL).await;
                    self.await_commit().await;
                }
                Err(fault) => {
                    self.note_failure(&fault).await;
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Waits for a commit that was not read yet, but not for long: a store may fail to wake its
    /// followers. If it went back it says so at once, and the read that follows begins where it is.
    async fn await_commit(&self) {
        let changes = self.catalog.store().changes(self.seen, &[], 1);
        let changes = timeout(ASK_AGAIN_AFTER, changes).await;
        if let Ok(Err(ChangesError::Fault(fault))) = changes {
            tracing::debug!(
                error = &fault as &dyn std::error::Error,
                "no wait for a commit"
            );
        }
    }

    /// Links the next records, or prepares that. Returns whether there may be more to do.
    async fn step(&mut self) -> Result<bool, Fault> {
        let (stored, place) = self.checkpoint().await?;
        let after = Revision(place.through);
        let store = self.catalog.store();
        let page = store.audit_since(after, LINK_RECORDS_MAX).await?;
        self.seen = page.revision;
        let known = self.tampered.as_ref().unwrap_or(&place.tampered);
        if page.rows.is_empty() && place.tampered == *known {
            self.waiting = None;
            self.publish();
            return Ok(false);
        }
        let (rows, through) = progress::covered(page, stored.as_ref(), after);
        let mut tampered = known.clone();
        let place = (through, stored.as_ref());
        self.link(rows, place, &mut tampered).await?;
        self.tampered = Some(tampered);
        self.waiting = None;
        self.publish();
        Ok(true)
    }

    /// How far everything is linked, as of now.
    async fn checkpoint(&self) -> Result<(Option<Entry>, Checkpoint), Fault> {
        let stored = self.catalog.store().get(&Key::audit_checkpoint()).await?;
        let place = stored.as_ref().map(Checkpoint::decode);
        Ok((stored, place.unwrap_or_default()))
    }

    /// Checks the heads of all chains: without a new record, nothing else finds out that one was
    /// tampered with.
    async fn check_heads(&mut self) -> Result<(), Fault> {
        let store = &**self.catalog.store();
        let mut tampered = Tampered::new();
        let mut pages = Pages::new(store, AUDIT_HEADS, HEADS_AT_ONCE);
        while let Some(entries) = pages.next().await? {
            for entry in entries {
                let account = entry.key.as_str().strip_prefix(AUDIT_HEADS);
                let account = account.and_then(|account| AccountId::parse(account).ok());
                let Some(account) = account else { continue };
                if let Err(why) = genuine_head(&account, &entry, &self.key) {
                    log_tampering(&account, why);
                    tampered.insert(account, why.to_owned());
                }
            }
        }
        let (_, place) = self.checkpoint().await?;
        for (account, why) in place.tampered {
            if !tampered.contains_key(&account) && self.has_link_after_head(&account).await? {
                tampered.insert(account, why);
            }
        }
        self.tampered = Some(tampered);
        self.publish();
        Ok(())
    }

    /// Looks how far the keeper is.
    async fn look(&mut self) -> Result<(), Fault> {
        let (_, place) = self.checkpoint().await?;
        self.observe(&place).await?;
        self.tampered = Some(place.tampered);
        self.publish();
        Ok(())
    }

    /// Says that it cannot link, and looks how long that has lasted.
    async fn note_failure(&mut self, fault: &Fault) {
        log_failure(fault);
        // If that fails, so does the store, which has an alarm of its own.
        if let Ok((_, place)) = self.checkpoint().await
            && self.observe(&place).await.is_ok()
        {
            self.tampered.get_or_insert(place.tampered);
            self.publish();
        }
    }

    async fn observe(&mut self, place: &Checkpoint) -> Result<(), Fault> {
        let store = self.catalog.store();
        let page = store.audit_since(Revision(place.through), 1).await?;
        let has_unlinked = !page.rows.is_empty();
        let now = Instant::now();
        self.waiting = Waiting::after(self.waiting, place.through, has_unlinked, now);
        Ok(())
    }

    fn publish(&self) {
        let Some(tampered) = self.tampered.clone() else {
            return;
        };
        let now = Instant::now();
        let unlinked = Some(Unlinked {
            tampered,
            is_behind: self.waiting.is_some_and(|it| it.is_behind(now)),
        });
        self.unlinked.send_if_modified(|known| {
            let is_news = *known != unlinked;
            *known = unlinked;
            is_news
        });
    }
}

fn log_failure(fault: &Fault) {
    let error: &dyn std::error::Error = fault;
    tracing::error!(error, "the audit could not be linked; trying again");
}

/// Waits until this process is, or is not, the keeper.
async fn wait_for(mut keeper: watch::Receiver<bool>, wanted: bool) {
    if keeper
        .wait_for(|is_keeper| *is_keeper == wanted)
        .await
        .is_err()
    {
        // It stays what it is.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
