//! `DeleteDeploymentJob`: a job is forgotten. What it bound stays bound.

use edgeseal_store::catalog::ChangeError;

use super::{NoJob, job_id};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Nothing, Operation, refused_or},
    request::Params,
};

/// The operation.
pub struct DeleteDeploymentJob;

impl Operation for DeleteDeploymentJob {
    type Params = i64;
    type Reply = Nothing;
    type Error = NoJob;

    const CODES: &'static [Code] = &[Code::MissingJobId, Code::InvalidJobId, Code::JobNotFound];

    fn parse(params: &Params) -> Result<i64, NoJob> {
        job_id(params)
    }

    async fn run(context: &Context, call: &Authorized, id: i64) -> Result<Done<Nothing>, NoJob> {
        let account = call.account();
        let deleted = context
            .catalog
            .transact(&call.deed, |mut draft| async move {
                if draft.deployment(account, id).await?.is_none() {
                    return Err(ChangeError::Refused(NoJob::NotFound { id }));
                }
                draft.delete_deployment(account, id);
                Ok((draft, ()))
            });
        let committed = deleted.await.map_err(refused_or::<NoJob, NoJob>)?;
        Ok(Done::changed(committed.revision))
    }
}
