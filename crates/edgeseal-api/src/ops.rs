//! One file an action: `Params`, `Reply`, `Error`, `parse`, `run`, in this order.

pub mod cdn;
pub mod edgeseal;
