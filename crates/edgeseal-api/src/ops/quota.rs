//! Quotas of accounts, as operations ask for them and tell of them.

use edgeseal_core::{
    AccountId,
    account::Account,
    quota::{AccountQuotas, Kind, OverQuota, Quota},
};
use edgeseal_store::Fault;

use crate::{code::Code, context::Context};

/// How many of a kind an account may have.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub(super) async fn of(context: &Context, account: &AccountId, kind: Kind) -> Result<Quota, Fault> {
    let found = context.catalog.account(account).await?;
    Ok(of_account(context, found.as_ref(), kind))
}

/// As [`of`], of an account that was read.
pub(super) fn of_account(context: &Context, account: Option<&Account>, kind: Kind) -> Quota {
    let nobody = (false, AccountQuotas::default());
    let (is_root, chosen) = account.map_or(nobody, |account| (account.root, account.quotas));
    context.settings.quotas.of(kind, is_root, &chosen)
}

/// The parameter that sets the quota of one account.
pub(super) const fn parameter(kind: Kind) -> &'static str {
    match kind {
        Kind::Domains => "QuotaDomains",
        Kind::Certificates => "QuotaCertificates",
        Kind::CsrKeys => "QuotaCsrKeys",
    }
}

/// The setting of the installation.
const fn setting(kind: Kind) -> &'static str {
    match kind {
        Kind::Domains => "quota_domains",
        Kind::Certificates => "quota_certificates",
        Kind::CsrKeys => "quota_csr_keys",
    }
}

/// What is answered at the quota.
pub(super) const fn code(kind: Kind) -> Code {
    match kind {
        Kind::Domains => Code::DomainOverLimit,
        Kind::Certificates => Code::TooManyCertificates,
        Kind::CsrKeys => Code::TooManySigningRequests,
    }
}

/// What to do at the quota.
pub(super) fn told(over: &OverQuota) -> String {
    let first = match over.kind {
        Kind::Domains => "delete some",
        Kind::Certificates => "remove those that no domain uses any more",
        Kind::CsrKeys => "each is kept for 400 days",
    };
    format!(
        "{over}; {first}, or ask the operator to raise {} of the account (UpdateAccount) or {} of the installation",
        parameter(over.kind),
        setting(over.kind)
    )
}
