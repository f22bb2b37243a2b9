use serde_json::json;

use super::*;
use crate::{actions::UnknownAction, code::Code, error::AccessDenied, operation::Change};

fn envelope(format: Format) -> Envelope<'static> {
    Envelope {
        request: "ID",
        host: "cdn.aliyuncs.com",
        action: "DescribeX",
        docs_base_url: "https://help/#",
        format,
    }
}

fn body(response: &ApiResponse) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

#[test]
fn success_holds_the_request_id_and_the_reply_alone() {
    let void = success(&envelope(Format::Json), Success::read(json!({})));
    assert_eq!(body(&void), r#"{"RequestId":"ID"}"#);
    let xml = success(&envelope(Format::Xml), Success::read(json!({})));
    assert_eq!(
        body(&xml),
        r#"<?xml version="1.0" encoding="UTF-8"?><DescribeXResponse><RequestId>ID</RequestId></DescribeXResponse>"#
    );
}

#[test]
fn lists_in_both_formats() {
    let reply = || {
        Success::read(
            json!({"CertInfos": {"CertInfo": [{"A": "<&>"}, {"A": 2, "B": true, "C": null}]}}),
        )
    };
    assert_eq!(
        body(&success(&envelope(Format::Json), reply())),
        r#"{"RequestId":"ID","CertInfos":{"CertInfo":[{"A":"<&>"},{"A":2,"B":true,"C":null}]}}"#
    );
    let xml = success(&envelope(Format::Xml), reply());
    assert!(body(&xml).contains(
        "<CertInfos><CertInfo><A>&lt;&amp;&gt;</A></CertInfo><CertInfo><A>2</A><B>true</B><C></C></CertInfo></CertInfos>"
    ));
}

#[test]
fn what_xml_cannot_carry_is_left_out() {
    let xml = success(
        &envelope(Format::Xml),
        Success::read(json!({"A": "a\u{0}\u{1f}\n\u{fffe}b"})),
    );
    assert!(body(&xml).contains("<A>a\nb</A>"));
}

#[test]
fn a_change_tells_its_revision() {
    let change = Some(Change {
        revision: edgeseal_store::Revision(7),
        environment: None,
    });
    let response = success(
        &envelope(Format::Json),
        Success {
            reply: json!({}),
            change,
            warnings: Vec::new(),
        },
    );
    assert_eq!(response.headers, [("x-edgeseal-revision", "7".to_owned())]);
}

#[test]
fn refusals_in_both_formats() {
    let failure = UnknownAction::NoAction;
    let json = error(&envelope(Format::Json), &failure);
    assert_eq!(json.status, 400);
    // Shell scripts search for `"Message":"`, and others for the members in this order.
    assert_eq!(
        body(&json),
        concat!(
            r#"{"RequestId":"ID","HostId":"cdn.aliyuncs.com","Code":"MissingAction","#,
            r#""Message":"Action is mandatory for this action.","Recommend":"https://help/#MissingAction","#,
            r#""Detail":"no action is named"}"#
        )
    );
    let xml = error(&envelope(Format::Xml), &failure);
    assert!(body(&xml).starts_with(
        r#"<?xml version="1.0" encoding="UTF-8"?><Error><RequestId>ID</RequestId><HostId>cdn.aliyuncs.com</HostId><Code>"#
    ));
}

/// A refusal whose code contains a space.
#[derive(Debug, thiserror::Error)]
#[error("no such function")]
struct NoFunction;

impl ApiError for NoFunction {
    fn code(&self) -> Code {
        Code::FunctionNotSupported
    }

    fn wire_code(&self) -> String {
        "Invalidab.ValueNotSupported".to_owned()
    }
}

#[test]
fn a_code_with_a_blank_leads_to_one_section() {
    let response = error(&envelope(Format::Json), &NoFunction);
    let json = body(&response);
    for part in [
        r#""Code":"Invalidab.ValueNotSupported""#,
        r#""Recommend":"https://help/#InvalidFunctionName.ValueNotSupported""#,
    ] {
        assert!(json.contains(part), "{json}");
    }
}

#[test]
fn a_throttled_caller_is_told_how_long() {
    let failure = crate::rate_limit::RateLimited {
        what: "calls of your account for this action",
        calls: 30,
        per_ms: 1000,
        retry_after_ms: 34,
        first: true,
    };
    let response = error(&envelope(Format::Json), &failure);
    assert_eq!(response.status, 400);
    assert_eq!(
        response.headers,
        [
            ("x-acs-retry-after", "34".to_owned()),
            ("retry-after", "1".to_owned())
        ]
    );
}

#[test]
fn content_types_are_exact() {
    assert_eq!(
        Format::Json.content_type(),
        "application/json;charset=utf-8"
    );
    assert_eq!(Format::Xml.content_type(), "text/xml;charset=utf-8");
}

#[test]
fn access_denied_has_the_documented_fields() {
    #[derive(Debug, thiserror::Error)]
    #[error("denied")]
    struct Denied;
    impl ApiError for Denied {
        fn code(&self) -> Code {
            Code::NoPermission
        }
        fn access_denied(&self) -> Option<AccessDenied> {
            let text = |text: &str| text.to_owned();
            Some(AccessDenied {
                auth_action: text("cdn:X"),
                auth_principal_type: text("SubUser"),
                auth_principal_owner_id: text("1"),
                auth_principal_display_name: text("2"),
                policy_type: text("AccountLevelIdentityBasedPolicy"),
                no_permission_type: text("ImplicitDeny"),
                encoded_diagnostic_message: text("x"),
            })
        }
    }
    let response = error(&envelope(Format::Json), &Denied);
    assert!(body(&response).ends_with(concat!(
        r#""AccessDeniedDetail":{"AuthAction":"cdn:X","AuthPrincipalType":"SubUser","AuthPrincipalOwnerId":"1","#,
        r#""AuthPrincipalDisplayName":"2","PolicyType":"AccountLevelIdentityBasedPolicy","#,
        r#""NoPermissionType":"ImplicitDeny","EncodedDiagnosticMessage":"x"}}"#
    )));
}
