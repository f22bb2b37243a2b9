//! Which domains have a certificate bound, and what happens when the last one unbinds it.

use bytes::Bytes;
use edgeseal_core::{DomainPattern, certificate::CertificateId};

use super::{Draft, certificates::RELEASED_MAX};
use crate::{Fault, Key, key};

impl Draft {
    pub(super) async fn use_certificate(
        &mut self,
        id: CertificateId,
        name: &DomainPattern,
    ) -> Result<(), Fault> {
        self.put_bytes(Key::certificate_use(id, name), Bytes::new());
        // No concurrent change can remove a certificate that this change adds.
        if self.writes(&Key::certificate(id)) {
            return Ok(());
        }
        self.put_bytes(Key::certificate_use_guard(id), Bytes::new());
        match self.certificate(id).await? {
            Some(row) => self.leave_superseded(&row).await,
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
        self.has(&Key::certificate_use_guard(id)).await?;
        // More than one change removes: uses that the store still lists may be deleted in this
        // draft.
        let prefix = key::certificate_uses(id);
        let users = self.catalog.store.list(&prefix, None, RELEASED_MAX).await?;
        let leaves = !users.has_more && users.entries.iter().all(|entry| self.deletes(&entry.key));
        if leaves && self.puts_under(&prefix).next().is_none() {
            return if row.removed {
                self.delete_certificate(&row).await
            } else {
                self.supersede(&row)
            };
        }
        // Written, so that two concurrent unbindings of the last users conflict. With more users
        // than one change can unbind, domains that share a certificate need not conflict.
        if row.removed || !users.has_more {
            self.put_bytes(Key::certificate_use_guard(id), Bytes::new());
        }
        Ok(())
    }
}
