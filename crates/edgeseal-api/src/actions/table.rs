//! All implemented actions: one row each, with the facts that are not in `spec/`.

use std::sync::LazyLock;

use edgeseal_core::{
    identity::{RoleName, UserName},
    policy::Scope,
};

use super::{Action, ResourceKind};
use crate::{
    authorize::Authorized,
    code::Code,
    error::ApiError,
    operation::{self, Handler, Operation, UnsignedCall},
    ops::{cas, cdn, dcdn, edgeseal, ram, sts},
};

pub(super) const CDN: &str = "2018-05-10";
const CDN_2014: &str = "2014-11-11";
const DCDN: &str = "2018-01-15";
const CAS: &str = "2020-04-07";
const CAS_2018: &str = "2018-07-13";
const CAS_2018_08: &str = "2018-08-13";
const RAM: &str = "2015-05-01";
const STS: &str = "2015-04-01";
pub(super) const EDGESEAL: &str = "2026-12-01";

macro_rules! action {
    ($version:ident $name:literal $resource:ident($resource_param:literal) $scope:ident => $op:ty) => {
        Action {
            resource: ResourceKind::$resource,
            resource_param: $resource_param,
            scope: Scope::$scope,
            ..Action::new(
                ($version, $name),
                error_codes::<Authorized, $op>,
                Handler::Signed(operation::handle::<$op>),
            )
        }
    };
    // The call is unsigned, so no policy of a caller is evaluated.
    ($version:ident $name:literal unsigned($resource_param:literal) => $op:ty) => {
        Action {
            resource_param: $resource_param,
            ..Action::new(
                ($version, $name),
                error_codes::<UnsignedCall, $op>,
                Handler::Unsigned(operation::handle_unsigned::<$op>),
            )
        }
    };
}

fn error_codes<Call: 'static, Op: Operation<Call>>() -> Vec<Code> {
    Op::Error::codes()
}

/// All implemented actions. Their rate, access and permission are in `spec/actions.tsv`.
#[rustfmt::skip]
pub static ACTIONS: LazyLock<Vec<Action>> = LazyLock::new(|| vec![
    action!(CDN "AddCdnDomain" Domain("DomainName") OwnAccount => cdn::AddCdnDomain),
    action!(CDN "BatchAddCdnDomain" EachDomain("DomainName") OwnAccount => cdn::BatchAddCdnDomain),
    action!(CDN "BatchDeleteCdnDomainConfig" EachDomain("DomainNames") OwnAccount => cdn::BatchDeleteCdnDomainConfig),
    action!(CDN "BatchSetCdnDomainConfig" EachDomain("DomainNames") OwnAccount => cdn::BatchSetCdnDomainConfig),
    action!(CDN "BatchSetCdnDomainServerCertificate" EachDomain("DomainName") OwnAccount => cdn::BatchSetCdnDomainServerCertificate),
    action!(CDN "BatchStartCdnDomain" EachDomain("DomainNames") OwnAccount => cdn::BatchStartCdnDomain),
    action!(CDN "BatchStopCdnDomain" EachDomain("DomainNames") OwnAccount => cdn::BatchStopCdnDomain),
    action!(CDN "BatchUpdateCdnDomain" EachDomain("DomainName") OwnAccount => cdn::BatchUpdateCdnDomain),
    action!(CDN "CreateCdnCertificateSigningRequest" Service("CommonName") OwnAccount => cdn::CreateCdnCertificateSigningRequest),
    action!(CDN "DeleteCdnDomain" Domain("DomainName") OwnAccount => cdn::DeleteCdnDomain),
    action!(CDN "DeleteSpecificConfig" Domain("DomainName") OwnAccount => cdn::DeleteSpecificConfig),
    action!(CDN "DeleteSpecificStagingConfig" Domain("DomainName") OwnAccount => cdn::DeleteSpecificStagingConfig),
    action!(CDN "DescribeCdnCertificateDetail" Service("CertName") OwnAccount => cdn::DescribeCdnCertificateDetail),
    action!(CDN "DescribeCdnCertificateDetailById" Service("CertId") OwnAccount => cdn::DescribeCdnCertificateDetailById),
    action!(CDN "DescribeCdnCertificateList" AllDomains("DomainName") OwnAccount => cdn::DescribeCdnCertificateList),
    action!(CDN "DescribeCdnDeletedDomains" AllDomains("") OwnAccount => cdn::DescribeCdnDeletedDomains),
    action!(CDN "DescribeCdnDomainByCertificate" Unnamed("") OwnAccount => cdn::DescribeCdnDomainByCertificate),
    action!(CDN "DescribeCdnDomainConfigs" Domain("DomainName") OwnAccount => cdn::DescribeCdnDomainConfigs),
    action!(CDN "DescribeCdnDomainDetail" Domain("DomainName") OwnAccount => cdn::DescribeCdnDomainDetail),
    action!(CDN "DescribeCdnDomainStagingConfig" Domain("DomainName") OwnAccount => cdn::DescribeCdnDomainStagingConfig),
    action!(CDN "DescribeCdnHttpsDomainList" AllDomains("") OwnAccount => cdn::DescribeCdnHttpsDomainList),
    action!(CDN "DescribeCdnSMCertificateDetail" Service("CertIdentifier") OwnAccount => cdn::SmCertificates),
    action!(CDN "DescribeCdnSMCertificateList" Domain("DomainName") OwnAccount => cdn::SmCertificates),
    action!(CDN "DescribeCdnSSLCertificateList" AllDomains("DomainName") OwnAccount => cdn::DescribeCdnSslCertificateList),
    action!(CDN "DescribeCdnService" Service("") OwnAccount => cdn::DescribeCdnService),
    action!(CDN "DescribeCdnUserQuota" Service("") OwnAccount => cdn::DescribeCdnUserQuota),
    action!(CDN "DescribeCdnUserDomainsByFunc" AllDomains("") OwnAccount => cdn::DescribeCdnUserDomainsByFunc),
    action!(CDN "DescribeCertificateInfoByID" Service("CertId") OwnAccount => cdn::DescribeCertificateInfoById),
    action!(CDN "DescribeDomainCertificateInfo" Domain("DomainName") OwnAccount => cdn::DescribeDomainCertificateInfo),
    action!(CDN "DescribeDomainCname" EachDomain("DomainName") OwnAccount => cdn::DescribeDomainCname),
    action!(CDN "DescribeDomainVerifyData" Unnamed("DomainName") OwnAccount => cdn::DescribeDomainVerifyData),
    action!(CDN "DescribeRefreshQuota" Service("") OwnAccount => cdn::DescribeRefreshQuota),
    action!(CDN "DescribeRefreshTaskById" Service("TaskId") OwnAccount => cdn::DescribeRefreshTaskById),
    action!(CDN "DescribeRefreshTasks" AllDomains("DomainName") OwnAccount => cdn::DescribeRefreshTasks),
    action!(CDN "DescribeTagResources" EachDomain("ResourceId.N") OwnAccount => cdn::DescribeTagResources),
    action!(CDN "DescribeUserCertificateExpireCount" AllDomains("") OwnAccount => cdn::DescribeUserCertificateExpireCount),
    action!(CDN "DescribeUserDomains" AllDomains("DomainName") OwnAccount => cdn::DescribeUserDomains),
    action!(CDN "DescribeVerifyContent" Unnamed("DomainName") OwnAccount => cdn::DescribeVerifyContent),
    action!(CDN "ListTagResources" EachDomain("ResourceId.N") OwnAccount => cdn::ListTagResources),
    action!(CDN "ModifyCdnDomain" Domain("DomainName") OwnAccount => cdn::ModifyCdnDomain),
    action!(CDN "ModifyCdnDomainSchdmByProperty" Domain("DomainName") OwnAccount => cdn::ModifyCdnDomainSchdmByProperty),
    action!(CDN "PublishStagingConfigToProduction" Domain("DomainName") OwnAccount => cdn::PublishStagingConfigToProduction),
    action!(CDN "PushObjectCache" EachUrl("ObjectPath") OwnAccount => cdn::PushObjectCache),
    action!(CDN "RefreshObjectCaches" EachUrl("ObjectPath") OwnAccount => cdn::RefreshObjectCaches),
    action!(CDN "RollbackStagingConfig" Domain("DomainName") OwnAccount => cdn::RollbackStagingConfig),
    action!(CDN "SetCdnDomainCSRCertificate" Domain("DomainName") OwnAccount => cdn::SetCdnDomainCsrCertificate),
    action!(CDN "SetCdnDomainSMCertificate" Domain("DomainName") OwnAccount => cdn::SmCertificates),
    action!(CDN "SetCdnDomainSSLCertificate" Domain("DomainName") OwnAccount => cdn::SetCdnDomainSslCertificate),
    action!(CDN "SetCdnDomainStagingConfig" Domain("DomainName") OwnAccount => cdn::SetCdnDomainStagingConfig),
    action!(CDN "SetDomainServerCertificate" Domain("DomainName") OwnAccount => cdn::SetDomainServerCertificate),
    action!(CDN "StartCdnDomain" Domain("DomainName") OwnAccount => cdn::StartCdnDomain),
    action!(CDN "StopCdnDomain" Domain("DomainName") OwnAccount => cdn::StopCdnDomain),
    action!(CDN "TagResources" EachDomain("ResourceId.N") OwnAccount => cdn::TagResources),
    action!(CDN "UntagResources" EachDomain("ResourceId.N") OwnAccount => cdn::UntagResources),
    action!(CDN "VerifyDomainOwner" Unnamed("DomainName") OwnAccount => cdn::VerifyDomainOwner),
    action!(CDN_2014 "BatchSetCdnDomainServerCertificate" EachDomain("DomainName") OwnAccount => cdn::BatchSetCdnDomainServerCertificate),
    action!(CDN_2014 "DescribeCdnDomainDetail" Domain("DomainName") OwnAccount => cdn::DescribeCdnDomainDetail2014),
    action!(CDN_2014 "DescribeCdnService" Service("") OwnAccount => cdn::DescribeCdnService),
    action!(CDN_2014 "DescribeUserDomains" AllDomains("DomainName") OwnAccount => cdn::DescribeUserDomains),
    action!(CDN_2014 "SetDomainServerCertificate" Domain("DomainName") OwnAccount => cdn::SetDomainServerCertificate),
    action!(CDN_2014 "SetForceRedirectConfig" Domain("DomainName") OwnAccount => cdn::SetForceRedirectConfig),
    action!(DCDN "AddDcdnDomain" Domain("DomainName") OwnAccount => cdn::AddDcdnDomain),
    action!(DCDN "BatchAddDcdnDomain" EachDomain("DomainName") OwnAccount => cdn::BatchAddDcdnDomain),
    action!(DCDN "BatchDeleteDcdnDomainConfigs" EachDomain("DomainNames") OwnAccount => cdn::BatchDeleteCdnDomainConfig),
    action!(DCDN "BatchSetDcdnDomainCertificate" EachDomain("DomainName") OwnAccount => cdn::BatchSetDcdnDomainCertificate),
    action!(DCDN "BatchSetDcdnDomainConfigs" EachDomain("DomainNames") OwnAccount => cdn::BatchSetCdnDomainConfig),
    action!(DCDN "BatchStartDcdnDomain" EachDomain("DomainNames") OwnAccount => cdn::BatchStartCdnDomain),
    action!(DCDN "BatchStopDcdnDomain" EachDomain("DomainNames") OwnAccount => cdn::BatchStopCdnDomain),
    action!(DCDN "DeleteDcdnDomain" Domain("DomainName") OwnAccount => cdn::DeleteCdnDomain),
    action!(DCDN "DeleteDcdnSpecificConfig" Domain("DomainName") OwnAccount => cdn::DeleteSpecificConfig),
    action!(DCDN "DescribeDcdnDomainCertificateInfo" Domain("DomainName") OwnAccount => dcdn::DescribeDcdnDomainCertificateInfo),
    action!(DCDN "DescribeDcdnDomainConfigs" Domain("DomainName") OwnAccount => cdn::DescribeCdnDomainConfigs),
    action!(DCDN "DescribeDcdnDomainDetail" Domain("DomainName") OwnAccount => dcdn::DescribeDcdnDomainDetail),
    action!(DCDN "DescribeDcdnRefreshQuota" Service("") OwnAccount => cdn::DescribeDcdnRefreshQuota),
    action!(DCDN "DescribeDcdnRefreshTaskById" Service("TaskId") OwnAccount => cdn::DescribeRefreshTaskById),
    action!(DCDN "DescribeDcdnRefreshTasks" AllDomains("DomainName") OwnAccount => cdn::DescribeDcdnRefreshTasks),
    action!(DCDN "DescribeDcdnTagResources" EachDomain("ResourceId.N") OwnAccount => cdn::DescribeTagResources),
    action!(DCDN "DescribeDcdnUserDomains" AllDomains("DomainName") OwnAccount => dcdn::DescribeDcdnUserDomains),
    action!(DCDN "ModifyDCdnDomainSchdmByProperty" Domain("DomainName") OwnAccount => cdn::ModifyCdnDomainSchdmByProperty),
    action!(DCDN "PreloadDcdnObjectCaches" EachUrl("ObjectPath") OwnAccount => cdn::PreloadDcdnObjectCaches),
    action!(DCDN "RefreshDcdnObjectCaches" EachUrl("ObjectPath") OwnAccount => cdn::RefreshObjectCaches),
    action!(DCDN "SetDcdnDomainCertificate" Domain("DomainName") OwnAccount => cdn::SetDcdnDomainCertificate),
    action!(DCDN "SetDcdnDomainSSLCertificate" Domain("DomainName") OwnAccount => cdn::SetCdnDomainSslCertificate),
    action!(DCDN "StartDcdnDomain" Domain("DomainName") OwnAccount => cdn::StartCdnDomain),
    action!(DCDN "StopDcdnDomain" Domain("DomainName") OwnAccount => cdn::StopCdnDomain),
    action!(DCDN "TagDcdnResources" EachDomain("ResourceId.N") OwnAccount => cdn::TagResources),
    action!(DCDN "UntagDcdnResources" EachDomain("ResourceId.N") OwnAccount => cdn::UntagResources),
    action!(DCDN "UpdateDcdnDomain" Domain("DomainName") OwnAccount => cdn::ModifyCdnDomain),
    action!(CAS "CreateDeploymentJob" Cas("Name") OwnAccount => cas::CreateDeploymentJob),
    action!(CAS "DeleteDeploymentJob" Cas("JobId") OwnAccount => cas::DeleteDeploymentJob),
    action!(CAS "DeleteUserCertificate" Cas("CertId") OwnAccount => cas::DeleteUserCertificate),
    action!(CAS "DescribeDeploymentJob" Cas("JobId") OwnAccount => cas::DescribeDeploymentJob),
    action!(CAS "DescribeDeploymentJobStatus" Cas("JobId") OwnAccount => cas::DescribeDeploymentJobStatus),
    action!(CAS "GetCertificateDetail" Cas("CertificateId") OwnAccount => cas::GetCertificateDetail),
    action!(CAS "GetUserCertificateDetail" Cas("CertId") OwnAccount => cas::GetUserCertificateDetail),
    action!(CAS "ListCertificates" Cas("") OwnAccount => cas::ListCertificates),
    action!(CAS "ListCloudResources" Cas("") OwnAccount => cas::ListCloudResources),
    action!(CAS "ListContact" Cas("") OwnAccount => cas::ListContact),
    action!(CAS "ListDeploymentJob" Cas("") OwnAccount => cas::ListDeploymentJob),
    action!(CAS "ListUserCertificateOrder" Cas("") OwnAccount => cas::ListUserCertificateOrder),
    action!(CAS "ListWorkerResource" Cas("JobId") OwnAccount => cas::ListWorkerResource),
    action!(CAS "UpdateDeploymentJobStatus" Cas("JobId") OwnAccount => cas::UpdateDeploymentJobStatus),
    action!(CAS "UploadUserCertificate" Cas("Name") OwnAccount => cas::UploadUserCertificate),
    action!(CAS_2018 "CreateUserCertificate" Cas("Name") OwnAccount => cas::CreateUserCertificate),
    action!(CAS_2018 "DeleteUserCertificate" Cas("CertId") OwnAccount => cas::DeleteUserCertificate2018),
    action!(CAS_2018 "DescribeUserCertificateDetail" Cas("CertId") OwnAccount => cas::DescribeUserCertificateDetail),
    action!(CAS_2018 "DescribeUserCertificateList" Cas("") OwnAccount => cas::DescribeUserCertificateList),
    action!(CAS_2018_08 "CreateCertificateName" Cas("CertificateId") OwnAccount => cas::CreateCertificateName),
    action!(RAM "AttachPolicyToRole" RoleAndPolicy("RoleName") OwnAccount => ram::AttachPolicy<RoleName>),
    action!(RAM "AttachPolicyToUser" UserAndPolicy("UserName") OwnAccount => ram::AttachPolicy<UserName>),
    action!(RAM "CreateAccessKey" User("UserName") OwnAccount => ram::CreateAccessKey),
    action!(RAM "CreatePolicy" Policy("PolicyName") OwnAccount => ram::CreatePolicy),
    action!(RAM "CreatePolicyVersion" Policy("PolicyName") OwnAccount => ram::CreatePolicyVersion),
    action!(RAM "CreateRole" Role("RoleName") OwnAccount => ram::CreateRole),
    action!(RAM "CreateUser" User("UserName") OwnAccount => ram::CreateUser),
    action!(RAM "DecodeDiagnosticMessage" Unnamed("") OwnAccount => ram::DecodeDiagnosticMessage),
    action!(RAM "DeleteAccessKey" User("UserAccessKeyId") OwnAccount => ram::DeleteAccessKey),
    action!(RAM "DeleteLoginProfile" User("UserName") OwnAccount => ram::DeleteLoginProfile),
    action!(RAM "DeletePolicy" Policy("PolicyName") OwnAccount => ram::DeletePolicy),
    action!(RAM "DeletePolicyVersion" Policy("PolicyName") OwnAccount => ram::DeletePolicyVersion),
    action!(RAM "DeleteRole" Role("RoleName") OwnAccount => ram::DeleteIdentity<RoleName>),
    action!(RAM "DeleteUser" User("UserName") OwnAccount => ram::DeleteIdentity<UserName>),
    action!(RAM "DetachPolicyFromRole" RoleAndPolicy("RoleName") OwnAccount => ram::DetachPolicy<RoleName>),
    action!(RAM "DetachPolicyFromUser" UserAndPolicy("UserName") OwnAccount => ram::DetachPolicy<UserName>),
    action!(RAM "GetAccessKeyLastUsed" User("UserAccessKeyId") OwnAccount => ram::GetAccessKeyLastUsed),
    action!(RAM "GetPolicy" Policy("PolicyName") OwnAccount => ram::GetPolicy),
    action!(RAM "GetPolicyVersion" Policy("PolicyName") OwnAccount => ram::GetPolicyVersion),
    action!(RAM "GetRole" Role("RoleName") OwnAccount => ram::GetIdentity<RoleName>),
    action!(RAM "GetUser" User("UserName") OwnAccount => ram::GetIdentity<UserName>),
    action!(RAM "ListAccessKeys" User("UserName") OwnAccount => ram::ListAccessKeys),
    action!(RAM "ListEntitiesForPolicy" Policy("PolicyName") OwnAccount => ram::ListEntitiesForPolicy),
    action!(RAM "ListGroupsForUser" User("UserName") OwnAccount => ram::ListGroupsForUser),
    action!(RAM "ListPolicies" Policy("") OwnAccount => ram::ListPolicies),
    action!(RAM "ListPoliciesForRole" Role("RoleName") OwnAccount => ram::ListPoliciesFor<RoleName>),
    action!(RAM "ListPoliciesForUser" User("UserName") OwnAccount => ram::ListPoliciesFor<UserName>),
    action!(RAM "ListPolicyVersions" Policy("PolicyName") OwnAccount => ram::ListPolicyVersions),
    action!(RAM "ListRoles" Role("") OwnAccount => ram::ListRoles),
    action!(RAM "ListTagResources" Unnamed("ResourceNames") OwnAccount => ram::ListTagResources),
    action!(RAM "ListUsers" User("") OwnAccount => ram::ListUsers),
    action!(RAM "SetDefaultPolicyVersion" Policy("PolicyName") OwnAccount => ram::SetDefaultPolicyVersion),
    action!(RAM "UnbindMFADevice" User("UserName") OwnAccount => ram::UnbindMfaDevice),
    action!(RAM "UpdateAccessKey" User("UserAccessKeyId") OwnAccount => ram::UpdateAccessKey),
    action!(RAM "UpdatePolicyDescription" Policy("PolicyName") OwnAccount => ram::UpdatePolicyDescription),
    action!(RAM "UpdateRole" Role("RoleName") OwnAccount => ram::UpdateRole),
    action!(RAM "UpdateUser" RenamedUser("UserName") OwnAccount => ram::UpdateUser),
    action!(STS "AssumeRole" AssumedRole("RoleArn") OwnAccount => sts::AssumeRole),
    action!(STS "AssumeRoleWithOIDC" unsigned("RoleArn") => sts::AssumeRoleWithOidc),
    action!(STS "GetCallerIdentity" Unnamed("") Caller => sts::GetCallerIdentity),
    action!(EDGESEAL "CreateAccessKey" Account("AccountId") Operator => edgeseal::CreateAccessKey),
    action!(EDGESEAL "CreateAccount" AllAccounts("AccountName") Operator => edgeseal::CreateAccount),
    action!(EDGESEAL "DeleteAccessKey" Account("UserAccessKeyId") Operator => edgeseal::DeleteAccessKey),
    action!(EDGESEAL "ExplainDecision" Edgeseal("") OwnAccount => edgeseal::ExplainDecision),
    action!(EDGESEAL "DescribeKeyEncryption" Edgeseal("") Operator => edgeseal::DescribeKeyEncryption),
    action!(EDGESEAL "DescribeAuditRecords" Edgeseal("") OwnAccount => edgeseal::DescribeAuditRecords),
    action!(EDGESEAL "DescribeRollout" Domain("DomainName") OwnAccount => edgeseal::DescribeRollout),
    action!(EDGESEAL "ImportCertificate" EachDomain("DomainName") OwnAccount => cdn::ImportCertificate),
    action!(EDGESEAL "ListAccounts" AllAccounts("") Operator => edgeseal::ListAccounts),
    action!(EDGESEAL "RetireKeyEncryptionKey" Edgeseal("KeyId") Operator => edgeseal::RetireKeyEncryptionKey),
    action!(EDGESEAL "RotateKeyEncryptionKey" Edgeseal("") Operator => edgeseal::RotateKeyEncryptionKey),
    action!(EDGESEAL "SetDomainMode" Domain("DomainName") Operator => edgeseal::SetDomainMode),
    action!(EDGESEAL "UpdateAccessKey" Account("UserAccessKeyId") Operator => edgeseal::UpdateAccessKey),
    action!(EDGESEAL "UpdateAccount" Account("AccountId") Operator => edgeseal::UpdateAccount),
]);
