//! `CreateCertificateName` of Version 2018-08-13: what an owner writes on a certificate. Terraform
//! changes name, labels and grouping label by it.

use edgeseal_core::certificate::CertificateId;
use edgeseal_store::{
    catalog::{ChangeError, Draft},
    record::CertificateRecord,
};

use super::upload::{self, BadName};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Nothing, Operation, Trouble, refused_or},
    ops::{
        cdn::tags::{self, BadGroup, BadTags},
        named_certificate::{self, By, NoCertificate},
    },
    request::Params,
};

/// The operation.
pub struct CreateCertificateName;

/// Which certificate, and what is to change of it.
pub struct Changes {
    id: CertificateId,
    name: Option<String>,
    /// All that it is to have; none given and empty are two things.
    tags: Option<Vec<(String, String)>>,
    resource_group: Option<String>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such certificate.
    #[error(transparent)]
    Certificate(#[from] NoCertificate),
    /// Nothing is given.
    #[error("nothing is to change: give Name, Tags.1.Key or ResourceGroupId")]
    Nothing,
    /// Not a name.
    #[error(transparent)]
    Name(#[from] BadName),
    /// Not labels.
    #[error(transparent)]
    Tags(#[from] BadTags),
    /// Not a grouping label.
    #[error(transparent)]
    Group(#[from] BadGroup),
    /// The name is taken.
    #[error("your account has another certificate named {name:?} (CertId {id})")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        id: CertificateId,
    },
    /// What every operation can meet.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl Operation for CreateCertificateName {
    type Params = Changes;
    type Reply = Nothing;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingCertificateId,
        Code::InvalidCertificateId,
        Code::NotInCertificateCentre,
        Code::MissingName,
        Code::InvalidName,
        Code::NameRepeat,
        Code::InvalidTag,
        Code::TooManyTags,
        Code::InvalidResourceGroup,
    ];

    fn parse(params: &Params) -> Result<Changes, Error> {
        let id = named_certificate::number(params, By::CertificateId)?;
        let name = params.given("Name").map(upload::checked).transpose()?;
        // `Tags.1.Key=` takes all of them away; no `Tags` at all leaves them.
        let is_tag = |(name, _): (&str, &str)| name.starts_with("Tags.");
        let tags = params.iter().any(is_tag);
        let tags = tags.then(|| tags::wanted(params, "Tags")).transpose()?;
        let resource_group = tags::group(params)?;
        if name.is_none() && tags.is_none() && resource_group.is_none() {
            return Err(Error::Nothing);
        }
        Ok(Changes {
            id,
            name,
            tags,
            resource_group,
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        changes: Changes,
    ) -> Result<Done<Nothing>, Error> {
        let changes = &changes;
        let changed = context
            .catalog
            .transact(&call.deed, |mut draft| async move {
                let found = draft.certificate(changes.id).await?;
                let own = found.filter(|found| found.account == *call.account() && !found.removed);
                let Some(before) = own else {
                    let which = format!("with the number {}", changes.id);
                    let why = NoCertificate::NotInCentre { which };
                    return Err(ChangeError::Refused(why.into()));
                };
                let after = changes.made_to(&mut draft, &before).await?;
                draft.change_certificate(&before, &after).await?;
                Ok((draft, ()))
            });
        let committed = changed.await.map_err(refused_or::<Error, Error>)?;
        Ok(Done::changed(committed.revision))
    }
}

impl Changes {
    async fn made_to(
        &self,
        draft: &mut Draft,
        before: &CertificateRecord,
    ) -> Result<CertificateRecord, ChangeError<Error>> {
        let mut after = before.clone();
        if let Some(name) = self.name.as_ref().filter(|name| **name != before.name) {
            if let Some(named) = draft.certificate_named(&before.account, name).await? {
                let (name, id) = (name.clone(), named.id);
                return Err(ChangeError::Refused(Error::NameTaken { name, id }));
            }
            after.name.clone_from(name);
        }
        if let Some(tags) = &self.tags {
            after.tags.clone_from(tags);
        }
        if let Some(group) = &self.resource_group {
            after.resource_group.clone_from(group);
        }
        Ok(after)
    }
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Certificate(why) => why.code(),
            Self::Nothing => Code::MissingName,
            Self::Name(why) => why.code(),
            Self::Tags(why) => why.code(),
            Self::Group(_) => Code::InvalidResourceGroup,
            Self::NameTaken { .. } => Code::NameRepeat,
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Certificate(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
