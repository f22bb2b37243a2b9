//! `TestAlarm`: sends a test through every channel for alarms.

use serde::Serialize;

use crate::{
    alarms::ChannelTest,
    authorize::Authorized,
    context::Context,
    error::StoreError,
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

impl Operation for TestAlarm {
    type Params = ();
    type Reply = Reply;
    type Error = StoreError;

    fn parse(_: Input<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn run(context: &Context, _: &Authorized, (): ()) -> Result<Success<Reply>, StoreError> {
        let tested = match &context.alarm_channels {
            Some(channels) => channels.test().await,
            None => Vec::new(),
        };
        Ok(Success::read(Reply {
            channels: tested.into_iter().map(Row::of).collect(),
        }))
    }
}

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
