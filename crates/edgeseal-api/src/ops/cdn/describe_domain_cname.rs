//! `DescribeDomainCname`: whether visitors' DNS points to the edge. The DNS is asked now.

use edgeseal_core::{AccountId, Pattern};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use super::{named_domain, named_domains::NoDomains, words::cname};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    domain_list::DomainList,
    operation::{BatchOperation, Done},
    request::Params,
};

/// The operation.
pub struct DescribeDomainCname;

/// What was found.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    cname_datas: Found,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    data: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    domain: String,
    /// The name that it should point to.
    cname: String,
    /// 0 if it does, 1 if it does not.
    status: u8,
    passed: &'static str,
    err_msg: String,
}

impl BatchOperation for DescribeDomainCname {
    type Params = Vec<Pattern>;
    type Reply = Reply;
    type Error = NoDomains;

    const CODES: &'static [Code] = &[
        Code::MissingDomainName,
        Code::DomainNameOverLimit,
        Code::DomainNameMalformed,
        Code::DomainNotFound,
    ];

    fn parse(domains: &DomainList, _: &Params) -> Result<Vec<Pattern>, NoDomains> {
        Ok(domains.names()?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        names: Vec<Pattern>,
    ) -> Result<Done<Reply>, NoDomains> {
        for name in &names {
            named_domain::find(&context.catalog, call.account(), name).await?;
        }
        // Several at once: a DNS server that does not answer costs its time a few times only.
        let account = call.account();
        let rows = names.iter().map(|name| Row::of(context, account, name));
        let rows: Vec<_> = rows.collect();
        let data = stream::iter(rows).buffered(8).collect().await;
        Ok(Done::read(Reply {
            cname_datas: Found { data },
        }))
    }
}

impl Row {
    async fn of(context: &Context, account: &AccountId, name: &Pattern) -> Self {
        let wanted = cname(name, &context.settings.cname_suffix);
        let found = match &context.settings.owner_check {
            Some(check) => check.points_to(account, name, &wanted).await,
            None => Err("this machine has no DNS server to ask".to_owned()),
        };
        let (status, passed) = if found.is_ok() { (0, "yes") } else { (1, "no") };
        Self {
            domain: name.to_string(),
            cname: wanted,
            status,
            passed,
            err_msg: found.err().unwrap_or_default(),
        }
    }
}
