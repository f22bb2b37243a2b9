//! `SetCdnDomainSSLCertificate`: HTTPS of a domain on or off, and with which certificate.
//!
//! The order of refusals is part of the contract; `run`, [`ask`] and [`source`] read in that order.

mod ask;
mod error;
mod source;

use edgeseal_core::{
    Pattern,
    domain::{Binding, Domain, Environment},
};
use edgeseal_store::{
    catalog::{ChangeError, Draft},
    record::CertificateRecord,
};

use super::named_domain;
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation},
    request::Params,
};

use ask::Ask;
pub(super) use error::Error;
use source::Source;

/// The operation.
pub struct SetCdnDomainSslCertificate;

impl Operation for SetCdnDomainSslCertificate {
    type Params = (Pattern, Ask);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = error::CODES;

    fn parse(params: &Params) -> Result<(Pattern, Ask), Error> {
        Ok((named_domain::name(params)?, Ask::of(params)))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, ask): (Pattern, Ask),
    ) -> Result<Done<Nothing>, Error> {
        let domain = named_domain::find(&context.catalog, call.account(), &name).await?;
        let on = ask.switch()?;
        let environment = ask.environment()?;
        domain.may_change_certificate()?;
        let source = if on {
            Some(ask.source(call.now())?)
        } else {
            None
        };

        let change = Change {
            context,
            call,
            name: &name,
            environment,
            source: source.as_ref(),
        };
        let changed = context
            .catalog
            .transact(&call.deed, |draft| change.decide(draft))
            .await;
        let committed = changed.map_err(|error| Error::of_change(error, on))?;
        Ok(Done::served(committed.revision, environment))
    }
}

/// What is to be done, once it is clear.
#[derive(Clone, Copy)]
struct Change<'a> {
    context: &'a Context,
    call: &'a Authorized,
    name: &'a Pattern,
    environment: Environment,
    /// Where the certificate comes from; `None` switches off.
    source: Option<&'a Source>,
}

impl Change<'_> {
    async fn decide(self, mut draft: Draft) -> Result<(Draft, ()), ChangeError<Error>> {
        let refused = |error| ChangeError::Refused(error);
        let found = named_domain::find_in(&mut draft, self.call.account(), self.name).await;
        let before = found.map_err(|why| refused(why.into()))?;
        // Looked at before; another call may have changed it meanwhile.
        before
            .may_change_certificate()
            .map_err(|held| refused(held.into()))?;
        let mut after = before.clone();
        match self.source {
            None => after.switch_off(self.environment, self.call.now()),
            Some(source) => {
                let certificate = source
                    .resolve(&mut draft, self.context, self.call, self.name)
                    .await?;
                if !certificate.facts.covers(self.name) {
                    draft.note(format!(
                        "does not cover {}: a mismatch",
                        self.name.display_star()
                    ));
                }
                self.note_earlier_expiry(&mut draft, &before, &certificate)
                    .await?;
                after.bind(
                    self.binding(&certificate),
                    self.environment,
                    self.call.now(),
                );
            }
        }
        named_domain::write_change(
            &mut draft,
            &self.call.deed,
            self.environment,
            &before,
            &after,
        )
        .await?;
        Ok((draft, ()))
    }

    fn binding(&self, certificate: &CertificateRecord) -> Binding {
        Binding {
            enabled: true,
            certificate: certificate.id,
            material: certificate.material,
            covers: certificate.facts.covers(self.name),
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
