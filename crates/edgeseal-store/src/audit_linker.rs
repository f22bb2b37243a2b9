//! Follows the audit records as they are written and links them into the chains, shortly after.
//!
//! Several processes may do so on one store at once: a link is appended only to the head that was
//! read, and records that the head covers are skipped. After a crash the linker resumes from the
//! checkpoint written with the last links, or lists everything if the change feed no longer goes
//! back so far.

use std::{collections::BTreeMap, time::Duration};

use edgeseal_core::{AccountId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    Catalog, CommitError, Entry, Expect, Fault, Key, Pages, Revision, Txn, Write,
    audit_chain::{ChainKey, Head, Link, LinkedRecord, Mac},
    feed::{Event, Feed},
    key::{AUDIT, AUDIT_HEADS},
    record, write_all,
};

/// How long new records are collected before they are linked.
const LINK_INTERVAL: Duration = Duration::from_millis(400);
/// This many new records are linked without waiting for more.
const LINK_AT_ONCE: usize = 500;
/// Most records of a link, unless one commit has more: about 150 kB.
const LINK_RECORDS_MAX: usize = 1000;
/// Heads of chains that are read at once.
const HEADS_AT_ONCE: usize = 500;
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long shutdown waits for the last records.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);
const ATTEMPTS: u32 = 16;

/// See the [module](self).
pub struct AuditLinker {
    catalog: Catalog,
    key: ChainKey,
    clock: Clock,
    feed: Feed,
    /// Records that were read and not linked yet.
    pending: BTreeMap<AccountId, Vec<Pending>>,
    /// Everything up to this revision is linked or in `pending`; `None` during a listing.
    through: Option<Revision>,
    /// Why the records of an account are not linked; `None` until the heads were checked.
    tampered: watch::Sender<Option<Tampered>>,
}

/// The accounts whose audit chains were tampered with, so that nothing is linked any more; with what
/// was found.
pub type Tampered = BTreeMap<AccountId, &'static str>;

/// The clock that dates the links.
type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

struct Pending {
    revision: Revision,
    record: LinkedRecord,
}

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
        let store = std::sync::Arc::clone(catalog.store());
        let place: Option<Checkpoint> = catalog.read(&Key::audit_checkpoint()).await?;
        let feed = match place {
            Some(place) => Feed::resume(store, [AUDIT], Revision(place.through)),
            None => Feed::start(store, [AUDIT]),
        };
        Ok(Self {
            catalog,
            key,
            clock: Box::new(clock),
            feed,
            pending: BTreeMap::new(),
            through: None,
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
        // No more writers: the first event without new records, or a timeout, is the end. Records
        // that remain are linked at the next start.
        while let Ok(event) = tokio::time::timeout(DRAIN_TIMEOUT, self.feed.next()).await {
            let is_listing = matches!(event, Event::ListBegins | Event::Listed(_));
            let news = self.apply(event);
            if self.link_all().await.is_err() || (news == 0 && !is_listing) {
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
            let event = tokio::select! {
                () = &mut stop => return,
                event = self.feed.next() => event,
            };
            let news = self.apply(event);
            while let Err(fault) = self.link_all().await {
                log_failure(&fault);
                tokio::select! {
                    () = &mut stop => return,
                    () = tokio::time::sleep(RETRY_AFTER) => {}
                }
            }
            if self.through.is_some() && news < LINK_AT_ONCE {
                tokio::select! {
                    () = &mut stop => return,
                    () = tokio::time::sleep(LINK_INTERVAL) => {}
                }
            }
        }
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

    /// Applies one event and links the records that are due.
    #[cfg(test)]
    pub(crate) async fn step(&mut self) -> Result<(), Fault> {
        let event = self.feed.next().await;
        self.apply(event);
        self.link_all().await
    }

    /// Returns the number of new records.
    fn apply(&mut self, event: Event) -> usize {
        match event {
            Event::ListBegins => {
                self.pending.clear();
                self.through = None;
                0
            }
            Event::Listed(entries) => {
                let records = entries.into_iter();
                records
                    .map(|entry| self.add(&entry.key, &entry.value, entry.revision))
                    .count()
            }
            Event::ListEnds { revision, .. } => {
                // Records written during the listing arrive again as changes, in order.
                for records in self.pending.values_mut() {
                    records.retain(|record| record.revision <= revision);
                }
                self.through = Some(revision);
                0
            }
            Event::Changes(changes) => {
                self.through = Some(changes.through);
                let written = changes.items.into_iter();
                written
                    .filter_map(|change| Some((change.key, change.value?, change.revision)))
                    .map(|(key, value, revision)| self.add(&key, &value, revision))
                    .count()
            }
        }
    }

    fn add(&mut self, key: &Key, stored: &[u8], revision: Revision) {
        let Some((account, name)) = key.audit_suffix() else {
            return;
        };
        let Ok(account) = AccountId::parse(account) else {
            tracing::error!(%key, "there is a record under audit/ that is of no account");
            return;
        };
        let record = LinkedRecord::of(name, stored);
        let pending = self.pending.entry(account).or_default();
        pending.push(Pending { revision, record });
    }

    /// Links all pending records and writes the checkpoint; does nothing during a listing.
    async fn link_all(&mut self) -> Result<(), Fault> {
        let Some(through) = self.through else {
            return Ok(());
        };
        if self.pending.values().all(Vec::is_empty) {
            self.pending.clear();
            return Ok(());
        }
        for (account, records) in &mut self.pending {
            records.sort_by(|one, other| {
                (one.revision, &one.record.key).cmp(&(other.revision, &other.record.key))
            });
            let with = (&self.key, &self.clock);
            let why = link(&self.catalog, with, account, records, through).await?;
            if let Some(why) = why {
                log_tampering(account, why);
                self.tampered.send_modify(|all| {
                    let all = all.get_or_insert_default();
                    all.insert(account.clone(), why);
                });
            }
        }
        let place = Checkpoint { through: through.0 };
        // If two processes write it at once, the older one may remain: that only costs reading
        // again.
        let checkpoint = put(Key::audit_checkpoint(), &place)?;
        write_all(&**self.catalog.store(), vec![checkpoint]).await?;
        self.pending.clear();
        Ok(())
    }
}

/// Links the unlinked records of one account, in commit order. Returns what is wrong with its chain,
/// if it was tampered with.
async fn link(
    catalog: &Catalog,
    (key, clock): (&ChainKey, &Clock),
    account: &AccountId,
    records: &[Pending],
    through: Revision,
) -> Result<Option<&'static str>, Fault> {
    let head_key = Key::audit_head(account);
    let mut lost = 0;
    while lost < ATTEMPTS {
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
        let start = records.partition_point(|record| record.revision.0 <= linked);
        let (chunk, is_last) = chunk(&records[start..]);
        let Some(newest) = chunk.last() else {
            return Ok(None);
        };
        let end = head.map_or((0, Mac::NONE), |head| (head.n, head.last));
        let of_chunk = chunk.iter().map(|pending| pending.record.clone());
        let link = Link::after(end, of_chunk.collect(), clock(), account, key);
        let covered = if is_last { through } else { newest.revision };
        let head = Head::new((link.n, link.mac), covered.0, account, key);
        let link_key = Key::audit_link(account, link.n);
        let txn = Txn {
            expect: vec![
                Expect::same_as(head_key.clone(), stored.as_ref()),
                Expect::Absent(link_key.clone()),
            ],
            write: vec![put(link_key, &link)?, put(head_key.clone(), &head)?],
        };
        match catalog.store().commit(txn).await {
            Ok(_) if is_last => return Ok(None),
            Ok(_) => {}
            Err(CommitError::Conflict { key }) if key == head_key => lost += 1,
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

/// The records of the next link, and whether they are all. Records of one commit stay together,
/// because a head covers whole commits.
fn chunk(records: &[Pending]) -> (&[Pending], bool) {
    let Some(last) = records.get(LINK_RECORDS_MAX - 1) else {
        return (records, true);
    };
    let end = records.partition_point(|record| record.revision <= last.revision);
    (&records[..end], end == records.len())
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
