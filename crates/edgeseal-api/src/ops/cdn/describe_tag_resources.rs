//! `DescribeTagResources`, in the DCDN `DescribeDcdnTagResources`: the tags of the named domains,
//! by domain.

use edgeseal_core::{DomainPattern, domain::Domain};
use serde::Serialize;

use super::{
    domain_lookup,
    tag_resources::{self, Error, matches_filter},
    tags,
};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
};

/// `DescribeTagResources`.
pub struct DescribeTagResources;

/// The domains, and the tags to return; all tags if none is named.
pub struct Params {
    names: Vec<DomainPattern>,
    tags: Vec<(String, String)>,
}

/// The domains that have such tags: a list without a wrapper.
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

impl Operation for DescribeTagResources {
    type Params = Params;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, domains }: Input<'_>) -> Result<Params, Error> {
        Ok(Params {
            names: tag_resources::required_domains(domains, params)?,
            tags: tags::parse_filter(params),
        })
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Reply>, Error> {
        let mut rows = Vec::new();
        for name in &params.names {
            let domain = domain_lookup::find(&context.catalog, call.account(), name).await?;
            rows.extend(params.row(&domain));
        }
        Ok(Success::read(Reply {
            tag_resources: rows,
        }))
    }
}

impl Params {
    fn row(&self, domain: &Domain) -> Option<Row> {
        let tags = domain.tags.iter();
        let tags = tags.filter(|(key, value)| matches_filter(&self.tags, key, value));
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
