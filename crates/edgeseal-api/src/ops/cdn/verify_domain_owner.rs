//! `VerifyDomainOwner`, `DescribeVerifyContent` and `DescribeDomainVerifyData`: proof that an
//! account owns a root domain. An operator may demand it before a domain is added.

use edgeseal_core::{DomainName, Pattern};
use edgeseal_store::catalog::ChangeError;
use serde::Serialize;

use super::named_domain::{self, NoDomain};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Nothing, Operation, Trouble, refused_or},
    ownership::{self, NotProven},
    request::Params,
};

/// The operation that checks.
pub struct VerifyDomainOwner;

/// The operation that tells what to publish.
pub struct DescribeVerifyContent;

/// The same with the place where to publish it.
pub struct DescribeDomainVerifyData;

/// How it is checked.
#[derive(Clone, Copy)]
pub enum Way {
    /// By a TXT record.
    Dns,
    /// By a file on the web server.
    File,
}

/// What to publish.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Content {
    content: String,
}

/// What to publish and where.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Data {
    content: Place,
}

#[derive(Serialize)]
struct Place {
    #[serde(rename = "verifyKey")]
    key: &'static str,
    #[serde(rename = "verifyCode")]
    code: String,
    #[serde(rename = "RootDomain")]
    root: String,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a name.
    #[error(transparent)]
    Name(#[from] NoDomain),
    /// No such way to check, or none.
    #[error("VerifyType is {given:?}; use dnsCheck or fileCheck")]
    Way {
        /// What was given; empty if nothing was.
        given: String,
    },
    /// Nobody here asks.
    #[error(
        "ownership is not checked on this Edgeseal (owner_check is off): domains can be added without"
    )]
    Off,
    /// The proof is not in the DNS.
    #[error("{why}; publish {content} as the TXT record of verification.{root}")]
    NotInDns {
        /// What was found.
        why: NotProven,
        /// What must be.
        content: String,
        /// Of which domain.
        root: DomainName,
    },
    /// The proof is not on the web server.
    #[error("{why}; publish {content} as http://{root}/verification.html")]
    NotInFile {
        /// What was found.
        why: NotProven,
        /// What must be.
        content: String,
        /// Of which domain.
        root: DomainName,
    },
    /// What every operation can meet.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for VerifyDomainOwner {
    type Params = (Pattern, Way);
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameMalformed,
        Code::VerifyError,
        Code::DomainOwnerVerifyFail,
        Code::InvalidFile,
    ];

    fn parse(params: &Params) -> Result<(Pattern, Way), Error> {
        let name = named_domain::name(params)?;
        let given = params.given("VerifyType").unwrap_or_default();
        let way = match given.to_ascii_lowercase().as_str() {
            "dnscheck" => Way::Dns,
            "filecheck" => Way::File,
            _ => {
                return Err(Error::Way {
                    given: given.chars().take(40).collect(),
                });
            }
        };
        Ok((name, way))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (name, way): (Pattern, Way),
    ) -> Result<Done<Nothing>, Error> {
        check(context, call, &name, way).await?;
        let root = &ownership::root_of(&name);
        let kept = context
            .catalog
            .transact(&call.deed, |mut draft| async move {
                draft.add_ownership(call.account(), root)?;
                Ok::<_, ChangeError<Error>>((draft, ()))
            });
        let committed = kept.await.map_err(refused_or::<Error, Error>)?;
        Ok(Done::changed(committed.revision))
    }
}

async fn check(
    context: &Context,
    call: &Authorized,
    name: &Pattern,
    way: Way,
) -> Result<(), Error> {
    let settings = &context.settings;
    let asked = settings.owner_check.as_ref();
    let asked = asked
        .filter(|_| settings.demand_ownership)
        .ok_or(Error::Off)?;
    let root = ownership::root_of(name);
    let account = call.account();
    let content = ownership::content(account, &root);
    match way {
        Way::Dns => match asked.by_dns(account, &root, &content).await {
            Ok(()) => Ok(()),
            Err(why) => Err(Error::NotInDns { why, content, root }),
        },
        Way::File => match asked.by_file(account, &root, &content).await {
            Ok(()) => Ok(()),
            Err(why) => Err(Error::NotInFile { why, content, root }),
        },
    }
}

impl Operation for DescribeVerifyContent {
    type Params = Pattern;
    type Reply = Content;
    type Error = NoDomain;

    const CODES: &'static [Code] = &[Code::MissingDomainName, Code::DomainNameMalformed];

    fn parse(params: &Params) -> Result<Pattern, NoDomain> {
        named_domain::name(params)
    }

    async fn run(_: &Context, call: &Authorized, name: Pattern) -> Result<Done<Content>, NoDomain> {
        let root = ownership::root_of(&name);
        let content = ownership::content(call.account(), &root);
        Ok(Done::read(Content { content }))
    }
}

impl Operation for DescribeDomainVerifyData {
    type Params = Pattern;
    type Reply = Data;
    type Error = NoDomain;

    const CODES: &'static [Code] = &[Code::MissingDomainName, Code::DomainNameMalformed];

    fn parse(params: &Params) -> Result<Pattern, NoDomain> {
        named_domain::name(params)
    }

    async fn run(_: &Context, call: &Authorized, name: Pattern) -> Result<Done<Data>, NoDomain> {
        let root = ownership::root_of(&name);
        Ok(Done::read(Data {
            content: Place {
                key: "verification",
                code: ownership::content(call.account(), &root),
                root: root.to_string(),
            },
        }))
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Name(why) => why.code(),
            Self::Way { .. } => Code::VerifyError,
            Self::NotInFile {
                why: NotProven::NoFile { .. },
                ..
            } => Code::InvalidFile,
            Self::Off | Self::NotInDns { .. } | Self::NotInFile { .. } => {
                Code::DomainOwnerVerifyFail
            }
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Name(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
