//! The steps of a copy.

use std::collections::BTreeSet;

use edgeseal_core::Timestamp;
use tokio::sync::watch;

use super::{
    ChangeCursor, CopyError, CopyId, CopyMarker, CopyProgress, CopySource, CopyTarget, ROWS_MAX,
    Row, Table, compare, count_all,
};
use crate::{ChangesError, Fault, Key, Revision};

/// Copies a store that takes changes into an empty one, or goes on with an unfinished copy of it.
pub struct Copier<'a> {
    /// What is copied.
    pub source: &'a dyn CopySource,
    /// Where to.
    pub target: &'a dyn CopyTarget,
    /// Told of the progress.
    pub observe: &'a (dyn Fn(CopyStep) + Sync),
    /// The time.
    pub clock: fn() -> Timestamp,
    /// Becomes true when the copy is to end. Not heeded in the last step, which is short.
    pub interrupted: watch::Receiver<bool>,
}

/// How far a copy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyStep {
    /// An earlier run has copied this many records.
    Resumed(u64),
    /// The change log of the source does not reach back to where the copy was: it begins again.
    Restarted,
    /// Records that were listed and written, of about so many.
    Listing {
        /// So far.
        records: u64,
        /// About how many there are.
        total: u64,
    },
    /// Changes that came meanwhile and were written.
    CatchingUp(u64),
    /// Records that were compared.
    Comparing(u64),
    /// The source takes no changes from now on.
    Stopped,
    /// What the operator has to know: something that could not be done, or that was left over. One
    /// sentence.
    Warning(String),
}

/// A complete copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Records in the target.
    pub records: u64,
    /// The last commit of the source.
    pub revision: Revision,
}

/// How often a copy begins again when the log of the source is too short.
const RESTARTS: usize = 3;
/// So few changes at once are left to the last step.
const FEW_CHANGES: usize = 100;
/// How often the changes are caught up with before the last step, at most: a source may change faster
/// than few at once.
const ROUNDS_MAX: usize = 1000;

/// A run of a copy.
struct Run {
    copy: CopyId,
    run: CopyId,
    from: String,
    progress: CopyProgress,
}

/// A table that was compared.
struct ComparedTable {
    table: Table,
    /// Everything up to this commit.
    applied: Revision,
    /// Keys that only the target has: the source deleted them after that, or because they expired.
    only_in_target: Vec<Key>,
}

impl Run {
    fn marker(&self) -> CopyMarker {
        CopyMarker::Unfinished {
            copy: self.copy.clone(),
            run: self.run.clone(),
            from: self.from.clone(),
            progress: self.progress.clone(),
        }
    }

    fn cursor(&self, table: Table) -> ChangeCursor {
        self.progress
            .applied
            .get(&table)
            .cloned()
            .unwrap_or_default()
    }
}

impl Copier<'_> {
    /// Copies everything, and marks the source as moved. After a failure it can be called again; the
    /// source then takes changes, unless the error says otherwise.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub async fn run(&self) -> Result<Copied, CopyError> {
        let Some(mut run) = self.begin().await? else {
            // An earlier run was killed after its last step.
            let revision = self.source.rows(Table::Entry, None).await?.head;
            return self.copied(revision).await;
        };
        match self.copy_repeatedly(&mut run).await {
            Ok(copied) => Ok(copied),
            Err(failure) => Err(self.give_up(&mut run, failure).await),
        }
    }

    /// Leaves both as a further run needs them; returns what the operator has to know.
    async fn give_up(&self, run: &mut Run, failure: CopyError) -> CopyError {
        if matches!(failure, CopyError::BothOpen { .. }) {
            return failure;
        }
        let restarted = self.restart_source(run).await;
        if matches!(failure, CopyError::Different(_)) {
            run.progress = CopyProgress::default();
            let reset = self.target.load(Table::Entry, &[], &run.marker()).await;
            if let Err(fault) = reset {
                let why = fault.explain();
                let text = format!("the next run goes on with the copy that is not equal: {why}");
                (self.observe)(CopyStep::Warning(text));
            }
        }
        let failure = Box::new(failure);
        match restarted {
            Ok(Some(CopyMarker::Moved { to: target, .. })) => {
                CopyError::TargetNotOpen { target, failure }
            }
            Ok(_) => *failure,
            Err(cause) => CopyError::StillStopped { failure, cause },
        }
    }

    async fn copy_repeatedly(&self, run: &mut Run) -> Result<Copied, CopyError> {
        for _ in 0..RESTARTS {
            match self.copy(run).await {
                Err(CopyError::LogTooShort) => {
                    (self.observe)(CopyStep::Restarted);
                    self.restart_source(run).await?;
                    run.progress = CopyProgress::default();
                    self.target.clear(&run.marker()).await?;
                }
                copied => return copied,
            }
        }
        Err(CopyError::LogTooShort)
    }

    /// Makes the source take changes again, if this copy has stopped it and is not complete. Returns
    /// the marker that it has found.
    async fn restart_source(&self, run: &Run) -> Result<Option<CopyMarker>, Fault> {
        let found = self.source.marker().await?;
        if matches!(&found, Some(CopyMarker::Moving { copy, .. }) if *copy == run.copy) {
            self.source.set_marker(found.as_ref(), None).await?;
        }
        Ok(found)
    }

    /// Begins a copy or a further run of it; `None` if it is complete already.
    async fn begin(&self) -> Result<Option<Run>, CopyError> {
        let (from, target) = (self.source.name().to_owned(), self.target.name().to_owned());
        if from == target {
            return Err(CopyError::Same(from));
        }
        let stopped = self.source.marker().await?;
        let found = self.target.marker().await?;
        let mut run = Run {
            copy: CopyId::random(),
            run: CopyId::random(),
            from,
            progress: CopyProgress::default(),
        };
        match &found {
            Some(CopyMarker::Unfinished {
                copy,
                from,
                progress,
                ..
            }) => {
                if *from != run.from {
                    let from = from.clone();
                    return Err(CopyError::OtherCopy { target, from });
                }
                run.copy = copy.clone();
                run.progress = progress.clone();
                (self.observe)(CopyStep::Resumed(progress.records));
            }
            _ if self.is_target_empty().await? => {}
            _ => {
                let is_complete = matches!(
                    &stopped, Some(CopyMarker::Moved { to, .. }) if *to == target
                );
                return match is_complete {
                    true => Ok(None),
                    false => Err(CopyError::NotEmpty(target)),
                };
            }
        }
        if let Some(marker) = &stopped
            && marker.copy() != Some(&run.copy)
        {
            return Err(CopyError::SourceReadOnly {
                source_name: run.from,
                reason: marker.reason(),
            });
        }
        self.target.begin(found.as_ref(), &run.marker()).await?;
        if found.is_some() && run.progress == CopyProgress::default() {
            // What is there was not equal to the source.
            self.target.clear(&run.marker()).await?;
        }
        Ok(Some(run))
    }

    /// Whether the target has no records: opening it wrote the version of its data at most.
    async fn is_target_empty(&self) -> Result<bool, Fault> {
        let version = Key::data_version();
        for table in Table::ALL {
            let page = self.target.rows(table, None).await?;
            if page.rows.iter().any(|row| row.key != version) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn copy(&self, run: &mut Run) -> Result<Copied, CopyError> {
        // Stopped by an earlier run: until everything is compared again it takes changes.
        let stopped = self.restart_source(run).await?;
        if let Some(CopyMarker::Moved { .. }) = stopped {
            // Compared by an earlier run, which was killed before its end.
            return self.finish(run, None).await;
        }
        let mut interrupted = self.interrupted.clone();
        let compared = tokio::select! {
            // If the sender is gone, nobody interrupts.
            Ok(_) = interrupted.wait_for(|it| *it) => return Err(CopyError::Interrupted),
            compared = self.copy_and_compare(run) => compared?,
        };
        let moving = self.stop_source(run).await?;
        (self.observe)(CopyStep::Stopped);
        self.last_changes(run, &compared).await?;
        let moved = moving.moved();
        let marked = self.source.set_marker(Some(&moving), Some(&moved));
        let last = marked.await?;
        self.finish(run, Some(last)).await
    }

    /// All that is done while the source takes changes. Returns what was compared.
    async fn copy_and_compare(&self, run: &mut Run) -> Result<Vec<ComparedTable>, CopyError> {
        if !run.progress.is_listed {
            self.list(run).await?;
        }
        self.catch_up(run, FEW_CHANGES).await?;
        let mut all = Vec::new();
        for table in Table::ALL {
            let applied = run.cursor(table).complete();
            let compared =
                compare::compare_all(self.source, self.target, (table, applied), |records| {
                    (self.observe)(CopyStep::Comparing(records))
                });
            let mut only_in_target = compared.await??;
            if table != Table::Entry {
                self.delete(run, table, &only_in_target).await?;
                only_in_target.clear();
            }
            all.push(ComparedTable {
                table,
                applied,
                only_in_target,
            });
        }
        self.catch_up(run, FEW_CHANGES).await?;
        Ok(all)
    }

    /// Everything, page by page: the next one is read while one is written.
    async fn list(&self, run: &mut Run) -> Result<(), CopyError> {
        let total = count_all(self.source).await?;
        for table in Table::ALL {
            if table < run.progress.table {
                continue;
            }
            if table > run.progress.table {
                (run.progress.table, run.progress.listed) = (table, None);
            }
            self.list_table(run, table, total).await?;
        }
        run.progress.is_listed = true;
        self.target.load(Table::Entry, &[], &run.marker()).await?;
        Ok(())
    }

    async fn list_table(&self, run: &mut Run, table: Table, total: u64) -> Result<(), CopyError> {
        let after = run.progress.listed.as_deref().map(Key::from_stored);
        let mut page = self.source.rows(table, after.as_ref()).await?;
        if run.progress.applied.is_empty() {
            let begin = ChangeCursor::after(page.head);
            run.progress.applied = Table::ALL.map(|table| (table, begin.clone())).into();
        }
        while let Some(last) = page.rows.last().map(|row| row.key.clone()) {
            run.progress.listed = Some(last.as_str().to_owned());
            run.progress.records += page.rows.len() as u64;
            let marker = run.marker();
            let (next, loaded) = tokio::join!(
                self.source.rows(table, Some(&last)),
                self.target.load(table, &page.rows, &marker)
            );
            loaded?;
            page = next?;
            (self.observe)(CopyStep::Listing {
                records: run.progress.records,
                total,
            });
        }
        Ok(())
    }

    /// Copies changes until at most this many come at once, or the source is faster for too long.
    async fn catch_up(&self, run: &mut Run, few: usize) -> Result<(), CopyError> {
        let mut changes = 0;
        for table in Table::ALL {
            for _ in 0..ROUNDS_MAX {
                let page = self.changed(table, &run.cursor(table)).await?;
                let count = page.rows.len();
                let applied = match page.rows.last() {
                    Some(last) => ChangeCursor::at(last),
                    None => ChangeCursor::after(page.head),
                };
                run.progress.applied.insert(table, applied);
                run.progress.records += count as u64;
                self.target.load(table, &page.rows, &run.marker()).await?;
                changes += count as u64;
                (self.observe)(CopyStep::CatchingUp(changes));
                if count <= few {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn changed(&self, table: Table, after: &ChangeCursor) -> Result<super::Rows, CopyError> {
        let changed = self.source.changed(table, after).await;
        changed.map_err(|error| match error {
            ChangesError::Compacted { .. } => CopyError::LogTooShort,
            ChangesError::Fault(fault) => fault.into(),
        })
    }

    async fn stop_source(&self, run: &Run) -> Result<CopyMarker, CopyError> {
        let moving = CopyMarker::Moving {
            copy: run.copy.clone(),
            to: self.target.name().to_owned(),
            at: (self.clock)(),
        };
        self.source.set_marker(None, Some(&moving)).await?;
        Ok(moving)
    }

    /// Copies the last changes of a source that takes no more, and compares everything that changed
    /// since it was compared.
    async fn last_changes(
        &self,
        run: &mut Run,
        compared: &[ComparedTable],
    ) -> Result<(), CopyError> {
        self.catch_up(run, 0).await?;
        for it in compared {
            let mut scopes = BTreeSet::new();
            let mut cursor = ChangeCursor::after(it.applied);
            loop {
                let page = self.changed(it.table, &cursor).await?;
                let Some(last) = page.rows.last() else { break };
                cursor = ChangeCursor::at(last);
                compare::compare_changed(it.table, &page.rows, self.target).await??;
                let keys = page.rows.iter().map(|row| row.key.as_str());
                scopes.extend(keys.map(|key| Row::scope_and_name(key).0.to_owned()));
            }
            match it.table {
                Table::Entry => {
                    let keys = &it.only_in_target;
                    let (source, target, now) = (self.source, self.target, (self.clock)());
                    compare::compare_superfluous(keys, source, target, now).await??;
                }
                log => self.remove_old(run, log, &scopes).await?,
            }
        }
        Ok(())
    }

    /// The logs drop old rows without a trace: an append those of its scope, retention others.
    async fn remove_old(
        &self,
        run: &Run,
        log: Table,
        scopes: &BTreeSet<String>,
    ) -> Result<(), CopyError> {
        for scope in scopes {
            let old = compare::only_in_target(log, scope, self.source, self.target).await?;
            self.delete(run, log, &old).await?;
        }
        if self.source.count(log).await? == self.target.count(log).await? {
            return Ok(());
        }
        let all = (log, Revision(u64::MAX));
        let old = compare::compare_all(self.source, self.target, all, |_| {}).await??;
        self.delete(run, log, &old).await
    }

    async fn delete(&self, run: &Run, table: Table, keys: &[Key]) -> Result<(), CopyError> {
        for keys in keys.chunks(ROWS_MAX) {
            let gone: Vec<Row> = keys.iter().map(Row::deleted).collect();
            self.target.load(table, &gone, &run.marker()).await?;
        }
        Ok(())
    }

    /// The source is marked as moved, in this commit: the target goes on.
    async fn finish(&self, run: &Run, moved: Option<Revision>) -> Result<Copied, CopyError> {
        let last = self.last_revision(moved).await?.ok_or_else(|| {
            Fault::new("open the copy: the source has lost the record that it was moved")
        })?;
        self.target.finish(&run.marker(), last).await?;
        // A standby without that record may have taken over meanwhile.
        match self.last_revision(Some(last)).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                return Err(CopyError::BothOpen {
                    target: self.target.name().to_owned(),
                    source_name: self.source.name().to_owned(),
                });
            }
            Err(fault) => {
                let why = fault.explain();
                let text = format!("whether the source still takes no changes is not known: {why}");
                (self.observe)(CopyStep::Warning(text));
            }
        }
        analyze(self.target, self.observe).await;
        self.copied(last).await
    }

    /// The last commit of a source that was moved; `None` if it was not, or if there is another one.
    async fn last_revision(&self, expected: Option<Revision>) -> Result<Option<Revision>, Fault> {
        let marker = self.source.marker().await?;
        let head = self.source.rows(Table::Entry, None).await?.head;
        let is_last = expected.is_none_or(|expected| expected == head);
        let is_moved = matches!(marker, Some(CopyMarker::Moved { .. }));
        Ok((is_last && is_moved).then_some(head))
    }

    async fn copied(&self, revision: Revision) -> Result<Copied, CopyError> {
        Ok(Copied {
            records: count_all(self.target).await?,
            revision,
        })
    }
}

/// So that the first queries of a store that was just filled are planned well.
pub(super) async fn analyze(target: &dyn CopyTarget, observe: &(dyn Fn(CopyStep) + Sync)) {
    if let Err(fault) = target.analyze().await {
        let why = fault.explain();
        let text = format!("run ANALYZE in the database, or its first queries are slow: {why}");
        observe(CopyStep::Warning(text));
    }
}

/// Makes a store take changes that was moved, or whose copy was given up; returns what its marker
/// said, if it has one.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub async fn reopen(source: &dyn CopySource) -> Result<Option<CopyMarker>, Fault> {
    let found = source.marker().await?;
    match &found {
        None | Some(CopyMarker::Unfinished { .. }) => {}
        Some(_) => {
            source.set_marker(found.as_ref(), None).await?;
        }
    }
    Ok(found)
}
