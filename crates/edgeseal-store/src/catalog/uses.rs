//! Which domains have a certificate bound, and what happens when the last one unbinds it.

use std::slice;

use bytes::Bytes;
use edgeseal_core::{DomainPattern, certificate::CertificateId};

use super::{Draft, certificates::RELEASED_MAX};
use crate::{Fault, Key, key, record::CertificateRecord};

impl Draft {
    pub(super) async fn use_certificate(
        &mut self,
        id: CertificateId,
        name: &DomainPattern,
    ) -> Result<(), Fault> {
        self.put_bytes(Key::certificate_use(id, name), Bytes::new());
        // No concurrent change can remove a certificate that this change adds.
        if !self.writes(&Key::certificate(id)) {
            self.put_bytes(Key::certificate_use_guard(id), Bytes::new());
        }
        match self.certificate(id).await? {
            Some(row) => self.bind_upload(&row, name).await,
            None => Ok(()),
        }
    }

    pub(super) async fn release_certificate(
        &mut self,
        id: CertificateId,
        name: &DomainPattern,
    ) -> Result<(), Fault> {
        self.delete(Key::certificate_use(id, name));
        let Some(row) = self.certificate(id).await? else {
            return Ok(());
        };
        if !row.removed && row.uploaded_for.is_none() {
            return Ok(());
        }
        if self.has_bound_alone(name, &row).await? || self.releases_last_use(&row).await? {
            return if row.removed {
                self.delete_certificate(&row).await
            } else {
                self.supersede(&row).await
            };
        }
        Ok(())
    }

    async fn releases_last_use(&mut self, row: &CertificateRecord) -> Result<bool, Fault> {
        let guard = Key::certificate_use_guard(row.id);
        let prefix = key::certificate_uses(row.id);
        self.read_ahead(vec![guard.clone()], slice::from_ref(&prefix), RELEASED_MAX)
            .await?;
        let users = self.list(&prefix, RELEASED_MAX).await?;
        // More than one change removes: uses that the store still lists may be deleted in this
        // draft.
        let leaves = !users.has_more && users.entries.iter().all(|entry| self.deletes(&entry.key));
        if leaves && self.puts_under(&prefix).next().is_none() {
            return Ok(true);
        }
        // Written, so that two concurrent unbindings of the last users conflict. With more users
        // than one change can unbind, domains that share a certificate need not conflict.
        if row.removed || !users.has_more {
            self.put_bytes(guard, Bytes::new());
        }
        Ok(false)
    }
}
