//! HTTPS of domains on or off, and with which certificate: what all operations that set it do.
//!
//! The order of refusals is part of the contract; [`set`], [`ask`] and [`source`] read in that
//! order.

mod ask;
mod error;
mod legacy;
mod replaced;
mod source;

use std::slice;

use edgeseal_core::{
    Pattern,
    domain::{Binding, Companion, Domain, Environment, NoCompanion},
    quota::Kind,
};
use edgeseal_store::{
    catalog::{ChangeError, Committed, Draft},
    record::CertificateRecord,
};

use super::named_domain;
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Done, Nothing},
    ops::{quota, region},
    warning::Warning,
};

pub(in crate::ops) use ask::{Ask, LEGACY};
pub(super) use ask::{Place, Spelling};
pub(super) use error::CODES;
pub(in crate::ops) use error::Error;
pub(super) use legacy::{BATCH_CODES, Legacy, SINGLE_CODES};
pub(super) use replaced::{bound, gone};
use source::Reference;
pub(super) use source::{Source, Upload, check_covers};

/// What a certificate needs that is to be in the centre, as of any other upload to there.
const UPLOAD: &str = "yundun-cert:UploadUserCertificate";

/// Does what is asked for to all of these domains, or to none.
///
/// # Errors
/// [`Error`], for the first domain that has one.
pub(in crate::ops) async fn set(
    context: &Context,
    call: &Authorized,
    names: &[Pattern],
    ask: Ask,
) -> Result<Done<Nothing>, Error> {
    let mut domains = Vec::with_capacity(names.len());
    for name in names {
        domains.push(named_domain::find(&context.catalog, call.account(), name).await?);
    }
    let on = ask.switch()?;
    let (environment, unknown) = ask.environment()?;
    for domain in &domains {
        domain.may_change_certificate()?;
    }
    let source = if on {
        let place = ask.place()?;
        if ask.uploads_to_centre() {
            call.check_in_centre(context, UPLOAD).await?;
        }
        Some((ask.source(call.now())?, place))
    } else {
        None
    };
    let bound = source.as_ref().map(|(source, place)| (source, *place));
    let change = Change {
        context,
        call,
        names,
        environment,
        source: bound,
        warnings: unknown.as_slice(),
    };
    change.commit().await
}

/// Binds a certificate to all of these domains, or to none; without a source it switches HTTPS off.
///
/// # Errors
/// [`Error`], for the first domain that has one.
pub(super) async fn bind(
    context: &Context,
    call: &Authorized,
    names: &[Pattern],
    environment: Environment,
    source: Option<(&Source, Place)>,
) -> Result<Done<Nothing>, Error> {
    let change = Change {
        context,
        call,
        names,
        environment,
        source,
        warnings: &[],
    };
    change.commit().await
}

/// Binds a certificate to all of these domains inside a change; with what it warns of.
///
/// # Errors
/// [`Error`], for the first domain that has one.
pub(super) async fn bind_in(
    draft: Draft,
    context: &Context,
    call: &Authorized,
    names: &[Pattern],
    source: &Source,
) -> Result<(Draft, Vec<Warning>), ChangeError<Error>> {
    let change = Change {
        context,
        call,
        names,
        environment: Environment::Production,
        source: Some((source, Place::First)),
        warnings: &[],
    };
    change.decide(draft).await
}

/// Binds a stored certificate of the caller's account to a domain inside a change; with what it warns
/// of.
///
/// # Errors
/// [`Error`].
pub(in crate::ops) async fn bind_stored(
    draft: Draft,
    context: &Context,
    call: &Authorized,
    name: &Pattern,
    certificate: &CertificateRecord,
) -> Result<(Draft, Vec<Warning>), ChangeError<Error>> {
    let mut regions = region::REGIONS.into_iter();
    let source = Source::Stored(Reference::Id {
        id: certificate.id,
        region: regions
            .find(|region| *region == certificate.region)
            .unwrap_or(region::HOME),
    });
    bind_in(draft, context, call, slice::from_ref(name), &source).await
}

/// What is to be done, once it is clear.
#[derive(Clone, Copy)]
struct Change<'a> {
    context: &'a Context,
    call: &'a Authorized,
    names: &'a [Pattern],
    environment: Environment,
    /// Where the certificate comes from, and its place; `None` switches off.
    source: Option<(&'a Source, Place)>,
    /// What the parameters warn of.
    warnings: &'a [Warning],
}

impl Change<'_> {
    async fn commit(self) -> Result<Done<Nothing>, Error> {
        let changed = self
            .context
            .catalog
            .transact(&self.call.deed, |draft| self.decide(draft))
            .await;
        let Committed { value, revision } =
            changed.map_err(|error| Error::of_change(error, self.source.is_some()))?;
        Ok(Done::served(revision, self.environment).warned(value))
    }

    async fn decide(self, mut draft: Draft) -> Result<(Draft, Vec<Warning>), ChangeError<Error>> {
        let refused = |error| ChangeError::Refused(error);
        let mut domains = Vec::with_capacity(self.names.len());
        for name in self.names {
            let found = named_domain::find_in(&mut draft, self.call.account(), name).await;
            let domain = found.map_err(|why| refused(why.into()))?;
            // Looked at before; another call may have changed it meanwhile.
            domain
                .may_change_certificate()
                .map_err(|held| refused(held.into()))?;
            if self.place() == Some(Place::Companion) {
                let joined = domain.joinable(self.environment);
                joined.map_err(|why| refused(Error::of_companion(&domain.name, why)))?;
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
        if matches!(self.source, Some((Source::Upload(_), _))) {
            let account = self.call.account();
            let quota = quota::of(self.context, account, Kind::Certificates).await?;
            draft.make_room(account, self.names, quota).await?;
        }
        for warning in &warnings {
            draft.note(warning.detail.clone());
        }
        Ok((draft, warnings))
    }

    fn place(&self) -> Option<Place> {
        self.source.map(|(_, place)| place)
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
            None => after.switch_off(self.environment, self.call.now()),
            Some(certificate) => {
                warnings.extend(replaced::mismatch(before, certificate));
                if self.place() == Some(Place::Companion) {
                    self.bind_companion(draft, &mut after, certificate).await?;
                } else {
                    let binding = self.binding(certificate, &before.name);
                    after.bind(binding, self.environment, self.call.now());
                }
                warnings.extend(gone(draft, (before, &after), self.environment).await?);
            }
        }
        let deed = &self.call.deed;
        named_domain::write_change(draft, deed, self.environment, before, &after).await?;
        Ok(warnings)
    }

    fn binding(&self, certificate: &CertificateRecord, domain: &Pattern) -> Binding {
        Binding {
            enabled: true,
            certificate: certificate.id,
            material: certificate.material,
            covers: certificate.facts.covers(domain),
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
        let refused = |why| ChangeError::Refused(Error::of_companion(&name, why));
        let first = domain.joinable(self.environment).map_err(refused)?;
        let first = draft.certificate(first.certificate).await?;
        let first = first.ok_or_else(|| refused(NoCompanion::NothingBound))?;
        let companion = Companion {
            certificate: certificate.id,
            material: certificate.material,
            key: certificate.facts.key,
            covers: certificate.facts.covers(&name),
            updated: self.call.now(),
        };
        domain
            .bind_companion(
                companion,
                first.facts.key,
                self.environment,
                self.call.now(),
            )
            .map_err(refused)
    }
}

#[cfg(test)]
mod tests;
