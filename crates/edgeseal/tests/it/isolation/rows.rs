//! How each action names what it acts upon, and what everybody else is told of it.

use Thing::{
    AccessKey, Account, Address, CentreId, CentreIdentifier, CertId, CertName, ConfigId, Domain,
    DomainId, Job, KeptName, Pem, Policy, Principal, Requested, Role, RoleArn, RoleList, Sealed,
    Task, User, UserKey,
};

use crate::harness::{CAS, CAS_2018, CAS_2018_08, CDN, CDN_2014, DCDN, EDGESEAL, RAM, SET, STS};

/// A way of one action to name a thing.
pub(super) struct Row {
    pub(super) version: &'static str,
    pub(super) action: &'static str,
    /// The parameter that names it, and what it names.
    pub(super) by: Option<(&'static str, Thing)>,
    /// What else the action needs before it looks for the thing; `{chain}` and `{key}` stand for a
    /// certificate that nobody has.
    pub(super) further: &'static [(&'static str, &'static str)],
    /// What another account is told, whether or not the thing is there.
    pub(super) told: &'static str,
}

/// What there is of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    Domain,
    /// An address of the domain.
    Address,
    /// The number of the domain.
    DomainId,
    /// A task of the account.
    Task,
    /// A deployment job of the account.
    Job,
    /// The name of the certificate that is bound.
    CertName,
    /// The name of the certificate in the centre.
    KeptName,
    /// The number of the one that is bound.
    CertId,
    /// The number of a certificate in the centre, in the 2020 version and before.
    CentreId,
    /// `CentreId-region`, as the centre lists it.
    CentreIdentifier,
    /// The certificate itself.
    Pem,
    /// A certificate for a signing request, whose key is kept here.
    Requested,
    /// A part of the domain's function.
    ConfigId,
    Account,
    AccessKey,
    User,
    /// An access key of the user.
    UserKey,
    Policy,
    Role,
    /// The role with all that leads to it.
    RoleArn,
    /// The role, in a JSON list.
    RoleList,
    /// The sealed reason of a refusal in the account.
    Sealed,
    /// The account as audit records name it.
    Principal,
}

/// Answers with something, or nothing, of the caller's own.
pub(super) const OK: &str = "";
/// Names a thing that may be known: a name that the whole Edgeseal has once.
pub(super) const SHARED: &str = "the name is taken or it is not: whoever wants it must be told";

/// Makes something of this name for whoever calls, whatever others have: once.
pub(super) const FRESH: &str = "the account makes its own";

const FUNCTIONS: &str =
    r#"[{"functionName":"https_force","functionArgs":[{"argName":"enable","argValue":"on"}]}]"#;
const AREA: &str = r#"{"coverage":"global"}"#;
const HIS: &str = "his.example.com";
const TRUST: &str = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":["cdn.aliyuncs.com"]}}]}"#;
pub(super) const ANY: &str =
    r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"cdn:*","Resource":"*"}]}"#;
const SYSTEM: (&str, &str) = ("PolicyType", "System");
const CUSTOM: (&str, &str) = ("PolicyType", "Custom");
const READ_ONLY: (&str, &str) = ("PolicyName", "AliyunCDNReadOnlyAccess");
const NO_USER: &str = "EntityNotExist.User";
const NO_KEY: &str = "EntityNotExist.User.AccessKey";
const NO_ROLE: &str = "EntityNotExist.Role";
const NO_POLICY: &str = "EntityNotExist.Policy";
const NO_DOMAIN: &str = "InvalidDomain.NotFound";

const fn row(
    version: &'static str,
    action: &'static str,
    by: (&'static str, Thing),
    further: &'static [(&'static str, &'static str)],
    told: &'static str,
) -> Row {
    Row {
        version,
        action,
        by: Some(by),
        further,
        told,
    }
}

/// An action that names nothing: what it lists is the caller's.
const fn list(version: &'static str, action: &'static str) -> Row {
    Row {
        version,
        action,
        by: None,
        further: &[],
        told: OK,
    }
}

/// Every action, some in several ways.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row(CDN, "AddCdnDomain", ("DomainName", Domain), &[], SHARED),
    row(CDN, "BatchAddCdnDomain", ("DomainName", Domain), &[], SHARED),
    row(CDN, "BatchDeleteCdnDomainConfig", ("DomainNames", Domain), &[("FunctionNames", "https_force")], NO_DOMAIN),
    row(CDN, "BatchSetCdnDomainConfig", ("DomainNames", Domain), &[("Functions", FUNCTIONS)], NO_DOMAIN),
    row(CDN, "BatchSetCdnDomainServerCertificate", ("DomainName", Domain), &[("SSLProtocol", "off")], NO_DOMAIN),
    row(CDN, "BatchSetCdnDomainServerCertificate", ("CertName", CertName), &[("DomainName", HIS), ("SSLProtocol", "on"), ("CertType", "cas")], "Certificate.NotFind"),
    row(CDN, "BatchStartCdnDomain", ("DomainNames", Domain), &[], NO_DOMAIN),
    row(CDN, "BatchStopCdnDomain", ("DomainNames", Domain), &[], NO_DOMAIN),
    row(CDN, "BatchUpdateCdnDomain", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN, "CreateCdnCertificateSigningRequest", ("CommonName", Domain), &[("Country", "CN"), ("State", "Z"), ("City", "H"), ("Organization", "O"), ("OrganizationUnit", "U"), ("Email", "a@example.com")], OK),
    row(CDN, "DeleteCdnDomain", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN, "DeleteSpecificConfig", ("DomainName", Domain), &[("ConfigId", "1")], NO_DOMAIN),
    row(CDN, "DeleteSpecificConfig", ("ConfigId", ConfigId), &[("DomainName", HIS)], OK),
    row(CDN, "DeleteSpecificStagingConfig", ("DomainName", Domain), &[("ConfigId", "1")], NO_DOMAIN),
    row(CDN, "DeleteSpecificStagingConfig", ("ConfigId", ConfigId), &[("DomainName", HIS)], OK),
    row(CDN, "DescribeCdnCertificateDetail", ("CertName", CertName), &[], "Certificate.NotFind"),
    row(CDN, "DescribeCdnCertificateDetailById", ("CertId", CertId), &[], "Certificate.NotFind"),
    row(CDN, "DescribeCdnCertificateList", ("DomainName", Domain), &[], NO_DOMAIN),
    list(CDN, "DescribeCdnDeletedDomains"),
    row(CDN, "DescribeCdnDomainByCertificate", ("SSLPub", Pem), &[], OK),
    row(CDN, "DescribeCdnDomainConfigs", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN, "DescribeCdnDomainConfigs", ("ConfigId", ConfigId), &[("DomainName", HIS)], OK),
    row(CDN, "DescribeCdnDomainDetail", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN, "DescribeCdnDomainStagingConfig", ("DomainName", Domain), &[("FunctionNames", "https_force")], NO_DOMAIN),
    list(CDN, "DescribeCdnHttpsDomainList"),
    row(CDN, "DescribeCdnHttpsDomainList", ("Keyword", Domain), &[], OK),
    row(CDN, "DescribeCdnSMCertificateDetail", ("CertIdentifier", CentreIdentifier), &[], "SMCertificate.NotSupported"),
    row(CDN, "DescribeCdnSMCertificateList", ("DomainName", Domain), &[], "SMCertificate.NotSupported"),
    list(CDN, "DescribeCdnSSLCertificateList"),
    row(CDN, "DescribeCdnSSLCertificateList", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN, "DescribeCdnSSLCertificateList", ("SearchKeyword", CertName), &[], OK),
    list(CDN, "DescribeCdnService"),
    list(CDN, "DescribeCdnUserQuota"),
    Row { further: &[("FuncId", "44")], ..list(CDN, "DescribeCdnUserDomainsByFunc") },
    row(CDN, "DescribeCertificateInfoByID", ("CertId", CertId), &[], "Certificate.NotFind"),
    row(CDN, "DescribeDomainCertificateInfo", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN, "DescribeDomainCname", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN, "DescribeDomainVerifyData", ("DomainName", Domain), &[], OK),
    list(CDN, "DescribeRefreshQuota"),
    row(CDN, "DescribeRefreshTaskById", ("TaskId", Task), &[], OK),
    row(CDN, "DescribeRefreshTasks", ("TaskId", Task), &[], OK),
    row(CDN, "DescribeRefreshTasks", ("DomainName", Domain), &[("ObjectType", "file")], NO_DOMAIN),
    row(CDN, "DescribeTagResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN")], NO_DOMAIN),
    list(CDN, "DescribeUserCertificateExpireCount"),
    list(CDN, "DescribeUserDomains"),
    row(CDN, "DescribeUserDomains", ("DomainName", Domain), &[], OK),
    row(CDN, "DescribeVerifyContent", ("DomainName", Domain), &[], OK),
    row(CDN, "ListTagResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN")], NO_DOMAIN),
    row(CDN, "ModifyCdnDomain", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN, "ModifyCdnDomainSchdmByProperty", ("DomainName", Domain), &[("Property", AREA)], NO_DOMAIN),
    row(CDN, "PublishStagingConfigToProduction", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN, "PushObjectCache", ("ObjectPath", Address), &[], NO_DOMAIN),
    row(CDN, "RefreshObjectCaches", ("ObjectPath", Address), &[], NO_DOMAIN),
    row(CDN, "RollbackStagingConfig", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN, "SetCdnDomainCSRCertificate", ("DomainName", Domain), &[("ServerCertificate", "{chain}")], NO_DOMAIN),
    row(CDN, "SetCdnDomainCSRCertificate", ("ServerCertificate", Requested), &[("DomainName", HIS)], "Certificate.NoPrivateKey"),
    row(CDN, "SetCdnDomainSMCertificate", ("DomainName", Domain), &[("CertIdentifier", "1-cn-hangzhou"), ("SSLProtocol", "on")], "SMCertificate.NotSupported"),
    row(CDN, SET, ("DomainName", Domain), &[("SSLProtocol", "off")], NO_DOMAIN),
    row(CDN, SET, ("CertId", CertId), &[("DomainName", HIS), ("SSLProtocol", "on")], "Certificate.NotFind"),
    row(CDN, SET, ("CertName", CertName), &[("DomainName", HIS), ("SSLProtocol", "on")], "Certificate.NotFind"),
    row(CDN, SET, ("CertId", CentreId), &[("DomainName", HIS), ("SSLProtocol", "on"), ("CertType", "cas")], "Certificate.NotFind"),
    row(CDN, "SetCdnDomainStagingConfig", ("DomainName", Domain), &[("Functions", FUNCTIONS)], NO_DOMAIN),
    row(CDN, "SetDomainServerCertificate", ("DomainName", Domain), &[("ServerCertificateStatus", "off")], NO_DOMAIN),
    row(CDN, "StartCdnDomain", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN, "StopCdnDomain", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN, "TagResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN"), ("Tag.1.Key", "k"), ("Tag.1.Value", "v")], NO_DOMAIN),
    row(CDN, "UntagResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN"), ("TagKey.1", "k")], NO_DOMAIN),
    row(CDN, "VerifyDomainOwner", ("DomainName", Domain), &[("VerifyType", "dnsCheck")], "DomainOwnerVerifyFail"),
    row(CDN_2014, "BatchSetCdnDomainServerCertificate", ("DomainName", Domain), &[("SSLProtocol", "off")], NO_DOMAIN),
    row(CDN_2014, "DescribeCdnDomainDetail", ("DomainName", Domain), &[], NO_DOMAIN),
    list(CDN_2014, "DescribeCdnService"),
    row(CDN_2014, "DescribeUserDomains", ("DomainName", Domain), &[], OK),
    row(CDN_2014, "SetDomainServerCertificate", ("DomainName", Domain), &[("ServerCertificateStatus", "off")], NO_DOMAIN),
    row(CDN_2014, "SetForceRedirectConfig", ("DomainName", Domain), &[("RedirectType", "Https")], NO_DOMAIN),
    row(DCDN, "AddDcdnDomain", ("DomainName", Domain), &[], SHARED),
    row(DCDN, "BatchAddDcdnDomain", ("DomainName", Domain), &[], SHARED),
    row(DCDN, "BatchDeleteDcdnDomainConfigs", ("DomainNames", Domain), &[("FunctionNames", "https_force")], NO_DOMAIN),
    row(DCDN, "BatchSetDcdnDomainCertificate", ("DomainName", Domain), &[("SSLProtocol", "off")], NO_DOMAIN),
    row(DCDN, "BatchSetDcdnDomainConfigs", ("DomainNames", Domain), &[("Functions", FUNCTIONS)], NO_DOMAIN),
    row(DCDN, "BatchStartDcdnDomain", ("DomainNames", Domain), &[], NO_DOMAIN),
    row(DCDN, "BatchStopDcdnDomain", ("DomainNames", Domain), &[], NO_DOMAIN),
    row(DCDN, "DeleteDcdnDomain", ("DomainName", Domain), &[], NO_DOMAIN),
    row(DCDN, "DeleteDcdnSpecificConfig", ("DomainName", Domain), &[("ConfigId", "1")], NO_DOMAIN),
    row(DCDN, "DeleteDcdnSpecificConfig", ("ConfigId", ConfigId), &[("DomainName", HIS)], OK),
    row(DCDN, "DescribeDcdnDomainCertificateInfo", ("DomainName", Domain), &[], NO_DOMAIN),
    row(DCDN, "DescribeDcdnDomainConfigs", ("DomainName", Domain), &[], NO_DOMAIN),
    row(DCDN, "DescribeDcdnDomainDetail", ("DomainName", Domain), &[], NO_DOMAIN),
    list(DCDN, "DescribeDcdnRefreshQuota"),
    row(DCDN, "DescribeDcdnRefreshTaskById", ("TaskId", Task), &[], OK),
    row(DCDN, "DescribeDcdnRefreshTasks", ("TaskId", Task), &[], OK),
    row(DCDN, "DescribeDcdnTagResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN")], NO_DOMAIN),
    row(DCDN, "DescribeDcdnUserDomains", ("DomainName", Domain), &[], OK),
    row(DCDN, "ModifyDCdnDomainSchdmByProperty", ("DomainName", Domain), &[("Property", AREA)], NO_DOMAIN),
    row(DCDN, "PreloadDcdnObjectCaches", ("ObjectPath", Address), &[], NO_DOMAIN),
    row(DCDN, "RefreshDcdnObjectCaches", ("ObjectPath", Address), &[], NO_DOMAIN),
    row(DCDN, "SetDcdnDomainCertificate", ("DomainName", Domain), &[("SSLProtocol", "off")], NO_DOMAIN),
    row(DCDN, "SetDcdnDomainCertificate", ("CertName", CertName), &[("DomainName", HIS), ("SSLProtocol", "on"), ("CertType", "cas")], "Certificate.NotFind"),
    row(DCDN, "SetDcdnDomainSSLCertificate", ("DomainName", Domain), &[("SSLProtocol", "off")], NO_DOMAIN),
    row(DCDN, "StartDcdnDomain", ("DomainName", Domain), &[], NO_DOMAIN),
    row(DCDN, "StopDcdnDomain", ("DomainName", Domain), &[], NO_DOMAIN),
    row(DCDN, "TagDcdnResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN"), ("Tag.1.Key", "k"), ("Tag.1.Value", "v")], NO_DOMAIN),
    row(DCDN, "UntagDcdnResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN"), ("TagKey.1", "k")], NO_DOMAIN),
    row(DCDN, "UpdateDcdnDomain", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CAS, "CreateDeploymentJob", ("ResourceIds", DomainId), &[("Name", "n"), ("JobType", "user"), ("CertIds", "1")], "NotFound"),
    row(CAS, "DeleteDeploymentJob", ("JobId", Job), &[], "NotFound"),
    row(CAS, "DeleteUserCertificate", ("CertId", CentreId), &[], "NotFound"),
    row(CAS, "DescribeDeploymentJob", ("JobId", Job), &[], "NotFound"),
    row(CAS, "DescribeDeploymentJobStatus", ("JobId", Job), &[], "NotFound"),
    row(CAS, "GetCertificateDetail", ("CertificateId", CentreId), &[], "NotFound"),
    row(CAS, "GetUserCertificateDetail", ("CertId", CentreId), &[], "NotFound"),
    list(CAS, "ListCertificates"),
    row(CAS, "ListCertificates", ("KeyWord", Domain), &[], OK),
    list(CAS, "ListCloudResources"),
    list(CAS, "ListContact"),
    list(CAS, "ListDeploymentJob"),
    list(CAS, "ListUserCertificateOrder"),
    row(CAS, "ListWorkerResource", ("JobId", Job), &[], "NotFound"),
    row(CAS, "UpdateDeploymentJobStatus", ("JobId", Job), &[("Status", "pending")], "NotFound"),
    row(CAS, "ListUserCertificateOrder", ("Keyword", Domain), &[("OrderType", "CERT")], OK),
    row(CAS, "UploadUserCertificate", ("Name", CertName), &[("Cert", "{chain}"), ("Key", "{key}")], FRESH),
    row(CAS_2018, "CreateUserCertificate", ("Name", KeptName), &[("Cert", "{chain}"), ("Key", "{key}")], FRESH),
    row(CAS_2018, "DeleteUserCertificate", ("CertId", CentreId), &[], "NotFound"),
    row(CAS_2018, "DescribeUserCertificateDetail", ("CertId", CentreId), &[], "NotFound"),
    list(CAS_2018, "DescribeUserCertificateList"),
    row(CAS_2018_08, "CreateCertificateName", ("CertificateId", CentreId), &[("Name", "renamed")], "NotFound"),
    row(RAM, "AttachPolicyToRole", ("RoleName", Role), &[SYSTEM, READ_ONLY], NO_ROLE),
    row(RAM, "AttachPolicyToUser", ("UserName", User), &[SYSTEM, READ_ONLY], NO_USER),
    row(RAM, "AttachPolicyToUser", ("PolicyName", Policy), &[CUSTOM, ("UserName", "guest")], NO_POLICY),
    row(RAM, "CreateAccessKey", ("UserName", User), &[], NO_USER),
    row(RAM, "CreatePolicy", ("PolicyName", Policy), &[("PolicyDocument", ANY)], FRESH),
    row(RAM, "CreatePolicyVersion", ("PolicyName", Policy), &[("PolicyDocument", ANY)], NO_POLICY),
    row(RAM, "CreateRole", ("RoleName", Role), &[("AssumeRolePolicyDocument", TRUST)], FRESH),
    row(RAM, "CreateUser", ("UserName", User), &[], FRESH),
    row(RAM, "DecodeDiagnosticMessage", ("EncodedDiagnosticMessage", Sealed), &[], "InvalidParameter.EncodedDiagnosticMessage"),
    row(RAM, "DeleteAccessKey", ("UserName", User), &[("UserAccessKeyId", "LTAI")], NO_USER),
    row(RAM, "DeleteAccessKey", ("UserAccessKeyId", UserKey), &[("UserName", "guest")], NO_KEY),
    row(RAM, "DeleteLoginProfile", ("UserName", User), &[], NO_USER),
    row(RAM, "DeletePolicy", ("PolicyName", Policy), &[], NO_POLICY),
    row(RAM, "DeletePolicyVersion", ("PolicyName", Policy), &[("VersionId", "v1")], NO_POLICY),
    row(RAM, "DeleteRole", ("RoleName", Role), &[], NO_ROLE),
    row(RAM, "DeleteUser", ("UserName", User), &[], NO_USER),
    row(RAM, "DetachPolicyFromRole", ("RoleName", Role), &[SYSTEM, READ_ONLY], NO_ROLE),
    row(RAM, "DetachPolicyFromUser", ("UserName", User), &[SYSTEM, READ_ONLY], NO_USER),
    row(RAM, "GetAccessKeyLastUsed", ("UserName", User), &[("UserAccessKeyId", "LTAI")], NO_USER),
    row(RAM, "GetAccessKeyLastUsed", ("UserAccessKeyId", UserKey), &[("UserName", "guest")], NO_KEY),
    row(RAM, "GetPolicy", ("PolicyName", Policy), &[CUSTOM], NO_POLICY),
    row(RAM, "GetPolicyVersion", ("PolicyName", Policy), &[CUSTOM, ("VersionId", "v1")], NO_POLICY),
    row(RAM, "GetRole", ("RoleName", Role), &[], NO_ROLE),
    row(RAM, "GetUser", ("UserName", User), &[], NO_USER),
    row(RAM, "ListAccessKeys", ("UserName", User), &[], NO_USER),
    row(RAM, "ListEntitiesForPolicy", ("PolicyName", Policy), &[CUSTOM], NO_POLICY),
    list(RAM, "ListPolicies"),
    row(RAM, "ListGroupsForUser", ("UserName", User), &[], NO_USER),
    row(RAM, "ListPoliciesForRole", ("RoleName", Role), &[], NO_ROLE),
    row(RAM, "ListPoliciesForUser", ("UserName", User), &[], NO_USER),
    row(RAM, "ListPolicyVersions", ("PolicyName", Policy), &[CUSTOM], NO_POLICY),
    list(RAM, "ListRoles"),
    row(RAM, "ListTagResources", ("ResourceNames", RoleList), &[("ResourceType", "role")], NO_ROLE),
    list(RAM, "ListUsers"),
    row(RAM, "SetDefaultPolicyVersion", ("PolicyName", Policy), &[("VersionId", "v1")], NO_POLICY),
    row(RAM, "UnbindMFADevice", ("UserName", User), &[], NO_USER),
    row(RAM, "UpdateAccessKey", ("UserName", User), &[("UserAccessKeyId", "LTAI"), ("Status", "Inactive")], NO_USER),
    row(RAM, "UpdateAccessKey", ("UserAccessKeyId", UserKey), &[("UserName", "guest"), ("Status", "Inactive")], NO_KEY),
    row(RAM, "UpdatePolicyDescription", ("PolicyName", Policy), &[("NewDescription", "d")], NO_POLICY),
    row(RAM, "UpdateRole", ("RoleName", Role), &[("NewDescription", "d")], NO_ROLE),
    row(RAM, "UpdateUser", ("UserName", User), &[("NewComments", "c")], NO_USER),
    row(STS, "AssumeRole", ("RoleArn", RoleArn), &[("RoleSessionName", "s1")], "NoPermission"),
    row(STS, "AssumeRoleWithOIDC", ("RoleArn", RoleArn), &[("OIDCProviderArn", "acs:ram::1234567890123456:oidc-provider/p"), ("OIDCToken", "a.b.c"), ("RoleSessionName", "s1")], "AuthenticationFail.NoPermission"),
    list(STS, "GetCallerIdentity"),
    row(EDGESEAL, "CreateAccessKey", ("AccountId", Account), &[], "NoPermission"),
    row(EDGESEAL, "CreateAccount", ("AccountName", Account), &[], "NoPermission"),
    row(EDGESEAL, "DescribeAuditRecords", ("Principal", Principal), &[], OK),
    Row { told: "NoPermission", ..list(EDGESEAL, "DescribeKeyEncryption") },
    row(EDGESEAL, "DescribeRollout", ("DomainName", Domain), &[], NO_DOMAIN),
    row(EDGESEAL, "ExplainDecision", ("UserName", User), &[("Permission", "cdn:X"), ("Resource", "*")], NO_USER),
    row(EDGESEAL, "ExplainDecision", ("RoleName", Role), &[("Permission", "cdn:X"), ("Resource", "*")], NO_ROLE),
    row(EDGESEAL, "ImportCertificate", ("DomainName", Domain), &[("SSLPub", "{chain}"), ("SSLPri", "{key}")], "Certificate.MissMatch"),
    Row { told: "NoPermission", ..list(EDGESEAL, "RetireKeyEncryptionKey") },
    Row { told: "NoPermission", ..list(EDGESEAL, "RotateKeyEncryptionKey") },
    row(EDGESEAL, "DeleteAccessKey", ("UserAccessKeyId", AccessKey), &[], "NoPermission"),
    Row { told: "NoPermission", ..list(EDGESEAL, "ListAccounts") },
    row(EDGESEAL, "SetDomainMode", ("DomainName", Domain), &[("Mode", "safe")], "NoPermission"),
    row(EDGESEAL, "UpdateAccessKey", ("UserAccessKeyId", AccessKey), &[("Status", "Inactive")], "NoPermission"),
    row(EDGESEAL, "UpdateAccount", ("AccountId", Account), &[("PrivateOrigins", "allowed")], "NoPermission"),
];
