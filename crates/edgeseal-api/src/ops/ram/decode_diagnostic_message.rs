//! `DecodeDiagnosticMessage`: decodes the sealed diagnosis of a denied call.

use serde::Serialize;

use super::{error::Error, parameters::InvalidParameter};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    diagnostic_message::DiagnosticMessage,
    operation::{Input, Operation, Success},
};

/// `DecodeDiagnosticMessage`.
pub struct DecodeDiagnosticMessage;

/// The message.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    decoded_diagnostic_message: Decoded,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Decoded {
    auth_action: String,
    auth_principal: Principal,
    auth_resource: String,
    explicit_deny: bool,
    matched_policies: Vec<Matched>,
    no_permission_policy_type: String,
    /// An addition of Edgeseal: the reason as a sentence.
    reason: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Principal {
    auth_principal_display_name: String,
    auth_principal_owner_id: String,
    auth_principal_type: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Matched {
    effect: &'static str,
    policy_identifier: String,
    policy_type: String,
}

impl Operation for DecodeDiagnosticMessage {
    type Params = String;
    type Reply = Reply;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<String, Error> {
        let given = params.get_non_empty(PARAMETER).map(str::to_owned);
        let missing = InvalidParameter::Missing {
            parameter: PARAMETER,
            code: Code::MissingEncodedDiagnosticMessage,
        };
        Ok(given.ok_or(missing)?)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        message: String,
    ) -> Result<Success<Reply>, Error> {
        let diagnosis = DiagnosticMessage::decode(&message, context.catalog.keyring());
        // A message for another account counts as invalid.
        let diagnosis = diagnosis
            .filter(|found| found.access_denied.auth_principal_owner_id == call.account().as_str());
        let DiagnosticMessage {
            access_denied: denied,
            resource,
            policy,
            reason,
        } = diagnosis.ok_or_else(|| {
            let expected = "a message of a refusal in your account";
            InvalidParameter::value(
                PARAMETER,
                &message,
                expected,
                Code::EncodedDiagnosticMessageValue,
            )
        })?;
        let matched = policy.map(|policy_identifier| Matched {
            effect: "Deny",
            policy_identifier,
            policy_type: denied.policy_type.clone(),
        });
        Ok(Success::read(Reply {
            decoded_diagnostic_message: Decoded {
                auth_action: denied.auth_action,
                auth_principal: Principal {
                    auth_principal_display_name: denied.auth_principal_display_name,
                    auth_principal_owner_id: denied.auth_principal_owner_id,
                    auth_principal_type: denied.auth_principal_type,
                },
                auth_resource: resource,
                explicit_deny: denied.no_permission_type == "ExplicitDeny",
                matched_policies: matched.into_iter().collect(),
                no_permission_policy_type: denied.policy_type,
                reason,
            },
        }))
    }
}

const PARAMETER: &str = "EncodedDiagnosticMessage";
