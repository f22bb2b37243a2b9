use std::{collections::HashSet, path::PathBuf};

use bytes::Bytes;
use edgeseal_core::{DomainPattern, domain::Environment};
use edgeseal_store::Revision;
use tempfile::TempDir;

use super::*;
use crate::replica::{Batch, CursorUpdate, DomainWrite, FILE, Replica};

const DOMAINS: usize = 400;

/// A replica with rows of all lengths, so that some have overflow pages.
async fn replica() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let open = Replica::open(directory.path(), Environment::Production).unwrap();
    let writer = open.into_writer().unwrap();
    let put = (0..DOMAINS).map(|number| DomainWrite {
        name: DomainPattern::parse(&format!("d{number}.com")).unwrap(),
        revision: Revision(number as u64 + 1),
        record: Bytes::from(vec![b'r'; 10 + number * 7]),
        material: Some(material(number)),
        companion: None,
    });
    writer.try_write(Batch {
        issuers: vec![(Digest::of(b"issuer"), b"issuer"[..].into())],
        put: put.collect(),
        cursor: CursorUpdate::Complete(Revision(1000)),
        ..Batch::default()
    });
    writer.close().await;
    let file = directory.path().join(FILE);
    (directory, file)
}

fn material(number: usize) -> (Digest, Bytes) {
    let value = vec![b'm'; 500 + number * 31];
    (Digest::of(&number.to_be_bytes()), Bytes::from(value))
}

/// The number of issuers, materials and domains.
fn count(file: &Path) -> (usize, usize, usize) {
    let (mut issuers, mut materials, mut domains) =
        (HashSet::new(), HashSet::new(), HashSet::new());
    salvage::<io::Error>(file, |row| {
        match row {
            Salvaged::Issuer((digest, _)) => issuers.insert(digest),
            Salvaged::Material(row) => materials.insert(row.digest),
            Salvaged::Domain(row) => domains.insert(row.name),
        };
        Ok(())
    })
    .unwrap();
    (issuers.len(), materials.len(), domains.len())
}

#[tokio::test]
async fn an_intact_file_is_salvaged_completely() {
    let (_directory, file) = replica().await;
    assert_eq!(count(&file), (1, DOMAINS, DOMAINS));
}

/// Each page is overwritten in turn, including the first one and the roots of tables. Only rows
/// with a part on that page are lost.
#[tokio::test]
async fn a_bad_page_costs_the_rows_that_are_on_it() {
    let (_directory, file) = replica().await;
    let whole = std::fs::read(&file).unwrap();
    let pages = whole.len() / PAGE_BYTES;
    assert!(pages > 200, "{pages}");
    for page in (0..pages).step_by(3) {
        let mut bad = whole.clone();
        bad[page * PAGE_BYTES..][..PAGE_BYTES].fill(0xA5);
        std::fs::write(&file, &bad).unwrap();
        let (_, materials, domains) = count(&file);
        let lost = (DOMAINS - domains, DOMAINS - materials);
        // The shortest rows of a domain have 120 bytes.
        assert!(
            lost.0 <= PAGE_BYTES / 120 && lost.1 <= 16,
            "page {page}: {lost:?}"
        );
        assert!(
            lost.0 == 0 || lost.1 == 0,
            "page {page} is of one table: {lost:?}"
        );
    }
}
