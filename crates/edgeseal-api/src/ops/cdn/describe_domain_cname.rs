//! `DescribeDomainCname`: whether clients' DNS points to the edge. Queries the DNS on each call.
//!
//! A name may lead to the edges without a CNAME record: a root domain cannot have one. Whether it
//! does is known from what visitors found last.

use edgeseal_core::{
    AccountId, DomainPattern,
    outside::{Observation, Verdict},
};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use super::{domain_list_error::DomainListError, domain_lookup, wire_names::cname};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
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
        let mut found = Vec::new();
        for name in &names {
            let domain = domain_lookup::find(&context.catalog, call.account(), name).await?;
            let observed = context.catalog.observation(&domain).await;
            let observed = observed.map_err(StoreError::from)?;
            found.push(observed.filter(|it| it.is_current(call.now())));
        }
        // Eight at a time, so that few timeouts of unresponsive DNS servers add up.
        let account = call.account();
        let rows = names.iter().zip(found);
        let rows = rows.map(|(name, found)| Row::of(context, account, name, found));
        let rows: Vec<_> = rows.collect();
        let data = stream::iter(rows).buffered(8).collect().await;
        Ok(Success::read(Reply {
            cname_datas: Found { data },
        }))
    }
}

impl Row {
    async fn of(
        context: &Context,
        account: &AccountId,
        name: &DomainPattern,
        observed: Option<Observation>,
    ) -> Self {
        let wanted = cname(name, &context.settings.cname_suffix);
        let found = match &context.settings.ownership_verifier {
            Some(check) => check.verify_cname(account, name, &wanted).await,
            None => Err("this machine has no DNS server to query".to_owned()),
        };
        let reached = observed.filter(|it| it.verdict.reaches_edges());
        let (status, passed, err_msg) = match (found, reached) {
            (Err(why), None) => (1, "no", why),
            // A wrong certificate is no fault of the CNAME, but worth telling.
            (_, reached) => {
                let wrong = reached.filter(|it| it.verdict != Verdict::Ok);
                (0, "yes", wrong.map(|it| it.text).unwrap_or_default())
            }
        };
        Self {
            domain: name.to_string(),
            cname: wanted,
            status,
            passed,
            err_msg,
        }
    }
}
