//! One file an action: `Params`, `Reply`, `Error`, `parse`, `run`, in this order.

pub mod cas;
pub mod cdn;
pub mod dcdn;
pub mod edgeseal;
pub mod ram;
pub mod sts;

mod certificate_page;
mod encoded_pem;
mod issued;
pub(crate) mod named_certificate;
mod paging;
mod quota;
mod region;
