//! Reads the audit records in the order of their commits and links them into the chains, shortly after
//! they are written.
//!
//! Several processes may do so on one store at once: a link is appended only to the head that was
//! read, and records that the head covers are skipped. After a crash the linker resumes from the
//! checkpoint written with the last links.

use std::{collections::BTreeMap, time::Duration};

use edgeseal_core::{AccountId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    Catalog, ChangesError, CommitError, Entry, Expect, Fault, Key, LogPage, LogRow, Pages,
    Revision, Txn, Write,
    audit_chain::{ChainKey, Head, Link, LinkedRecord, Mac},
    feed::ASK_AGAIN_AFTER,
    key::AUDIT_HEADS,
    record, write_all,
};

/// How long new records are collected before they are linked.
const LINK_INTERVAL: Duration = Duration::from_millis(400);
/// Most records that are read at once, and so most of a link: about 150 kB.
const LINK_RECORDS_MAX: usize = 1000;
/// Heads of chains that are read at once.
const HEADS_AT_ONCE: usize = 500;
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long shutdown waits for the last records to be read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 16;

/// See the [module](self).
pub struct AuditLinker {
    catalog: Catalog,
    key: ChainKey,
    clock: Clock,
    /// Everything up to this revision is linked.
    through: Revision,
    /// Why the records of an account are not linked; `None` until the heads were checked.
    tampered: watch::Sender<Option<Tampered>>,
}

/// The accounts whose audit chains were tampered with, so that nothing is linked any more; with what
/// was found.
pub type Tampered = BTreeMap<AccountId, &'static str>;

/// The clock that dates the links.
type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// The revision up to which all records of all accounts are linked.
#[derive(Serialize, Deserialize)]
struct Checkpoint {
    through: u64,
}

impl AuditLinker {
    /// Resumes from the last checkpoint, and creates the secret of the chains if there is none.
    /// `clock` dates the links.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed or the keyring cannot unseal the secret.
    pub async fn start(
        catalog: Catalog,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self, Fault> {
        let key = catalog.get_or_create_chain_key().await?;
        let place: Option<Checkpoint> = catalog.read(&Key::audit_checkpoint()).await?;
        Ok(Self {
            catalog,
            key,
            clock: Box::new(clock),
            through: Revision(place.map_or(0, |place| place.through)),
            tampered: watch::Sender::default(),
        })
    }

    /// The accounts whose chains are not continued, as that becomes known; `None` until the heads of
    /// all chains were checked.
    #[must_use]
    pub fn tampered(&self) -> watch::Receiver<Option<Tampered>> {
        self.tampered.subscribe()
    }

    /// Links records until `stop` is ready, then links what was written before that. Retries while
    /// the store fails.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        self.run_until(stop).await;
        // No more writers. Records that remain are linked at the next start.
        while let Ok(Ok(page)) = tokio::time::timeout(DRAIN_TIMEOUT, self.read()).await {
            if page.rows.is_empty() || self.link(page).await.is_err() {
                return;
            }
        }
    }

    async fn run_until(&mut self, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        while let Err(fault) = self.check_heads().await {
            log_failure(&fault);
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(RETRY_AFTER) => {}
            }
        }
        loop {
            let pause = match self.step().await {
                Ok(true) => continue,
                Ok(false) => LINK_INTERVAL,
                Err(fault) => {
                    log_failure(&fault);
                    RETRY_AFTER
                }
            };
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                () = &mut stop => return,
                () = self.await_commit() => {}
            }
        }
    }

    /// Waits for a commit that was not read yet, but not for long: a store may fail to wake its
    /// followers. A failure ends the wait too, and the read that follows meets it.
    async fn await_commit(&self) {
        let changes = self.catalog.store().changes(self.through, &[], 1);
        let changes = tokio::time::timeout(ASK_AGAIN_AFTER, changes).await;
        if let Ok(Err(ChangesError::Fault(fault))) = changes {
            tracing::debug!(
                error = &fault as &dyn std::error::Error,
                "no wait for a commit"
            );
        }
    }

    /// Links the next records. Returns whether there are more.
    async fn step(&mut self) -> Result<bool, Fault> {
        let page = self.read().await?;
        let has_more = page.has_more;
        self.link(page).await?;
        Ok(has_more)
    }

    async fn read(&self) -> Result<LogPage, Fault> {
        let store = self.catalog.store();
        store.audit_since(self.through, LINK_RECORDS_MAX).await
    }

    /// Checks the heads of all chains: without a new record, nothing else finds out that one was
    /// tampered with.
    async fn check_heads(&self) -> Result<(), Fault> {
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
                    tampered.insert(account, why);
                }
            }
        }
        self.tampered.send_replace(Some(tampered));
        Ok(())
    }

    /// Links the records of a page and writes the checkpoint.
    async fn link(&mut self, page: LogPage) -> Result<(), Fault> {
        let through = match page.rows.last() {
            Some(last) if page.has_more => last.revision,
            _ => page.revision,
        };
        if !page.rows.is_empty() {
            self.link_records(page.rows, through).await?;
            let place = Checkpoint { through: through.0 };
            // If two processes write it at once, the older one may remain: that only costs reading
            // again.
            let checkpoint = put(Key::audit_checkpoint(), &place)?;
            write_all(&**self.catalog.store(), vec![checkpoint]).await?;
        }
        self.through = through;
        Ok(())
    }

    async fn link_records(&self, rows: Vec<LogRow>, through: Revision) -> Result<(), Fault> {
        let mut accounts: BTreeMap<AccountId, Vec<LogRow>> = BTreeMap::new();
        for row in rows {
            match AccountId::parse(&row.scope) {
                Ok(account) => accounts.entry(account).or_default().push(row),
                Err(_) => tracing::error!(scope = row.scope, "an audit record is of no account"),
            }
        }
        for (account, rows) in &accounts {
            let with = (&self.key, &self.clock);
            let why = link(&self.catalog, with, account, rows, through).await?;
            if let Some(why) = why {
                log_tampering(account, why);
                self.tampered.send_modify(|all| {
                    let all = all.get_or_insert_default();
                    all.insert(account.clone(), why);
                });
            }
        }
        Ok(())
    }
}

/// Links those records of one account that are not linked, in one link. Every record up to `through`
/// is among them or was linked before. Returns what is wrong with its chain, if it was tampered with.
async fn link(
    catalog: &Catalog,
    (key, clock): (&ChainKey, &Clock),
    account: &AccountId,
    rows: &[LogRow],
    through: Revision,
) -> Result<Option<&'static str>, Fault> {
    let head_key = Key::audit_head(account);
    for _ in 0..ATTEMPTS {
        let stored = catalog.store().get(&head_key).await?;
        let head = stored
            .as_ref()
            .map(|entry| genuine_head(account, entry, key));
        // A bad head must not block other accounts.
        let head = match head.transpose() {
            Ok(head) => head,
            Err(why) => return Ok(Some(why)),
        };
        let linked = head.as_ref().map_or(0, |head| head.through);
        let start = rows.partition_point(|row| row.revision.0 <= linked);
        let unlinked = rows[start..].iter();
        let records: Vec<LinkedRecord> = unlinked
            .map(|row| LinkedRecord::of(&row.name, &row.value))
            .collect();
        if records.is_empty() {
            return Ok(None);
        }
        let end = head.map_or((0, Mac::NONE), |head| (head.n, head.last));
        let link = Link::after(end, records, clock(), account, key);
        let head = Head::new((link.n, link.mac), through.0, account, key);
        let link_key = Key::audit_link(account, link.n);
        let txn = Txn {
            expect: vec![
                Expect::same_as(head_key.clone(), stored.as_ref()),
                Expect::Absent(link_key.clone()),
            ],
            write: vec![put(link_key, &link)?, put(head_key.clone(), &head)?],
            ..Txn::default()
        };
        match catalog.store().commit(txn).await {
            Ok(_) => return Ok(None),
            Err(CommitError::Conflict { key }) if key == head_key => {}
            Err(CommitError::Conflict { .. }) => {
                return Ok(Some("its chain has links after its head"));
            }
            Err(CommitError::Fault(fault)) => return Err(fault),
        }
    }
    Err(Fault::new("link the audit: others won again and again"))
}

/// The head of an account's chain, or what is wrong with it.
fn genuine_head(account: &AccountId, entry: &Entry, key: &ChainKey) -> Result<Head, &'static str> {
    let head = record::decode::<Head>(&entry.value);
    let head = head.map_err(|_| "the head of its chain does not read")?;
    match head.is_genuine(account, key) {
        true => Ok(head),
        false => Err("the head of its chain is forged"),
    }
}

fn log_failure(fault: &Fault) {
    tracing::error!(
        error = fault as &dyn std::error::Error,
        "the audit could not be linked; trying again"
    );
}

/// A tampered chain is left as it is: continuing it would hide the traces.
fn log_tampering(account: &AccountId, why: &'static str) {
    tracing::error!(
        %account,
        why,
        "the audit of an account is not linked any more: it was tampered with; see audit verify"
    );
}

fn put<T: Serialize>(key: Key, record: &T) -> Result<Write, Fault> {
    Ok(Write::put(key, record::encode(record)?))
}

#[cfg(test)]
mod tests;
