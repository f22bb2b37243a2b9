//! Revocations replace what is managed: the task plans an order for it.

use std::sync::Arc;

use edgeseal_core::{
    acme::{
        reissue::{Reissue, ReissueScope},
        renewal::REVOCATION_NOTICE_MS,
    },
    managed_certificate::ManagedCertificate,
    revocation::Revocation,
};
use edgeseal_store::{Key, record};

use super::OrderTask;

impl OrderTask {
    /// A revocation was asked for, or something came of one.
    pub(super) fn apply_revocation(&mut self, key: &Key, value: Option<&[u8]>) {
        let revocation = match value.map(record::decode::<Revocation>).transpose() {
            Ok(Some(revocation)) => revocation,
            // The certificate has expired.
            Ok(None) => return self.forget_revocation(key),
            Err(fault) => {
                let error: &dyn std::error::Error = &fault;
                tracing::error!(key = %key, error, "a revocation cannot be read");
                return;
            }
        };
        let domain = Arc::new(revocation.domain.clone());
        let of_domain = self.revocations.entry(Arc::clone(&domain)).or_default();
        of_domain.insert(revocation.certificate, revocation);
        let look = self.look_at.get(&domain).copied();
        self.plan(&domain, look);
    }

    fn forget_revocation(&mut self, key: &Key) {
        self.revocations.retain(|domain, of_domain| {
            of_domain.retain(|certificate, _| Key::revocation(domain, *certificate) != *key);
            !of_domain.is_empty()
        });
    }

    /// The replacement of a managed certificate that is revoked, as if it was a batch of its own.
    pub(super) fn replacement_of_revoked(&self, managed: &ManagedCertificate) -> Option<Reissue> {
        let revocations = self.revocations.get(&managed.domain)?.values();
        let since = revocations
            .filter(|revocation| revocation.replaces(managed))
            .map(|revocation| revocation.requested_at)
            .max()?;
        let deadline = since.plus_ms(REVOCATION_NOTICE_MS);
        Some(Reissue::new(ReissueScope::All, None, since, deadline))
    }
}
