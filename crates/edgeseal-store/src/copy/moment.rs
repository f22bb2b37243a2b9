//! Copies what a store is at one moment, which does not change: a backup, in either direction.

use super::{
    CopyId, CopyMarker, CopyProgress, CopySide, CopyStep, CopyTarget, ReadOnly, Row, Table,
    count_all, run::analyze,
};
use crate::{Fault, Revision, key::COUNTERS, parse_counter};

/// IDs that a restore skips: more than are allocated between two backups, so that no ID of a
/// certificate or domain is allocated twice.
pub(crate) const SKIPPED_IDS: u64 = 1_000_000;

/// Copies everything into an empty store, which goes on above `above`, or else from where the source
/// was. Returns the number of records.
///
/// # Errors
/// A [`Fault`] if a store failed, if the source is an unfinished copy itself, or if one of them has
/// another number of records than were listed.
pub(crate) async fn copy_moment(
    source: &dyn CopySide,
    target: &dyn CopyTarget,
    above: Option<Revision>,
    change: fn(Row) -> Row,
    observe: &(dyn Fn(CopyStep) + Sync),
) -> Result<u64, Fault> {
    if let Some(found @ CopyMarker::Unfinished { .. }) = source.marker().await? {
        let reason = found.reason();
        return Err(Fault::of("copy the records")(ReadOnly { reason }));
    }
    let marker = CopyMarker::Unfinished {
        copy: CopyId::random(),
        run: CopyId::random(),
        from: source.name().to_owned(),
        progress: CopyProgress::default(),
    };
    target.begin(None, &marker).await?;
    let total = count_all(source).await?;
    let mut records = 0;
    let mut head = Revision(0);
    for table in Table::ALL {
        let mut page = source.rows(table, None).await?;
        head = page.head;
        while let Some(last) = page.rows.last().map(|row| row.key.clone()) {
            records += page.rows.len() as u64;
            let rows: Vec<Row> = page.rows.into_iter().map(change).collect();
            let (next, loaded) = tokio::join!(
                source.rows(table, Some(&last)),
                target.load(table, &rows, &marker)
            );
            loaded?;
            page = next?;
            observe(CopyStep::Listing { records, total });
        }
    }
    if records != total || count_all(target).await? != records {
        return Err(Fault::new("copy the records: some are missing"));
    }
    let above = above.unwrap_or_else(|| Revision(head.0.saturating_sub(1)));
    target.finish(&marker, above).await?;
    analyze(target, observe).await;
    Ok(records)
}

/// A counter of a restored store: IDs that were allocated after the backup are not allocated again.
pub(crate) fn skip_ids(mut row: Row) -> Row {
    if row.key.as_str().starts_with(COUNTERS)
        && let Some(count) = row.value.as_deref().and_then(parse_counter)
    {
        let count = count.saturating_add(SKIPPED_IDS);
        row.value = Some(count.to_string().into());
    }
    row
}
