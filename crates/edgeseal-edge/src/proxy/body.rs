//! Request and response bodies in transit: one frame at a time, read only when the other side can
//! accept it.

mod replayable;
mod response;
mod unread;

pub(super) use replayable::{BodyFault, ReplayableBody, UpstreamBody};
pub(crate) use response::ResponseBody;
pub(crate) use unread::UnreadBody;

pub(in crate::proxy) type BoxError = Box<dyn std::error::Error + Send + Sync>;
