//! `set_resp_header`: changes the header `key` of the origin's responses. `header_operation_type`
//! `add`, the default, sets it to `value`, or appends that value if `duplicate` is on; `delete`, or
//! a `value` of `null`, removes it. The other operations, `modify` and `rewrite`, are only stored.

use edgeseal_core::delivery::{HeaderChange, ResponseHeader};
use http::{HeaderName, header};

use super::{Arguments, Effect, InvalidFunctions, SupportedFunction};

pub(super) const SET_RESP_HEADER: SupportedFunction = SupportedFunction {
    apply: |arguments, delivery| {
        if let Some(operation) = Operation::of(arguments) {
            let header = response_header(arguments, operation)?;
            delivery.response_headers.push(header);
        }
        Ok(())
    },
    effect: |arguments| match Operation::of(arguments) {
        None => Effect::None,
        // The edge does not check the origin of cross-origin requests.
        Some(_) if arguments.is_on("access_origin_control") => Effect::Part,
        Some(_) => Effect::Edge,
    },
    ..SupportedFunction::named("set_resp_header")
};

/// Headers that frame a message or belong to a connection (RFC 9110 §7.6.1), and HSTS, which
/// redirects depend on and which has its own function.
const RESERVED: [HeaderName; 11] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::STRICT_TRANSPORT_SECURITY,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The operations that the edge supports.
#[derive(Clone, Copy)]
enum Operation {
    Add,
    Delete,
}

impl Operation {
    fn of(arguments: Arguments<'_>) -> Option<Self> {
        match arguments.text("header_operation_type") {
            None | Some("add") => Some(Self::Add),
            Some("delete") => Some(Self::Delete),
            Some(_) => None,
        }
    }
}

fn response_header(
    arguments: Arguments<'_>,
    operation: Operation,
) -> Result<ResponseHeader, InvalidFunctions> {
    const NAME: &str = "the name of a header that does not concern connection, length or HSTS";
    let name = arguments
        .text("key")
        .and_then(|name| name.parse::<HeaderName>().ok());
    let name = name.filter(|name| !RESERVED.contains(name));
    let name = name.ok_or_else(|| arguments.invalid("key", NAME))?;
    let append = arguments.flag("duplicate")?.unwrap_or(false);
    let change = match (operation, arguments.text("value")) {
        (Operation::Delete, _) | (Operation::Add, Some("null")) => HeaderChange::Remove,
        (Operation::Add, value) => {
            // Over HTTP/2 a value must not begin or end with white space (RFC 9113 §8.2.1).
            let value = value.map(str::trim).filter(|value| is_visible(value));
            let value = value.ok_or_else(|| arguments.invalid("value", "visible characters"))?;
            match append {
                true => HeaderChange::Append(value.to_owned()),
                false => HeaderChange::Set(value.to_owned()),
            }
        }
    };
    let name = name.as_str().to_owned();
    Ok(ResponseHeader { name, change })
}

fn is_visible(value: &str) -> bool {
    let visible = |c: char| c == ' ' || c == '\t' || c.is_ascii_graphic();
    !value.is_empty() && value.chars().all(visible)
}
