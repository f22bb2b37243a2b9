//! `TestAlarm`: sends a test through every channel for alarms. A write, because it reaches the
//! outside: it is audited, and cannot be replayed at another node.

use edgeseal_store::catalog::ChangeError;
use serde::Serialize;

use crate::{
    alarms::ChannelTest,
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error, from_change_error},
    operation::{Input, Operation, Success},
};

/// `TestAlarm`.
pub struct TestAlarm;

/// What each channel answered; empty if none is configured.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    channels: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    name: String,
    #[serde(rename = "Type")]
    kind: &'static str,
    accepted: bool,
    /// Why it was not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another test has not ended.
    #[error("another test of the channels has not ended; one runs at a time")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for TestAlarm {
    type Params = ();
    type Reply = Reply;
    type Error = Error;

    fn parse(_: Input<'_>) -> Result<(), Error> {
        Ok(())
    }

    async fn run(context: &Context, call: &Authorized, (): ()) -> Result<Success<Reply>, Error> {
        let recorded = context.catalog.transact(&call.audit, |draft| async move {
            Ok::<_, ChangeError<Error>>((draft, ()))
        });
        let recorded = recorded.await.map_err(from_change_error::<_, Error>)?;
        let tested = match &context.alarm_channels {
            Some(channels) => channels.test().await.ok_or(Error::Busy)?,
            None => Vec::new(),
        };
        let channels = tested.into_iter().map(Row::of).collect();
        let reply = Reply { channels };
        Ok(Success::changed_with(reply, recorded.revision, None))
    }
}

api_error!(Error {
    Busy => ServiceBusy,
    Store(StoreError),
});

impl Row {
    fn of(test: ChannelTest) -> Self {
        Self {
            name: test.name,
            kind: test.kind,
            accepted: test.failure.is_none(),
            why: test.failure,
        }
    }
}
