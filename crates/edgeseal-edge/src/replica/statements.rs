//! SQL statements that write rows of the replica.

use bytes::Bytes;
use edgeseal_core::{DomainPattern, certificate::Digest};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{
    Batch, DomainRow, DomainWrite, Issuer,
    checksum::{checksum, domain_checksum},
    rows::to_sql,
};
use crate::tls::StoredTicketKey;

/// Writes a batch; returns the change in the number of domains. Material that no domain needs any
/// more is deleted if the replica is `complete`; before, it stays until it is.
pub(super) fn write_batch(
    transaction: &Transaction<'_>,
    batch: &Batch,
    complete: bool,
) -> rusqlite::Result<i64> {
    write_issuers(transaction, &batch.issuers)?;
    let mut added = put_domains(transaction, &batch.put, complete)?;
    added -= remove_domains(transaction, &batch.remove, complete)?;
    write_resealed(transaction, &batch.resealed)?;
    if let Some(ticket_keys) = &batch.ticket_keys {
        write_ticket_keys(transaction, ticket_keys)?;
    }
    let mut quarantine = transaction
        .prepare_cached("INSERT OR REPLACE INTO quarantine (name, why) VALUES (?1, ?2)")?;
    for (name, reason) in &batch.quarantine {
        quarantine.execute(params![name.to_string(), reason])?;
    }
    Ok(added)
}

fn write_issuers(transaction: &Transaction<'_>, issuers: &[Issuer]) -> rusqlite::Result<()> {
    let mut issuer =
        transaction.prepare_cached("INSERT OR IGNORE INTO issuer (digest, der) VALUES (?1, ?2)")?;
    for (digest, der) in issuers {
        issuer.execute(params![digest.0, der.as_ref()])?;
    }
    Ok(())
}

/// Writes domains with their material; returns how many are new.
fn put_domains(
    transaction: &Transaction<'_>,
    rows: &[DomainWrite],
    complete: bool,
) -> rusqlite::Result<i64> {
    let mut added = 0;
    let mut material = transaction.prepare_cached(
        "INSERT INTO material (digest, value, mark) VALUES (?1, ?2, ?3)
         ON CONFLICT (digest) DO UPDATE SET value = excluded.value, mark = excluded.mark
         WHERE value <> excluded.value",
    )?;
    let mut domain = transaction.prepare_cached(
        "INSERT OR REPLACE INTO domain (name, revision, record, material, companion, mark)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut unquarantine = transaction.prepare_cached("DELETE FROM quarantine WHERE name = ?1")?;
    for row in rows {
        let name = row.name.to_string();
        let before = materials_of(transaction, &name)?;
        added += i64::from(before.is_none());
        let stored = [&row.material, &row.companion].map(Option::as_ref);
        for (digest, value) in stored.into_iter().flatten() {
            let mark = checksum(&[&digest.0, value]);
            material.execute(params![digest.0, value.as_ref(), mark])?;
        }
        let digests = stored.map(|stored| stored.map(|(digest, _)| *digest));
        let [first, companion] = digests.map(|digest| digest.map(|digest| digest.0));
        domain.execute(params![
            name,
            to_sql(row.revision),
            row.record.as_ref(),
            first,
            companion,
            domain_checksum(&name, row.revision, &row.record, digests),
        ])?;
        unquarantine.execute([&name])?;
        let before = before.into_iter().flatten().flatten().filter(|_| complete);
        for old in before.filter(|old| !digests.contains(&Some(*old))) {
            delete_unused_material(transaction, old)?;
        }
    }
    Ok(added)
}

/// Deletes domains; returns how many existed.
fn remove_domains(
    transaction: &Transaction<'_>,
    names: &[DomainPattern],
    complete: bool,
) -> rusqlite::Result<i64> {
    let mut removed = 0;
    let mut domain = transaction.prepare_cached("DELETE FROM domain WHERE name = ?1")?;
    let mut unquarantine = transaction.prepare_cached("DELETE FROM quarantine WHERE name = ?1")?;
    for name in names {
        let name = name.to_string();
        let before = materials_of(transaction, &name)?;
        domain.execute([&name])?;
        unquarantine.execute([&name])?;
        removed += i64::from(before.is_some());
        for old in before.into_iter().flatten().flatten().filter(|_| complete) {
            delete_unused_material(transaction, old)?;
        }
    }
    Ok(removed)
}

fn write_resealed(
    transaction: &Transaction<'_>,
    resealed: &[(Digest, Bytes)],
) -> rusqlite::Result<()> {
    let mut reseal = transaction
        .prepare_cached("UPDATE material SET value = ?2, mark = ?3 WHERE digest = ?1")?;
    for (digest, value) in resealed {
        let mark = checksum(&[&digest.0, value]);
        reseal.execute(params![digest.0, value.as_ref(), mark])?;
    }
    Ok(())
}

fn write_ticket_keys(
    transaction: &Transaction<'_>,
    ticket_keys: &[StoredTicketKey],
) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM ticket_key", [])?;
    let mut insert = transaction
        .prepare_cached("INSERT INTO ticket_key (key, value, mark) VALUES (?1, ?2, ?3)")?;
    for (key, value) in ticket_keys {
        let mark = checksum(&[key.as_str().as_bytes(), value]);
        insert.execute(params![key.as_str(), value.as_ref(), mark])?;
    }
    Ok(())
}

/// The materials of a domain, if the domain exists.
fn materials_of(
    transaction: &Transaction<'_>,
    name: &str,
) -> rusqlite::Result<Option<[Option<Digest>; 2]>> {
    let digest = |bytes: Option<[u8; 32]>| bytes.map(Digest);
    transaction
        .prepare_cached("SELECT material, companion FROM domain WHERE name = ?1")?
        .query_row([name], |row| Ok([digest(row.get(0)?), digest(row.get(1)?)]))
        .optional()
}

/// Deletes material that no domain needs any more.
fn delete_unused_material(transaction: &Transaction<'_>, digest: Digest) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM material WHERE digest = ?1
             AND NOT EXISTS (SELECT 1 FROM domain WHERE domain.material = ?1)
             AND NOT EXISTS (SELECT 1 FROM domain WHERE domain.companion = ?1)",
        )?
        .execute([digest.0])
        .map(drop)
}

/// Inserts a salvaged row, unless there is a later one of the domain.
pub(super) fn put_salvaged(
    transaction: &Transaction<'_>,
    row: &DomainRow,
) -> rusqlite::Result<usize> {
    let [material, companion] =
        [row.material, row.companion].map(|digest| digest.map(|digest| digest.0));
    transaction
        .prepare_cached(
            "INSERT INTO domain VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (name) DO UPDATE SET revision = excluded.revision,
             record = excluded.record, material = excluded.material,
             companion = excluded.companion, mark = excluded.mark
             WHERE excluded.revision > revision",
        )?
        .execute(params![
            row.name.as_ref(),
            to_sql(row.revision),
            row.record.as_ref(),
            material,
            companion,
            row.checksum,
        ])
}
