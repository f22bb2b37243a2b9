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
    domain::{Binding, Domain, Environment},
};
use edgeseal_store::{
    Revision,
    catalog::{ChangeError, Draft},
    record::CertificateRecord,
};

use super::named_domain;
use crate::{authorize::Authorized, context::Context};

pub(super) use ask::{Ask, Spelling};
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
        Some(ask.source(call.now())?)
    } else {
        None
    };
    let changed = bind(context, call, names, environment, source.as_ref()).await;
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
    source: Option<&Source>,
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
    /// Where the certificate comes from; `None` switches off.
    source: Option<&'a Source>,
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
            domains.push(domain);
        }
        let certificate = match self.source {
            Some(source) => {
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
                let covers = certificate.facts.covers(&before.name);
                if !covers {
                    draft.note(format!(
                        "does not cover {}: a mismatch",
                        before.name.display_star()
                    ));
                }
                self.note_earlier_expiry(draft, before, certificate).await?;
                let binding = self.binding(certificate, covers);
                after.bind(binding, self.environment, self.call.now());
            }
        }
        let deed = &self.call.deed;
        named_domain::write_change(draft, deed, self.environment, before, &after).await?;
        Ok(())
    }

    const fn binding(&self, certificate: &CertificateRecord, covers: bool) -> Binding {
        Binding {
            enabled: true,
            certificate: certificate.id,
            material: certificate.material,
            covers,
            updated: self.call.now(),
        }
    }

    /// Somebody may be about to put an old certificate back.
    async fn note_earlier_expiry(
        &self,
        draft: &mut Draft,
        before: &Domain,
        certificate: &CertificateRecord,
    ) -> Result<(), ChangeError<Error>> {
        let Some(bound) = before.binding(self.environment) else {
            return Ok(());
        };
        let Some(replaced) = draft.certificate(bound.certificate).await? else {
            return Ok(());
        };
        if certificate.facts.not_after < replaced.facts.not_after {
            let (new, old) = (certificate.facts.not_after, replaced.facts.not_after);
            draft.note(format!(
                "expires at {new}, before the certificate that it replaces ({old})"
            ));
        }
        Ok(())
    }
}
