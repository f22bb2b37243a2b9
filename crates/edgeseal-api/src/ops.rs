//! The operations, by product. A file has one action, or several that differ in little. Each
//! operation has `Params`, `Reply`, `Error`, `parse`, `run`, in this order.

pub mod cas;
pub mod cdn;
pub mod dcdn;
pub mod edgeseal;
pub mod ram;
pub mod sts;

pub(crate) mod certificate_lookup;
mod certificate_page;
mod certificate_view;
mod encoded_pem;
mod paging;
mod quota;
mod region;

pub use region::DEFAULT as DEFAULT_REGION;
