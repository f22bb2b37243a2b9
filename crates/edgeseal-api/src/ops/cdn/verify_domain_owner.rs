//! `VerifyDomainOwner`, `DescribeVerifyContent` and `DescribeDomainVerifyData`: proof that an
//! account owns a root domain. An operator may require it before a domain is added.

use edgeseal_core::{DomainName, DomainPattern};
use edgeseal_store::catalog::ChangeError;
use serde::Serialize;

use super::domain_lookup::{self, DomainError};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error, from_change_error},
    operation::{EmptyReply, Input, Operation, Success},
    ownership::{self, OwnershipError},
    sanitize::sanitize,
};

/// `VerifyDomainOwner`.
pub struct VerifyDomainOwner;

/// `DescribeVerifyContent`.
pub struct DescribeVerifyContent;

/// `DescribeDomainVerifyData`.
pub struct DescribeDomainVerifyData;

/// How ownership is verified.
#[derive(Clone, Copy)]
pub enum VerifyMethod {
    /// By a TXT record.
    Dns,
    /// By a file on the web server.
    File,
}

/// The content to publish.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Content {
    content: String,
}

/// The content to publish, and where.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Data {
    content: VerifyData,
}

#[derive(Serialize)]
struct VerifyData {
    #[serde(rename = "verifyKey")]
    key: &'static str,
    #[serde(rename = "verifyCode")]
    code: String,
    #[serde(rename = "RootDomain")]
    root: String,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is invalid.
    #[error(transparent)]
    Name(#[from] DomainError),
    /// No such method, or none given.
    #[error("VerifyType is {given:?}; use dnsCheck or fileCheck")]
    Way {
        /// The value given; empty if none.
        given: String,
    },
    /// Ownership is not verified here.
    #[error(
        "ownership is not checked on this Edgeseal (owner_check is off): domains can be added without proof"
    )]
    Disabled,
    /// The DNS does not prove it.
    #[error("{reason}; publish {content} as the TXT record of verification.{root}")]
    NotInDns {
        /// What was found.
        reason: OwnershipError,
        /// The expected content.
        content: String,
        /// The root domain.
        root: DomainName,
    },
    /// The web server does not prove it.
    #[error("{reason}; publish {content} as http://{root}/verification.html")]
    NotInFile {
        /// What was found.
        reason: OwnershipError,
        /// The expected content.
        content: String,
        /// The root domain.
        root: DomainName,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operation for VerifyDomainOwner {
    type Params = (DomainPattern, VerifyMethod);
    type Reply = EmptyReply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(DomainPattern, VerifyMethod), Error> {
        let name = domain_lookup::parse_name(params)?;
        let given = params.get_non_empty("VerifyType").unwrap_or_default();
        let way = match given.to_ascii_lowercase().as_str() {
            "dnscheck" => VerifyMethod::Dns,
            "filecheck" => VerifyMethod::File,
            _ => {
                return Err(Error::Way {
                    given: sanitize(given),
                });
            }
        };
        Ok((name, way))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, way): (DomainPattern, VerifyMethod),
    ) -> Result<Success<EmptyReply>, Error> {
        check(context, call, &name, way).await?;
        let root = &name.registrable_domain();
        let kept = context
            .catalog
            .transact(&call.audit, |mut draft| async move {
                draft.add_ownership(call.account(), root)?;
                Ok::<_, ChangeError<Error>>((draft, ()))
            });
        let committed = kept.await.map_err(from_change_error::<Error, Error>)?;
        Ok(Success::changed(committed.revision))
    }
}

async fn check(
    context: &Context,
    call: &Authorized,
    name: &DomainPattern,
    way: VerifyMethod,
) -> Result<(), Error> {
    let settings = &context.settings;
    let asked = settings.ownership_verifier.as_ref();
    let asked = asked
        .filter(|_| settings.require_ownership)
        .ok_or(Error::Disabled)?;
    let root = name.registrable_domain();
    let account = call.account();
    let content = ownership::verification_content(account, &root);
    match way {
        VerifyMethod::Dns => match asked.verify_dns(account, &root, &content).await {
            Ok(()) => Ok(()),
            Err(reason) => Err(Error::NotInDns {
                reason,
                content,
                root,
            }),
        },
        VerifyMethod::File => match asked.verify_file(account, &root, &content).await {
            Ok(()) => Ok(()),
            Err(reason) => Err(Error::NotInFile {
                reason,
                content,
                root,
            }),
        },
    }
}

impl Operation for DescribeVerifyContent {
    type Params = DomainPattern;
    type Reply = Content;
    type Error = DomainError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<DomainPattern, DomainError> {
        domain_lookup::parse_name(params)
    }

    async fn run(
        _: &Context,
        call: &Authorized,
        name: DomainPattern,
    ) -> Result<Success<Content>, DomainError> {
        let root = name.registrable_domain();
        let content = ownership::verification_content(call.account(), &root);
        Ok(Success::read(Content { content }))
    }
}

impl Operation for DescribeDomainVerifyData {
    type Params = DomainPattern;
    type Reply = Data;
    type Error = DomainError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<DomainPattern, DomainError> {
        domain_lookup::parse_name(params)
    }

    async fn run(
        _: &Context,
        call: &Authorized,
        name: DomainPattern,
    ) -> Result<Success<Data>, DomainError> {
        let root = name.registrable_domain();
        Ok(Success::read(Data {
            content: VerifyData {
                key: "verification",
                code: ownership::verification_content(call.account(), &root),
                root: root.to_string(),
            },
        }))
    }
}

api_error!(Error {
    Name(DomainError),
    Way => VerifyError,
    NotInFile { reason: OwnershipError::UnexpectedStatus { .. }, .. } => InvalidFile,
    Disabled | NotInDns | NotInFile => DomainOwnerVerifyFail,
    Store(StoreError),
});
