//! `SilenceAlarm` and `UnsilenceAlarm`: whether alarms of a domain are notified.

use edgeseal_core::{DomainPattern, Timestamp, alarm::Silence};
use edgeseal_store::catalog::ChangeError;

use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error, from_change_error},
    operation::{EmptyReply, Input, Operation, Success},
    ops::cdn::domain_lookup::{self, DomainError},
    sanitize::sanitize,
};

/// `SilenceAlarm`.
pub struct SilenceAlarm;

/// `UnsilenceAlarm`.
pub struct UnsilenceAlarm;

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// Not a time in the future.
    #[error("EndTime is {given:?}; it must be a future time in UTC such as 2026-01-02T03:04:05Z")]
    End {
        /// The value given.
        given: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for SilenceAlarm {
    type Params = (DomainPattern, Option<(String, Option<Timestamp>)>);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Self::Params, Error> {
        let name = domain_lookup::parse_name(params)?;
        let end = params.get_non_empty("EndTime");
        let end = end.map(|text| (sanitize(text), Timestamp::parse_iso(text)));
        Ok((name, end))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, end): Self::Params,
    ) -> Result<Success<EmptyReply>, Error> {
        let until = match end {
            None => None,
            Some((_, Some(at))) if at > call.now() => Some(at),
            Some((given, _)) => return Err(Error::End { given }),
        };
        let is_operator = call.is_operator(context).await?;
        let owner = (!is_operator).then(|| call.account());
        let name = &name;
        let silenced = context
            .catalog
            .transact(&call.audit, |mut draft| async move {
                let domain = domain_lookup::find_of_in(&mut draft, owner, name).await;
                let domain = domain.map_err(|error| ChangeError::Refused(error.into()))?;
                let silence = Silence {
                    domain: domain.name,
                    account: domain.account,
                    by_operator: is_operator,
                    until,
                    since: call.now(),
                };
                draft.silence_alarms(&silence)?;
                draft.note(match until {
                    Some(until) => format!("until {until}"),
                    None => "for ever".to_owned(),
                });
                draft.also_record_in(&silence.account);
                Ok((draft, ()))
            });
        let committed = silenced.await.map_err(from_change_error::<Error, Error>)?;
        Ok(Success::changed(committed.revision))
    }
}

impl Operation for UnsilenceAlarm {
    type Params = DomainPattern;
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<DomainPattern, Error> {
        Ok(domain_lookup::parse_name(params)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: DomainPattern,
    ) -> Result<Success<EmptyReply>, Error> {
        let is_operator = call.is_operator(context).await?;
        let owner = (!is_operator).then(|| call.account());
        let name = &name;
        let ended = context
            .catalog
            .transact(&call.audit, |mut draft| async move {
                let domain = domain_lookup::find_of_in(&mut draft, owner, name).await;
                let domain = domain.map_err(|error| ChangeError::Refused(error.into()))?;
                if !draft.unsilence_alarms(&domain, is_operator).await? {
                    draft.note("it was not silenced".to_owned());
                }
                draft.also_record_in(&domain.account);
                Ok((draft, ()))
            });
        let committed = ended.await.map_err(from_change_error::<Error, Error>)?;
        Ok(Success::changed(committed.revision))
    }
}

api_error!(Error {
    Domain(DomainError),
    End => InvalidEndTime,
    Store(StoreError),
});
