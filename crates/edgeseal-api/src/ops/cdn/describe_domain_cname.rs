//! `DescribeDomainCname`: whether clients' DNS points to the edge. Queries the DNS on each call.

use edgeseal_core::{AccountId, DomainPattern};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use super::{domain_list_error::DomainListError, domain_lookup, wire_names::cname};
use crate::{
    authorize::Authorized,
    context::Context,
    operation::{Input, Operation, Success},
};

/// `DescribeDomainCname`.
pub struct DescribeDomainCname;

/// The results.
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

impl Operation for DescribeDomainCname {
    type Params = Vec<DomainPattern>;
    type Reply = Reply;
    type Error = DomainListError;

    fn parse(Input { domains, .. }: Input<'_>) -> Result<Vec<DomainPattern>, DomainListError> {
        Ok(domains.names()?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        names: Vec<DomainPattern>,
    ) -> Result<Success<Reply>, DomainListError> {
        for name in &names {
            domain_lookup::find(&context.catalog, call.account(), name).await?;
        }
        // Eight at a time, so that few timeouts of unresponsive DNS servers add up.
        let account = call.account();
        let rows = names.iter().map(|name| Row::of(context, account, name));
        let rows: Vec<_> = rows.collect();
        let data = stream::iter(rows).buffered(8).collect().await;
        Ok(Success::read(Reply {
            cname_datas: Found { data },
        }))
    }
}

impl Row {
    async fn of(context: &Context, account: &AccountId, name: &DomainPattern) -> Self {
        let wanted = cname(name, &context.settings.cname_suffix);
        let found = match &context.settings.ownership_verifier {
            Some(check) => check.verify_cname(account, name, &wanted).await,
            None => Err("this machine has no DNS server to query".to_owned()),
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
