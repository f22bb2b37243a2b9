//! Lists that the API pages, as a whole.

use std::collections::HashMap;

use serde_json::Value;

use super::{CDN_VERSION, CliError, Connection, EDGESEAL_API_VERSION, output::json_text};

/// Rows in a page: the most that the actions accept.
const SIZE: usize = 500;

/// The domains of the account, as `DescribeUserDomains` shows them.
///
/// # Errors
/// A call failed.
pub(super) async fn domains(connection: &Connection) -> Result<Vec<Value>, CliError> {
    let list = (CDN_VERSION, "DescribeUserDomains");
    rows(connection, list, "/Domains/PageData").await
}

/// The certificates of the account, as `DescribeCertificateExpiry` shows them.
///
/// # Errors
/// A call failed.
pub(super) async fn certificates(connection: &Connection) -> Result<Vec<Value>, CliError> {
    let list = (EDGESEAL_API_VERSION, "DescribeCertificateExpiry");
    rows(connection, list, "/Certificates").await
}

/// When what each domain serves expires, by name; of domains with HTTPS. Empty if the caller may
/// not read it.
///
/// # Errors
/// A call failed for another reason.
pub(super) async fn domain_expiries(
    connection: &Connection,
) -> Result<HashMap<String, String>, CliError> {
    let list = (CDN_VERSION, "DescribeCdnHttpsDomainList");
    let rows = match rows(connection, list, "/CertInfos/CertInfo").await {
        Err(error) if error.has_code("NoPermission") => return Ok(HashMap::new()),
        found => found?,
    };
    let pair = |row: &Value| {
        let text = |name: &str| json_text(&row[name]);
        (text("DomainName"), text("ChainExpireTime"))
    };
    Ok(rows.iter().map(pair).collect())
}

/// All rows of an action, which are at `path` of its replies.
async fn rows(
    connection: &Connection,
    (version, action): (&str, &str),
    path: &str,
) -> Result<Vec<Value>, CliError> {
    let size = SIZE.to_string();
    let mut rows = Vec::new();
    for page in 1.. {
        let page = page.to_string();
        let params = [("PageSize", size.as_str()), ("PageNumber", page.as_str())];
        let mut reply = connection.call(version, action, &params).await?;
        let found = reply.body.pointer_mut(path).map(Value::take);
        let Some(Value::Array(found)) = found else {
            break;
        };
        let is_last = found.len() < SIZE;
        rows.extend(found);
        if is_last {
            break;
        }
    }
    Ok(rows)
}
