//! The table of actions: how each one names its resource, and what other accounts get.

use ResourceKind::{
    AccessKey, Account, Address, CentreId, CentreIdentifier, CentreName, CertId, CertName,
    ConfigId, Domain, DomainId, Job, Pem, Policy, Principal, Requested, Role, RoleArn, RoleList,
    Sealed, Task, User, UserKey,
};

use edgeseal_api::actions::{self, ACTIONS, Action};
use edgeseal_core::policy::Scope;

use crate::harness::{
    CAS, CAS_2018, CAS_2018_08, CDN_2014, CDN_VERSION, DCDN, EDGESEAL, RAM, SET, STS,
};

/// One way in which an action names a resource.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) version: &'static str,
    pub(super) action: &'static str,
    /// The parameter, and the kind of resource it names.
    pub(super) names: Option<(&'static str, ResourceKind)>,
    /// The other parameters that the action needs before it looks up the resource; `{chain}` and
    /// `{key}` stand for a certificate that no account has.
    pub(super) extra_params: &'static [(&'static str, &'static str)],
    /// The code that another account gets, whether or not the resource exists.
    pub(super) expected: &'static str,
}

impl Row {
    pub(super) fn is_of(&self, action: &Action) -> bool {
        (self.version, self.action) == (action.version, action.name)
    }
}

/// The kinds of resources of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResourceKind {
    Domain,
    /// A URL of the domain.
    Address,
    /// The domain's ID.
    DomainId,
    /// A task of the account.
    Task,
    /// A deployment job of the account.
    Job,
    /// The name of the bound certificate.
    CertName,
    /// The name of the certificate in CAS.
    CentreName,
    /// The ID of the bound certificate.
    CertId,
    /// The ID of a certificate in CAS, in the 2020 version and before.
    CentreId,
    /// `CentreId-region`, as CAS lists it.
    CentreIdentifier,
    /// The certificate itself.
    Pem,
    /// A certificate for a signing request whose key the server keeps.
    Requested,
    /// The ID of one of the domain's function settings.
    ConfigId,
    Account,
    AccessKey,
    User,
    /// An access key of the user.
    UserKey,
    Policy,
    Role,
    /// The role's ARN.
    RoleArn,
    /// The role, in a JSON list.
    RoleList,
    /// The encoded reason of a denial in the account.
    Sealed,
    /// The account's principal in audit records.
    Principal,
}

/// Succeeds, with or without content of the caller's own.
pub(super) const OK: &str = "";
/// The action reveals whether a name exists, because such names are unique across Edgeseal.
pub(super) const SHARED: &str = "the name is taken or it is not: whoever wants it must be told";

/// Creates a resource of this name for the caller, whatever other accounts have; once per account.
pub(super) const FRESH: &str = "the account makes its own";

const FUNCTIONS: &str =
    r#"[{"functionName":"https_force","functionArgs":[{"argName":"enable","argValue":"on"}]}]"#;
const AREA: &str = r#"{"coverage":"global"}"#;
const CALLER_DOMAIN: &str = "his.example.com";
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

/// At least one row of each action.
pub(super) fn rows() -> Vec<Row> {
    let has_row = |action: &&Action| ROWS.iter().any(|row| row.is_of(action));
    let others = ACTIONS.iter().filter(|action| !has_row(action));
    let defaults = others.map(|action| {
        default_row(action).unwrap_or_else(|| {
            let (version, name) = (action.version, action.name);
            panic!("ROWS needs a row of {version} {name}: it names another kind of resource")
        })
    });
    ROWS.iter().copied().chain(defaults).collect()
}

/// The row of an action that names its resource in the usual way and needs no other parameter:
/// another account gets the code of a resource that does not exist.
fn default_row(action: &Action) -> Option<Row> {
    use actions::ResourceKind as Kind;

    let (version, name) = (action.version, action.name);
    let (thing, code) = match (action.scope, action.resource, action.resource_param) {
        (Scope::Operator, _, "") => {
            let expected = "NoPermission";
            return Some(Row {
                expected,
                ..list(version, name)
            });
        }
        (_, _, "") => return Some(list(version, name)),
        (Scope::OwnAccount, Kind::Domain | Kind::EachDomain, _) => (Domain, NO_DOMAIN),
        (Scope::OwnAccount, Kind::EachUrl, _) => (Address, NO_DOMAIN),
        (Scope::OwnAccount, Kind::User, "UserName") => (User, NO_USER),
        (Scope::OwnAccount, Kind::Role, "RoleName") => (Role, NO_ROLE),
        (Scope::OwnAccount, Kind::Policy, "PolicyName") => (Policy, NO_POLICY),
        _ => return None,
    };
    // A list with numbers has further parameters.
    let by = action.resource_param;
    (!by.ends_with(".N")).then(|| row(version, name, (by, thing), &[], code))
}

const fn row(
    version: &'static str,
    action: &'static str,
    by: (&'static str, ResourceKind),
    further: &'static [(&'static str, &'static str)],
    told: &'static str,
) -> Row {
    Row {
        version,
        action,
        names: Some(by),
        extra_params: further,
        expected: told,
    }
}

/// An action that names no resource: it lists the caller's own.
const fn list(version: &'static str, action: &'static str) -> Row {
    Row {
        version,
        action,
        names: None,
        extra_params: &[],
        expected: OK,
    }
}

/// Rows of the actions that [`default_row`] does not describe, some in several ways.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row(CDN_VERSION, "AddCdnDomain", ("DomainName", Domain), &[], SHARED),
    row(CDN_VERSION, "BatchAddCdnDomain", ("DomainName", Domain), &[], SHARED),
    row(CDN_VERSION, "BatchDeleteCdnDomainConfig", ("DomainNames", Domain), &[("FunctionNames", "https_force")], NO_DOMAIN),
    row(CDN_VERSION, "BatchSetCdnDomainConfig", ("DomainNames", Domain), &[("Functions", FUNCTIONS)], NO_DOMAIN),
    row(CDN_VERSION, "BatchSetCdnDomainServerCertificate", ("DomainName", Domain), &[("SSLProtocol", "off")], NO_DOMAIN),
    row(CDN_VERSION, "BatchSetCdnDomainServerCertificate", ("CertName", CertName), &[("DomainName", CALLER_DOMAIN), ("SSLProtocol", "on"), ("CertType", "cas")], "Certificate.NotFind"),
    row(CDN_VERSION, "CreateCdnCertificateSigningRequest", ("CommonName", Domain), &[("Country", "CN"), ("State", "Z"), ("City", "H"), ("Organization", "O"), ("OrganizationUnit", "U"), ("Email", "a@example.com")], OK),
    row(CDN_VERSION, "DeleteSpecificConfig", ("DomainName", Domain), &[("ConfigId", "1")], NO_DOMAIN),
    row(CDN_VERSION, "DeleteSpecificConfig", ("ConfigId", ConfigId), &[("DomainName", CALLER_DOMAIN)], OK),
    row(CDN_VERSION, "DeleteSpecificStagingConfig", ("DomainName", Domain), &[("ConfigId", "1")], NO_DOMAIN),
    row(CDN_VERSION, "DeleteSpecificStagingConfig", ("ConfigId", ConfigId), &[("DomainName", CALLER_DOMAIN)], OK),
    row(CDN_VERSION, "DescribeCdnCertificateDetail", ("CertName", CertName), &[], "Certificate.NotFind"),
    row(CDN_VERSION, "DescribeCdnCertificateDetailById", ("CertId", CertId), &[], "Certificate.NotFind"),
    row(CDN_VERSION, "DescribeCdnCertificateList", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN_VERSION, "DescribeCdnDomainByCertificate", ("SSLPub", Pem), &[], OK),
    row(CDN_VERSION, "DescribeCdnDomainConfigs", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN_VERSION, "DescribeCdnDomainConfigs", ("ConfigId", ConfigId), &[("DomainName", CALLER_DOMAIN)], OK),
    row(CDN_VERSION, "DescribeCdnDomainStagingConfig", ("DomainName", Domain), &[("FunctionNames", "https_force")], NO_DOMAIN),
    list(CDN_VERSION, "DescribeCdnHttpsDomainList"),
    row(CDN_VERSION, "DescribeCdnHttpsDomainList", ("Keyword", Domain), &[], OK),
    row(CDN_VERSION, "DescribeCdnSMCertificateDetail", ("CertIdentifier", CentreIdentifier), &[], "SMCertificate.NotSupported"),
    row(CDN_VERSION, "DescribeCdnSMCertificateList", ("DomainName", Domain), &[], "SMCertificate.NotSupported"),
    list(CDN_VERSION, "DescribeCdnSSLCertificateList"),
    row(CDN_VERSION, "DescribeCdnSSLCertificateList", ("DomainName", Domain), &[], NO_DOMAIN),
    row(CDN_VERSION, "DescribeCdnSSLCertificateList", ("SearchKeyword", CertName), &[], OK),
    Row { extra_params: &[("FuncId", "44")], ..list(CDN_VERSION, "DescribeCdnUserDomainsByFunc") },
    row(CDN_VERSION, "DescribeCertificateInfoByID", ("CertId", CertId), &[], "Certificate.NotFind"),
    row(CDN_VERSION, "DescribeDomainVerifyData", ("DomainName", Domain), &[], OK),
    row(CDN_VERSION, "DescribeRefreshTaskById", ("TaskId", Task), &[], OK),
    row(CDN_VERSION, "DescribeRefreshTasks", ("TaskId", Task), &[], OK),
    row(CDN_VERSION, "DescribeRefreshTasks", ("DomainName", Domain), &[("ObjectType", "file")], NO_DOMAIN),
    row(CDN_VERSION, "DescribeTagResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN")], NO_DOMAIN),
    list(CDN_VERSION, "DescribeUserDomains"),
    row(CDN_VERSION, "DescribeUserDomains", ("DomainName", Domain), &[], OK),
    row(CDN_VERSION, "DescribeVerifyContent", ("DomainName", Domain), &[], OK),
    row(CDN_VERSION, "ListTagResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN")], NO_DOMAIN),
    row(CDN_VERSION, "ModifyCdnDomainSchdmByProperty", ("DomainName", Domain), &[("Property", AREA)], NO_DOMAIN),
    row(CDN_VERSION, "SetCdnDomainCSRCertificate", ("DomainName", Domain), &[("ServerCertificate", "{chain}")], NO_DOMAIN),
    row(CDN_VERSION, "SetCdnDomainCSRCertificate", ("ServerCertificate", Requested), &[("DomainName", CALLER_DOMAIN)], "Certificate.NoPrivateKey"),
    row(CDN_VERSION, "SetCdnDomainSMCertificate", ("DomainName", Domain), &[("CertIdentifier", "1-cn-hangzhou"), ("SSLProtocol", "on")], "SMCertificate.NotSupported"),
    row(CDN_VERSION, SET, ("DomainName", Domain), &[("SSLProtocol", "off")], NO_DOMAIN),
    row(CDN_VERSION, SET, ("CertId", CertId), &[("DomainName", CALLER_DOMAIN), ("SSLProtocol", "on")], "Certificate.NotFind"),
    row(CDN_VERSION, SET, ("CertName", CertName), &[("DomainName", CALLER_DOMAIN), ("SSLProtocol", "on")], "Certificate.NotFind"),
    row(CDN_VERSION, SET, ("CertId", CentreId), &[("DomainName", CALLER_DOMAIN), ("SSLProtocol", "on"), ("CertType", "cas")], "Certificate.NotFind"),
    row(CDN_VERSION, "SetCdnDomainStagingConfig", ("DomainName", Domain), &[("Functions", FUNCTIONS)], NO_DOMAIN),
    row(CDN_VERSION, "SetDomainServerCertificate", ("DomainName", Domain), &[("ServerCertificateStatus", "off")], NO_DOMAIN),
    row(CDN_VERSION, "TagResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN"), ("Tag.1.Key", "k"), ("Tag.1.Value", "v")], NO_DOMAIN),
    row(CDN_VERSION, "UntagResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN"), ("TagKey.1", "k")], NO_DOMAIN),
    row(CDN_VERSION, "VerifyDomainOwner", ("DomainName", Domain), &[("VerifyType", "dnsCheck")], "DomainOwnerVerifyFail"),
    row(CDN_2014, "BatchSetCdnDomainServerCertificate", ("DomainName", Domain), &[("SSLProtocol", "off")], NO_DOMAIN),
    row(CDN_2014, "DescribeUserDomains", ("DomainName", Domain), &[], OK),
    row(CDN_2014, "SetDomainServerCertificate", ("DomainName", Domain), &[("ServerCertificateStatus", "off")], NO_DOMAIN),
    row(CDN_2014, "SetForceRedirectConfig", ("DomainName", Domain), &[("RedirectType", "Https")], NO_DOMAIN),
    row(DCDN, "AddDcdnDomain", ("DomainName", Domain), &[], SHARED),
    row(DCDN, "BatchAddDcdnDomain", ("DomainName", Domain), &[], SHARED),
    row(DCDN, "BatchDeleteDcdnDomainConfigs", ("DomainNames", Domain), &[("FunctionNames", "https_force")], NO_DOMAIN),
    row(DCDN, "BatchSetDcdnDomainCertificate", ("DomainName", Domain), &[("SSLProtocol", "off")], NO_DOMAIN),
    row(DCDN, "BatchSetDcdnDomainConfigs", ("DomainNames", Domain), &[("Functions", FUNCTIONS)], NO_DOMAIN),
    row(DCDN, "DeleteDcdnSpecificConfig", ("DomainName", Domain), &[("ConfigId", "1")], NO_DOMAIN),
    row(DCDN, "DeleteDcdnSpecificConfig", ("ConfigId", ConfigId), &[("DomainName", CALLER_DOMAIN)], OK),
    row(DCDN, "DescribeDcdnRefreshTaskById", ("TaskId", Task), &[], OK),
    row(DCDN, "DescribeDcdnRefreshTasks", ("TaskId", Task), &[], OK),
    row(DCDN, "DescribeDcdnTagResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN")], NO_DOMAIN),
    row(DCDN, "DescribeDcdnUserDomains", ("DomainName", Domain), &[], OK),
    row(DCDN, "ModifyDCdnDomainSchdmByProperty", ("DomainName", Domain), &[("Property", AREA)], NO_DOMAIN),
    row(DCDN, "SetDcdnDomainCertificate", ("DomainName", Domain), &[("SSLProtocol", "off")], NO_DOMAIN),
    row(DCDN, "SetDcdnDomainCertificate", ("CertName", CertName), &[("DomainName", CALLER_DOMAIN), ("SSLProtocol", "on"), ("CertType", "cas")], "Certificate.NotFind"),
    row(DCDN, "SetDcdnDomainSSLCertificate", ("DomainName", Domain), &[("SSLProtocol", "off")], NO_DOMAIN),
    row(DCDN, "TagDcdnResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN"), ("Tag.1.Key", "k"), ("Tag.1.Value", "v")], NO_DOMAIN),
    row(DCDN, "UntagDcdnResources", ("ResourceId.1", Domain), &[("ResourceType", "DOMAIN"), ("TagKey.1", "k")], NO_DOMAIN),
    row(EDGESEAL, "RevokeCertificate", ("DomainName", Domain), &[], NO_DOMAIN),
    row(EDGESEAL, "RevokeCertificate", ("CertId", CertId), &[("DomainName", CALLER_DOMAIN)], "Certificate.NotFind"),
    row(CAS, "CreateDeploymentJob", ("ResourceIds", DomainId), &[("Name", "n"), ("JobType", "user"), ("CertIds", "1")], "NotFound"),
    row(CAS, "DeleteDeploymentJob", ("JobId", Job), &[], "NotFound"),
    row(CAS, "DeleteUserCertificate", ("CertId", CentreId), &[], "NotFound"),
    row(CAS, "DescribeDeploymentJob", ("JobId", Job), &[], "NotFound"),
    row(CAS, "DescribeDeploymentJobStatus", ("JobId", Job), &[], "NotFound"),
    row(CAS, "GetCertificateDetail", ("CertificateId", CentreId), &[], "NotFound"),
    row(CAS, "GetUserCertificateDetail", ("CertId", CentreId), &[], "NotFound"),
    list(CAS, "ListCertificates"),
    row(CAS, "ListCertificates", ("KeyWord", Domain), &[], OK),
    list(CAS, "ListUserCertificateOrder"),
    row(CAS, "ListWorkerResource", ("JobId", Job), &[], "NotFound"),
    row(CAS, "UpdateDeploymentJobStatus", ("JobId", Job), &[("Status", "pending")], "NotFound"),
    row(CAS, "ListUserCertificateOrder", ("Keyword", Domain), &[("OrderType", "CERT")], OK),
    row(CAS, "UploadUserCertificate", ("Name", CertName), &[("Cert", "{chain}"), ("Key", "{key}")], FRESH),
    row(CAS_2018, "CreateUserCertificate", ("Name", CentreName), &[("Cert", "{chain}"), ("Key", "{key}")], FRESH),
    row(CAS_2018, "DeleteUserCertificate", ("CertId", CentreId), &[], "NotFound"),
    row(CAS_2018, "DescribeUserCertificateDetail", ("CertId", CentreId), &[], "NotFound"),
    row(CAS_2018_08, "CreateCertificateName", ("CertificateId", CentreId), &[("Name", "renamed")], "NotFound"),
    row(RAM, "AttachPolicyToRole", ("RoleName", Role), &[SYSTEM, READ_ONLY], NO_ROLE),
    row(RAM, "AttachPolicyToUser", ("UserName", User), &[SYSTEM, READ_ONLY], NO_USER),
    row(RAM, "AttachPolicyToUser", ("PolicyName", Policy), &[CUSTOM, ("UserName", "guest")], NO_POLICY),
    row(RAM, "CreatePolicy", ("PolicyName", Policy), &[("PolicyDocument", ANY)], FRESH),
    row(RAM, "CreatePolicyVersion", ("PolicyName", Policy), &[("PolicyDocument", ANY)], NO_POLICY),
    row(RAM, "CreateRole", ("RoleName", Role), &[("AssumeRolePolicyDocument", TRUST)], FRESH),
    row(RAM, "CreateUser", ("UserName", User), &[], FRESH),
    row(RAM, "DecodeDiagnosticMessage", ("EncodedDiagnosticMessage", Sealed), &[], "InvalidParameter.EncodedDiagnosticMessage"),
    row(RAM, "DeleteAccessKey", ("UserName", User), &[("UserAccessKeyId", "LTAI")], NO_USER),
    row(RAM, "DeleteAccessKey", ("UserAccessKeyId", UserKey), &[("UserName", "guest")], NO_KEY),
    row(RAM, "DeletePolicyVersion", ("PolicyName", Policy), &[("VersionId", "v1")], NO_POLICY),
    row(RAM, "DetachPolicyFromRole", ("RoleName", Role), &[SYSTEM, READ_ONLY], NO_ROLE),
    row(RAM, "DetachPolicyFromUser", ("UserName", User), &[SYSTEM, READ_ONLY], NO_USER),
    row(RAM, "GetAccessKeyLastUsed", ("UserName", User), &[("UserAccessKeyId", "LTAI")], NO_USER),
    row(RAM, "GetAccessKeyLastUsed", ("UserAccessKeyId", UserKey), &[("UserName", "guest")], NO_KEY),
    row(RAM, "GetPolicy", ("PolicyName", Policy), &[CUSTOM], NO_POLICY),
    row(RAM, "GetPolicyVersion", ("PolicyName", Policy), &[CUSTOM, ("VersionId", "v1")], NO_POLICY),
    row(RAM, "ListEntitiesForPolicy", ("PolicyName", Policy), &[CUSTOM], NO_POLICY),
    row(RAM, "ListPolicyVersions", ("PolicyName", Policy), &[CUSTOM], NO_POLICY),
    row(RAM, "ListTagResources", ("ResourceNames", RoleList), &[("ResourceType", "role")], NO_ROLE),
    row(RAM, "SetDefaultPolicyVersion", ("PolicyName", Policy), &[("VersionId", "v1")], NO_POLICY),
    row(RAM, "UpdateAccessKey", ("UserName", User), &[("UserAccessKeyId", "LTAI"), ("Status", "Inactive")], NO_USER),
    row(RAM, "UpdateAccessKey", ("UserAccessKeyId", UserKey), &[("UserName", "guest"), ("Status", "Inactive")], NO_KEY),
    row(RAM, "UpdatePolicyDescription", ("PolicyName", Policy), &[("NewDescription", "d")], NO_POLICY),
    row(RAM, "UpdateRole", ("RoleName", Role), &[("NewDescription", "d")], NO_ROLE),
    row(RAM, "UpdateUser", ("UserName", User), &[("NewComments", "c")], NO_USER),
    row(STS, "AssumeRole", ("RoleArn", RoleArn), &[("RoleSessionName", "s1")], "NoPermission"),
    row(STS, "AssumeRoleWithOIDC", ("RoleArn", RoleArn), &[("OIDCProviderArn", "acs:ram::1234567890123456:oidc-provider/p"), ("OIDCToken", "a.b.c"), ("RoleSessionName", "s1")], "AuthenticationFail.NoPermission"),
    row(EDGESEAL, "CreateAccessKey", ("AccountId", Account), &[], "NoPermission"),
    row(EDGESEAL, "CreateAccount", ("AccountName", Account), &[], "NoPermission"),
    row(EDGESEAL, "DescribeAuditRecords", ("Principal", Principal), &[], OK),
    row(EDGESEAL, "ExplainDecision", ("UserName", User), &[("Permission", "cdn:X"), ("Resource", "*")], NO_USER),
    row(EDGESEAL, "ExplainDecision", ("RoleName", Role), &[("Permission", "cdn:X"), ("Resource", "*")], NO_ROLE),
    row(EDGESEAL, "ImportCertificate", ("DomainName", Domain), &[("SSLPub", "{chain}"), ("SSLPri", "{key}")], "Certificate.MissMatch"),
    Row { expected: "NoPermission", ..list(EDGESEAL, "RetireKeyEncryptionKey") },
    row(EDGESEAL, "DeleteAccessKey", ("UserAccessKeyId", AccessKey), &[], "NoPermission"),
    row(EDGESEAL, "SetDomainMode", ("DomainName", Domain), &[("Mode", "safe")], "NoPermission"),
    row(EDGESEAL, "UpdateAccessKey", ("UserAccessKeyId", AccessKey), &[("Status", "Inactive")], "NoPermission"),
    row(EDGESEAL, "UpdateAccount", ("AccountId", Account), &[("PrivateOrigins", "allowed")], "NoPermission"),
];
