//! Bodies on their way through: one frame at a time, taken only when the other side can take it.

mod replayable;
mod response;
mod unread;

pub(super) use replayable::{BodyFault, ReplayableBody, UpstreamBody};
pub(crate) use response::ResponseBody;
pub(crate) use unread::UnreadBody;

pub(in crate::proxy) type BoxError = Box<dyn std::error::Error + Send + Sync>;
