//! Additional permissions, which operations check once they know the resources that they act on.

use edgeseal_core::{
    DomainPattern,
    policy::{Resource, Scope},
};
use edgeseal_store::record::CertificateRecord;

use super::{
    Authorized, Unauthorized, denied,
    evaluate::{PolicyQuery, evaluate, judge_each},
    resources,
};
use crate::{context::Context, error::StoreError, policy_cache::EffectivePolicies};

impl Authorized {
    /// Whether the caller also has `permission` of CAS for this certificate of its account, in the
    /// same request context.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn is_allowed_on_certificate(
        &self,
        context: &Context,
        permission: &str,
        certificate: &CertificateRecord,
    ) -> Result<bool, StoreError> {
        let resource = resources::unnamed_resource(permission, self.account());
        let resource = resources::tagged(resource, &certificate.tags);
        self.is_allowed(context, permission, resource).await
    }

    /// Checks that the caller also has `permission` of CAS, in the same request context.
    ///
    /// # Errors
    /// The caller lacks it, which is counted as a denial; or the store failed.
    pub(crate) async fn check_in_cas(
        &self,
        context: &Context,
        permission: &str,
    ) -> Result<(), Unauthorized> {
        let resource = resources::unnamed_resource(permission, self.account());
        let query = self.query(permission, vec![resource]);
        let judged = evaluate(context, self.principal(), self.policies(), query);
        let (decision, query) = judged.await?;
        if decision.is_allowed() {
            return Ok(());
        }
        Err(denied::denied(context, &self.caller, &query, &decision))
    }

    /// Whether the caller also has `permission` for each of these domains of its account, in the
    /// same request context.
    ///
    /// # Errors
    /// There are domains and the caller lacks the permission for all of them, which is counted as a
    /// denial; or the store failed.
    pub(crate) async fn are_allowed_on_domains(
        &self,
        context: &Context,
        permission: &str,
        names: impl ExactSizeIterator<Item = &DomainPattern> + Send,
    ) -> Result<Vec<bool>, Unauthorized> {
        let reads_tags = self.policies().is_some_and(EffectivePolicies::reads_tags);
        let account = self.account();
        let mut domains = Vec::with_capacity(names.len());
        for name in names {
            let domain = resources::domain_resource(context, permission, account, name, reads_tags);
            domains.push(domain.await?);
        }
        let query = self.query(permission, domains);
        let judged = judge_each(context, self.principal(), self.policies(), query);
        let (decisions, query) = judged.await?;
        let too_long = decisions.iter().find(|it| it.exceeded_steps());
        let none = !decisions.iter().any(|it| it.is_allowed());
        let refused = too_long.or_else(|| decisions.first().filter(|_| none));
        match refused {
            Some(decision) => Err(denied::denied(context, &self.caller, &query, decision)),
            None => Ok(decisions.iter().map(|it| it.is_allowed()).collect()),
        }
    }

    /// Whether the caller has the action's permission for all of Edgeseal: it is the root account
    /// itself, or one of its users or sessions with that permission on `acs:edgeseal:*:ROOT:*`.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn is_operator(&self, context: &Context) -> Result<bool, StoreError> {
        if !self.principal().owner().root {
            return Ok(false);
        }
        let all = resources::edgeseal_resource(self.account());
        self.is_allowed(context, self.action.permission, all).await
    }

    async fn is_allowed(
        &self,
        context: &Context,
        permission: &str,
        resource: Resource,
    ) -> Result<bool, StoreError> {
        let query = self.query(permission, vec![resource]);
        let judged = evaluate(context, self.principal(), self.policies(), query);
        Ok(judged.await?.0.is_allowed())
    }

    fn query(&self, permission: &str, resources: Vec<Resource>) -> PolicyQuery {
        PolicyQuery {
            scope: Scope::OwnAccount,
            action: permission.to_owned(),
            resources,
            context: self.policy_context(),
        }
    }
}
