//! What else the caller may do, which operations ask once they know what they act upon.

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
use crate::{context::Context, operation::StoreError, policy_cache::EffectivePolicies};

impl Authorized {
    /// Whether the caller may also do what `permission` of the certificate centre is for, in the same
    /// circumstances, to this certificate of its account.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn may_with_certificate(
        &self,
        context: &Context,
        permission: &str,
        certificate: &CertificateRecord,
    ) -> Result<bool, StoreError> {
        let resource = resources::unnamed_resource(permission, self.account());
        let resource = resources::tagged(resource, &certificate.tags);
        self.may(context, permission, resource).await
    }

    /// That the caller may also do what `permission` of the certificate centre is for, in the same
    /// circumstances.
    ///
    /// # Errors
    /// That it may not, which is counted; or the store failed.
    pub(crate) async fn check_in_centre(
        &self,
        context: &Context,
        permission: &str,
    ) -> Result<(), Unauthorized> {
        let resource = resources::unnamed_resource(permission, self.account());
        let question = self.question(permission, vec![resource]);
        let judged = evaluate(context, self.principal(), self.policies(), question);
        let (decision, question) = judged.await?;
        if decision.is_allowed() {
            return Ok(());
        }
        Err(denied::denied(context, &self.caller, &question, &decision))
    }

    /// With which of these domains of its account the caller may also do what `permission` is for, in
    /// the same circumstances.
    ///
    /// # Errors
    /// That there are some and it may so with none of them, which is counted; or the store failed.
    pub(crate) async fn may_with_domains(
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
        let question = self.question(permission, domains);
        let judged = judge_each(context, self.principal(), self.policies(), question);
        let (decisions, question) = judged.await?;
        let too_long = decisions.iter().find(|it| it.exceeded_steps());
        let none = !decisions.iter().any(|it| it.is_allowed());
        let refused = too_long.or_else(|| decisions.first().filter(|_| none));
        match refused {
            Some(decision) => Err(denied::denied(context, &self.caller, &question, decision)),
            None => Ok(decisions.iter().map(|it| it.is_allowed()).collect()),
        }
    }

    /// Whether the caller may do with all of Edgeseal what the call does: a key of the root account
    /// itself, or one of its users or sessions with a right on `acs:edgeseal:*:ROOT:*`.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn is_of_operator(&self, context: &Context) -> Result<bool, StoreError> {
        if !self.principal().owner().root {
            return Ok(false);
        }
        let all = resources::edgeseal_resource(self.account());
        self.may(context, self.action.permission, all).await
    }

    async fn may(
        &self,
        context: &Context,
        permission: &str,
        resource: Resource,
    ) -> Result<bool, StoreError> {
        let question = self.question(permission, vec![resource]);
        let judged = evaluate(context, self.principal(), self.policies(), question);
        Ok(judged.await?.0.is_allowed())
    }

    fn question(&self, permission: &str, resources: Vec<Resource>) -> PolicyQuery {
        PolicyQuery {
            scope: Scope::OwnAccount,
            action: permission.to_owned(),
            resources,
            context: self.policy_context(),
        }
    }
}
