//! All actions that are implemented: one row each.

use edgeseal_core::{policy::Sphere, rate::Limit};

use super::{Access, Action, Target};
use crate::{
    operation::{self, Run},
    ops::{cas, cdn, dcdn, edgeseal, ram, sts},
};

pub(super) const CDN: &str = "2018-05-10";
const CDN_2014: &str = "2014-11-11";
const DCDN: &str = "2018-01-15";
const CAS: &str = "2020-04-07";
const CAS_2018: &str = "2018-07-13";
const RAM: &str = "2015-05-01";
const STS: &str = "2015-04-01";
pub(super) const EDGESEAL: &str = "2026-12-01";

macro_rules! action {
    // The operation is given the domains that its caller was judged by.
    ($version:ident $name:literal $calls:literal/s $access:ident EachDomain($named_by:literal) $sphere:ident $permission:literal => $op:ty) => {
        Action {
            version: $version,
            name: $name,
            limit: Limit::per_second($calls),
            access: Access::$access,
            permission: $permission,
            target: Target::EachDomain,
            named_by: $named_by,
            sphere: Sphere::$sphere,
            codes: <$op as operation::BatchOperation>::CODES,
            run: Run::Signed(operation::run_batch::<$op>),
        }
    };
    ($version:ident $name:literal $calls:literal/s $access:ident $target:ident($named_by:literal) $sphere:ident $permission:literal => $op:ty) => {
        Action {
            version: $version,
            name: $name,
            limit: Limit::per_second($calls),
            access: Access::$access,
            permission: $permission,
            target: Target::$target,
            named_by: $named_by,
            sphere: Sphere::$sphere,
            codes: <$op as operation::Operation>::CODES,
            run: Run::Signed(operation::run::<$op>),
        }
    };
    // Nobody signs it, so no policy of a caller is asked.
    ($version:ident $name:literal $calls:literal/s $access:ident unsigned($named_by:literal) => $op:ty) => {
        Action {
            version: $version,
            name: $name,
            limit: Limit::per_second($calls),
            access: Access::$access,
            permission: "-",
            target: Target::Everything,
            named_by: $named_by,
            sphere: Sphere::Caller,
            codes: <$op as operation::Unsigned>::CODES,
            run: Run::Unsigned(operation::run_unsigned::<$op>),
        }
    };
}

/// All actions that are implemented.
#[rustfmt::skip]
pub static ACTIONS: &[Action] = &[
    action!(CDN "AddCdnDomain" 30/s Write Domain("DomainName") OwnAccount "cdn:AddCdnDomain" => cdn::AddCdnDomain),
    action!(CDN "BatchAddCdnDomain" 30/s Write EachDomain("DomainName") OwnAccount "cdn:BatchAddCdnDomain" => cdn::BatchAddCdnDomain),
    action!(CDN "BatchDeleteCdnDomainConfig" 30/s Write EachDomain("DomainNames") OwnAccount "cdn:BatchDeleteCdnDomainConfig" => cdn::BatchDeleteCdnDomainConfig),
    action!(CDN "BatchSetCdnDomainConfig" 30/s Write EachDomain("DomainNames") OwnAccount "cdn:BatchSetCdnDomainConfig" => cdn::BatchSetCdnDomainConfig),
    action!(CDN "BatchSetCdnDomainServerCertificate" 10/s Write EachDomain("DomainName") OwnAccount "cdn:BatchSetCdnDomainServerCertificate" => cdn::BatchSetCdnDomainServerCertificate),
    action!(CDN "BatchStartCdnDomain" 30/s Write EachDomain("DomainNames") OwnAccount "cdn:BatchStartCdnDomain" => cdn::BatchStartCdnDomain),
    action!(CDN "BatchStopCdnDomain" 30/s Write EachDomain("DomainNames") OwnAccount "cdn:BatchStopCdnDomain" => cdn::BatchStopCdnDomain),
    action!(CDN "CreateCdnCertificateSigningRequest" 100/s Write Service("CommonName") OwnAccount "cdn:CreateCdnCertificateSigningRequest" => cdn::CreateCdnCertificateSigningRequest),
    action!(CDN "DeleteCdnDomain" 10/s Write Domain("DomainName") OwnAccount "cdn:DeleteCdnDomain" => cdn::DeleteCdnDomain),
    action!(CDN "DeleteSpecificConfig" 30/s Write Domain("DomainName") OwnAccount "cdn:DeleteSpecificConfig" => cdn::DeleteSpecificConfig),
    action!(CDN "DeleteSpecificStagingConfig" 20/s Write Domain("DomainName") OwnAccount "cdn:DeleteSpecificStagingConfig" => cdn::DeleteSpecificStagingConfig),
    action!(CDN "DescribeCdnCertificateDetail" 20/s Read Service("CertName") OwnAccount "cdn:DescribeCdnCertificateDetail" => cdn::DescribeCdnCertificateDetail),
    action!(CDN "DescribeCdnCertificateDetailById" 100/s Read Service("CertId") OwnAccount "cdn:DescribeCdnCertificateDetailById" => cdn::DescribeCdnCertificateDetailById),
    action!(CDN "DescribeCdnCertificateList" 30/s Read Domains("DomainName") OwnAccount "cdn:DescribeCdnCertificateList" => cdn::DescribeCdnCertificateList),
    action!(CDN "DescribeCdnDeletedDomains" 100/s Read Domains("") OwnAccount "cdn:DescribeCdnDeletedDomains" => cdn::DescribeCdnDeletedDomains),
    action!(CDN "DescribeCdnDomainByCertificate" 100/s Read Everything("") OwnAccount "cdn:DescribeCdnDomainByCertificate" => cdn::DescribeCdnDomainByCertificate),
    action!(CDN "DescribeCdnDomainConfigs" 100/s Read Domain("DomainName") OwnAccount "cdn:DescribeCdnDomainConfigs" => cdn::DescribeCdnDomainConfigs),
    action!(CDN "DescribeCdnDomainDetail" 30/s Read Domain("DomainName") OwnAccount "cdn:DescribeCdnDomainDetail" => cdn::DescribeCdnDomainDetail),
    action!(CDN "DescribeCdnDomainStagingConfig" 30/s Read Domain("DomainName") OwnAccount "cdn:DescribeCdnDomainStagingConfig" => cdn::DescribeCdnDomainStagingConfig),
    action!(CDN "DescribeCdnHttpsDomainList" 100/s Read Domains("") OwnAccount "cdn:DescribeCdnHttpsDomainList" => cdn::DescribeCdnHttpsDomainList),
    action!(CDN "DescribeCdnSMCertificateDetail" 20/s Read Service("CertIdentifier") OwnAccount "cdn:DescribeCdnSMCertificateDetail" => cdn::SmCertificates),
    action!(CDN "DescribeCdnSMCertificateList" 30/s Read Domain("DomainName") OwnAccount "cdn:DescribeCdnSMCertificateList" => cdn::SmCertificates),
    action!(CDN "DescribeCdnSSLCertificateList" 100/s Read Domains("DomainName") OwnAccount "cdn:DescribeCdnSSLCertificateList" => cdn::DescribeCdnSslCertificateList),
    action!(CDN "DescribeCdnService" 100/s Read Service("") OwnAccount "cdn:DescribeCdnService" => cdn::DescribeCdnService),
    action!(CDN "DescribeCdnUserQuota" 100/s Read Service("") OwnAccount "cdn:DescribeCdnUserQuota" => cdn::DescribeCdnUserQuota),
    action!(CDN "DescribeCertificateInfoByID" 100/s Read Service("CertId") OwnAccount "cdn:DescribeCertificateInfoByID" => cdn::DescribeCertificateInfoById),
    action!(CDN "DescribeDomainCertificateInfo" 100/s Read Domain("DomainName") OwnAccount "cdn:DescribeDomainCertificateInfo" => cdn::DescribeDomainCertificateInfo),
    action!(CDN "DescribeDomainCname" 100/s Read EachDomain("DomainName") OwnAccount "cdn:DescribeDomainCname" => cdn::DescribeDomainCname),
    action!(CDN "DescribeDomainVerifyData" 100/s Read Everything("DomainName") OwnAccount "cdn:DescribeDomainVerifyData" => cdn::DescribeDomainVerifyData),
    action!(CDN "DescribeUserCertificateExpireCount" 100/s Read Domains("") OwnAccount "cdn:DescribeUserCertificateExpireCount" => cdn::DescribeUserCertificateExpireCount),
    action!(CDN "DescribeUserDomains" 100/s Read Domains("DomainName") OwnAccount "cdn:DescribeUserDomains" => cdn::DescribeUserDomains),
    action!(CDN "DescribeVerifyContent" 100/s Read Everything("DomainName") OwnAccount "cdn:DescribeVerifyContent" => cdn::DescribeVerifyContent),
    action!(CDN "ListTagResources" 100/s Read EachDomain("ResourceId.N") OwnAccount "cdn:ListTagResources" => cdn::ListTagResources),
    action!(CDN "ModifyCdnDomain" 30/s Write Domain("DomainName") OwnAccount "cdn:ModifyCdnDomain" => cdn::ModifyCdnDomain),
    action!(CDN "PublishStagingConfigToProduction" 30/s Write Domain("DomainName") OwnAccount "cdn:PublishStagingConfigToProduction" => cdn::PublishStagingConfigToProduction),
    action!(CDN "RollbackStagingConfig" 30/s Write Domain("DomainName") OwnAccount "cdn:RollbackStagingConfig" => cdn::RollbackStagingConfig),
    action!(CDN "SetCdnDomainCSRCertificate" 100/s Write Domain("DomainName") OwnAccount "cdn:SetCdnDomainCSRCertificate" => cdn::SetCdnDomainCsrCertificate),
    action!(CDN "SetCdnDomainSMCertificate" 30/s Write Domain("DomainName") OwnAccount "cdn:SetCdnDomainSMCertificate" => cdn::SmCertificates),
    action!(CDN "SetCdnDomainSSLCertificate" 30/s Write Domain("DomainName") OwnAccount "cdn:SetCdnDomainSSLCertificate" => cdn::SetCdnDomainSslCertificate),
    action!(CDN "SetCdnDomainStagingConfig" 30/s Write Domain("DomainName") OwnAccount "cdn:SetCdnDomainStagingConfig" => cdn::SetCdnDomainStagingConfig),
    action!(CDN "SetDomainServerCertificate" 10/s Write Domain("DomainName") OwnAccount "cdn:SetDomainServerCertificate" => cdn::SetDomainServerCertificate),
    action!(CDN "StartCdnDomain" 100/s Write Domain("DomainName") OwnAccount "cdn:StartCdnDomain" => cdn::StartCdnDomain),
    action!(CDN "StopCdnDomain" 40/s Write Domain("DomainName") OwnAccount "cdn:StopCdnDomain" => cdn::StopCdnDomain),
    action!(CDN "TagResources" 100/s Write EachDomain("ResourceId.N") OwnAccount "cdn:TagResources" => cdn::TagResources),
    action!(CDN "UntagResources" 30/s Write EachDomain("ResourceId.N") OwnAccount "cdn:UntagResources" => cdn::UntagResources),
    action!(CDN "VerifyDomainOwner" 100/s Write Everything("DomainName") OwnAccount "cdn:VerifyDomainOwner" => cdn::VerifyDomainOwner),
    action!(CDN_2014 "BatchSetCdnDomainServerCertificate" 10/s Write EachDomain("DomainName") OwnAccount "cdn:BatchSetCdnDomainServerCertificate" => cdn::BatchSetCdnDomainServerCertificate),
    action!(CDN_2014 "DescribeCdnDomainDetail" 30/s Read Domain("DomainName") OwnAccount "cdn:DescribeCdnDomainDetail" => cdn::DescribeCdnDomainDetail2014),
    action!(CDN_2014 "DescribeCdnService" 100/s Read Service("") OwnAccount "cdn:DescribeCdnService" => cdn::DescribeCdnService),
    action!(CDN_2014 "DescribeUserDomains" 100/s Read Domains("DomainName") OwnAccount "cdn:DescribeUserDomains" => cdn::DescribeUserDomains),
    action!(CDN_2014 "SetDomainServerCertificate" 10/s Write Domain("DomainName") OwnAccount "cdn:SetDomainServerCertificate" => cdn::SetDomainServerCertificate),
    action!(CDN_2014 "SetForceRedirectConfig" 30/s Write Domain("DomainName") OwnAccount "cdn:SetForceRedirectConfig" => cdn::SetForceRedirectConfig),
    action!(DCDN "DescribeDcdnDomainCertificateInfo" 100/s Read Domain("DomainName") OwnAccount "dcdn:DescribeDcdnDomainCertificateInfo" => dcdn::DescribeDcdnDomainCertificateInfo),
    action!(DCDN "DescribeDcdnDomainDetail" 30/s Read Domain("DomainName") OwnAccount "dcdn:DescribeDcdnDomainDetail" => dcdn::DescribeDcdnDomainDetail),
    action!(DCDN "DescribeDcdnUserDomains" 100/s Read Domains("DomainName") OwnAccount "dcdn:DescribeDcdnUserDomains" => dcdn::DescribeDcdnUserDomains),
    action!(DCDN "SetDcdnDomainSSLCertificate" 30/s Write Domain("DomainName") OwnAccount "dcdn:SetDcdnDomainSSLCertificate" => dcdn::SetDcdnDomainSslCertificate),
    action!(CAS "DeleteUserCertificate" 30/s Write Centre("CertId") OwnAccount "yundun-cert:DeleteUserCertificate" => cas::DeleteUserCertificate),
    action!(CAS "GetCertificateDetail" 100/s Read Centre("CertificateId") OwnAccount "yundun-cert:GetCertificateDetail" => cas::GetCertificateDetail),
    action!(CAS "GetUserCertificateDetail" 100/s Read Centre("CertId") OwnAccount "yundun-cert:GetUserCertificateDetail" => cas::GetUserCertificateDetail),
    action!(CAS "ListCertificates" 100/s Read Centre("") OwnAccount "yundun-cert:ListCertificates" => cas::ListCertificates),
    action!(CAS "ListUserCertificateOrder" 100/s Read Centre("") OwnAccount "yundun-cert:ListUserCertificateOrder" => cas::ListUserCertificateOrder),
    action!(CAS "UploadUserCertificate" 100/s Write Centre("Name") OwnAccount "yundun-cert:UploadUserCertificate" => cas::UploadUserCertificate),
    action!(CAS_2018 "CreateUserCertificate" 30/s Write Centre("Name") OwnAccount "yundun-cert:CreateUserCertificate" => cas::CreateUserCertificate),
    action!(CAS_2018 "DeleteUserCertificate" 30/s Write Centre("CertId") OwnAccount "yundun-cert:DeleteUserCertificate" => cas::DeleteUserCertificate2018),
    action!(CAS_2018 "DescribeUserCertificateDetail" 100/s Read Centre("CertId") OwnAccount "yundun-cert:DescribeUserCertificateDetail" => cas::DescribeUserCertificateDetail),
    action!(CAS_2018 "DescribeUserCertificateList" 100/s Read Centre("") OwnAccount "yundun-cert:DescribeUserCertificateList" => cas::DescribeUserCertificateList),
    action!(RAM "AttachPolicyToRole" 30/s Write RoleAndPolicy("RoleName") OwnAccount "ram:AttachPolicyToRole" => ram::AttachPolicyToRole),
    action!(RAM "AttachPolicyToUser" 30/s Write UserAndPolicy("UserName") OwnAccount "ram:AttachPolicyToUser" => ram::AttachPolicyToUser),
    action!(RAM "CreateAccessKey" 30/s Write User("UserName") OwnAccount "ram:CreateAccessKey" => ram::CreateAccessKey),
    action!(RAM "CreatePolicy" 30/s Write Policy("PolicyName") OwnAccount "ram:CreatePolicy" => ram::CreatePolicy),
    action!(RAM "CreatePolicyVersion" 30/s Write Policy("PolicyName") OwnAccount "ram:CreatePolicyVersion" => ram::CreatePolicyVersion),
    action!(RAM "CreateRole" 30/s Write Role("RoleName") OwnAccount "ram:CreateRole" => ram::CreateRole),
    action!(RAM "CreateUser" 30/s Write User("UserName") OwnAccount "ram:CreateUser" => ram::CreateUser),
    action!(RAM "DecodeDiagnosticMessage" 100/s Read Everything("") OwnAccount "ram:DecodeDiagnosticMessage" => ram::DecodeDiagnosticMessage),
    action!(RAM "DeleteAccessKey" 30/s Write User("UserAccessKeyId") OwnAccount "ram:DeleteAccessKey" => ram::DeleteAccessKey),
    action!(RAM "DeletePolicy" 30/s Write Policy("PolicyName") OwnAccount "ram:DeletePolicy" => ram::DeletePolicy),
    action!(RAM "DeletePolicyVersion" 30/s Write Policy("PolicyName") OwnAccount "ram:DeletePolicyVersion" => ram::DeletePolicyVersion),
    action!(RAM "DeleteRole" 30/s Write Role("RoleName") OwnAccount "ram:DeleteRole" => ram::DeleteRole),
    action!(RAM "DeleteUser" 30/s Write User("UserName") OwnAccount "ram:DeleteUser" => ram::DeleteUser),
    action!(RAM "DetachPolicyFromRole" 30/s Write RoleAndPolicy("RoleName") OwnAccount "ram:DetachPolicyFromRole" => ram::DetachPolicyFromRole),
    action!(RAM "DetachPolicyFromUser" 30/s Write UserAndPolicy("UserName") OwnAccount "ram:DetachPolicyFromUser" => ram::DetachPolicyFromUser),
    action!(RAM "GetAccessKeyLastUsed" 100/s Read User("UserAccessKeyId") OwnAccount "ram:GetAccessKeyLastUsed" => ram::GetAccessKeyLastUsed),
    action!(RAM "GetPolicy" 100/s Read Policy("PolicyName") OwnAccount "ram:GetPolicy" => ram::GetPolicy),
    action!(RAM "GetPolicyVersion" 100/s Read Policy("PolicyName") OwnAccount "ram:GetPolicyVersion" => ram::GetPolicyVersion),
    action!(RAM "GetRole" 100/s Read Role("RoleName") OwnAccount "ram:GetRole" => ram::GetRole),
    action!(RAM "GetUser" 100/s Read User("UserName") OwnAccount "ram:GetUser" => ram::GetUser),
    action!(RAM "ListAccessKeys" 100/s Read User("UserName") OwnAccount "ram:ListAccessKeys" => ram::ListAccessKeys),
    action!(RAM "ListEntitiesForPolicy" 100/s Read Policy("PolicyName") OwnAccount "ram:ListEntitiesForPolicy" => ram::ListEntitiesForPolicy),
    action!(RAM "ListPolicies" 100/s Read Policy("") OwnAccount "ram:ListPolicies" => ram::ListPolicies),
    action!(RAM "ListPoliciesForRole" 100/s Read Role("RoleName") OwnAccount "ram:ListPoliciesForRole" => ram::ListPoliciesForRole),
    action!(RAM "ListPoliciesForUser" 100/s Read User("UserName") OwnAccount "ram:ListPoliciesForUser" => ram::ListPoliciesForUser),
    action!(RAM "ListPolicyVersions" 100/s Read Policy("PolicyName") OwnAccount "ram:ListPolicyVersions" => ram::ListPolicyVersions),
    action!(RAM "ListRoles" 100/s Read Role("") OwnAccount "ram:ListRoles" => ram::ListRoles),
    action!(RAM "ListUsers" 100/s Read User("") OwnAccount "ram:ListUsers" => ram::ListUsers),
    action!(RAM "SetDefaultPolicyVersion" 30/s Write Policy("PolicyName") OwnAccount "ram:SetDefaultPolicyVersion" => ram::SetDefaultPolicyVersion),
    action!(RAM "UpdateAccessKey" 30/s Write User("UserAccessKeyId") OwnAccount "ram:UpdateAccessKey" => ram::UpdateAccessKey),
    action!(RAM "UpdatePolicyDescription" 30/s Write Policy("PolicyName") OwnAccount "ram:UpdatePolicyDescription" => ram::UpdatePolicyDescription),
    action!(RAM "UpdateRole" 30/s Write Role("RoleName") OwnAccount "ram:UpdateRole" => ram::UpdateRole),
    action!(RAM "UpdateUser" 30/s Write RenamedUser("UserName") OwnAccount "ram:UpdateUser" => ram::UpdateUser),
    action!(STS "AssumeRole" 30/s Write AssumedRole("RoleArn") OwnAccount "sts:AssumeRole" => sts::AssumeRole),
    action!(STS "AssumeRoleWithOIDC" 30/s Write unsigned("RoleArn") => sts::AssumeRoleWithOidc),
    action!(STS "GetCallerIdentity" 100/s Read Everything("") Caller "-" => sts::GetCallerIdentity),
    action!(EDGESEAL "CreateAccessKey" 30/s Write Account("AccountId") Operator "edgeseal:CreateAccessKey" => edgeseal::CreateAccessKey),
    action!(EDGESEAL "CreateAccount" 30/s Write Accounts("AccountName") Operator "edgeseal:CreateAccount" => edgeseal::CreateAccount),
    action!(EDGESEAL "DeleteAccessKey" 30/s Write Account("UserAccessKeyId") Operator "edgeseal:DeleteAccessKey" => edgeseal::DeleteAccessKey),
    action!(EDGESEAL "ExplainDecision" 100/s Read Edgeseal("") OwnAccount "edgeseal:ExplainDecision" => edgeseal::ExplainDecision),
    action!(EDGESEAL "DescribeKeyEncryption" 30/s Read Edgeseal("") Operator "edgeseal:DescribeKeyEncryption" => edgeseal::DescribeKeyEncryption),
    action!(EDGESEAL "DescribeAuditRecords" 30/s Read Edgeseal("") OwnAccount "edgeseal:DescribeAuditRecords" => edgeseal::DescribeAuditRecords),
    action!(EDGESEAL "DescribeRollout" 100/s Read Domain("DomainName") OwnAccount "edgeseal:DescribeRollout" => edgeseal::DescribeRollout),
    action!(EDGESEAL "ImportCertificate" 100/s Write EachDomain("DomainName") OwnAccount "edgeseal:ImportCertificate" => cdn::ImportCertificate),
    action!(EDGESEAL "ListAccounts" 100/s Read Accounts("") Operator "edgeseal:ListAccounts" => edgeseal::ListAccounts),
    action!(EDGESEAL "RetireKeyEncryptionKey" 10/s Write Edgeseal("KeyId") Operator "edgeseal:RetireKeyEncryptionKey" => edgeseal::RetireKeyEncryptionKey),
    action!(EDGESEAL "RotateKeyEncryptionKey" 10/s Write Edgeseal("") Operator "edgeseal:RotateKeyEncryptionKey" => edgeseal::RotateKeyEncryptionKey),
    action!(EDGESEAL "SetDomainMode" 30/s Write Domain("DomainName") Operator "edgeseal:SetDomainMode" => edgeseal::SetDomainMode),
    action!(EDGESEAL "UpdateAccessKey" 30/s Write Account("UserAccessKeyId") Operator "edgeseal:UpdateAccessKey" => edgeseal::UpdateAccessKey),
    action!(EDGESEAL "UpdateAccount" 30/s Write Account("AccountId") Operator "edgeseal:UpdateAccount" => edgeseal::UpdateAccount),
];
