//! Revocations of ordered certificates.

use edgeseal_core::{
    DomainPattern,
    certificate::{CertificateId, Digest},
    revocation::{Revocation, RevocationState},
};

use super::{AuditContext, Catalog, ChangeError, Draft};
use crate::{
    Fault, Key, Write, key,
    lease::{Term, write_in_term},
    record::{self, Material},
};

impl Catalog {
    /// The revocations of certificates that were ordered for a domain.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn revocations_of(&self, name: &DomainPattern) -> Result<Vec<Revocation>, Fault> {
        self.read_all(&key::revocations_of(name)).await
    }

    /// Stores that an attempt failed, and when the next one may be; in a term of the lease to order, if
    /// one is given.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed, or the term is over.
    pub async fn put_revocation(
        &self,
        revocation: &Revocation,
        term: Option<Term>,
    ) -> Result<(), Fault> {
        let write = Write::Put {
            key: Key::revocation(&revocation.domain, revocation.certificate),
            value: record::encode(revocation)?,
            expires: Some(revocation.not_after),
        };
        write_in_term(&*self.store, vec![write], term).await
    }

    /// Stores how a revocation ended in this term of the lease to order, with an audit record; a
    /// certificate that is revoked is marked so.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed, or the term is over.
    pub async fn end_revocation(
        &self,
        audit: &AuditContext,
        revocation: &Revocation,
        term: Term,
    ) -> Result<(), Fault> {
        let ended = self.transact(audit, async |mut draft| {
            if !draft.has_term(&term).await? {
                return Err(ChangeError::Refused("end a revocation: the lease was lost"));
            }
            draft.put_revocation(revocation)?;
            let before = draft.certificate(revocation.certificate).await?;
            if let Some(before) = before
                && revocation.state == RevocationState::Revoked
            {
                let mut after = before.clone();
                after.revoked = true;
                draft.change_certificate(&before, &after).await?;
            }
            let (id, state) = (revocation.certificate, revocation.state.as_str());
            let reason = revocation.reason.as_str();
            draft.note(format!("certificate {id}: {state}, {reason}"));
            Ok((draft, ()))
        });
        match ended.await {
            Ok(_) => Ok(()),
            Err(ChangeError::Refused(why)) => Err(Fault::new(why)),
            Err(ChangeError::Fault(fault)) => Err(fault),
            Err(_) => Err(Fault::new(
                "end a revocation: the store changed all the time",
            )),
        }
    }
}

impl Draft {
    /// The revocation of a certificate.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn revocation(
        &mut self,
        name: &DomainPattern,
        certificate: CertificateId,
    ) -> Result<Option<Revocation>, Fault> {
        self.get(&Key::revocation(name, certificate)).await
    }

    /// Stores a revocation, until the certificate has expired.
    ///
    /// # Errors
    /// Never in practice; see [`record::encode`].
    pub fn put_revocation(&mut self, revocation: &Revocation) -> Result<(), Fault> {
        let key = Key::revocation(&revocation.domain, revocation.certificate);
        self.put_until(key, revocation, revocation.not_after)
    }

    /// The material with this digest.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn material(&mut self, digest: &Digest) -> Result<Option<Material>, Fault> {
        match self.get_bytes(&Key::material(digest)).await? {
            Some(value) => record::decode_material(&value).map(Some),
            None => Ok(None),
        }
    }
}
