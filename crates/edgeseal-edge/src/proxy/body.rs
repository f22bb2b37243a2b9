//! Bodies on their way through: one frame at a time, taken only when the other side can take it.

mod loan;
mod reply;
mod unread;

pub(super) use loan::{Fault, Lent, Loan};
pub(crate) use reply::Reply;
pub(crate) use unread::UnreadBody;

pub(in crate::proxy) type BoxError = Box<dyn std::error::Error + Send + Sync>;
