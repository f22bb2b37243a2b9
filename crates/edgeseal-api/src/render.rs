//! Step 9 of a call: renders the response. The only place that writes an envelope.
//!
//! Clients require that success bodies hold no `Code` and no `Message`, not even below `Warnings`;
//! that JSON has no space after a colon (shell scripts search for `"Message":"`); and exactly these
//! content types.

use ::http::StatusCode;
use bytes::Bytes;
use quick_xml::escape::escape;
use serde_json::{Map, Value};

use crate::{error::ApiError, operation::Success, warning};

/// The format of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Compact JSON.
    Json,
    /// XML.
    Xml,
}

/// A response, ready for the socket.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    /// HTTP status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
    /// The format of the body.
    pub format: Format,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
}

/// What an envelope contains besides the reply or the error.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Id of the request.
    pub request: &'a str,
    /// The `Host` of the request.
    pub host: &'a str,
    /// The action, if it is known.
    pub action: &'a str,
    /// Base URL of the page about a code; the code is appended.
    pub docs_base_url: &'a str,
    /// The format.
    pub format: Format,
}

impl Format {
    /// The format of the parameter `Format`. Absent means XML, as documented; an unknown value
    /// means JSON, because a Python SDK sends the literal `None`.
    #[must_use]
    pub fn from_param(value: Option<&str>) -> Self {
        match value {
            None | Some("") => Self::Xml,
            Some(value) if value.eq_ignore_ascii_case("xml") => Self::Xml,
            Some(_) => Self::Json,
        }
    }

    /// The format of the `Accept` header.
    #[must_use]
    pub fn from_accept(value: Option<&str>) -> Self {
        let wants_xml = value.is_some_and(|value| value.contains("xml") && !value.contains("json"));
        if wants_xml { Self::Xml } else { Self::Json }
    }

    /// The exact content type: with a bare `text/xml` a Python SDK tries JSON and fails.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json;charset=utf-8",
            Self::Xml => "text/xml;charset=utf-8",
        }
    }
}

/// Renders the response of an operation that succeeded.
#[must_use]
pub fn success(envelope: &Envelope<'_>, done: Success<Value>) -> ApiResponse {
    let mut body = Map::new();
    body.insert("RequestId".to_owned(), envelope.request.into());
    if let Value::Object(reply) = done.reply {
        body.extend(reply);
    }
    let mut headers = Vec::new();
    if let Some(kinds) = warning::kind_list(&done.warnings) {
        // Always representable in JSON: two strings each.
        let warnings = serde_json::to_value(&done.warnings).unwrap_or_default();
        body.insert("Warnings".to_owned(), warnings);
        headers.push(("x-edgeseal-warnings", kinds));
    }
    if let Some(change) = done.change {
        headers.push(("x-edgeseal-revision", change.revision.0.to_string()));
    }
    let root = format!("{}Response", envelope.action);
    ApiResponse {
        status: StatusCode::OK,
        body: write(&root, body, envelope.format),
        format: envelope.format,
        headers,
    }
}

/// Renders an error response.
#[must_use]
pub fn error(envelope: &Envelope<'_>, failure: &dyn ApiError) -> ApiResponse {
    let row = failure.code().spec();
    let mut body = Map::new();
    body.insert("RequestId".to_owned(), envelope.request.into());
    body.insert("HostId".to_owned(), envelope.host.into());
    body.insert("Code".to_owned(), failure.wire_code().into());
    body.insert("Message".to_owned(), failure.message().into());
    body.insert(
        "Recommend".to_owned(),
        format!("{}{}", envelope.docs_base_url, row.anchor()).into(),
    );
    if let Some(detail) = failure.detail() {
        body.insert("Detail".to_owned(), detail.into());
    }
    if let Some(denied) = failure
        .access_denied()
        .and_then(|denied| serde_json::to_value(denied).ok())
    {
        body.insert("AccessDeniedDetail".to_owned(), denied);
    }
    let mut headers = Vec::new();
    if let Some(ms) = failure.retry_after_ms() {
        headers.push(("x-acs-retry-after", ms.to_string()));
        headers.push(("retry-after", ms.div_ceil(1000).to_string()));
    }
    let status = StatusCode::from_u16(row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    ApiResponse {
        status,
        body: write("Error", body, envelope.format),
        format: envelope.format,
        headers,
    }
}

fn write(root: &str, body: Map<String, Value>, format: Format) -> Bytes {
    match format {
        Format::Json => Bytes::from(Value::Object(body).to_string()),
        Format::Xml => {
            let mut xml = String::from(r#"<?xml version="1.0" encoding="UTF-8"?>"#);
            write_xml(&mut xml, root, &Value::Object(body));
            Bytes::from(xml)
        }
    }
}

/// An array is written as repeated elements with the array's name, like the cloud does:
/// `{"CertInfo":[…]}` is `<CertInfo>…</CertInfo><CertInfo>…</CertInfo>`.
fn write_xml(xml: &mut String, name: &str, value: &Value) {
    if let Value::Array(items) = value {
        for item in items {
            write_xml(xml, name, item);
        }
        return;
    }
    xml.push_str(&format!("<{name}>"));
    match value {
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| write_xml(xml, name, value)),
        Value::String(text) => xml.push_str(&escape(
            text.chars()
                .filter(is_xml_char)
                .collect::<String>()
                .as_str(),
        )),
        Value::Null => {}
        other => xml.push_str(&other.to_string()),
    }
    xml.push_str(&format!("</{name}>"));
}

/// XML 1.0 §2.2: most control characters cannot be written at all.
fn is_xml_char(c: &char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests;
