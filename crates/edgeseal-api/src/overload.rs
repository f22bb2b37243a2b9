//! Refusals of calls that there is no room for.

use crate::{
    code::Code,
    context::Context,
    operation::ApiError,
    render::{self, ApiResponse, Envelope, Format},
};

/// What there is no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Overload {
    /// The request, with all others that are under way.
    #[error(
        "too many requests are under way, from all callers or from your network; call again soon"
    )]
    Requests,
    /// The answer, with all others that have not been read yet.
    #[error(
        "too many answers are under way, to all callers or to your network; read them, and ask for \
         smaller pages"
    )]
    Responses,
}

impl ApiError for Overload {
    fn code(&self) -> Code {
        Code::ServiceUnavailable
    }

    fn detail(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// The refusal of the request `id`, of which nothing need be known.
pub(crate) fn response(context: &Context, id: &str, format: Format, why: Overload) -> ApiResponse {
    let what = match why {
        Overload::Requests => "requests",
        Overload::Responses => "answers",
    };
    metrics::counter!("edgeseal_api_shed_total", "what" => what).increment(1);
    let envelope = Envelope {
        request: id,
        host: "",
        action: "Unknown",
        docs_base_url: &context.settings.docs_base_url,
        format,
    };
    let mut answer = render::error(&envelope, &why);
    answer.headers.push(("x-acs-request-id", id.to_owned()));
    answer
}
