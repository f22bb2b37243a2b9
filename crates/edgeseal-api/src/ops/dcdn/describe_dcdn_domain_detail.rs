//! `DescribeDcdnDomainDetail`: one domain, with the text of its certificate.

use edgeseal_core::{Pattern, domain::Domain};
use serde::Serialize;

use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Operation, Trouble},
    ops::{
        cdn::{
            named_domain::{self, NO_DOMAIN, NoDomain},
            sources::Source,
            words::{Word as _, cname, on_off},
        },
        issued::served_pem,
    },
    request::Params,
};

/// The operation.
pub struct DescribeDcdnDomainDetail;

/// The domain, in the wrapper that the SDKs expect.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    domain_detail: Detail,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    domain_name: String,
    cname: String,
    domain_status: &'static str,
    scope: &'static str,
    scene: &'static str,
    function_type: &'static str,
    description: String,
    resource_group_id: String,
    gmt_created: String,
    gmt_modified: String,
    #[serde(rename = "SSLProtocol")]
    ssl_protocol: &'static str,
    #[serde(rename = "SSLPub")]
    ssl_pub: String,
    sources: Sources,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sources {
    source: Vec<Source>,
}

impl Operation for DescribeDcdnDomainDetail {
    type Params = Pattern;
    type Reply = Reply;
    type Error = NoDomain;

    const CODES: &'static [Code] = &NO_DOMAIN;

    fn parse(params: &Params) -> Result<Pattern, NoDomain> {
        named_domain::name(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        name: Pattern,
    ) -> Result<Done<Reply>, NoDomain> {
        let domain = named_domain::find(&context.catalog, call.account(), &name).await?;
        let ssl_pub = served_pem(&context.catalog, &domain).await;
        let suffix = &context.settings.cname_suffix;
        Ok(Done::read(Reply {
            domain_detail: Detail::of(domain, suffix, ssl_pub.map_err(Trouble::from)?),
        }))
    }
}

impl Detail {
    fn of(domain: Domain, cname_suffix: &str, ssl_pub: String) -> Self {
        Self {
            domain_name: domain.name.to_string(),
            cname: cname(&domain.name, cname_suffix),
            domain_status: domain.state.word(),
            scope: domain.coverage.word(),
            scene: "",
            function_type: "",
            gmt_created: domain.created.to_string(),
            gmt_modified: domain.modified.to_string(),
            ssl_protocol: on_off(domain.is_https_on()),
            ssl_pub,
            sources: Sources {
                source: domain.origins.iter().map(Source::detailed).collect(),
            },
            description: domain.description,
            resource_group_id: domain.resource_group,
        }
    }
}
