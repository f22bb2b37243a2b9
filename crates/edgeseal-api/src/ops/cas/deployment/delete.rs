//! `DeleteDeploymentJob`: deletes the record of a job. Its bindings stay.

use edgeseal_store::catalog::ChangeError;

use super::{JobError, job_id};
use crate::{
    authorize::Authorized,
    context::Context,
    error::from_change_error,
    operation::{EmptyReply, Input, Operation, Success},
};

/// `DeleteDeploymentJob`.
pub struct DeleteDeploymentJob;

impl Operation for DeleteDeploymentJob {
    type Params = i64;
    type Reply = EmptyReply;
    type Error = JobError;

    fn parse(Input { params, .. }: Input<'_>) -> Result<i64, JobError> {
        job_id(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        id: i64,
    ) -> Result<Success<EmptyReply>, JobError> {
        let account = call.account();
        let deleted = context
            .catalog
            .transact(&call.audit, |mut draft| async move {
                if draft.deployment(account, id).await?.is_none() {
                    return Err(ChangeError::Refused(JobError::NotFound { id }));
                }
                draft.delete_deployment(account, id);
                Ok((draft, ()))
            });
        let committed = deleted
            .await
            .map_err(from_change_error::<JobError, JobError>)?;
        Ok(Success::changed(committed.revision))
    }
}
