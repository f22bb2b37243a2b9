//! `ListPolicies`: policies of one type or of both, custom ones first, by name, page by page.

use edgeseal_core::identity::PolicyKind;
use edgeseal_store::Fault;
use futures_util::future::try_join_all;
use serde::Serialize;

use super::{
    error::Error,
    marker_page::{MarkerPage, PageInfo},
    parameters,
    policy::{AnyPolicy, List},
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// `ListPolicies`.
pub struct ListPolicies;

/// A page of policies.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    #[serde(flatten)]
    position: PageInfo,
    policies: List,
}

impl Operation for ListPolicies {
    type Params = (Option<PolicyKind>, MarkerPage);
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<(Option<PolicyKind>, MarkerPage), Error> {
        parameters::reject_tags(params)?;
        Ok((
            parameters::optional_policy_kind(params)?,
            MarkerPage::parse(params)?,
        ))
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (kind, page): (Option<PolicyKind>, MarkerPage),
    ) -> Result<Success<Reply>, Error> {
        let (catalog, account) = (&context.catalog, call.account());
        let mut all = Vec::new();
        if kind != Some(PolicyKind::System) {
            let own = catalog.policies(account).await;
            let own = own.map_err(StoreError::from)?.into_iter();
            all.extend(own.map(Box::new).map(AnyPolicy::Custom));
        }
        if kind != Some(PolicyKind::Custom) {
            all.extend(AnyPolicy::system());
        }
        let (policies, position) = page.cut(all, AnyPolicy::sort_key);
        let counts = policies.iter().map(async |policy| {
            let reference = policy.reference();
            let count = catalog.policy_attachments(account, &reference).await?;
            Ok::<_, Fault>(policy.summary(count))
        });
        let shown = try_join_all(counts).await.map_err(StoreError::from)?;
        Ok(Success::read(Reply {
            position,
            policies: List::of(shown),
        }))
    }
}
