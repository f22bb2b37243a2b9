//! Undocumented behaviour that clients rely on, imitated on purpose. Each item names its source.

use crate::request::ParamMap;

/// The time of a V1 request. Documented as `Timestamp`; CDN's pages of 2014 and clients based on
/// them (certbot-aliyun-cdn) write `TimeStamp`.
pub(crate) fn timestamp(params: &ParamMap) -> Option<&str> {
    params
        .get_non_empty("Timestamp")
        .or_else(|| params.get_non_empty("TimeStamp"))
}

/// Only the prefix identifies temporary keys (STS documentation, `AssumeRole`): the SDKs send a
/// token also with permanent keys, and such a token is ignored.
pub(crate) fn is_temporary_key(access_key: &str) -> bool {
    access_key.starts_with("STS.")
}
