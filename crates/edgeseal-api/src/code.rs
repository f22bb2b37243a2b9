//! Every wire code, one row each: status, code and message.
//!
//! Checked both ways against `spec/errors.tsv` by a test.

/// The wire format of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodeSpec {
    /// HTTP status.
    pub status: u16,
    /// The code, as clients compare it.
    pub wire_code: &'static str,
    /// The message; `{name}` is filled in by [`crate::error::ApiError::message`].
    pub message: &'static str,
}

impl CodeSpec {
    /// The anchor of the code in `docs/reference/errors.md`: the code without the braces of a
    /// placeholder, which are invalid in a URL fragment (RFC 3986 §3.5).
    #[must_use]
    pub fn anchor(&self) -> String {
        self.wire_code.replace(['{', '}'], "")
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal $wire:literal $message:literal;)+) => {
        /// A wire code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its status, wire code and message.
            #[must_use]
            pub const fn spec(self) -> CodeSpec {
                match self {
                    $(Self::$name => CodeSpec { status: $status, wire_code: $wire, message: $message },)+
                }
            }
        }
    };
}

codes! {
    // Before an operation runs, in the order of the checks.
    /// Neither GET nor POST.
    UnsupportedHttpMethod = 400 "UnsupportedHTTPMethod" "This http method is not supported.";
    /// A path other than `/`.
    ApiNotFound = 404 "InvalidApi.NotFound" "Specified api is not found, please check your url and method.";
    /// The body is too long.
    BodyTooLong = 413 "InvalidParameter.TooLong" "The body of the request is too long.";
    /// The request line and headers are too long.
    HeadTooLong = 431 "InvalidParameter.TooLong" "The head of the request is too long.";
    /// Malformed percent-encoding, not UTF-8, or a parameter given twice.
    ParameterFormat = 400 "InvalidParameter.Format" "Specified parameter format is not valid.";
    /// No Action.
    MissingAction = 400 "MissingAction" "Action is mandatory for this action.";
    /// No Version.
    MissingVersion = 400 "MissingVersion" "Version is mandatory for this action.";
    /// A Version that neither the cloud nor Edgeseal has.
    InvalidVersion = 400 "InvalidVersion" "Specified parameter Version is not valid.";
    /// No such Action in this Version.
    ActionNotFound = 404 "InvalidAction.NotFound" "Specified api is not found, please check your url and method.";
    /// The cloud has the action, but Edgeseal does not implement it.
    ActionNotImplemented = 404 "InvalidAction.NotFound" "Specified api is not implemented by Edgeseal.";
    /// No access key.
    MissingAccessKeyId = 400 "MissingAccessKeyId" "AccessKeyId is mandatory for this action.";
    /// No signature.
    MissingSignature = 400 "MissingSignature" "Signature is mandatory for this action.";
    /// No SignatureMethod.
    MissingSignatureMethod = 400 "MissingSignatureMethod" "SignatureMethod is mandatory for this action.";
    /// No SignatureVersion.
    MissingSignatureVersion = 400 "MissingSignatureVersion" "SignatureVersion is mandatory for this action.";
    /// No nonce.
    MissingSignatureNonce = 400 "MissingSignatureNonce" "SignatureNonce is mandatory for this action.";
    /// No timestamp.
    MissingTimestamp = 400 "MissingTimestamp" "Timestamp is mandatory for this action.";
    /// A signature method that is not supported.
    InvalidSignatureMethod = 400 "InvalidSignatureMethod" "Specified signature method is not valid.";
    /// A signature version that is not supported.
    InvalidSignatureVersion = 400 "InvalidSignatureVersion" "Specified parameter SignatureVersion is not valid.";
    /// A malformed Authorization header, or a required header that is not signed.
    IncompleteSignature = 400 "IncompleteSignature" "The request signature does not conform to Aliyun standards.";
    /// Not `yyyy-MM-ddTHH:mm:ssZ`.
    TimestampFormat = 400 "InvalidTimeStamp.Format" "Specified time stamp or date value is not well formatted.";
    /// The timestamp differs too much from the server's clock.
    TimestampExpired = 400 "InvalidTimeStamp.Expired" "Specified time stamp or date value is expired.";
    /// No such access key.
    AccessKeyNotFound = 404 "InvalidAccessKeyId.NotFound" "Specified access key is not found.";
    /// The access key is disabled.
    AccessKeyInactive = 400 "InvalidAccessKeyId.Inactive" "Specified access key is disabled.";
    /// A temporary key without its token.
    MissingSecurityToken = 400 "MissingSecurityToken" "SecurityToken is mandatory for this action.";
    /// A token that was not issued here.
    SecurityTokenMalformed = 400 "InvalidSecurityToken.Malformed" "Specified SecurityToken is malformed.";
    /// A token of another access key.
    SecurityTokenMismatch = 400 "InvalidSecurityToken.MismatchWithAccessKey" "Specified SecurityToken mismatch with the AccessKey.";
    /// A token whose session has expired.
    SecurityTokenExpired = 400 "InvalidSecurityToken.Expired" "Specified SecurityToken is expired.";
    /// The signature differs from the server's.
    SignatureDoesNotMatch = 400 "SignatureDoesNotMatch" "Specified signature is not matched with our calculation. server string to sign is:{string_to_sign}";
    /// The nonce was used before.
    NonceUsed = 400 "SignatureNonceUsed" "Specified signature nonce was used already.";
    /// Too many failed authentications from this address.
    Throttling = 400 "Throttling" "Request was denied due to request throttling.";
    /// Too many calls of this account.
    ThrottlingUser = 400 "Throttling.User" "Request was denied due to user flow control.";
    /// The caller lacks the permission.
    NoPermission = 403 "NoPermission" "You are not authorized to do this action. Resource: {resource} Action: {action}";
    // STS.
    /// No role.
    MissingRoleArn = 400 "MissingRoleArn" "RoleArn is mandatory for this action.";
    /// No session name.
    MissingRoleSessionName = 400 "MissingRoleSessionName" "RoleSessionName is mandatory for this action.";
    /// Not `acs:ram::<account>:role/<name>`.
    InvalidRoleArn = 400 "InvalidParameter.RoleArn" "The parameter RoleArn is wrongly formed.";
    /// The session name has an invalid length or character.
    InvalidRoleSessionName = 400 "InvalidParameter.RoleSessionName" "The parameter RoleSessionName is wrongly formed.";
    /// The duration is too short, or longer than the role allows.
    InvalidDurationSeconds = 400 "InvalidParameter.DurationSeconds" "The Min/Max value of DurationSeconds is 15min/1hr.";
    /// The session policy is invalid.
    SessionPolicyGrammar = 400 "InvalidParameter.PolicyGrammar" "The parameter Policy has not passed grammar check.";
    /// The session policy is too long.
    SessionPolicySize = 400 "InvalidParameter.PolicySize" "The size of Policy must be smaller than 1024 bytes.";
    /// The external id has an invalid length or character.
    InvalidExternalId = 400 "InvalidParameter.ExternalId" "The parameter ExternalId is wrongly formed.";
    /// The source identity has an invalid length or character.
    InvalidSourceIdentity = 400 "InvalidParameter.SourceIdentity" "The parameter SourceIdentity is wrongly formed.";
    /// The role's trust policy does not allow the caller, or there is no such role.
    AssumeRoleDenied = 403 "NoPermission" "You are not authorized to do this action. You should be authorized by RAM.";
    /// An account itself cannot assume a role.
    AccountCannotAssumeRole = 403 "NoPermission" "Roles may not be assumed by root accounts.";
    /// The caller's own account has no such role.
    AssumedRoleNotFound = 404 "EntityNotExist.Role" "The specified Role not exists.";
    /// No identity provider.
    MissingOidcProviderArn = 400 "MissingOIDCProviderArn" "OIDCProviderArn is mandatory for this action.";
    /// Not `acs:ram::<account>:oidc-provider/<name>`.
    InvalidOidcProviderArn = 400 "InvalidParameter.OIDCProviderArn" "The parameter OIDCProviderArn is wrongly formed.";
    /// No such identity provider.
    OidcProviderUnknown = 401 "AuthenticationFail.NoPermission" "No such OIDC Provider registered.";
    /// The role's trust policy does not allow the token, or there is no such role.
    AssumeRoleWithOidcDenied = 401 "AuthenticationFail.NoPermission" "There is no permission";
    /// No token.
    OidcTokenEmpty = 401 "AuthenticationFail.OIDCToken.Invalid" "The OIDCToken can not empty.";
    /// A token without exactly three parts.
    OidcTokenParts = 401 "AuthenticationFail.OIDCToken.Invalid" "The number of Jwt field should be divided into 3 parts with '.' .";
    /// A token that is not base64url.
    OidcTokenEncoding = 401 "AuthenticationFail.OIDCToken.Invalid" "Cannot decode base64 encoded response(format invalided).";
    /// A signature algorithm that is not accepted.
    OidcTokenAlgorithm = 401 "AuthenticationFail.OIDCToken.Invalid" "The algorithm {algorithm} that be specified in Jwt header is unknown.";
    /// A token that is invalid in another way.
    OidcTokenContent = 401 "AuthenticationFail.OIDCToken.Invalid" "The Jwt content is invalid that cannot be recognized.";
    /// The signature is not valid under any key of the provider.
    OidcTokenSignature = 401 "AuthenticationFail.OIDCToken.InvalidSignature" "OIDC token validate failed: invalid signature.";
    /// A token issued for another audience.
    OidcTokenAudience = 401 "AuthenticationFail.OIDCToken.AudienceNotMatch" "Invalid audience.";
    /// The token has expired.
    OidcTokenExpired = 401 "AuthenticationFail.OIDCToken.Expired" "This JsonWebToken is expired.";
    /// The store is unavailable.
    ServiceUnavailable = 503 "ServiceUnavailable" "The request has failed due to a temporary failure of the server.";

    // SetCdnDomainSSLCertificate: the 32 codes of its reference page.
    /// Neither `on` nor `off`.
    InvalidSslProtocol = 400 "InvalidSSLProtocol.ValueNotSupported" "The specified SSLProtocol is invalid.";
    /// No certificate.
    SslPubMissing = 400 "SSLPub.MissingParameter" "The SSLPub parameter is required.";
    /// No private key.
    SslPriMissing = 400 "SSLPri.MissingParameter" "The SSLPri parameter is required.";
    /// Not a chain of certificates.
    InvalidSslPub = 400 "InvalidSSLPub" "The specified SSLPub is invalid.";
    /// Not a private key.
    InvalidSslPri = 400 "InvalidSSLPri" "The specified SSLPri is invalid.";
    /// The key does not match the certificate, or the certificate does not cover the domain.
    CertificateMismatch = 400 "Certificate.MissMatch" "The SSLPri does not match the certificate.";
    /// Certificate or key too long.
    CertificateTooLong = 400 "InvalidCertificate.TooLong" "The maximum length of the certificate is exceeded.";
    /// Certificate name too long.
    CertNameTooLong = 400 "InvalidCertName.TooLong" "The length of the certificate name cannot exceed 128 characters.";
    /// A signature in the chain is invalid.
    AuthenticationFailed = 400 "AuthenticationFailed" "Error performing verification.";
    /// Any other invalid parameter of this operation.
    SetCertificateParameter = 400 "SetDomainCertificate.ParameterError" "The specified parameters are invalid.";
    /// Revoked, disabled or not yet valid.
    CertificateStatus = 400 "Certificate.StatusError" "The status of the certificate is invalid.";
    /// The store failed while disabling HTTPS.
    DeleteFailed = 400 "DeleteFailed" "Error deleting the certificate.";
    /// No such certificate in the account.
    CertificateNotFound = 400 "Certificate.NotFind" "The certificate does not exist.";
    /// The name belongs to a certificate of CAS.
    CertificateDuplicated = 400 "Certificate.Duplicated" "The certificate name already exists.";
    /// Not an X.509 v3 certificate, or signed with a weak algorithm.
    CertificateFormat = 400 "Certificate.FormatError" "The format of the certificate is invalid.";
    /// The key is empty.
    CertificateKeyNull = 400 "Certificate.KeyNull" "The private key is required.";
    /// The key cannot be parsed, or its type cannot be served.
    KeyMalformed = 400 "Key.Malformed" "The specified Key format is invalid.";
    /// The store failed.
    CertStorageFailed = 400 "CertStorage.failed" "Error saving the certificate.";
    /// The same content was uploaded before.
    CertificateContentDuplicated = 400 "CertificateContent.Duplicated" "The certificate has been uploaded; do not upload again.";
    /// The account has reached its certificate quota.
    TooManyCertificates = 403 "QuotaExceeded.Certificate" "The number of certificates exceeds the quota.";
    /// The certificate has expired.
    CertificateExpired = 400 "Certificate.Expired" "The certificate has expired.";
    /// The domain is not online.
    DomainNotOnline = 400 "InvalidDomain.notOnline" "The domain is offline. Check the status of the domain and try again later.";
    /// Invalid base64.
    DecodeError = 400 "Decode.Error" "Error decoding the SSLPub or SSLPri certificate.";
    /// The certificate has characters that are invalid in PEM.
    SslPubEncoding = 400 "sslPub.Error" "Error encoding SSLPub.";
    /// The key has characters that are invalid in PEM.
    SslPriEncoding = 400 "sslPri.Error" "Error encoding SSLPri.";
    /// The operator has put the domain into safe mode.
    DomainInSafeMode = 400 "DomainInSafeMode" "The domain is in safe mode. To request permission, contact Customer Service.";
    /// Conflicting changes kept winning.
    CreateCertificateFailed = 400 "CreateCertificateFailed" "Create certificate failed,please try again.";
    /// No such region.
    InvalidCertRegion = 400 "Abs.CertRegion.ValueNotSupported" "CertRegion is not supported.";
    /// The name belongs to another certificate.
    CertNameAlreadyExists = 400 "CertNameAlreadyExists" "The CertName already exists.";
    /// The owner has stopped the domain.
    DomainOffline = 400 "InvalidDomain.Offline" "The domain provided is offline.";
    /// No such environment.
    InvalidEnv = 400 "InvalidEnv" "The specified Env is invalid.";
    /// The operator has put the domain into protected mode.
    DomainInProtectedMode = 403 "DomainInProtectedMode" "The domain is in protection mode. To request permission, contact Customer Service.";
    /// Neither id nor name of a certificate.
    CertNameMissing = 404 "CertName.MissingParameter" "You must specify CertName.";

    // Operations on domains.
    /// No domain name.
    MissingDomainName = 400 "MissingDomainName" "DomainName is mandatory for this action.";
    /// No SSLProtocol.
    MissingSslProtocol = 400 "MissingSSLProtocol" "SSLProtocol is mandatory for this action.";
    /// Not a domain name.
    DomainNameMalformed = 400 "InvalidDomainName.Malformed" "Specified DomainName is malformed.";
    /// No such domain in the account.
    DomainNotFound = 404 "InvalidDomain.NotFound" "The domain provided does not exist in our records.";
    /// Conflicting changes kept winning; try again.
    ServiceBusy = 403 "ServiceBusy" "The specified Domain is configuring, please retry later.";
    /// The operator has locked the domain.
    OperationDenied = 403 "OperationDenied" "You do not have access to this operation.";
    /// Page number out of range.
    InvalidPageNumber = 400 "InvalidPageNumber" "Specified parameter PageNumber is not valid.";
    /// Page size out of range.
    InvalidPageSize = 400 "InvalidPageSize" "Specified parameter PageSize is not valid.";
    /// No such search type.
    InvalidDomainSearchType = 400 "InvalidDomainSearchType" "Specified parameter DomainSearchType is not valid.";
    /// No such status.
    InvalidDomainStatus = 400 "InvalidDomainStatus" "Specified parameter DomainStatus is not valid.";
    /// Not a time.
    InvalidChangeStartTime = 400 "InvalidChangeStartTime" "Specified parameter ChangeStartTime is not valid.";
    /// Not a time.
    InvalidChangeEndTime = 400 "InvalidChangeEndTime" "Specified parameter ChangeEndTime is not valid.";
    /// The domain exists already, in this account or another.
    DomainAlreadyExists = 400 "DomainAlreadyExist" "This domain name is exist already";
    /// No CdnType.
    MissingCdnType = 400 "MissingParameter" "The input parameter cdnType that is mandatory for processing this request is not supplied.";
    /// No Sources.
    MissingSources = 400 "MissingParameter" "The input parameter sources that is mandatory for processing this request is not supplied.";
    /// No such CdnType.
    InvalidCdnType = 400 "InvalidCdnType.Malformed" "Specified CdnType is malformed.";
    /// Not a list of origins.
    InvalidSources = 400 "InvalidSources.Malformed" "Specified Sources is malformed.";
    /// No such origin type.
    InvalidSourceType = 400 "InvalidSourceType.Malformed" "Specified SourceType is malformed.";
    /// Too many origins.
    TooManySources = 400 "SourceIp.Exceed" "The number of origin IP addresses exceeds the limit.";
    /// Not a resource group.
    InvalidResourceGroup = 400 "InvalidResourceGroupId.Malformed" "Specified ResourceGroupId is malformed.";
    /// No such coverage.
    InvalidScope = 400 "InvalidScope.Malformed" "Specified Scope is malformed.";
    /// The edge runs no functions.
    InvalidFunctionType = 400 "InvalidFunctionType.ValueNotSupported" "The specified FunctionType is not supported.";
    /// The edge does not distinguish scenes.
    InvalidScene = 400 "InvalidScene.ValueNotSupported" "The specified Scene is not supported.";
    /// No Property.
    MissingProperty = 400 "MissingProperty" "Property is mandatory for this action.";
    /// Not a valid Property.
    InvalidProperty = 400 "InvalidProperty.Malformed" "Specified Property is malformed.";
    /// A wildcard and its `all.` name cannot both exist.
    WildcardAndAll = 400 "ExtensiveAndAllBothExist" "Extensive domain and the domain begins with 'all.' can not exist at the same time.";
    /// The account has reached its domain quota.
    DomainOverLimit = 403 "DomainOverLimit" "The Number of Domain is over the limit";

    // The legacy operations: other codes for the same causes.
    /// Neither `on` nor `off`.
    LegacyInvalidSwitch = 400 "InvalidServerCertificateStatus.ValueNotSupported" "The specified value of parameter Enable is not supported.";
    /// No certificate.
    LegacyChainMissing = 400 "ServerCertificate.MissingParameter" "An input parameter \"ServerCertificate\" that is mandatory for processing the request is not supplied.";
    /// No private key.
    LegacyKeyMissing = 400 "PrivateKey.MissingParameter" "An input parameter \"PrivateKey\" that is mandatory for processing the request is not supplied.";
    /// Not a chain of certificates, or one that does not verify.
    LegacyInvalidCertificate = 400 "InvalidCertificate" "The Certificate you provided is malformed!";
    /// Not a private key.
    LegacyInvalidPrivateKey = 400 "InvalidPrivateKey" "The Private Key you provided is malformed!";
    /// The key does not match the certificate, or the certificate does not cover the domain.
    LegacyMismatch = 400 "Certificate.MissMatch" "The Private Key does not math the specified Certificate!";
    /// Certificate or key too long.
    LegacyTooLong = 400 "InvalidCertificate.TooLong" "The Certificate you provided is over the max length!";
    /// Certificate name too long.
    LegacyCertNameTooLong = 400 "InvalidCertName.TooLong" "The Certificate name you provided is over the max length 128!";
    /// Any other invalid parameter.
    LegacyParameter = 400 "SetDomainServerCertificate.ParameterError" "Parameters have error.";
    /// Revoked, disabled or not yet valid.
    LegacyStatus = 400 "Certificate.StatusError" "The certificate status is error.";
    /// No such certificate in the account.
    LegacyNotFound = 400 "Certificate.NotFind" "Not find the certificate info.";
    /// The name belongs to another certificate.
    LegacyDuplicated = 400 "Certificate.Duplicated" "The certificate name is duplicated.";
    /// Not an X.509 v3 certificate, or signed with a weak algorithm.
    LegacyFormat = 400 "Certificate.FormatError" "The certificate format is error.";
    /// The key is empty.
    LegacyKeyNull = 400 "Certificate.KeyNull" "The private key is not null.";
    /// The key cannot be parsed, or its type cannot be served.
    LegacyKeyMalformed = 400 "Key.Malformed" "The private key format is error.";
    /// The store failed.
    LegacyStorageFailed = 400 "CertStorage.failed" "The certificate storage failed.";
    /// The same content was uploaded before.
    LegacyContentDuplicated = 400 "CertificateContent.Duplicated" "The certificate is already uploaded, please don't upload again.";
    /// The certificate has expired.
    LegacyExpired = 400 "Certificate.Expired" "The certificate is expired.";
    /// The domain is not online.
    LegacyNotOnline = 400 "InvalidDomain.notOnline" "The domain is not online, please check the domain status and try again later.";
    /// Invalid base64.
    LegacyDecodeError = 400 "Decode.Error" "The certificate sslpub or sslpri decode error.";
    /// The certificate has characters that are invalid in PEM.
    LegacySslPubEncoding = 400 "sslPub.Error" "The sslPub encoded failed.";
    /// The key has characters that are invalid in PEM.
    LegacySslPriEncoding = 400 "sslPri.Error" "The sslPri encoded failed.";
    /// The operator has put the domain into safe mode.
    LegacySafeMode = 400 "DomainInSafeMode" "This domain is in the safe mode. if you want to do this operation, please contact us!";
    /// The operator has put the domain into protected mode.
    LegacyProtectedMode = 403 "DomainInProtectedMode" "This domain is in the protected mode. if you want to do this operation, please contact us!";

    // Lists of domains.
    /// No list of domains.
    MissingDomainNames = 400 "MissingDomainNames" "DomainNames is mandatory for this action.";
    /// More domains than a call may name.
    DomainNameOverLimit = 400 "DomainNameOverLimit" "A maximum of 50 domains are supported for each request.";

    // Tags.
    /// No resource type.
    MissingResourceType = 400 "MissingResourceType" "ResourceType is mandatory for this action.";
    /// No such resource type.
    InvalidResourceType = 400 "InvalidResourceType" "Specified parameter ResourceType is not valid.";
    /// No resource.
    MissingResourceId = 400 "MissingResourceId" "ResourceId is mandatory for this action.";
    /// Too many resources, or an index is missing.
    InvalidResourceId = 400 "InvalidResourceId" "Specified parameter ResourceId is not valid.";
    /// No tags.
    MissingTag = 400 "MissingTag" "Tag is mandatory for this action.";
    /// No tags to remove.
    MissingTagKey = 400 "MissingTagKey" "TagKey is mandatory for this action.";
    /// More tags than a resource may have.
    TooManyTags = 400 "InvalidTag.TooMany" "The number of tags exceeds the limit.";
    /// An invalid tag.
    InvalidTag = 400 "InvalidTag.Malformed" "Specified parameter Tag is not valid.";
    /// Not a token from an earlier response.
    InvalidNextToken = 400 "InvalidNextToken" "Specified parameter NextToken is not valid.";

    /// Not a time.
    InvalidStartTime = 400 "InvalidStartTime.Malformed" "Specified parameter StartTime is not valid.";
    /// Not a time, or not after the start.
    InvalidEndTime = 400 "InvalidEndTime.Malformed" "Specified parameter EndTime is not valid.";
    /// Out of range.
    InvalidMaxResults = 400 "InvalidMaxResults" "Specified parameter MaxResults is not valid.";
    /// Neither BACKWARD nor FORWARD.
    InvalidDirection = 400 "InvalidDirection" "Specified parameter Direction is not valid.";

    // Ownership and SM2.
    /// The account has not proven ownership of the root domain.
    DomainOwnerVerifyFail = 400 "DomainOwnerVerifyFail" "Owner verification of the root domain failed.";
    /// The web server does not prove ownership.
    InvalidFile = 400 "InvalidFile" "The file is not found.";
    /// No such verification method.
    VerifyError = 400 "VerifyError" "The specified Verify is incorrectly formatted.";
    /// SM2 cannot be served.
    SmNotSupported = 400 "SMCertificate.NotSupported" "SM2 certificates are not supported by this edge.";

    // Configuration functions.
    /// No functions.
    MissingFunctions = 400 "MissingFunctions" "Functions is mandatory for this action.";
    /// Not a list of functions.
    InvalidFunctions = 400 "InvalidFunctions.Malformed" "The specified Functions is incorrectly formatted.";
    /// An unknown function.
    FunctionNotSupported = 400 "Invalid{FunctionName}.ValueNotSupported" "FunctionName [{FunctionName}] is not supported.";
    /// An argument that the edge does not support.
    InvalidArgValue = 400 "InvalidArgValue.Malformed" "Specified ArgValue is malformed.";
    /// No function names.
    MissingFunctionNames = 400 "MissingFunctionNames" "FunctionNames is mandatory for this action.";
    /// No config id.
    MissingConfigId = 400 "MissingConfigId" "ConfigId is mandatory for this action.";
    /// Not a config id.
    InvalidConfigId = 400 "InvalidConfigId" "Specified parameter ConfigId is not valid.";
    /// No RedirectType.
    MissingRedirectType = 400 "MissingRedirectType" "RedirectType is mandatory for this action.";
    /// No such RedirectType.
    InvalidRedirectType = 400 "InvalidRedirectType" "Specified parameter RedirectType is not valid.";

    /// No function id.
    MissingFuncId = 400 "MissingFuncId" "FuncId is mandatory for this action.";
    /// Not a function id.
    InvalidFuncId = 400 "InvalidFuncId" "Specified parameter FuncId is not valid.";

    // Cache tasks. The edge has no cache.
    /// No URLs.
    MissingObjectPath = 400 "MissingObjectPath" "ObjectPath is mandatory for this action.";
    /// An invalid URL.
    InvalidObjectPath = 400 "InvalidObjectPath.Malformed" "The specified ObjectPath is invalid.";
    /// No such task type.
    InvalidObjectType = 400 "InvalidObjectType.Malformed" "The specified ObjectType is invalid.";
    /// More URLs than a call may have.
    TooManyObjectPaths = 400 "SingleRequest.OverLimit" "A maximum of 1000 URLs are supported for each request.";
    /// A wildcard in a URL.
    ExtensiveObjectPath = 400 "InvalidExtensiveDomain.ValueNotSupported" "The specified ExtensiveDomain is not supported.";
    /// No task id.
    MissingTaskId = 400 "MissingTaskId" "TaskId is mandatory for this action.";
    /// Not a task id.
    InvalidTaskId = 400 "InvalidTaskId.Malformed" "The specified TaskId is invalid.";
    /// DomainName or Status without ObjectType.
    MissingObjectType = 400 "MissingParameter.ObjectType" "The ObjectType parameter is required if DomainName or ObjectType is specified.";
    /// No such task type.
    UnknownObjectType = 400 "InvalidObjectType.ValueNotSupported" "The specified ObjectType is not supported.";
    /// No such task status.
    UnknownTaskStatus = 400 "InvalidStatus.ValueNotSupported" "The specified Status is not supported.";
    /// Only one end of the time range.
    MissingTimeParameter = 400 "MissingTimeParameter" "The StartTime and EndTime must be both specified.";
    /// Not a time.
    TaskStartTime = 400 "InvalidStartTime.Malformed" "The specified StartTime is invalid.";
    /// Not a time.
    TaskEndTime = 400 "InvalidEndTime.Malformed" "The specified EndTime is invalid.";
    /// The end precedes the start.
    TaskTimesMismatch = 400 "InvalidEndTime.Mismatch" "The specified EndTime is earlier than the StartTime.";

    // Signing requests.
    /// No common name.
    MissingCommonName = 400 "MissingCommonName" "CommonName is mandatory for this action.";
    /// Not a domain name.
    InvalidCommonName = 400 "InvalidCommonName" "Specified parameter CommonName is not valid.";
    /// Not domain names, or too many.
    InvalidSans = 400 "InvalidSANs" "Specified parameter SANs is not valid.";
    /// An invalid subject attribute.
    InvalidSubject = 400 "InvalidSubject" "The specified subject is not valid.";
    /// The account has reached its quota of signing requests.
    TooManySigningRequests = 403 "QuotaExceeded.CertificateSigningRequest" "The number of certificate signing requests exceeds the quota.";
    /// No certificate.
    CertificateParameterMissing = 400 "Certificate.MissingParameter" "You must specify the Certificate parameter.";
    /// No name of the certificate covers the domain.
    CertificateNotOfDomain = 400 "Certificate.MissMatch" "The certificate does not match the domain.";
    /// No signing request of the account has the certificate's key.
    NoSigningRequest = 400 "Certificate.NoPrivateKey" "The private key of the certificate does not exist.";
    /// The store failed.
    ConfigError = 500 "Internal.ConfigError" "An error occurred while configuring the certificate.";

    // Reads of certificates.
    /// No CertId.
    MissingCertId = 400 "MissingCertId" "CertId is mandatory for this action.";
    /// Not a certificate id.
    InvalidCertId = 400 "InvalidCertId" "Specified parameter CertId is not valid.";
    /// No CertName.
    MissingCertName = 400 "MissingCertName" "CertName is mandatory for this action.";
    /// No such region, in actions that do not bind the certificate.
    InvalidCertRegionParameter = 400 "InvalidCertRegion" "Specified parameter CertRegion is not valid.";
    /// No such certificate in the account.
    NoSuchCertificate = 404 "Certificate.NotFind" "The certificate does not exist.";
    /// No certificate to find domains for.
    CertParameterMissing = 400 "SSLPub.MissingParameter" "The Cert parameter is required.";
    /// Neither PEM nor base64-encoded PEM.
    SslPubDecodeError = 400 "Decode.Error" "Error decoding the SSLPub certificate.";
    /// The certificate cannot be parsed.
    CertificateDecodeError = 400 "Certificate.DecodeError" "Error decoding the certificate.";

    // CAS.
    /// No name.
    MissingName = 400 "MissingName" "Name is mandatory for this action.";
    /// Not a valid certificate name.
    InvalidName = 400 "InvalidName" "Specified parameter Name is not valid.";
    /// No chain.
    MissingCert = 400 "MissingCert" "Cert is mandatory for this action.";
    /// No private key.
    MissingKey = 400 "MissingKey" "Key is mandatory for this action.";
    /// The certificate or its chain is rejected.
    InvalidCert = 400 "InvalidCert" "Specified parameter Cert is not valid.";
    /// The private key is rejected.
    InvalidKey = 400 "InvalidKey" "Specified parameter Key is not valid.";
    /// The key does not match the leaf.
    CertKeyNotMatch = 400 "CertKeyNotMatch" "The private key does not match the certificate.";
    /// The name is taken.
    NameRepeat = 400 "NameRepeat" "The certificate name already exists.";
    /// No such certificate in the account.
    CasCertificateNotFound = 404 "NotFound" "The certificate does not exist.";
    /// A domain uses the certificate.
    CertificateInUse = 400 "CertificateInUse" "The certificate is bound to a domain.";
    /// No CertificateId.
    MissingCertificateId = 400 "MissingCertificateId" "CertificateId is mandatory for this action.";
    /// Not a certificate id.
    InvalidCertificateId = 400 "InvalidCertificateId" "Specified parameter CertificateId is not valid.";
    /// Page number out of range.
    InvalidCurrentPage = 400 "InvalidCurrentPage" "Specified parameter CurrentPage is not valid.";
    /// Page size out of range.
    InvalidShowSize = 400 "InvalidShowSize" "Specified parameter ShowSize is not valid.";
    /// No such order type.
    InvalidOrderType = 400 "InvalidOrderType" "Specified parameter OrderType is not valid.";
    /// No such certificate source.
    InvalidCertificateSource = 400 "InvalidCertificateSource" "Specified parameter CertificateSource is not valid.";
    /// No JobId.
    MissingJobId = 400 "MissingJobId" "JobId is mandatory for this action.";
    /// Not a job id.
    InvalidJobId = 400 "InvalidJobId" "Specified parameter JobId is not valid.";
    /// No such job in the account.
    JobNotFound = 404 "NotFound" "The deployment job does not exist.";
    /// No such domain in the account.
    ResourceNotFound = 404 "NotFound" "The cloud resource does not exist.";
    /// No JobType.
    MissingJobType = 400 "MissingJobType" "JobType is mandatory for this action.";
    /// No such job type.
    InvalidJobType = 400 "InvalidJobType" "Specified parameter JobType is not valid.";
    /// No CertIds.
    MissingCertIds = 400 "MissingCertIds" "CertIds is mandatory for this action.";
    /// Not certificate ids.
    InvalidCertIds = 400 "InvalidCertIds" "Specified parameter CertIds is not valid.";
    /// No ResourceIds.
    MissingResourceIds = 400 "MissingResourceIds" "ResourceIds is mandatory for this action.";
    /// Not domain ids.
    InvalidResourceIds = 400 "InvalidResourceIds" "Specified parameter ResourceIds is not valid.";
    /// The job is scheduled for later.
    InvalidScheduleTime = 400 "InvalidScheduleTime" "Specified parameter ScheduleTime is not valid.";
    /// No such certificate status.
    InvalidCertificateStatus = 400 "InvalidCertificateStatus" "Specified parameter CertificateStatus is not valid.";

    // RAM.
    /// No user name.
    MissingUserName = 400 "MissingUserName" "UserName is mandatory for this action.";
    /// No role name.
    MissingRoleName = 400 "MissingRoleName" "RoleName is mandatory for this action.";
    /// No policy name.
    MissingPolicyName = 400 "MissingPolicyName" "PolicyName is mandatory for this action.";
    /// No policy type.
    MissingPolicyType = 400 "MissingPolicyType" "PolicyType is mandatory for this action.";
    /// No policy document.
    MissingPolicyDocument = 400 "MissingPolicyDocument" "PolicyDocument is mandatory for this action.";
    /// No trust policy.
    MissingAssumeRolePolicyDocument = 400 "MissingAssumeRolePolicyDocument" "AssumeRolePolicyDocument is mandatory for this action.";
    /// No diagnostic message.
    MissingEncodedDiagnosticMessage = 400 "MissingEncodedDiagnosticMessage" "EncodedDiagnosticMessage is mandatory for this action.";
    /// Not a diagnostic message for this account.
    EncodedDiagnosticMessageValue = 400 "InvalidParameter.EncodedDiagnosticMessage" "The parameter - \"EncodedDiagnosticMessage\" is incorrect.";
    /// No policy version.
    MissingVersionId = 400 "MissingVersionId" "VersionId is mandatory for this action.";
    /// The user name has an invalid character.
    UserNameChars = 400 "InvalidParameter.UserName.InvalidChars" "The parameter - \"UserName\" contains invalid chars.";
    /// The user name has an invalid length.
    UserNameLength = 400 "InvalidParameter.UserName.Length" "The parameter - \"UserName\" beyond the length limit.";
    /// The user name has an invalid character.
    NewUserNameChars = 400 "InvalidParameter.NewUserName.InvalidChars" "The parameter - \"NewUserName\" contains invalid chars.";
    /// The user name has an invalid length.
    NewUserNameLength = 400 "InvalidParameter.NewUserName.Length" "The parameter - \"NewUserName\" beyond the length limit.";
    /// The display name has an invalid character.
    DisplayNameChars = 400 "InvalidParameter.DisplayName.InvalidChars" "The parameter - \"DisplayName\" contains invalid chars.";
    /// The display name is too long.
    DisplayNameLength = 400 "InvalidParameter.DisplayName.Length" "The parameter - \"DisplayName\" beyond the length limit.";
    /// The display name has an invalid character.
    NewDisplayNameChars = 400 "InvalidParameter.NewDisplayName.InvalidChars" "The parameter - \"NewDisplayName\" contains invalid chars.";
    /// The display name is too long.
    NewDisplayNameLength = 400 "InvalidParameter.NewDisplayName.Length" "The parameter - \"NewDisplayName\" beyond the length limit.";
    /// Not a phone number.
    MobilePhoneFormat = 400 "InvalidParameter.MobilePhone.Format" "The format of the parameter - \"MobilePhone\" is incorrect.";
    /// Not a phone number.
    NewMobilePhoneFormat = 400 "InvalidParameter.NewMobilePhone.Format" "The format of the parameter - \"NewMobilePhone\" is incorrect.";
    /// Not an email address.
    EmailFormat = 400 "InvalidParameter.Email.Format" "The format of the parameter - \"Email\" is incorrect.";
    /// Not an email address.
    NewEmailFormat = 400 "InvalidParameter.NewEmail.Format" "The format of the parameter - \"NewEmail\" is incorrect.";
    /// The comments are too long.
    CommentsLength = 400 "InvalidParameter.Comments.Length" "The parameter - \"Comments\" beyond the length limit.";
    /// The comments are too long.
    NewCommentsLength = 400 "InvalidParameter.NewComments.Length" "The parameter - \"NewComments\" beyond the length limit.";
    /// The role name has an invalid character.
    RoleNameChars = 400 "InvalidParameter.RoleName.InvalidChars" "The parameter - \"RoleName\" contains invalid chars.";
    /// The role name has an invalid length.
    RoleNameLength = 400 "InvalidParameter.RoleName.Length" "The parameter - \"RoleName\" beyond the length limit.";
    /// The policy name has an invalid character.
    PolicyNameChars = 400 "InvalidParameter.PolicyName.InvalidChars" "The parameter - \"PolicyName\" contains invalid chars.";
    /// The policy name has an invalid length.
    PolicyNameLength = 400 "InvalidParameter.PolicyName.Length" "The parameter - \"PolicyName\" beyond the length limit.";
    /// No such policy type.
    PolicyTypeValue = 400 "InvalidParameter.PolicyType" "The parameter - \"PolicyType\" is incorrect.";
    /// Not a list of names.
    ResourceNamesFormat = 400 "InvalidParameter.ResourceNames" "The parameter - \"ResourceNames\" is incorrect.";
    /// The description is too long.
    DescriptionLength = 400 "InvalidParameter.Description.Length" "The parameter - \"Description\" beyond the length limit.";
    /// The description is too long.
    NewDescriptionLength = 400 "InvalidParameter.NewDescription.Length" "The parameter - \"NewDescription\" beyond the length limit.";
    /// The policy is too long.
    PolicyDocumentLength = 400 "InvalidParameter.PolicyDocument.Length" "The parameter - \"PolicyDocument\" beyond the length limit.";
    /// The trust policy is too long.
    AssumeRolePolicyDocumentLength = 400 "InvalidParameter.AssumeRolePolicyDocument.Length" "The parameter - \"AssumeRolePolicyDocument\" beyond the length limit.";
    /// The trust policy is too long.
    NewAssumeRolePolicyDocumentLength = 400 "InvalidParameter.NewAssumeRolePolicyDocument.Length" "The parameter - \"NewAssumeRolePolicyDocument\" beyond the length limit.";
    /// Not a policy document.
    MalformedPolicyDocument = 400 "MalformedPolicyDocument" "{The error details}";
    /// Not a policy version.
    VersionIdFormat = 400 "InvalidParameter.VersionId.Format" "The format of the parameter - \"VersionId\" is incorrect.";
    /// No such access key status.
    StatusValue = 400 "InvalidParameter.Status" "The parameter - \"Status\" is incorrect.";
    /// Not a valid page size.
    MaxItemsValue = 400 "InvalidParameter.MaxItems" "The parameter - \"MaxItems\" is incorrect.";
    /// Not a marker from an earlier response.
    MarkerValue = 400 "InvalidParameter.Marker" "The parameter - \"Marker\" is incorrect.";
    /// Not a valid session duration.
    MaxSessionDurationValue = 400 "InvalidParameter.MaxSessionDuration" "The parameter - \"MaxSessionDuration\" is incorrect.";
    /// Not a valid session duration.
    NewMaxSessionDurationValue = 400 "InvalidParameter.NewMaxSessionDuration" "The parameter - \"NewMaxSessionDuration\" is incorrect.";
    /// Neither true nor false.
    SetAsDefaultValue = 400 "InvalidParameter.SetAsDefault" "The parameter - \"SetAsDefault\" is incorrect.";
    /// Neither true nor false.
    CascadingDeleteValue = 400 "InvalidParameter.CascadingDelete" "The parameter - \"CascadingDelete\" is incorrect.";
    /// No such rotation strategy.
    RotateStrategyValue = 400 "InvalidParameter.RotateStrategy" "The parameter - \"RotateStrategy\" is incorrect.";
    /// Policies and roles have no tags here.
    TagValue = 400 "InvalidParameter.Tag" "The parameter - \"Tag\" is incorrect.";
    /// Policies apply to the whole account, not to a resource group.
    ResourceGroupNotFound = 404 "EntityNotExists.ResourceGroup" "The specified resource group does not exist. You must first create a resource group.";
    /// No such user in the account.
    UserNotFound = 404 "EntityNotExist.User" "The user does not exist.";
    /// No such access key of the user.
    UserKeyNotFound = 404 "EntityNotExist.User.AccessKey" "The user access key does not exist.";
    /// The user has no password.
    LoginProfileNotFound = 404 "EntityNotExist.User.LoginProfile" "The user login profile does not exist.";
    /// The user has no MFA device.
    MfaDeviceNotFound = 404 "EntityNotExist.User.MFADevice" "The user has not bound any MFA device.";
    /// No such role in the account.
    RoleNotFound = 404 "EntityNotExist.Role" "The role does not exist.";
    /// No such policy of this type.
    PolicyNotFound = 404 "EntityNotExist.Policy" "The policy does not exist.";
    /// No such version of the policy.
    PolicyVersionNotFound = 404 "EntityNotExist.Policy.Version" "The policy version does not exist.";
    /// The user does not have the policy.
    UserPolicyNotFound = 404 "EntityNotExist.User.Policy" "The indicate policy of the user does not exist.";
    /// The role does not have the policy.
    RolePolicyNotFound = 404 "EntityNotExist.Role.Policy" "The indicate policy attached to the role does not exist.";
    /// The user's name is taken.
    UserAlreadyExists = 409 "EntityAlreadyExists.User" "The user does already EXIST.";
    /// The role's name is taken.
    RoleAlreadyExists = 409 "EntityAlreadyExists.Role" "The role does already EXIST.";
    /// The policy's name is taken.
    PolicyAlreadyExists = 409 "EntityAlreadyExists.Policy" "The group does already EXIST.";
    /// The user has the policy already.
    UserPolicyAlreadyExists = 409 "EntityAlreadyExists.User.Policy" "The user has already been attached this policy.";
    /// The role has the policy already.
    RolePolicyAlreadyExists = 409 "EntityAlreadyExists.Role.Policy" "The role has already been attached this policy.";
    /// The user still has access keys.
    UserHasAccessKeys = 409 "DeleteConflict.User.AccessKey" "The user CAN NOT has any access key while deleting the user.";
    /// The user still has policies.
    UserHasPolicies = 409 "DeleteConflict.User.Policy" "The user CAN NOT has any attached policy while deleting the user.";
    /// The role still has policies.
    RoleHasPolicies = 409 "DeleteConflict.Role.Policy" "The role CAN NOT has any attached policy while deleting the role.";
    /// The policy is attached to a role.
    PolicyOfRole = 409 "DeleteConflict.Role.Policy" "The policy CAN NOT been attached to any role while deleting the policy.";
    /// The policy is attached to a user.
    PolicyOfUser = 409 "DeleteConflict.Policy.User" "The policy CAN NOT been attached to any user while deleting the policy.";
    /// The policy has versions besides the default one.
    PolicyHasVersions = 409 "DeleteConflict.Policy.Version" "The policy CAN NOT has any version except the default version.";
    /// The version is the default one.
    DefaultPolicyVersion = 409 "DeleteConflict.Policy.Version.Default" "The default policy version CAN NOT been deleted directly.";
    /// The account has the maximum number of users.
    TooManyUsers = 409 "LimitExceeded.User" "The count of users beyond the current limits.";
    /// The user has the maximum number of access keys.
    TooManyUserKeys = 409 "LimitExceeded.User.AccessKey" "The access key count of the user access keys beyond the current limits.";
    /// The user has the maximum number of policies.
    TooManyUserPolicies = 409 "LimitExceeded.User.Policy" "The policy count of the user attached policies beyond the current limits.";
    /// The account has the maximum number of roles.
    TooManyRoles = 409 "LimitExceeded.Role" "The count of roles beyond the current limits.";
    /// The role has the maximum number of policies.
    TooManyRolePolicies = 409 "LimitExceeded.Role.Policy" "The policy count of the role beyond the current limits.";
    /// The account has the maximum number of custom policies.
    TooManyPolicies = 409 "LimitExceeded.Policy" "The count of policy beyond the current limits.";
    /// The policy has the maximum number of versions.
    TooManyPolicyVersions = 409 "LimitExceeded.Policy.Version" "The count of policy version beyond the current limits.";

    // Edgeseal's own actions.
    /// No Mode.
    MissingMode = 400 "MissingMode" "Mode is mandatory for this action.";
    /// No such mode.
    InvalidMode = 400 "InvalidMode" "Specified parameter Mode is not valid.";
    /// Not a value of PrivateOrigins.
    InvalidPrivateOrigins = 400 "InvalidPrivateOrigins" "Specified parameter PrivateOrigins is not valid.";
    /// Not a quota.
    InvalidQuota = 400 "InvalidQuota" "The specified quota is not valid.";
    /// No account name.
    MissingAccountName = 400 "MissingAccountName" "AccountName is mandatory for this action.";
    /// Not a valid account name.
    InvalidAccountName = 400 "InvalidAccountName" "Specified parameter AccountName is not valid.";
    /// The account name is taken.
    AccountAlreadyExists = 409 "EntityAlreadyExists.Account" "The account already exists.";
    /// No such account.
    AccountNotFound = 404 "EntityNotExist.Account" "The account does not exist.";
    /// Not an account id.
    InvalidAccountId = 400 "InvalidAccountId" "Specified parameter AccountId is not valid.";
    /// No permission.
    MissingPermission = 400 "MissingPermission" "Permission is mandatory for this action.";
    /// No resource.
    MissingResource = 400 "MissingResource" "Resource is mandatory for this action.";
    /// Not an IP address.
    InvalidSourceIp = 400 "InvalidSourceIp" "Specified parameter SourceIp is not valid.";
    /// No access key id.
    MissingUserAccessKeyId = 400 "MissingUserAccessKeyId" "UserAccessKeyId is mandatory for this action.";
    /// No such access key in the account.
    UserAccessKeyNotFound = 404 "EntityNotExist.AccessKey" "The access key does not exist.";
    /// No status.
    MissingStatus = 400 "MissingStatus" "Status is mandatory for this action.";
    /// No such status.
    InvalidStatus = 400 "InvalidStatus" "Specified parameter Status is not valid.";
    /// The account has the maximum number of access keys.
    TooManyAccessKeys = 409 "LimitExceeded.AccessKey" "The account has as many access keys as it may have.";
    /// The root account would be locked out.
    LastRootAccessKey = 409 "DeleteConflict.LastAccessKey" "The last active access key of the root account cannot be disabled or deleted.";
    /// No key id.
    MissingKeyId = 400 "MissingKeyId" "KeyId is mandatory for this action.";
    /// Not the id of a key-encryption key.
    InvalidKeyId = 400 "InvalidKeyId" "Specified parameter KeyId is not valid.";
    /// Not a revision.
    InvalidRevision = 400 "InvalidRevision" "Specified parameter Revision is not valid.";
    /// The last rotation is not complete.
    ResealInProgress = 409 "KeyEncryption.Resealing" "The last rotation is still under way.";
    /// The source of the keys has no new key.
    NoNewKeyEncryptionKey = 409 "KeyEncryption.NoNewKey" "There is no new key-encryption key.";
    /// The source of the keys cannot be read or written, or lacks a key that is in use.
    KeySourceUnusable = 409 "KeyEncryption.SourceUnusable" "The source of the key-encryption keys cannot be used.";
    /// Records are sealed under the key, or it is the sealing key.
    KeyEncryptionKeyInUse = 409 "DeleteConflict.KeyEncryptionKey" "The key-encryption key is in use.";
    /// No such key-encryption key.
    KeyEncryptionKeyNotFound = 404 "EntityNotExist.KeyEncryptionKey" "The key-encryption key does not exist.";
    /// Not a scope of a replacement of certificates.
    InvalidReissueScope = 400 "InvalidScope" "Specified parameter Scope is not valid.";
    /// No issuer is configured.
    IssuerNotConfigured = 409 "Issuer.NotConfigured" "There is no issuer of certificates.";
    /// Another replacement of certificates is not done.
    ReissueInProgress = 409 "Reissue.InProgress" "Another reissue is still under way.";
    /// No replacement of certificates was asked for.
    ReissueNotFound = 404 "EntityNotExist.Reissue" "The reissue does not exist.";
    /// Not a reason of a revocation.
    InvalidRevocationReason = 400 "InvalidReason" "Specified parameter Reason is not valid.";
    /// The certificate was uploaded.
    RevocationOfUpload = 409 "Revocation.Uploaded" "An uploaded certificate is revoked where it was ordered.";
    /// The domain has no certificate that was ordered.
    NothingToRevoke = 409 "Revocation.NoneOrdered" "The domain has no certificate that Edgeseal has ordered.";
    /// Nothing is staged.
    StagingConfigNotFound = 400 "StagingConfig.NotFound" "The domain has no staged configuration.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_code_has_its_own_valid_anchor() {
        let rows = || Code::ALL.iter().map(|code| code.spec());
        let wires: HashSet<_> = rows().map(|row| row.wire_code).collect();
        let anchors: HashSet<_> = rows().map(|row| row.anchor()).collect();
        assert_eq!(anchors.len(), wires.len());
        for anchor in anchors {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.';
            assert!(anchor.bytes().all(plain), "{anchor}");
        }
        let blank = Code::FunctionNotSupported.spec();
        assert_eq!(blank.anchor(), "InvalidFunctionName.ValueNotSupported");
    }
}
