//! The status of the replica, as recorded in its file.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{
    CursorUpdate, ReplicaStatus,
    checksum::checksum,
    rows::{from_sql, to_sql},
};

impl ReplicaStatus {
    /// Applies the cursor update of a batch.
    pub(super) const fn advance(&mut self, reached: CursorUpdate) {
        match reached {
            CursorUpdate::Unchanged => {}
            CursorUpdate::Advance(cursor) => self.cursor = Some(cursor),
            CursorUpdate::Complete(cursor) => {
                self.cursor = Some(cursor);
                self.complete = true;
            }
        }
    }

    fn checksum(self) -> i64 {
        let cursor = self.cursor.map_or([0; 8], |cursor| cursor.0.to_be_bytes());
        let flags = [u8::from(self.complete), u8::from(self.cursor.is_some())];
        checksum(&[&flags, &cursor, &self.domains.to_be_bytes()])
    }
}

/// The recorded status. If its checksum does not match, it is unknown: then the store is asked for
/// everything, and the content can be served until it responds.
pub(super) fn read_status(connection: &Connection) -> rusqlite::Result<ReplicaStatus> {
    let read = "SELECT complete, cursor, domains, mark FROM standing";
    let found = connection
        .query_row(read, [], |row| {
            let standing = ReplicaStatus {
                complete: row.get(0)?,
                cursor: row.get::<_, Option<i64>>(1)?.map(from_sql),
                domains: row.get::<_, i64>(2)?.cast_unsigned(),
            };
            Ok((standing, row.get::<_, i64>(3)?))
        })
        .optional()?;
    Ok(match found {
        None => ReplicaStatus::default(),
        Some((standing, mark)) if mark == standing.checksum() => standing,
        Some((standing, _)) => {
            tracing::error!(
                "the status of the replica cannot be read: the store is asked for everything"
            );
            ReplicaStatus {
                cursor: None,
                ..standing
            }
        }
    })
}

pub(super) fn write_status(
    transaction: &Transaction<'_>,
    standing: ReplicaStatus,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO standing (one, complete, cursor, domains, mark)
             VALUES (1, ?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            standing.complete,
            standing.cursor.map(to_sql),
            standing.domains.cast_signed(),
            standing.checksum(),
        ])
        .map(drop)
}
