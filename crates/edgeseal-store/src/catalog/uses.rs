//! Which domains have a certificate bound, and what happens when the last one unbinds it.

use std::slice;

use bytes::Bytes;
use edgeseal_core::{DomainPattern, certificate::CertificateId};

use super::{Draft, bound_certificates, certificates::RELEASED_MAX};
use crate::{Fault, Key, key, record::CertificateRecord};

impl Draft {
    pub(super) async fn use_certificate(
        &mut self,
        id: CertificateId,
        name: &DomainPattern,
    ) -> Result<(), Fault> {
        let row = self.certificate(id).await?;
        // Of the domain that it was uploaded for, the domain's record tells.
        if row.as_ref().and_then(|row| row.uploaded_for.as_ref()) != Some(name) {
            self.put_bytes(Key::certificate_use(id, name), Bytes::new());
            // No concurrent change can remove a certificate that this change adds.
            if !self.writes(&Key::certificate(id)) {
                self.put_bytes(Key::certificate_use_guard(id), Bytes::new());
            }
        }
        match row {
            Some(row) => self.bind_upload(&row, name).await,
            None => Ok(()),
        }
    }

    /// Whether a domain has this certificate bound. The commit expects the domain unchanged.
    pub(super) async fn binds(
        &mut self,
        name: &DomainPattern,
        id: CertificateId,
    ) -> Result<bool, Fault> {
        let domain = self.domain(name).await?;
        Ok(domain.is_some_and(|domain| bound_certificates(&domain).contains(&id)))
    }

    pub(super) async fn release_certificate(
        &mut self,
        id: CertificateId,
        name: &DomainPattern,
    ) -> Result<(), Fault> {
        let row = self.certificate(id).await?;
        if row.as_ref().and_then(|row| row.uploaded_for.as_ref()) != Some(name) {
            self.delete(Key::certificate_use(id, name));
        }
        let Some(row) = row else { return Ok(()) };
        if !row.removed && row.uploaded_for.is_none() {
            return Ok(());
        }
        if self.has_bound_alone(name, &row).await? || self.releases_last_use(name, &row).await? {
            return if row.removed {
                self.delete_certificate(&row).await
            } else {
                self.supersede(&row).await
            };
        }
        Ok(())
    }

    /// Whether nothing has the certificate bound once this domain has not.
    async fn releases_last_use(
        &mut self,
        name: &DomainPattern,
        row: &CertificateRecord,
    ) -> Result<bool, Fault> {
        if let Some(own) = row.uploaded_for.as_ref().filter(|own| *own != name)
            && self.binds(own, row.id).await?
        {
            // Written, so that a concurrent unbinding by that domain, which lists the other users,
            // conflicts.
            self.put_bytes(Key::certificate_use_guard(row.id), Bytes::new());
            return Ok(false);
        }
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
