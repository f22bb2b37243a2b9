//! Every wire code, one row each: status, code and message together, in one place.
//!
//! Checked both ways against `spec/errors.tsv` by a test.

/// What stands on the wire for one code.
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
    /// The section about the code in `docs/reference/errors.md`: the code without the braces of a blank, which
    /// no address can hold (RFC 3986 §3.5).
    #[must_use]
    pub fn anchor(&self) -> String {
        self.wire_code.replace(['{', '}'], "")
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal $wire:literal $message:literal;)+) => {
        /// A refusal as the wire knows it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its row.
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
    // Before an operation runs, in the order of the request's life.
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
    /// A Version that is none of the cloud's and none of Edgeseal's.
    InvalidVersion = 400 "InvalidVersion" "Specified parameter Version is not valid.";
    /// No such Action in this Version.
    ActionNotFound = 404 "InvalidAction.NotFound" "Specified api is not found, please check your url and method.";
    /// The cloud has it, Edgeseal does not.
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
    /// A malformed Authorization header, or too little signed.
    IncompleteSignature = 400 "IncompleteSignature" "The request signature does not conform to Aliyun standards.";
    /// Not `yyyy-MM-ddTHH:mm:ssZ`.
    TimestampFormat = 400 "InvalidTimeStamp.Format" "Specified time stamp or date value is not well formatted.";
    /// Too far from the server's clock.
    TimestampExpired = 400 "InvalidTimeStamp.Expired" "Specified time stamp or date value is expired.";
    /// No such access key.
    AccessKeyNotFound = 404 "InvalidAccessKeyId.NotFound" "Specified access key is not found.";
    /// The access key is switched off.
    AccessKeyInactive = 400 "InvalidAccessKeyId.Inactive" "Specified access key is disabled.";
    /// A temporary key without its token.
    MissingSecurityToken = 400 "MissingSecurityToken" "SecurityToken is mandatory for this action.";
    /// A token that Edgeseal did not make.
    SecurityTokenMalformed = 400 "InvalidSecurityToken.Malformed" "Specified SecurityToken is malformed.";
    /// A token of another key.
    SecurityTokenMismatch = 400 "InvalidSecurityToken.MismatchWithAccessKey" "Specified SecurityToken mismatch with the AccessKey.";
    /// A token whose session is over.
    SecurityTokenExpired = 400 "InvalidSecurityToken.Expired" "Specified SecurityToken is expired.";
    /// The signature is not what the server computes.
    SignatureDoesNotMatch = 400 "SignatureDoesNotMatch" "Specified signature is not matched with our calculation. server string to sign is:{string_to_sign}";
    /// The nonce was used before.
    NonceUsed = 400 "SignatureNonceUsed" "Specified signature nonce was used already.";
    /// Too many failed authentications from this address.
    Throttling = 400 "Throttling" "Request was denied due to request throttling.";
    /// Too many calls of this account.
    ThrottlingUser = 400 "Throttling.User" "Request was denied due to user flow control.";
    /// The principal may not do this.
    NoPermission = 403 "NoPermission" "You are not authorized to do this action. Resource: {resource} Action: {action}";
    // STS.
    /// No role.
    MissingRoleArn = 400 "MissingRoleArn" "RoleArn is mandatory for this action.";
    /// No name for the session.
    MissingRoleSessionName = 400 "MissingRoleSessionName" "RoleSessionName is mandatory for this action.";
    /// Not `acs:ram::<account>:role/<name>`.
    InvalidRoleArn = 400 "InvalidParameter.RoleArn" "The parameter RoleArn is wrongly formed.";
    /// Too short, too long, or with other characters.
    InvalidRoleSessionName = 400 "InvalidParameter.RoleSessionName" "The parameter RoleSessionName is wrongly formed.";
    /// Too short, or longer than the role allows.
    InvalidDurationSeconds = 400 "InvalidParameter.DurationSeconds" "The Min/Max value of DurationSeconds is 15min/1hr.";
    /// The policy of the session is no policy.
    SessionPolicyGrammar = 400 "InvalidParameter.PolicyGrammar" "The parameter Policy has not passed grammar check.";
    /// The policy of the session is too long.
    SessionPolicySize = 400 "InvalidParameter.PolicySize" "The size of Policy must be smaller than 1024 bytes.";
    /// Too short, too long, or with other characters.
    InvalidExternalId = 400 "InvalidParameter.ExternalId" "The parameter ExternalId is wrongly formed.";
    /// Too short, too long, or with other characters.
    InvalidSourceIdentity = 400 "InvalidParameter.SourceIdentity" "The parameter SourceIdentity is wrongly formed.";
    /// The role's trust policy does not let the caller in, or there is no such role.
    AssumeRoleDenied = 403 "NoPermission" "You are not authorized to do this action. You should be authorized by RAM.";
    /// An account itself assumes nothing.
    AccountCannotAssumeRole = 403 "NoPermission" "Roles may not be assumed by root accounts.";
    /// The caller's own account has no such role.
    AssumedRoleNotFound = 404 "EntityNotExist.Role" "The specified Role not exists.";
    /// No identity provider.
    MissingOidcProviderArn = 400 "MissingOIDCProviderArn" "OIDCProviderArn is mandatory for this action.";
    /// Not `acs:ram::<account>:oidc-provider/<name>`.
    InvalidOidcProviderArn = 400 "InvalidParameter.OIDCProviderArn" "The parameter OIDCProviderArn is wrongly formed.";
    /// No such identity provider.
    OidcProviderUnknown = 401 "AuthenticationFail.NoPermission" "No such OIDC Provider registered.";
    /// The role's trust policy does not let the provider's token in, or there is no such role.
    AssumeRoleWithOidcDenied = 401 "AuthenticationFail.NoPermission" "There is no permission";
    /// No token.
    OidcTokenEmpty = 401 "AuthenticationFail.OIDCToken.Invalid" "The OIDCToken can not empty.";
    /// Not three parts.
    OidcTokenParts = 401 "AuthenticationFail.OIDCToken.Invalid" "The number of Jwt field should be divided into 3 parts with '.' .";
    /// Not base64url.
    OidcTokenEncoding = 401 "AuthenticationFail.OIDCToken.Invalid" "Cannot decode base64 encoded response(format invalided).";
    /// An algorithm that is not believed.
    OidcTokenAlgorithm = 401 "AuthenticationFail.OIDCToken.Invalid" "The algorithm {algorithm} that be specified in Jwt header is unknown.";
    /// Anything else that no good token has.
    OidcTokenContent = 401 "AuthenticationFail.OIDCToken.Invalid" "The Jwt content is invalid that cannot be recognized.";
    /// No key of the provider signed it.
    OidcTokenSignature = 401 "AuthenticationFail.OIDCToken.InvalidSignature" "OIDC token validate failed: invalid signature.";
    /// Made for somebody else.
    OidcTokenAudience = 401 "AuthenticationFail.OIDCToken.AudienceNotMatch" "Invalid audience.";
    /// Its time is over.
    OidcTokenExpired = 401 "AuthenticationFail.OIDCToken.Expired" "This JsonWebToken is expired.";
    /// The store cannot be reached.
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
    /// The key, or the domain, is not the certificate's.
    CertificateMismatch = 400 "Certificate.MissMatch" "The SSLPri does not match the certificate.";
    /// Certificate or key too long.
    CertificateTooLong = 400 "InvalidCertificate.TooLong" "The maximum length of the certificate is exceeded.";
    /// Certificate name too long.
    CertNameTooLong = 400 "InvalidCertName.TooLong" "The length of the certificate name cannot exceed 128 characters.";
    /// A signature inside the chain does not verify.
    AuthenticationFailed = 400 "AuthenticationFailed" "Error performing verification.";
    /// Any other bad parameter of this operation.
    SetCertificateParameter = 400 "SetDomainCertificate.ParameterError" "The specified parameters are invalid.";
    /// Revoked, disabled or not yet valid.
    CertificateStatus = 400 "Certificate.StatusError" "The status of the certificate is invalid.";
    /// Switching off failed in the store.
    DeleteFailed = 400 "DeleteFailed" "Error deleting the certificate.";
    /// No such certificate in the account.
    CertificateNotFound = 400 "Certificate.NotFind" "The certificate does not exist.";
    /// The name belongs to a certificate of CAS.
    CertificateDuplicated = 400 "Certificate.Duplicated" "The certificate name already exists.";
    /// Not an X.509 v3 certificate, or weakly signed.
    CertificateFormat = 400 "Certificate.FormatError" "The format of the certificate is invalid.";
    /// The key is empty.
    CertificateKeyNull = 400 "Certificate.KeyNull" "The private key is required.";
    /// The key does not parse or is of a kind that cannot be served.
    KeyMalformed = 400 "Key.Malformed" "The specified Key format is invalid.";
    /// The store failed.
    CertStorageFailed = 400 "CertStorage.failed" "Error saving the certificate.";
    /// The same content was uploaded before.
    CertificateContentDuplicated = 400 "CertificateContent.Duplicated" "The certificate has been uploaded; do not upload again.";
    /// As many certificates as the account may have.
    TooManyCertificates = 403 "QuotaExceeded.Certificate" "The number of certificates exceeds the quota.";
    /// Past its end of validity.
    CertificateExpired = 400 "Certificate.Expired" "The certificate has expired.";
    /// The domain is not online, and not by its owner's will.
    DomainNotOnline = 400 "InvalidDomain.notOnline" "The domain is offline. Check the status of the domain and try again later.";
    /// Base64 that does not decode.
    DecodeError = 400 "Decode.Error" "Error decoding the SSLPub or SSLPri certificate.";
    /// Characters in the certificate that PEM cannot carry.
    SslPubEncoding = 400 "sslPub.Error" "Error encoding SSLPub.";
    /// Characters in the key that PEM cannot carry.
    SslPriEncoding = 400 "sslPri.Error" "Error encoding SSLPri.";
    /// Held by the operator.
    DomainInSafeMode = 400 "DomainInSafeMode" "The domain is in safe mode. To request permission, contact Customer Service.";
    /// Lost its race too often.
    CreateCertificateFailed = 400 "CreateCertificateFailed" "Create certificate failed,please try again.";
    /// No such region.
    InvalidCertRegion = 400 "Abs.CertRegion.ValueNotSupported" "CertRegion is not supported.";
    /// The name belongs to other content.
    CertNameAlreadyExists = 400 "CertNameAlreadyExists" "The CertName already exists.";
    /// Stopped by its owner.
    DomainOffline = 400 "InvalidDomain.Offline" "The domain provided is offline.";
    /// No such environment.
    InvalidEnv = 400 "InvalidEnv" "The specified Env is invalid.";
    /// Protected by the operator.
    DomainInProtectedMode = 403 "DomainInProtectedMode" "The domain is in protection mode. To request permission, contact Customer Service.";
    /// Neither number nor name of a certificate.
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
    /// Another change won too often; try again.
    ServiceBusy = 403 "ServiceBusy" "The specified Domain is configuring, please retry later.";
    /// The operator holds the domain.
    OperationDenied = 403 "OperationDenied" "You do not have access to this operation.";
    /// Page number out of range.
    InvalidPageNumber = 400 "InvalidPageNumber" "Specified parameter PageNumber is not valid.";
    /// Page size out of range.
    InvalidPageSize = 400 "InvalidPageSize" "Specified parameter PageSize is not valid.";
    /// No such way of searching.
    InvalidDomainSearchType = 400 "InvalidDomainSearchType" "Specified parameter DomainSearchType is not valid.";
    /// No such state.
    InvalidDomainStatus = 400 "InvalidDomainStatus" "Specified parameter DomainStatus is not valid.";
    /// Not a time.
    InvalidChangeStartTime = 400 "InvalidChangeStartTime" "Specified parameter ChangeStartTime is not valid.";
    /// Not a time.
    InvalidChangeEndTime = 400 "InvalidChangeEndTime" "Specified parameter ChangeEndTime is not valid.";
    /// The domain is there already, in this account or another.
    DomainAlreadyExists = 400 "DomainAlreadyExist" "This domain name is exist already";
    /// No CdnType.
    MissingCdnType = 400 "MissingParameter" "The input parameter cdnType that is mandatory for processing this request is not supplied.";
    /// No Sources.
    MissingSources = 400 "MissingParameter" "The input parameter sources that is mandatory for processing this request is not supplied.";
    /// No such CdnType.
    InvalidCdnType = 400 "InvalidCdnType.Malformed" "Specified CdnType is malformed.";
    /// Not a list of origins.
    InvalidSources = 400 "InvalidSources.Malformed" "Specified Sources is malformed.";
    /// No such kind of origin.
    InvalidSourceType = 400 "InvalidSourceType.Malformed" "Specified SourceType is malformed.";
    /// Too many origins.
    TooManySources = 400 "SourceIp.Exceed" "The number of origin IP addresses exceeds the limit.";
    /// Not a resource group.
    InvalidResourceGroup = 400 "InvalidResourceGroupId.Malformed" "Specified ResourceGroupId is malformed.";
    /// No such coverage.
    InvalidScope = 400 "InvalidScope.Malformed" "Specified Scope is malformed.";
    /// A domain that would run something.
    InvalidFunctionType = 400 "InvalidFunctionType.ValueNotSupported" "The specified FunctionType is not supported.";
    /// A domain for one kind of traffic.
    InvalidScene = 400 "InvalidScene.ValueNotSupported" "The specified Scene is not supported.";
    /// No area.
    MissingProperty = 400 "MissingProperty" "Property is mandatory for this action.";
    /// Not an area.
    InvalidProperty = 400 "InvalidProperty.Malformed" "Specified Property is malformed.";
    /// A wildcard and its `all.` name cannot both be.
    WildcardAndAll = 400 "ExtensiveAndAllBothExist" "Extensive domain and the domain begins with 'all.' can not exist at the same time.";
    /// As many domains as the account may have.
    DomainOverLimit = 403 "DomainOverLimit" "The Number of Domain is over the limit";

    // The legacy operations: the same causes in other words.
    /// Neither on nor off.
    LegacyInvalidSwitch = 400 "InvalidServerCertificateStatus.ValueNotSupported" "The specified value of parameter Enable is not supported.";
    /// No certificate.
    LegacyChainMissing = 400 "ServerCertificate.MissingParameter" "An input parameter \"ServerCertificate\" that is mandatory for processing the request is not supplied.";
    /// No private key.
    LegacyKeyMissing = 400 "PrivateKey.MissingParameter" "An input parameter \"PrivateKey\" that is mandatory for processing the request is not supplied.";
    /// Not a chain of certificates, or one that does not verify.
    LegacyInvalidCertificate = 400 "InvalidCertificate" "The Certificate you provided is malformed!";
    /// Not a private key.
    LegacyInvalidPrivateKey = 400 "InvalidPrivateKey" "The Private Key you provided is malformed!";
    /// The key, or the domain, is not the certificate's.
    LegacyMismatch = 400 "Certificate.MissMatch" "The Private Key does not math the specified Certificate!";
    /// Certificate or key too long.
    LegacyTooLong = 400 "InvalidCertificate.TooLong" "The Certificate you provided is over the max length!";
    /// Certificate name too long.
    LegacyCertNameTooLong = 400 "InvalidCertName.TooLong" "The Certificate name you provided is over the max length 128!";
    /// Any other bad parameter.
    LegacyParameter = 400 "SetDomainServerCertificate.ParameterError" "Parameters have error.";
    /// Revoked, disabled or not yet valid.
    LegacyStatus = 400 "Certificate.StatusError" "The certificate status is error.";
    /// No such certificate in the account.
    LegacyNotFound = 400 "Certificate.NotFind" "Not find the certificate info.";
    /// The name belongs to other content.
    LegacyDuplicated = 400 "Certificate.Duplicated" "The certificate name is duplicated.";
    /// Not an X.509 v3 certificate, or weakly signed.
    LegacyFormat = 400 "Certificate.FormatError" "The certificate format is error.";
    /// The key is empty.
    LegacyKeyNull = 400 "Certificate.KeyNull" "The private key is not null.";
    /// The key does not parse or cannot be served.
    LegacyKeyMalformed = 400 "Key.Malformed" "The private key format is error.";
    /// The store failed.
    LegacyStorageFailed = 400 "CertStorage.failed" "The certificate storage failed.";
    /// The same content was uploaded before.
    LegacyContentDuplicated = 400 "CertificateContent.Duplicated" "The certificate is already uploaded, please don't upload again.";
    /// Past its end of validity.
    LegacyExpired = 400 "Certificate.Expired" "The certificate is expired.";
    /// The domain is not online, and not by its owner's will.
    LegacyNotOnline = 400 "InvalidDomain.notOnline" "The domain is not online, please check the domain status and try again later.";
    /// Base64 that does not decode.
    LegacyDecodeError = 400 "Decode.Error" "The certificate sslpub or sslpri decode error.";
    /// Characters in the certificate that PEM cannot carry.
    LegacySslPubEncoding = 400 "sslPub.Error" "The sslPub encoded failed.";
    /// Characters in the key that PEM cannot carry.
    LegacySslPriEncoding = 400 "sslPri.Error" "The sslPri encoded failed.";
    /// Held by the operator.
    LegacySafeMode = 400 "DomainInSafeMode" "This domain is in the safe mode. if you want to do this operation, please contact us!";
    /// Protected by the operator.
    LegacyProtectedMode = 403 "DomainInProtectedMode" "This domain is in the protected mode. if you want to do this operation, please contact us!";

    // Lists of domains.
    /// No list of domains.
    MissingDomainNames = 400 "MissingDomainNames" "DomainNames is mandatory for this action.";
    /// More domains than a call may name.
    DomainNameOverLimit = 400 "DomainNameOverLimit" "A maximum of 50 domains are supported for each request.";

    // Labels.
    /// No kind of thing.
    MissingResourceType = 400 "MissingResourceType" "ResourceType is mandatory for this action.";
    /// No such kind of thing.
    InvalidResourceType = 400 "InvalidResourceType" "Specified parameter ResourceType is not valid.";
    /// No thing named.
    MissingResourceId = 400 "MissingResourceId" "ResourceId is mandatory for this action.";
    /// More things than a call may name.
    InvalidResourceId = 400 "InvalidResourceId" "Specified parameter ResourceId is not valid.";
    /// No labels.
    MissingTag = 400 "MissingTag" "Tag is mandatory for this action.";
    /// No labels to take off.
    MissingTagKey = 400 "MissingTagKey" "TagKey is mandatory for this action.";
    /// More labels than a thing may have.
    TooManyTags = 400 "InvalidTag.TooMany" "The number of tags exceeds the limit.";
    /// A label that is too long.
    InvalidTag = 400 "InvalidTag.Malformed" "Specified parameter Tag is not valid.";
    /// Not a token from an earlier response.
    InvalidNextToken = 400 "InvalidNextToken" "Specified parameter NextToken is not valid.";

    /// Not a time.
    InvalidStartTime = 400 "InvalidStartTime.Malformed" "Specified parameter StartTime is not valid.";
    /// Not a time, or not after the start.
    InvalidEndTime = 400 "InvalidEndTime.Malformed" "Specified parameter EndTime is not valid.";
    /// Out of range.
    InvalidMaxResults = 400 "InvalidMaxResults" "Specified parameter MaxResults is not valid.";
    /// Neither backwards nor forwards.
    InvalidDirection = 400 "InvalidDirection" "Specified parameter Direction is not valid.";

    // Ownership and SM2.
    /// The account has not proven to own the root domain.
    DomainOwnerVerifyFail = 400 "DomainOwnerVerifyFail" "Owner verification of the root domain failed.";
    /// The proof is not on the web server.
    InvalidFile = 400 "InvalidFile" "The file is not found.";
    /// No such way to check.
    VerifyError = 400 "VerifyError" "The specified Verify is incorrectly formatted.";
    /// SM2 cannot be served.
    SmNotSupported = 400 "SMCertificate.NotSupported" "SM2 certificates are not supported by this edge.";

    // Configuration functions.
    /// No functions.
    MissingFunctions = 400 "MissingFunctions" "Functions is mandatory for this action.";
    /// Not a list of functions.
    InvalidFunctions = 400 "InvalidFunctions.Malformed" "The specified Functions is incorrectly formatted.";
    /// A name that no function has.
    FunctionNotSupported = 400 "Invalid{FunctionName}.ValueNotSupported" "FunctionName [{FunctionName}] is not supported.";
    /// An argument that the edge cannot obey.
    InvalidArgValue = 400 "InvalidArgValue.Malformed" "Specified ArgValue is malformed.";
    /// No names of functions.
    MissingFunctionNames = 400 "MissingFunctionNames" "FunctionNames is mandatory for this action.";
    /// No number of a setting.
    MissingConfigId = 400 "MissingConfigId" "ConfigId is mandatory for this action.";
    /// Not a number of a setting.
    InvalidConfigId = 400 "InvalidConfigId" "Specified parameter ConfigId is not valid.";
    /// No redirect.
    MissingRedirectType = 400 "MissingRedirectType" "RedirectType is mandatory for this action.";
    /// No such redirect.
    InvalidRedirectType = 400 "InvalidRedirectType" "Specified parameter RedirectType is not valid.";

    /// No number of a function.
    MissingFuncId = 400 "MissingFuncId" "FuncId is mandatory for this action.";
    /// Not a number of a function.
    InvalidFuncId = 400 "InvalidFuncId" "Specified parameter FuncId is not valid.";

    // Caches, of which there are none.
    /// No addresses.
    MissingObjectPath = 400 "MissingObjectPath" "ObjectPath is mandatory for this action.";
    /// Not an address.
    InvalidObjectPath = 400 "InvalidObjectPath.Malformed" "The specified ObjectPath is invalid.";
    /// No such way to refresh.
    InvalidObjectType = 400 "InvalidObjectType.Malformed" "The specified ObjectType is invalid.";
    /// More addresses than a call may have.
    TooManyObjectPaths = 400 "SingleRequest.OverLimit" "A maximum of 1000 URLs are supported for each request.";
    /// A wildcard in an address.
    ExtensiveObjectPath = 400 "InvalidExtensiveDomain.ValueNotSupported" "The specified ExtensiveDomain is not supported.";
    /// No task named.
    MissingTaskId = 400 "MissingTaskId" "TaskId is mandatory for this action.";
    /// Not a number of a task.
    InvalidTaskId = 400 "InvalidTaskId.Malformed" "The specified TaskId is invalid.";
    /// A filter that needs a kind of task beside it.
    MissingObjectType = 400 "MissingParameter.ObjectType" "The ObjectType parameter is required if DomainName or ObjectType is specified.";
    /// No such kind of task.
    UnknownObjectType = 400 "InvalidObjectType.ValueNotSupported" "The specified ObjectType is not supported.";
    /// No such status of a task.
    UnknownTaskStatus = 400 "InvalidStatus.ValueNotSupported" "The specified Status is not supported.";
    /// One end of a time without the other.
    MissingTimeParameter = 400 "MissingTimeParameter" "The StartTime and EndTime must be both specified.";
    /// Not a time.
    TaskStartTime = 400 "InvalidStartTime.Malformed" "The specified StartTime is invalid.";
    /// Not a time.
    TaskEndTime = 400 "InvalidEndTime.Malformed" "The specified EndTime is invalid.";
    /// An end before its start.
    TaskTimesMismatch = 400 "InvalidEndTime.Mismatch" "The specified EndTime is earlier than the StartTime.";

    // Signing requests.
    /// No common name.
    MissingCommonName = 400 "MissingCommonName" "CommonName is mandatory for this action.";
    /// Not a name that a certificate can be asked for.
    InvalidCommonName = 400 "InvalidCommonName" "Specified parameter CommonName is not valid.";
    /// Not names that a certificate can be asked for.
    InvalidSans = 400 "InvalidSANs" "Specified parameter SANs is not valid.";
    /// Not an attribute of a subject.
    InvalidSubject = 400 "InvalidSubject" "The specified subject is not valid.";
    /// As many signing requests as the account may have.
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
    /// No such region, where it is not for binding.
    InvalidCertRegionParameter = 400 "InvalidCertRegion" "Specified parameter CertRegion is not valid.";
    /// No such certificate in the account.
    NoSuchCertificate = 404 "Certificate.NotFind" "The certificate does not exist.";
    /// No certificate to look up domains by.
    CertParameterMissing = 400 "SSLPub.MissingParameter" "The Cert parameter is required.";
    /// Neither PEM nor base64-encoded PEM.
    SslPubDecodeError = 400 "Decode.Error" "Error decoding the SSLPub certificate.";
    /// No certificate can be read.
    CertificateDecodeError = 400 "Certificate.DecodeError" "Error decoding the certificate.";

    // The CAS.
    /// No name.
    MissingName = 400 "MissingName" "Name is mandatory for this action.";
    /// Not a name for a certificate.
    InvalidName = 400 "InvalidName" "Specified parameter Name is not valid.";
    /// No chain.
    MissingCert = 400 "MissingCert" "Cert is mandatory for this action.";
    /// No private key.
    MissingKey = 400 "MissingKey" "Key is mandatory for this action.";
    /// The chain is not let in.
    InvalidCert = 400 "InvalidCert" "Specified parameter Cert is not valid.";
    /// The private key is not let in.
    InvalidKey = 400 "InvalidKey" "Specified parameter Key is not valid.";
    /// The key is not the leaf's.
    CertKeyNotMatch = 400 "CertKeyNotMatch" "The private key does not match the certificate.";
    /// The name is taken.
    NameRepeat = 400 "NameRepeat" "The certificate name already exists.";
    /// No such certificate in the account.
    CasCertificateNotFound = 404 "NotFound" "The certificate does not exist.";
    /// A domain has it bound.
    CertificateInUse = 400 "CertificateInUse" "The certificate is bound to a domain.";
    /// No CertificateId.
    MissingCertificateId = 400 "MissingCertificateId" "CertificateId is mandatory for this action.";
    /// Not a certificate id.
    InvalidCertificateId = 400 "InvalidCertificateId" "Specified parameter CertificateId is not valid.";
    /// Page number out of range.
    InvalidCurrentPage = 400 "InvalidCurrentPage" "Specified parameter CurrentPage is not valid.";
    /// Page size out of range.
    InvalidShowSize = 400 "InvalidShowSize" "Specified parameter ShowSize is not valid.";
    /// No such kind of order.
    InvalidOrderType = 400 "InvalidOrderType" "Specified parameter OrderType is not valid.";
    /// No such source of certificates.
    InvalidCertificateSource = 400 "InvalidCertificateSource" "Specified parameter CertificateSource is not valid.";
    /// No JobId.
    MissingJobId = 400 "MissingJobId" "JobId is mandatory for this action.";
    /// Not a number of a job.
    InvalidJobId = 400 "InvalidJobId" "Specified parameter JobId is not valid.";
    /// No such job in the account.
    JobNotFound = 404 "NotFound" "The deployment job does not exist.";
    /// No such domain in the account.
    ResourceNotFound = 404 "NotFound" "The cloud resource does not exist.";
    /// No JobType.
    MissingJobType = 400 "MissingJobType" "JobType is mandatory for this action.";
    /// No such kind of job.
    InvalidJobType = 400 "InvalidJobType" "Specified parameter JobType is not valid.";
    /// No CertIds.
    MissingCertIds = 400 "MissingCertIds" "CertIds is mandatory for this action.";
    /// Not certificate ids.
    InvalidCertIds = 400 "InvalidCertIds" "Specified parameter CertIds is not valid.";
    /// No ResourceIds.
    MissingResourceIds = 400 "MissingResourceIds" "ResourceIds is mandatory for this action.";
    /// Not numbers of domains.
    InvalidResourceIds = 400 "InvalidResourceIds" "Specified parameter ResourceIds is not valid.";
    /// Not now.
    InvalidScheduleTime = 400 "InvalidScheduleTime" "Specified parameter ScheduleTime is not valid.";
    /// No such status of certificates.
    InvalidCertificateStatus = 400 "InvalidCertificateStatus" "Specified parameter CertificateStatus is not valid.";

    // RAM.
    /// No user named.
    MissingUserName = 400 "MissingUserName" "UserName is mandatory for this action.";
    /// No role named.
    MissingRoleName = 400 "MissingRoleName" "RoleName is mandatory for this action.";
    /// No policy named.
    MissingPolicyName = 400 "MissingPolicyName" "PolicyName is mandatory for this action.";
    /// No type of a policy.
    MissingPolicyType = 400 "MissingPolicyType" "PolicyType is mandatory for this action.";
    /// No policy document.
    MissingPolicyDocument = 400 "MissingPolicyDocument" "PolicyDocument is mandatory for this action.";
    /// No trust policy.
    MissingAssumeRolePolicyDocument = 400 "MissingAssumeRolePolicyDocument" "AssumeRolePolicyDocument is mandatory for this action.";
    /// No sealed reason of a refusal.
    MissingEncodedDiagnosticMessage = 400 "MissingEncodedDiagnosticMessage" "EncodedDiagnosticMessage is mandatory for this action.";
    /// No sealed reason of a refusal in the account.
    EncodedDiagnosticMessageValue = 400 "InvalidParameter.EncodedDiagnosticMessage" "The parameter - \"EncodedDiagnosticMessage\" is incorrect.";
    /// No version of a policy named.
    MissingVersionId = 400 "MissingVersionId" "VersionId is mandatory for this action.";
    /// A character that no user has in its name.
    UserNameChars = 400 "InvalidParameter.UserName.InvalidChars" "The parameter - \"UserName\" contains invalid chars.";
    /// Not the length of a user's name.
    UserNameLength = 400 "InvalidParameter.UserName.Length" "The parameter - \"UserName\" beyond the length limit.";
    /// A character that no user has in its name.
    NewUserNameChars = 400 "InvalidParameter.NewUserName.InvalidChars" "The parameter - \"NewUserName\" contains invalid chars.";
    /// Not the length of a user's name.
    NewUserNameLength = 400 "InvalidParameter.NewUserName.Length" "The parameter - \"NewUserName\" beyond the length limit.";
    /// A character that no display name has.
    DisplayNameChars = 400 "InvalidParameter.DisplayName.InvalidChars" "The parameter - \"DisplayName\" contains invalid chars.";
    /// A display name that is too long.
    DisplayNameLength = 400 "InvalidParameter.DisplayName.Length" "The parameter - \"DisplayName\" beyond the length limit.";
    /// A character that no display name has.
    NewDisplayNameChars = 400 "InvalidParameter.NewDisplayName.InvalidChars" "The parameter - \"NewDisplayName\" contains invalid chars.";
    /// A display name that is too long.
    NewDisplayNameLength = 400 "InvalidParameter.NewDisplayName.Length" "The parameter - \"NewDisplayName\" beyond the length limit.";
    /// Not a phone number.
    MobilePhoneFormat = 400 "InvalidParameter.MobilePhone.Format" "The format of the parameter - \"MobilePhone\" is incorrect.";
    /// Not a phone number.
    NewMobilePhoneFormat = 400 "InvalidParameter.NewMobilePhone.Format" "The format of the parameter - \"NewMobilePhone\" is incorrect.";
    /// Not a mail address.
    EmailFormat = 400 "InvalidParameter.Email.Format" "The format of the parameter - \"Email\" is incorrect.";
    /// Not a mail address.
    NewEmailFormat = 400 "InvalidParameter.NewEmail.Format" "The format of the parameter - \"NewEmail\" is incorrect.";
    /// Comments that are too long.
    CommentsLength = 400 "InvalidParameter.Comments.Length" "The parameter - \"Comments\" beyond the length limit.";
    /// Comments that are too long.
    NewCommentsLength = 400 "InvalidParameter.NewComments.Length" "The parameter - \"NewComments\" beyond the length limit.";
    /// A character that no role has in its name.
    RoleNameChars = 400 "InvalidParameter.RoleName.InvalidChars" "The parameter - \"RoleName\" contains invalid chars.";
    /// Not the length of a role's name.
    RoleNameLength = 400 "InvalidParameter.RoleName.Length" "The parameter - \"RoleName\" beyond the length limit.";
    /// A character that no policy has in its name.
    PolicyNameChars = 400 "InvalidParameter.PolicyName.InvalidChars" "The parameter - \"PolicyName\" contains invalid chars.";
    /// Not the length of a policy's name.
    PolicyNameLength = 400 "InvalidParameter.PolicyName.Length" "The parameter - \"PolicyName\" beyond the length limit.";
    /// No such type of a policy.
    PolicyTypeValue = 400 "InvalidParameter.PolicyType" "The parameter - \"PolicyType\" is incorrect.";
    /// Not a list of names.
    ResourceNamesFormat = 400 "InvalidParameter.ResourceNames" "The parameter - \"ResourceNames\" is incorrect.";
    /// A description that is too long.
    DescriptionLength = 400 "InvalidParameter.Description.Length" "The parameter - \"Description\" beyond the length limit.";
    /// A description that is too long.
    NewDescriptionLength = 400 "InvalidParameter.NewDescription.Length" "The parameter - \"NewDescription\" beyond the length limit.";
    /// A policy that is too long.
    PolicyDocumentLength = 400 "InvalidParameter.PolicyDocument.Length" "The parameter - \"PolicyDocument\" beyond the length limit.";
    /// A trust policy that is too long.
    AssumeRolePolicyDocumentLength = 400 "InvalidParameter.AssumeRolePolicyDocument.Length" "The parameter - \"AssumeRolePolicyDocument\" beyond the length limit.";
    /// A trust policy that is too long.
    NewAssumeRolePolicyDocumentLength = 400 "InvalidParameter.NewAssumeRolePolicyDocument.Length" "The parameter - \"NewAssumeRolePolicyDocument\" beyond the length limit.";
    /// Not a policy document.
    MalformedPolicyDocument = 400 "MalformedPolicyDocument" "{The error details}";
    /// Not a version of a policy.
    VersionIdFormat = 400 "InvalidParameter.VersionId.Format" "The format of the parameter - \"VersionId\" is incorrect.";
    /// No such status of an access key.
    StatusValue = 400 "InvalidParameter.Status" "The parameter - \"Status\" is incorrect.";
    /// Not a number of entries.
    MaxItemsValue = 400 "InvalidParameter.MaxItems" "The parameter - \"MaxItems\" is incorrect.";
    /// Not a place in a listing.
    MarkerValue = 400 "InvalidParameter.Marker" "The parameter - \"Marker\" is incorrect.";
    /// Not a length of a session.
    MaxSessionDurationValue = 400 "InvalidParameter.MaxSessionDuration" "The parameter - \"MaxSessionDuration\" is incorrect.";
    /// Not a length of a session.
    NewMaxSessionDurationValue = 400 "InvalidParameter.NewMaxSessionDuration" "The parameter - \"NewMaxSessionDuration\" is incorrect.";
    /// Neither true nor false.
    SetAsDefaultValue = 400 "InvalidParameter.SetAsDefault" "The parameter - \"SetAsDefault\" is incorrect.";
    /// Neither true nor false.
    CascadingDeleteValue = 400 "InvalidParameter.CascadingDelete" "The parameter - \"CascadingDelete\" is incorrect.";
    /// No such way to make room for a version.
    RotateStrategyValue = 400 "InvalidParameter.RotateStrategy" "The parameter - \"RotateStrategy\" is incorrect.";
    /// Tags of policies and roles are not kept.
    TagValue = 400 "InvalidParameter.Tag" "The parameter - \"Tag\" is incorrect.";
    /// Policies are attached for the whole account only.
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
    /// A user that has access keys.
    UserHasAccessKeys = 409 "DeleteConflict.User.AccessKey" "The user CAN NOT has any access key while deleting the user.";
    /// A user that has policies.
    UserHasPolicies = 409 "DeleteConflict.User.Policy" "The user CAN NOT has any attached policy while deleting the user.";
    /// A role that has policies.
    RoleHasPolicies = 409 "DeleteConflict.Role.Policy" "The role CAN NOT has any attached policy while deleting the role.";
    /// A policy that a role has.
    PolicyOfRole = 409 "DeleteConflict.Role.Policy" "The policy CAN NOT been attached to any role while deleting the policy.";
    /// A policy that a user has.
    PolicyOfUser = 409 "DeleteConflict.Policy.User" "The policy CAN NOT been attached to any user while deleting the policy.";
    /// A policy with further versions.
    PolicyHasVersions = 409 "DeleteConflict.Policy.Version" "The policy CAN NOT has any version except the default version.";
    /// The version that is in force.
    DefaultPolicyVersion = 409 "DeleteConflict.Policy.Version.Default" "The default policy version CAN NOT been deleted directly.";
    /// As many users as an account may have.
    TooManyUsers = 409 "LimitExceeded.User" "The count of users beyond the current limits.";
    /// As many access keys as a user may have.
    TooManyUserKeys = 409 "LimitExceeded.User.AccessKey" "The access key count of the user access keys beyond the current limits.";
    /// As many policies as a user may have.
    TooManyUserPolicies = 409 "LimitExceeded.User.Policy" "The policy count of the user attached policies beyond the current limits.";
    /// As many roles as an account may have.
    TooManyRoles = 409 "LimitExceeded.Role" "The count of roles beyond the current limits.";
    /// As many policies as a role may have.
    TooManyRolePolicies = 409 "LimitExceeded.Role.Policy" "The policy count of the role beyond the current limits.";
    /// As many custom policies as an account may have.
    TooManyPolicies = 409 "LimitExceeded.Policy" "The count of policy beyond the current limits.";
    /// As many versions as a policy may have.
    TooManyPolicyVersions = 409 "LimitExceeded.Policy.Version" "The count of policy version beyond the current limits.";

    // Edgeseal's own actions.
    /// No mode.
    MissingMode = 400 "MissingMode" "Mode is mandatory for this action.";
    /// No such mode.
    InvalidMode = 400 "InvalidMode" "Specified parameter Mode is not valid.";
    /// Not whether origins may be private.
    InvalidPrivateOrigins = 400 "InvalidPrivateOrigins" "Specified parameter PrivateOrigins is not valid.";
    /// Not a quota.
    InvalidQuota = 400 "InvalidQuota" "The specified quota is not valid.";
    /// No account name.
    MissingAccountName = 400 "MissingAccountName" "AccountName is mandatory for this action.";
    /// Not a name for an account.
    InvalidAccountName = 400 "InvalidAccountName" "Specified parameter AccountName is not valid.";
    /// The name is taken.
    AccountAlreadyExists = 409 "EntityAlreadyExists.Account" "The account already exists.";
    /// No such account.
    AccountNotFound = 404 "EntityNotExist.Account" "The account does not exist.";
    /// Not an account number.
    InvalidAccountId = 400 "InvalidAccountId" "Specified parameter AccountId is not valid.";
    /// No permission is asked about.
    MissingPermission = 400 "MissingPermission" "Permission is mandatory for this action.";
    /// Nothing is named that a permission would be for.
    MissingResource = 400 "MissingResource" "Resource is mandatory for this action.";
    /// Not an address.
    InvalidSourceIp = 400 "InvalidSourceIp" "Specified parameter SourceIp is not valid.";
    /// No access key named.
    MissingUserAccessKeyId = 400 "MissingUserAccessKeyId" "UserAccessKeyId is mandatory for this action.";
    /// No such access key in the account.
    UserAccessKeyNotFound = 404 "EntityNotExist.AccessKey" "The access key does not exist.";
    /// No status.
    MissingStatus = 400 "MissingStatus" "Status is mandatory for this action.";
    /// No such status.
    InvalidStatus = 400 "InvalidStatus" "Specified parameter Status is not valid.";
    /// The account has the maximum number of keys.
    TooManyAccessKeys = 409 "LimitExceeded.AccessKey" "The account has as many access keys as it may have.";
    /// The root account would be locked out.
    LastRootAccessKey = 409 "DeleteConflict.LastAccessKey" "The last active access key of the root account cannot be disabled or deleted.";
    /// No key-encryption key named.
    MissingKeyId = 400 "MissingKeyId" "KeyId is mandatory for this action.";
    /// Not the id of a key-encryption key.
    InvalidKeyId = 400 "InvalidKeyId" "Specified parameter KeyId is not valid.";
    /// Not the revision of a commit.
    InvalidRevision = 400 "InvalidRevision" "Specified parameter Revision is not valid.";
    /// The last rotation is not done.
    ResealInProgress = 409 "KeyEncryption.Resealing" "The last rotation is still under way.";
    /// The source of the keys has no new one.
    NoNewKeyEncryptionKey = 409 "KeyEncryption.NoNewKey" "There is no new key-encryption key.";
    /// The source of the keys cannot be read or written, or lacks a key that is in use.
    KeySourceUnusable = 409 "KeyEncryption.SourceUnusable" "The source of the key-encryption keys cannot be used.";
    /// The key is needed.
    KeyEncryptionKeyInUse = 409 "DeleteConflict.KeyEncryptionKey" "The key-encryption key is in use.";
    /// No such key.
    KeyEncryptionKeyNotFound = 404 "EntityNotExist.KeyEncryptionKey" "The key-encryption key does not exist.";
    /// There is nothing staged.
    StagingConfigNotFound = 400 "StagingConfig.NotFound" "The domain has no staged configuration.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_code_has_a_section_of_its_own_that_an_address_can_name() {
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
