//! Has certificates ordered and renewed (`CertType=free`): the call answers at once, the order runs
//! in the background.

use edgeseal_core::{
    DomainPattern, Timestamp,
    domain::{Binding, Domain, Environment},
    managed_certificate::{IssuedCertificate, ManagedCertificate, OrderRequest, OrderStatus},
};
use edgeseal_store::{
    catalog::{ChangeError, Committed, Draft},
    record::{CertificateRecord, CertificateSource},
};

use super::{error::Error, params::BindingRole};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{EmptyReply, Success},
    ops::cdn::domain_lookup,
    warning::Warning,
};

/// Whether certificates can be ordered for these domains.
///
/// # Errors
/// [`Error::NoIssuer`], [`Error::NoDnsChallenge`] or [`Error::OrderedCompanion`].
pub(super) fn check(
    context: &Context,
    names: &[DomainPattern],
    role: BindingRole,
) -> Result<(), Error> {
    let orders = &context.settings.orders;
    if !orders.has_issuers {
        return Err(Error::NoIssuer);
    }
    let wildcard = names.iter().find(|name| name.is_wildcard());
    if let Some(domain) = wildcard.filter(|_| !orders.has_dns_challenge) {
        let domain = domain.clone();
        return Err(Error::NoDnsChallenge { domain });
    }
    match role {
        BindingRole::Primary => Ok(()),
        BindingRole::Companion => Err(Error::OrderedCompanion),
    }
}

/// Has the certificates of all of these domains managed from now on, or of none.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) call: &'a Authorized,
    pub(super) names: &'a [DomainPattern],
    pub(super) environment: Environment,
    /// Warnings about the parameters.
    pub(super) warnings: &'a [Warning],
}

impl Order<'_> {
    /// Places it; the authority is asked in the background.
    ///
    /// # Errors
    /// [`Error`] of the first domain that has one.
    pub(super) async fn place(self, context: &Context) -> Result<Success<EmptyReply>, Error> {
        let placed = context
            .catalog
            .transact(&self.call.audit, |draft| self.run_in(draft))
            .await;
        let Committed { revision, .. } = placed.map_err(|error| Error::from_change(error, true))?;
        Ok(Success::served(revision, self.environment).with_warnings(self.warnings.to_vec()))
    }

    /// Decides whether it would be placed, and changes nothing.
    ///
    /// # Errors
    /// As [`place`](Self::place).
    pub(super) async fn dry_run(self, context: &Context) -> Result<Success<EmptyReply>, Error> {
        let decided = context
            .catalog
            .dry_run(self.call.now(), |draft| self.run_in(draft))
            .await;
        decided.map_err(|error| Error::from_change(error, true))?;
        Ok(Success::read(EmptyReply {}).with_warnings(self.warnings.to_vec()))
    }

    /// Makes the change inside a transaction.
    async fn run_in(self, mut draft: Draft) -> Result<(Draft, ()), ChangeError<Error>> {
        for name in self.names {
            let found = domain_lookup::find_in(&mut draft, self.call.account(), name).await;
            let domain = found.map_err(|error| ChangeError::Refused(Error::from(error)))?;
            // This was checked before, but a concurrent call may have changed it.
            domain
                .check_certificate_change()
                .map_err(|locked| ChangeError::Refused(Error::from(locked)))?;
            manage(&mut draft, self.call, &domain, self.environment).await?;
        }
        for warning in self.warnings {
            draft.note(warning.detail.clone());
        }
        Ok((draft, ()))
    }
}

/// A domain that is managed stays as it is; only an order that failed is tried at once. Otherwise
/// an order begins, unless an earlier one has left a certificate that is still good.
async fn manage(
    draft: &mut Draft,
    call: &Authorized,
    domain: &Domain,
    environment: Environment,
) -> Result<(), ChangeError<Error>> {
    let now = call.now();
    let mut after = domain.clone();
    let known = draft.managed_certificate(&domain.name, environment).await?;
    let managed = match known.filter(|_| domain.is_managed(environment)) {
        Some(mut managed) => {
            managed.request_again(now);
            managed
        }
        None => {
            let requested = OrderRequest {
                at: now,
                access_key: call.audit.access_key.clone(),
                action: call.audit.action.clone(),
                request_id: call.audit.request_id.clone(),
            };
            let of = (domain.name.clone(), domain.id);
            let account = domain.account.clone();
            let mut managed = ManagedCertificate::requested(of, account, environment, requested);
            match reusable(draft, domain, environment, now).await? {
                Some((binding, issued)) => {
                    managed.status = OrderStatus::Success;
                    managed.issued = Some(issued);
                    after.bind_managed(binding, environment, now);
                }
                None => after.manage(environment, now),
            }
            managed
        }
    };
    draft.put_managed_certificate(&managed)?;
    draft
        .change_domain_with_history(&call.audit, environment, domain, &after)
        .await?;
    Ok(())
}

/// The binding of a certificate that was ordered before HTTPS was switched off, if it would not be
/// renewed yet.
async fn reusable(
    draft: &mut Draft,
    domain: &Domain,
    environment: Environment,
    now: Timestamp,
) -> Result<Option<(Binding, IssuedCertificate)>, ChangeError<Error>> {
    let Some(binding) = domain.binding(environment).filter(|it| it.covers) else {
        return Ok(None);
    };
    let mut lives = Vec::new();
    let mut ordered_at = now;
    for (id, _) in binding.certificates() {
        let certificate = draft.certificate(id).await?;
        let Some(certificate) = certificate.filter(is_reusable) else {
            return Ok(None);
        };
        ordered_at = ordered_at.min(certificate.created);
        lives.push((certificate.info.not_after, certificate.info.not_before));
    }
    // The one that expires first.
    let Some((not_after, not_before)) = lives.into_iter().min() else {
        return Ok(None);
    };
    let companion = binding.companion.as_ref().map(|it| it.certificate);
    let issued = IssuedCertificate::new(
        (String::new(), ordered_at),
        (binding.certificate, companion),
        (not_before, not_after),
        &domain.name,
    );
    if issued.renew_at <= now {
        return Ok(None);
    }
    let binding = Binding {
        enabled: true,
        updated: now,
        ..binding.clone()
    };
    Ok(Some((binding, issued)))
}

fn is_reusable(certificate: &CertificateRecord) -> bool {
    certificate.source == CertificateSource::Issued && !certificate.revoked && !certificate.removed
}

#[cfg(test)]
mod tests;
