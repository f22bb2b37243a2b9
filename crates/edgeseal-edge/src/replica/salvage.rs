//! Recovers the intact rows of a corrupted replica.
//!
//! SQLite reads a table from its root on, so that one bad page hides everything below it or behind
//! it. Rows of the replica can be verified on their own, by a checksum or by the digest that names
//! them. Therefore all pages of the file are scanned, whatever leads to them, and each row that
//! verifies is recovered. A bad page costs the rows on it. Deleted rows do not come back: SQLite
//! overwrites them (`secure_delete`). Of two rows of one domain the later one wins.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use edgeseal_core::certificate::Digest;

use super::{DomainRow, Issuer, MaterialRow, rows::from_sql};

mod page;

use page::{PAGE_BYTES, Page, Value};

/// A verified row.
#[derive(Debug)]
pub(super) enum Salvaged {
    Issuer(Issuer),
    Material(MaterialRow),
    /// Of two of one name the one with the later revision wins.
    Domain(DomainRow),
}

/// Scans all pages of a file and calls `each` with every verified row. The WAL is not read: rows
/// that are only there are lost.
///
/// # Errors
/// If the file cannot be read, except for single pages; and those of `each`.
pub(super) fn salvage<E: From<io::Error>>(
    path: &Path,
    mut each: impl FnMut(Salvaged) -> Result<(), E>,
) -> Result<(), E> {
    let mut file = Pages::open(path)?;
    for number in 1..=file.count {
        // A page that cannot be read counts as corrupted.
        let Ok(bytes) = file.read(number) else {
            continue;
        };
        let rows = Page(&bytes).rows(&mut |number| file.read(number).ok());
        let mut found = Vec::new();
        rows.each(|row| found.extend(salvaged(row)));
        found.into_iter().try_for_each(&mut each)?;
    }
    Ok(())
}

/// A row of one of the three tables, if it verifies.
fn salvaged(row: &[Value<'_>]) -> Option<Salvaged> {
    use Value::{Blob, Integer, Null, Text};
    let digest = |bytes: &[u8]| bytes.try_into().ok().map(Digest);
    match *row {
        [Blob(address), Blob(der)] => {
            let digest = digest(address).filter(|address| Digest::of(der) == *address)?;
            Some(Salvaged::Issuer((digest, der.into())))
        }
        [Blob(address), Blob(value), Integer(mark)] => {
            let row = MaterialRow {
                digest: digest(address)?,
                value: value.into(),
                checksum: mark,
            };
            row.is_intact().then_some(Salvaged::Material(row))
        }
        [
            Text(name),
            Integer(revision),
            Blob(record),
            ref material @ (Blob(_) | Null),
            ref companion @ (Blob(_) | Null),
            Integer(mark),
        ] => {
            let address = |value: &Value<'_>| match value {
                Blob(bytes) => digest(bytes),
                _ => None,
            };
            let row = DomainRow {
                name: name.into(),
                revision: from_sql(revision),
                record: record.into(),
                material: address(material),
                companion: address(companion),
                checksum: mark,
            };
            row.is_intact().then_some(Salvaged::Domain(row))
        }
        _ => None,
    }
}

struct Pages {
    file: File,
    count: u32,
}

impl Pages {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let count = file.metadata()?.len() / PAGE_BYTES as u64;
        Ok(Self {
            file,
            count: u32::try_from(count).unwrap_or(u32::MAX),
        })
    }

    fn read(&mut self, number: u32) -> io::Result<Vec<u8>> {
        let at = u64::from(number.saturating_sub(1)) * PAGE_BYTES as u64;
        let mut bytes = vec![0; PAGE_BYTES];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
