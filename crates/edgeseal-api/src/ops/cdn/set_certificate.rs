//! HTTPS of domains on or off, and with which certificate: what all operations that set it do.
//!
//! The order of refusals is part of the contract; [`set`], [`ask`] and [`source`] read in that
//! order.

mod ask;
mod error;
mod legacy;
mod source;

use edgeseal_core::{
    Pattern,
    certificate::CertificateId,
    domain::{Binding, Companion, Domain, Environment, NoCompanion},
};
use edgeseal_store::{
    Revision,
    catalog::{ChangeError, Draft},
    record::CertificateRecord,
};

use super::named_domain;
use crate::{authorize::Authorized, context::Context};

pub(super) use ask::{Ask, Place, Spelling};
pub(super) use error::{CODES, Error};
pub(super) use legacy::{BATCH_CODES, Legacy, SINGLE_CODES};
pub(super) use source::{Source, Upload};

/// Does what is asked for to all of these domains, or to none.
///
/// # Errors
/// [`Error`], for the first domain that has one.
pub(super) async fn set(
    context: &Context,
    call: &Authorized,
    names: &[Pattern],
    ask: Ask,
) -> Result<(Revision, Environment), Error> {
    let mut domains = Vec::with_capacity(names.len());
    for name in names {
        domains.push(named_domain::find(&context.catalog, call.account(), name).await?);
    }
    let on = ask.switch()?;
    let environment = ask.environment()?;
    for domain in &domains {
        domain.may_change_certificate()?;
    }
    let source = if on {
        let place = ask.place()?;
        Some((ask.source(call.now())?, place))
    } else {
        None
    };
    let bound = source.as_ref().map(|(source, place)| (source, *place));
    let changed = bind(context, call, names, environment, bound).await;
    Ok((changed?, environment))
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
) -> Result<Revision, Error> {
    let change = Change {
        context,
        call,
        names,
        environment,
        source,
    };
    let changed = context
        .catalog
        .transact(&call.deed, |draft| change.decide(draft))
        .await;
    let committed = changed.map_err(|error| Error::of_change(error, source.is_some()))?;
    Ok(committed.revision)
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
}

impl Change<'_> {
    async fn decide(self, mut draft: Draft) -> Result<(Draft, ()), ChangeError<Error>> {
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
        let certificate = match self.source {
            Some((source, _)) => {
                let resolved = source.resolve(&mut draft, self.context, self.call, self.names);
                Some(resolved.await?)
            }
            None => None,
        };
        for before in &domains {
            self.apply(&mut draft, before, certificate.as_ref()).await?;
        }
        Ok((draft, ()))
    }

    fn place(&self) -> Option<Place> {
        self.source.map(|(_, place)| place)
    }

    async fn apply(
        &self,
        draft: &mut Draft,
        before: &Domain,
        certificate: Option<&CertificateRecord>,
    ) -> Result<(), ChangeError<Error>> {
        let mut after = before.clone();
        match certificate {
            None => after.switch_off(self.environment, self.call.now()),
            Some(certificate) => {
                if !certificate.facts.covers(&before.name) {
                    draft.note(format!(
                        "does not cover {}: a mismatch",
                        before.name.display_star()
                    ));
                }
                if self.place() == Some(Place::Companion) {
                    self.bind_companion(draft, &mut after, certificate).await?;
                } else {
                    let binding = self.binding(certificate, &before.name);
                    after.bind(binding, self.environment, self.call.now());
                }
                self.note_what_goes(draft, before, &after, certificate)
                    .await?;
            }
        }
        let deed = &self.call.deed;
        named_domain::write_change(draft, deed, self.environment, before, &after).await?;
        Ok(())
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

    /// Tells the audit if what goes would have lasted longer, since somebody may be about to put an
    /// old certificate back, and if more than one goes.
    async fn note_what_goes(
        &self,
        draft: &mut Draft,
        before: &Domain,
        after: &Domain,
        certificate: &CertificateRecord,
    ) -> Result<(), ChangeError<Error>> {
        let bound = |domain: &Domain| -> Vec<CertificateId> {
            let bound = domain.binding(self.environment).into_iter();
            let bound = bound.flat_map(Binding::certificates);
            bound.map(|(id, _)| id).collect()
        };
        let stays = bound(after);
        let goes = bound(before).into_iter().filter(|id| !stays.contains(id));
        for (number, id) in goes.enumerate() {
            if number > 0 {
                draft.note(format!("takes the place of certificate {id} as well"));
            }
            let Some(replaced) = draft.certificate(id).await? else {
                continue;
            };
            if certificate.facts.not_after < replaced.facts.not_after {
                let (new, old) = (certificate.facts.not_after, replaced.facts.not_after);
                draft.note(format!(
                    "expires at {new}, before the certificate that it replaces ({old})"
                ));
            }
        }
        Ok(())
    }
}
