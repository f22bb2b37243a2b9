//! Quotas of accounts: lookups and error messages.

use edgeseal_core::{
    AccountId,
    account::Account,
    quota::{OverQuota, Quota, QuotaKind, QuotaOverrides},
};
use edgeseal_store::Fault;

use crate::{code::Code, context::Context, error::ApiError};

/// The quota of an account.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub(super) async fn for_account(
    context: &Context,
    account: &AccountId,
    kind: QuotaKind,
) -> Result<Quota, Fault> {
    let found = context.catalog.account(account).await?;
    Ok(for_loaded_account(context, found.as_ref(), kind))
}

/// Like [`for_account`], for an account that is loaded already.
pub(super) fn for_loaded_account(
    context: &Context,
    account: Option<&Account>,
    kind: QuotaKind,
) -> Quota {
    let nobody = (false, QuotaOverrides::default());
    let (is_root, chosen) = account.map_or(nobody, |account| (account.root, account.quotas));
    context.settings.quotas.effective(kind, is_root, &chosen)
}

/// The parameter that sets the quota of one account.
pub(super) const fn parameter(kind: QuotaKind) -> &'static str {
    match kind {
        QuotaKind::Domains => "QuotaDomains",
        QuotaKind::Certificates => "QuotaCertificates",
        QuotaKind::CsrKeys => "QuotaCsrKeys",
    }
}

/// The setting that holds the default quota.
const fn setting(kind: QuotaKind) -> &'static str {
    match kind {
        QuotaKind::Domains => "quota_domains",
        QuotaKind::Certificates => "quota_certificates",
        QuotaKind::CsrKeys => "quota_csr_keys",
    }
}

impl ApiError for OverQuota {
    fn code(&self) -> Code {
        match self.kind {
            QuotaKind::Domains => Code::DomainOverLimit,
            QuotaKind::Certificates => Code::TooManyCertificates,
            QuotaKind::CsrKeys => Code::TooManySigningRequests,
        }
    }

    fn codes() -> Vec<Code> {
        vec![
            Code::DomainOverLimit,
            Code::TooManyCertificates,
            Code::TooManySigningRequests,
        ]
    }

    fn detail(&self) -> Option<String> {
        Some(over_quota_detail(self))
    }
}

/// Advice to a caller at the quota.
pub(super) fn over_quota_detail(over: &OverQuota) -> String {
    let first = match over.kind {
        QuotaKind::Domains => "delete some",
        QuotaKind::Certificates => "remove those that no domain uses any more",
        QuotaKind::CsrKeys => "each is kept for 400 days",
    };
    format!(
        "{over}; {first}, or ask the operator to raise {} of the account (UpdateAccount) or {} of the installation",
        parameter(over.kind),
        setting(over.kind)
    )
}
