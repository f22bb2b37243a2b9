//! `ReissueCertificates`: replaces many ordered certificates before their time.

use edgeseal_core::{
    Timestamp,
    acme::{
        reissue::{Reissue, ReissueScope},
        renewal::REVOCATION_NOTICE_MS,
    },
};
use edgeseal_store::catalog::ChangeError;

use super::reissue::{Error, Reply, described, outlook, planner};
use crate::{
    authorize::Authorized,
    context::Context,
    dry_run,
    error::{StoreError, from_change_error},
    operation::{Input, Operation, Success},
    sanitize::sanitize,
};

/// `ReissueCertificates`.
pub struct ReissueCertificates;

/// What is asked for.
pub struct Params {
    scope: ReissueScope,
    not_from: Option<String>,
    /// As given, and as it was understood.
    end: Option<(String, Option<Timestamp>)>,
    dry_run: bool,
}

impl Operation for ReissueCertificates {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    const HAS_DRY_RUN: bool = true;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        let scope = params.get_non_empty("Scope").unwrap_or_default();
        let issuer = params.get_non_empty("Issuer");
        let end = params.get_non_empty("EndTime");
        Ok(Params {
            scope: match (scope, issuer) {
                ("All", None) => ReissueScope::All,
                ("Revoked", None) => ReissueScope::Revoked,
                ("Issuer", Some(name)) => ReissueScope::Issuer(sanitize(name)),
                _ => {
                    return Err(Error::Scope {
                        given: sanitize(scope),
                    });
                }
            },
            not_from: params.get_non_empty("NotFrom").map(sanitize),
            end: end.map(|text| (sanitize(text), Timestamp::parse_iso(text))),
            dry_run: dry_run::parse(params)?,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Reply>, Error> {
        let now = call.now();
        let deadline = match params.end {
            None => now.plus_ms(REVOCATION_NOTICE_MS),
            Some((_, Some(at))) if at > now => at,
            Some((given, _)) => return Err(Error::End { given }),
        };
        let planner = planner(context)?;
        if let Some(given) = &params.not_from
            && !planner.issuers().contains(given)
        {
            return Err(Error::NotFrom {
                given: given.clone(),
                issuers: planner.issuers().to_vec(),
            });
        }
        let before = context.catalog.reissue().await.map_err(StoreError::from)?;
        let mut reissue = Reissue::new(params.scope, params.not_from, now, deadline);
        let planned = outlook(planner, &reissue).await?;
        reissue.total = planned.left;
        if params.dry_run {
            let reply = Reply::of(reissue, planned, planner.issuers(), true, now);
            return Ok(Success::read(reply));
        }
        if let Some(running) = before.as_ref().filter(|it| it.stopped_at.is_none()) {
            let left = outlook(planner, running).await?.left;
            if left > 0 {
                let since = running.requested_at;
                return Err(Error::Running { since, left });
            }
        }
        let (wanted, before) = (&reissue, &before);
        let started = context
            .catalog
            .transact(&call.audit, |mut draft| async move {
                // Another call may have been faster.
                if let Some(other) = draft.reissue().await?
                    && before.as_ref() != Some(&other)
                {
                    let (since, left) = (other.requested_at, other.total);
                    return Err(ChangeError::Refused(Error::Running { since, left }));
                }
                draft.put_reissue(wanted)?;
                draft.note(described(wanted));
                Ok((draft, ()))
            });
        let committed = started.await.map_err(from_change_error::<Error, Error>)?;
        let reply = Reply::of(reissue, planned, planner.issuers(), false, now);
        Ok(Success::changed_with(reply, committed.revision, None))
    }
}
