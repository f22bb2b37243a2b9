//! Edgeseal's own actions, version 2026-12-01: for tasks that the cloud's staff and console do.

mod access_key;
mod create_access_key;
mod create_account;
mod delete_access_key;
mod describe_alarms;
mod describe_audit_records;
mod describe_certificate_expiry;
mod describe_domain_history;
mod describe_key_encryption;
mod describe_reissue;
mod describe_rollout;
mod explain_decision;
mod key_encryption_key;
mod list_accounts;
mod reissue;
mod reissue_certificates;
mod retire_key_encryption_key;
mod revoke_certificate;
mod rotate_key_encryption_key;
mod set_domain_mode;
mod silence_alarm;
mod test_alarm;
mod update_access_key;
mod update_account;

pub use create_access_key::CreateAccessKey;
pub use create_account::CreateAccount;
pub use delete_access_key::DeleteAccessKey;
pub use describe_alarms::DescribeAlarms;
pub use describe_audit_records::DescribeAuditRecords;
pub use describe_certificate_expiry::DescribeCertificateExpiry;
pub use describe_domain_history::DescribeDomainHistory;
pub use describe_key_encryption::DescribeKeyEncryption;
pub use describe_reissue::{DescribeReissue, ResumeReissue, StopReissue};
pub use describe_rollout::DescribeRollout;
pub use explain_decision::ExplainDecision;
pub use list_accounts::ListAccounts;
pub use reissue_certificates::ReissueCertificates;
pub use retire_key_encryption_key::RetireKeyEncryptionKey;
pub use revoke_certificate::{DescribeRevocations, RevokeCertificate};
pub use rotate_key_encryption_key::RotateKeyEncryptionKey;
pub use set_domain_mode::SetDomainMode;
pub use silence_alarm::{SilenceAlarm, UnsilenceAlarm};
pub use test_alarm::TestAlarm;
pub use update_access_key::UpdateAccessKey;
pub use update_account::UpdateAccount;

use super::cdn;

crate::actions::actions! {
    EDGESEAL "CreateAccessKey" Account("AccountId") Operator => CreateAccessKey;
    EDGESEAL "CreateAccount" AllAccounts("AccountName") Operator => CreateAccount;
    EDGESEAL "DeleteAccessKey" Account("UserAccessKeyId") Operator => DeleteAccessKey;
    EDGESEAL "ExplainDecision" Edgeseal("") OwnAccount => ExplainDecision;
    EDGESEAL "DescribeKeyEncryption" Edgeseal("") Operator => DescribeKeyEncryption;
    EDGESEAL "DescribeAlarms" Edgeseal("") OwnAccount => DescribeAlarms;
    EDGESEAL "DescribeAuditRecords" Edgeseal("") OwnAccount => DescribeAuditRecords;
    EDGESEAL "DescribeCertificateExpiry" Edgeseal("") OwnAccount => DescribeCertificateExpiry;
    EDGESEAL "DescribeDomainHistory" Domain("DomainName") OwnAccount => DescribeDomainHistory;
    EDGESEAL "DescribeReissue" Edgeseal("") Operator => DescribeReissue;
    EDGESEAL "DescribeRevocations" Domain("DomainName") OwnAccount => DescribeRevocations;
    EDGESEAL "DescribeRollout" Domain("DomainName") OwnAccount => DescribeRollout;
    EDGESEAL "ImportCertificate" EachDomain("DomainName") OwnAccount => cdn::ImportCertificate;
    EDGESEAL "ListAccounts" AllAccounts("") Operator => ListAccounts;
    EDGESEAL "ReissueCertificates" Edgeseal("") Operator => ReissueCertificates;
    EDGESEAL "ResumeReissue" Edgeseal("") Operator => ResumeReissue;
    EDGESEAL "RetireKeyEncryptionKey" Edgeseal("KeyId") Operator => RetireKeyEncryptionKey;
    EDGESEAL "RevokeCertificate" Domain("DomainName") OwnAccount => RevokeCertificate;
    EDGESEAL "RotateKeyEncryptionKey" Edgeseal("") Operator => RotateKeyEncryptionKey;
    EDGESEAL "SetDomainMode" Domain("DomainName") Operator => SetDomainMode;
    EDGESEAL "SilenceAlarm" Domain("DomainName") OwnAccount => SilenceAlarm;
    EDGESEAL "StopReissue" Edgeseal("") Operator => StopReissue;
    EDGESEAL "TestAlarm" Edgeseal("") Operator => TestAlarm;
    EDGESEAL "UnsilenceAlarm" Domain("DomainName") OwnAccount => UnsilenceAlarm;
    EDGESEAL "UpdateAccessKey" Account("UserAccessKeyId") Operator => UpdateAccessKey;
    EDGESEAL "UpdateAccount" Account("AccountId") Operator => UpdateAccount;
}
