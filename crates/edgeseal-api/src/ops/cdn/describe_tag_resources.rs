//! `DescribeTagResources`, in the DCDN `DescribeDcdnTagResources`: the labels of the domains that are
//! named, domain by domain.

use edgeseal_core::{Pattern, domain::Domain};
use serde::Serialize;

use super::{
    named_domain,
    tag_resources::{self, Error, takes},
    tags,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    operation::{BatchOperation, Done},
    request::Params,
};

/// The operation.
pub struct DescribeTagResources;

/// Which labels of which domains; all labels if none is named.
pub struct Wanted {
    names: Vec<Pattern>,
    tags: Vec<(String, String)>,
}

/// Those of the domains that have such labels: a list without a wrapper.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    tag_resources: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    resource_id: String,
    tag: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

impl BatchOperation for DescribeTagResources {
    type Params = Wanted;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = &[
        Code::MissingResourceType,
        Code::InvalidResourceType,
        Code::MissingResourceId,
        Code::InvalidResourceId,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
    ];

    fn parse(domains: &DomainList, params: &Params) -> Result<Wanted, Error> {
        Ok(Wanted {
            names: tag_resources::some(domains, params)?,
            tags: tags::parse(params),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Reply>, Error> {
        let mut rows = Vec::new();
        for name in &wanted.names {
            let domain = named_domain::find(&context.catalog, call.account(), name).await?;
            rows.extend(wanted.row(&domain));
        }
        Ok(Done::read(Reply {
            tag_resources: rows,
        }))
    }
}

impl Wanted {
    fn row(&self, domain: &Domain) -> Option<Row> {
        let tags = domain.tags.iter();
        let tags = tags.filter(|(key, value)| takes(&self.tags, key, value));
        let tags = tags.map(|(key, value)| Tag {
            key: key.clone(),
            value: value.clone(),
        });
        let tag: Vec<Tag> = tags.collect();
        (!tag.is_empty()).then(|| Row {
            resource_id: domain.name.to_string(),
            tag,
        })
    }
}
