//! Refusals of calls that exceed the memory budget.

use crate::{
    context::Context,
    error::api_error,
    render::{self, ApiResponse, Envelope, Format},
};

/// The exhausted budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Overload {
    /// The budget of requests in flight.
    #[error(
        "too many requests are in flight, from all callers or from your network; call again soon"
    )]
    Requests,
    /// The budget of responses that have not been read yet.
    #[error(
        "too many responses are in flight, to all callers or to your network; read them, and ask for \
         smaller pages"
    )]
    Responses,
}

api_error!(Overload => ServiceUnavailable);

/// The response to request `id`; it does not depend on the content of the request.
pub(crate) fn response(
    context: &Context,
    id: &str,
    format: Format,
    error: Overload,
) -> ApiResponse {
    let direction = match error {
        Overload::Requests => "requests",
        Overload::Responses => "responses",
    };
    metrics::counter!("edgeseal_api_shed_total", "direction" => direction).increment(1);
    let envelope = Envelope {
        request: id,
        host: "",
        action: "Unknown",
        docs_base_url: &context.settings.docs_base_url,
        format,
    };
    let mut answer = render::error(&envelope, &error);
    answer.headers.push(("x-acs-request-id", id.to_owned()));
    answer
}
