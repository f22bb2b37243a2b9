//! `DescribeReissue`, `StopReissue` and `ResumeReissue`: the replacement of many certificates that
//! was asked for last.

use edgeseal_core::{Timestamp, acme::reissue::Reissue};

use super::reissue::{Error, Reply, described, last, outlook, planner};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, from_change_error},
    operation::{EmptyReply, Input, Operation, Success},
};

/// `DescribeReissue`.
pub struct DescribeReissue;

/// `StopReissue`.
pub struct StopReissue;

/// `ResumeReissue`.
pub struct ResumeReissue;

impl Operation for DescribeReissue {
    type Params = ();
    type Reply = Reply;
    type Error = Error;

    fn parse(_: Input<'_>) -> Result<(), Error> {
        Ok(())
    }

    async fn run(context: &Context, call: &Authorized, (): ()) -> Result<Success<Reply>, Error> {
        let planner = planner(context)?;
        let found = context.catalog.reissue().await.map_err(StoreError::from)?;
        let reissue = found.ok_or(Error::None)?;
        let outlook = outlook(planner, &reissue).await?;
        let reply = Reply::of(reissue, outlook, planner.issuers(), false, call.now());
        Ok(Success::read(reply))
    }
}

impl Operation for StopReissue {
    type Params = ();
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(_: Input<'_>) -> Result<(), Error> {
        Ok(())
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (): (),
    ) -> Result<Success<EmptyReply>, Error> {
        change(context, call, Reissue::stop).await
    }
}

impl Operation for ResumeReissue {
    type Params = ();
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(_: Input<'_>) -> Result<(), Error> {
        Ok(())
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (): (),
    ) -> Result<Success<EmptyReply>, Error> {
        change(context, call, Reissue::resume).await
    }
}

async fn change(
    context: &Context,
    call: &Authorized,
    change: fn(&mut Reissue, Timestamp),
) -> Result<Success<EmptyReply>, Error> {
    let changed = context
        .catalog
        .transact(&call.audit, |mut draft| async move {
            let mut reissue = last(&mut draft).await?;
            change(&mut reissue, call.now());
            draft.put_reissue(&reissue)?;
            draft.note(described(&reissue));
            Ok((draft, ()))
        });
    let committed = changed.await.map_err(from_change_error::<Error, Error>)?;
    Ok(Success::changed(committed.revision))
}
