//! Enables HTTPS of domains with a certificate, or disables it: shared by all operations that do
//! so.
//!
//! - [`set_from_params`]: the actions of [`variants`], from their parameters;
//! - [`bind`]: other actions, in a transaction of its own;
//! - [`bind_in`], [`bind_stored`]: part of the caller's transaction.
//!
//! All of them run a [`CertificateChange`]. The order of refusals is part of the API contract;
//! [`set_from_params`], [`params`] and [`source`] follow that order.

mod binding_warnings;
mod error;
mod legacy;
mod order;
mod params;
mod source;
mod variants;

use std::slice;

use edgeseal_core::{
    DomainPattern,
    domain::{Binding, Companion, CompanionError, Domain, Environment},
    quota::QuotaKind,
};
use edgeseal_store::{
    catalog::{ChangeError, Committed, Draft},
    record::CertificateRecord,
};

use super::domain_lookup;
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{EmptyReply, Success},
    ops::{quota, region},
    warning::Warning,
};

pub(super) use binding_warnings::{new_binding_warnings, replaced_binding_warnings};
pub(crate) use error::Error;
use order::Order;
pub(super) use params::BindingRole;
use params::Params;
use source::Reference;
pub(super) use source::{CertificateInput, UploadedCertificate, check_covers};
pub use variants::{
    BatchSetCdnDomainServerCertificate, BatchSetDcdnDomainCertificate, SetCdnDomainSslCertificate,
    SetDcdnDomainCertificate, SetDomainServerCertificate,
};

/// The permission to add a certificate to CAS: the same as for any other upload.
const UPLOAD: &str = "yundun-cert:UploadUserCertificate";

/// Applies the parameters to all of these domains, or to none.
///
/// # Errors
/// [`Error`] of the first domain that has one.
async fn set_from_params(
    context: &Context,
    call: &Authorized,
    names: &[DomainPattern],
    mut params: Params,
) -> Result<Success<EmptyReply>, Error> {
    let mut domains = Vec::with_capacity(names.len());
    for name in names {
        domains.push(domain_lookup::find(&context.catalog, call.account(), name).await?);
    }
    let on = params.is_enabled()?;
    let (environment, unknown) = params.environment()?;
    let dry_run = params.dry_run()?;
    for domain in &domains {
        domain.check_certificate_change()?;
    }
    let source = if on {
        let role = params.binding_role()?;
        if params.is_order()? {
            order::check(context, names, role)?;
            let order = Order {
                call,
                names,
                environment,
                warnings: unknown.as_slice(),
            };
            return match dry_run {
                true => order.dry_run(context).await,
                false => order.place(context).await,
            };
        }
        if params.uploads_to_cas() {
            call.check_in_cas(context, UPLOAD).await?;
        }
        Some((params.source(call.now())?, role))
    } else {
        None
    };
    let bound = source.as_ref().map(|(source, role)| (source, *role));
    let change = CertificateChange {
        context,
        call,
        names,
        environment,
        source: bound,
        warnings: unknown.as_slice(),
    };
    if dry_run {
        change.dry_run().await
    } else {
        change.commit().await
    }
}

/// Binds a certificate to all of these domains, or to none; without a source, disables HTTPS.
///
/// # Errors
/// [`Error`] of the first domain that has one.
pub(super) async fn bind(
    context: &Context,
    call: &Authorized,
    names: &[DomainPattern],
    environment: Environment,
    source: Option<(&CertificateInput, BindingRole)>,
) -> Result<Success<EmptyReply>, Error> {
    let change = CertificateChange {
        context,
        call,
        names,
        environment,
        source,
        warnings: &[],
    };
    change.commit().await
}

/// Binds a certificate to all of these domains inside a transaction; returns the warnings.
///
/// # Errors
/// [`Error`] of the first domain that has one.
pub(super) async fn bind_in(
    draft: Draft,
    context: &Context,
    call: &Authorized,
    names: &[DomainPattern],
    source: &CertificateInput,
) -> Result<(Draft, Vec<Warning>), ChangeError<Error>> {
    let change = CertificateChange {
        context,
        call,
        names,
        environment: Environment::Production,
        source: Some((source, BindingRole::Primary)),
        warnings: &[],
    };
    change.run_in(draft).await
}

/// Binds a stored certificate of the caller's account to a domain inside a transaction; returns the
/// warnings.
///
/// # Errors
/// [`Error`].
pub(in crate::ops) async fn bind_stored(
    draft: Draft,
    context: &Context,
    call: &Authorized,
    name: &DomainPattern,
    certificate: &CertificateRecord,
) -> Result<(Draft, Vec<Warning>), ChangeError<Error>> {
    let mut regions = region::REGIONS.into_iter();
    let source = CertificateInput::Stored(Reference::Id {
        id: certificate.id,
        region: regions
            .find(|region| *region == certificate.region)
            .unwrap_or(region::DEFAULT),
    });
    bind_in(draft, context, call, slice::from_ref(name), &source).await
}

/// The change to make.
#[derive(Clone, Copy)]
struct CertificateChange<'a> {
    context: &'a Context,
    call: &'a Authorized,
    names: &'a [DomainPattern],
    environment: Environment,
    /// The certificate and its role in the binding; `None` disables HTTPS.
    source: Option<(&'a CertificateInput, BindingRole)>,
    /// Warnings about the parameters.
    warnings: &'a [Warning],
}

impl CertificateChange<'_> {
    async fn commit(self) -> Result<Success<EmptyReply>, Error> {
        let changed = self
            .context
            .catalog
            .transact(&self.call.audit, |draft| self.run_in(draft))
            .await;
        let Committed { value, revision } =
            changed.map_err(|error| Error::from_change(error, self.source.is_some()))?;
        Ok(Success::served(revision, self.environment).with_warnings(value))
    }

    /// Decides, and changes nothing.
    async fn dry_run(self) -> Result<Success<EmptyReply>, Error> {
        let catalog = &self.context.catalog;
        let decided = catalog.dry_run(self.call.now(), |draft| self.run_in(draft));
        let warnings = decided.await;
        let warnings =
            warnings.map_err(|error| Error::from_change(error, self.source.is_some()))?;
        Ok(Success::read(EmptyReply {}).with_warnings(warnings))
    }

    /// Makes the change inside a transaction; returns the warnings.
    async fn run_in(self, mut draft: Draft) -> Result<(Draft, Vec<Warning>), ChangeError<Error>> {
        let refused = |error| ChangeError::Refused(error);
        let mut domains = Vec::with_capacity(self.names.len());
        for name in self.names {
            let found = domain_lookup::find_in(&mut draft, self.call.account(), name).await;
            let domain = found.map_err(|error| refused(error.into()))?;
            // This was checked before, but a concurrent call may have changed it.
            domain
                .check_certificate_change()
                .map_err(|held| refused(held.into()))?;
            if self.binding_role() == Some(BindingRole::Companion) {
                let joined = domain.companion_base(self.environment);
                joined.map_err(|error| refused(Error::companion_refused(&domain.name, error)))?;
            }
            domains.push(domain);
        }
        let (certificate, mut warnings) = match self.source {
            Some((source, _)) => {
                let resolved = source.resolve(&mut draft, self.context, self.call, self.names);
                let certificate = resolved.await?;
                let warnings = source.warnings(&certificate, self.call.now());
                (Some(certificate), warnings)
            }
            None => (None, Vec::new()),
        };
        warnings.extend_from_slice(self.warnings);
        for before in &domains {
            let applied = self.apply(&mut draft, before, certificate.as_ref());
            warnings.extend(applied.await?);
        }
        if matches!(self.source, Some((CertificateInput::Upload(_), _))) {
            let account = self.call.account();
            let quota = quota::for_account(self.context, account, QuotaKind::Certificates).await?;
            draft.make_room(account, self.names, quota).await?;
        }
        for warning in &warnings {
            draft.note(warning.detail.clone());
        }
        Ok((draft, warnings))
    }

    fn binding_role(&self) -> Option<BindingRole> {
        self.source.map(|(_, role)| role)
    }

    async fn apply(
        &self,
        draft: &mut Draft,
        before: &Domain,
        certificate: Option<&CertificateRecord>,
    ) -> Result<Vec<Warning>, ChangeError<Error>> {
        let mut after = before.clone();
        let mut warnings = Vec::new();
        match certificate {
            None => after.disable_https(self.environment, self.call.now()),
            Some(certificate) => {
                warnings.extend(binding_warnings::mismatch(before, certificate));
                if self.binding_role() == Some(BindingRole::Companion) {
                    self.bind_companion(draft, &mut after, certificate).await?;
                } else {
                    let binding = self.binding(certificate, &before.name);
                    after.bind(binding, self.environment, self.call.now());
                }
                warnings.extend(
                    replaced_binding_warnings(draft, (before, &after), self.environment).await?,
                );
            }
        }
        let audit = &self.call.audit;
        draft
            .change_domain_with_history(audit, self.environment, before, &after)
            .await?;
        Ok(warnings)
    }

    fn binding(&self, certificate: &CertificateRecord, domain: &DomainPattern) -> Binding {
        Binding {
            enabled: true,
            certificate: certificate.id,
            material: certificate.material,
            covers: certificate.info.covers(domain),
            updated: self.call.now(),
            companion: None,
        }
    }

    async fn bind_companion(
        &self,
        draft: &mut Draft,
        domain: &mut Domain,
        certificate: &CertificateRecord,
    ) -> Result<(), ChangeError<Error>> {
        let name = domain.name.clone();
        let refused = |error| ChangeError::Refused(Error::companion_refused(&name, error));
        let first = domain.companion_base(self.environment).map_err(refused)?;
        let first = draft.certificate(first.certificate).await?;
        let first = first.ok_or_else(|| refused(CompanionError::NothingBound))?;
        let companion = Companion {
            certificate: certificate.id,
            material: certificate.material,
            key: certificate.info.key,
            covers: certificate.info.covers(&name),
            updated: self.call.now(),
        };
        domain
            .bind_companion(companion, first.info.key, self.environment, self.call.now())
            .map_err(refused)
    }
}

#[cfg(test)]
mod tests;
