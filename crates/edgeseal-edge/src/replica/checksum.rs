//! Checksums over what is on disk, to detect corruption by the disk.

use aws_lc_rs::digest;
use edgeseal_core::certificate::Digest;
use edgeseal_store::Revision;

use super::{DomainRow, MaterialRow};

/// The start of the SHA-256 of some length-prefixed values, stored beside them.
pub(super) fn checksum(values: &[&[u8]]) -> i64 {
    let mut context = digest::Context::new(&digest::SHA256);
    for value in values {
        context.update(&(value.len() as u64).to_be_bytes());
        context.update(value);
    }
    let mut start = [0; 8];
    start.copy_from_slice(&context.finish().as_ref()[..8]);
    i64::from_be_bytes(start)
}

pub(super) fn domain_checksum(
    name: &str,
    revision: Revision,
    record: &[u8],
    [material, companion]: [Option<Digest>; 2],
) -> i64 {
    let material = material.as_ref().map_or(&[][..], |digest| &digest.0[..]);
    let companion = companion.as_ref().map_or(&[][..], |digest| &digest.0[..]);
    let revision = revision.0.to_be_bytes();
    checksum(&[name.as_bytes(), &revision, record, material, companion])
}

impl MaterialRow {
    /// Whether the checksum matches.
    pub(crate) fn is_intact(&self) -> bool {
        self.checksum == checksum(&[&self.digest.0, &self.value])
    }
}

impl DomainRow {
    /// Whether the checksum matches.
    pub(crate) fn is_intact(&self) -> bool {
        let materials = [self.material, self.companion];
        self.checksum == domain_checksum(&self.name, self.revision, &self.record, materials)
    }
}
