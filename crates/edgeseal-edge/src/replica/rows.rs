//! Rows of the replica as stored in its tables.

use edgeseal_core::certificate::Digest;
use edgeseal_store::{Key, Revision};
use rusqlite::{Connection, Row, Transaction, params};

use super::{DomainRow, Issuer, MaterialRow, StoredTicketKey, checksum::checksum};

/// Visits rows in one pass, in storage order. Rows with values of the wrong type are skipped:
/// whoever counts notices that they are missing.
pub(super) fn visit<T>(
    connection: &Connection,
    select: &str,
    shape: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    mut each: impl FnMut(T) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(select)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Ok(row) = shape(row) {
            each(row)?;
        }
    }
    Ok(())
}

pub(super) fn issuer(row: &Row<'_>) -> rusqlite::Result<Issuer> {
    let der: Vec<u8> = row.get(1)?;
    Ok((Digest(row.get(0)?), der.into()))
}

pub(super) fn material(row: &Row<'_>) -> rusqlite::Result<MaterialRow> {
    Ok(MaterialRow {
        digest: Digest(row.get(0)?),
        value: row.get_ref(1)?.as_blob()?.into(),
        checksum: row.get(2)?,
    })
}

pub(super) fn domain(row: &Row<'_>) -> rusqlite::Result<DomainRow> {
    Ok(DomainRow {
        // Text only: the same bytes as a blob would sort elsewhere.
        name: row.get_ref(0)?.as_str()?.into(),
        revision: from_sql(row.get(1)?),
        record: row.get_ref(2)?.as_blob()?.into(),
        material: row.get::<_, Option<[u8; 32]>>(3)?.map(Digest),
        companion: row.get::<_, Option<[u8; 32]>>(4)?.map(Digest),
        checksum: row.get(5)?,
    })
}

/// `None` if the checksum does not match.
pub(super) fn ticket_key(row: &Row<'_>) -> rusqlite::Result<Option<StoredTicketKey>> {
    let key = row.get_ref(0)?.as_str()?;
    let value = row.get_ref(1)?.as_blob()?;
    let whole = row.get::<_, i64>(2)? == checksum(&[key.as_bytes(), value]);
    Ok(whole.then(|| (Key::from_stored(key), value.to_vec().into())))
}

pub(super) fn quarantined(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

/// Copies intact rows from the old tables; returns the number of domains.
pub(super) fn copy_whole(transaction: &Transaction<'_>) -> rusqlite::Result<u64> {
    let mut put = transaction.prepare("INSERT OR IGNORE INTO issuer VALUES (?1, ?2)")?;
    let select = "SELECT digest, der FROM old_issuer";
    visit(transaction, select, issuer, |(digest, der)| {
        if Digest::of(&der) == digest {
            put.execute(params![digest.0, der.as_ref()])?;
        }
        Ok(())
    })?;
    let mut put = transaction.prepare("INSERT OR IGNORE INTO material VALUES (?1, ?2, ?3)")?;
    let select = "SELECT digest, value, mark FROM old_material";
    visit(transaction, select, material, |row| {
        if row.is_intact() {
            put.execute(params![row.digest.0, row.value.as_ref(), row.checksum])?;
        }
        Ok(())
    })?;
    let mut put = transaction.prepare("INSERT OR IGNORE INTO quarantine VALUES (?1, ?2)")?;
    let select = "SELECT name, why FROM old_quarantine";
    visit(transaction, select, quarantined, |(name, reason)| {
        put.execute([name, reason]).map(drop)
    })?;
    let mut domains = 0;
    let mut put =
        transaction.prepare("INSERT OR IGNORE INTO domain VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let select = "SELECT name, revision, record, material, companion, mark FROM old_domain";
    visit(transaction, select, domain, |row| {
        if row.is_intact() {
            let [material, companion] =
                [row.material, row.companion].map(|digest| digest.map(|digest| digest.0));
            let revision = to_sql(row.revision);
            let values = params![
                row.name.as_ref(),
                revision,
                row.record.as_ref(),
                material,
                companion,
                row.checksum
            ];
            domains += put.execute(values)? as u64;
        }
        Ok(())
    })?;
    Ok(domains)
}

pub(super) const fn to_sql(revision: Revision) -> i64 {
    revision.0.cast_signed()
}

pub(super) const fn from_sql(revision: i64) -> Revision {
    Revision(revision.cast_unsigned())
}
