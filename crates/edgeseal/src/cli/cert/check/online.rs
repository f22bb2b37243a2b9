//! What only the server knows of a certificate that is to be uploaded.

use edgeseal_api::{client::CallError, upload_refusal::UploadRefusal};
use edgeseal_core::{
    DomainPattern,
    certificate::{Severity, inspect},
};
use serde_json::Value;

use super::{
    inputs::Upload,
    report::{Remark, Report},
};
use crate::cli::{
    CDN_VERSION, CliError, Connection, EDGESEAL_API_VERSION, output::json_text, pages,
};

/// The API version of the certificate centre.
const CAS_VERSION: &str = "2020-04-07";
/// Most certificates of the account whose keys are compared: each takes a call.
const COMPARED_MAX: usize = 200;

/// Completes a report: the domains of the account that the certificate covers, the certificates of
/// the account with its key and, for `domain`, what a dry run says and whether the key stays the
/// same.
///
/// # Errors
/// A call failed, other than a refusal of the dry run.
pub(super) async fn ask(
    connection: &Connection,
    upload: &Upload,
    domain: Option<&DomainPattern>,
    report: &mut Report,
) -> Result<(), CliError> {
    if report.facts.is_none() {
        return Ok(());
    }
    let params = [("SSLPub", upload.chain.as_str())];
    let covered = connection.call(CDN_VERSION, "DescribeCdnDomainByCertificate", &params);
    if let Some(covered) = unless_refused(covered.await)? {
        let info = &covered.body["CertInfos"]["CertInfo"][0];
        let names = json_text(&info["DomainList"]);
        let names = names.split(',').filter(|name| !name.is_empty());
        report.domains = Some(names.map(str::to_owned).collect());
    }
    note_stored_keys(connection, upload, report).await?;
    let Some(domain) = domain else {
        return Ok(());
    };
    if report.refusal.is_none()
        && let Some(key) = &upload.key
    {
        dry_run(connection, domain, (&upload.chain, key), report).await?;
    }
    note_bound_key(connection, domain, upload, report).await
}

async fn dry_run(
    connection: &Connection,
    domain: &DomainPattern,
    (chain, key): (&str, &str),
    report: &mut Report,
) -> Result<(), CliError> {
    require_dry_runs(connection).await?;
    let domain = domain.to_string();
    let params = [
        ("DomainName", domain.as_str()),
        ("SSLProtocol", "on"),
        ("SSLPub", chain),
        ("SSLPri", key),
        ("DryRun", "true"),
    ];
    let called = connection.call_once(CDN_VERSION, "SetCdnDomainSSLCertificate", &params, &[]);
    let reply = match called.await {
        Ok(reply) => reply,
        Err(CliError::Call(CallError::Api(refusal))) => {
            report.refusal = Some(UploadRefusal {
                code: refusal.code,
                message: refusal.message,
                detail: refusal.detail,
            });
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    for warning in reply.body["Warnings"].as_array().into_iter().flatten() {
        let (kind, detail) = (json_text(&warning["Kind"]), json_text(&warning["Detail"]));
        // Warnings about the certificate itself were found without the server.
        if !report.remarks.iter().any(|known| known.kind == kind) {
            let severity = Severity::Warning;
            report.remarks.push(Remark {
                severity,
                kind,
                detail,
            });
        }
    }
    Ok(())
}

/// Fails unless the server knows dry runs: another one would ignore the parameter, and bind the
/// certificate. It knows them if it has an action that came with them; whether the caller may call
/// that does not matter.
async fn require_dry_runs(connection: &Connection) -> Result<(), CliError> {
    let probe = connection.call(EDGESEAL_API_VERSION, "DescribeCertificateExpiry", &[]);
    match probe.await {
        Err(CliError::Call(CallError::Api(refusal)))
            if ["InvalidVersion", "InvalidAction.NotFound"].contains(&&*refusal.code) =>
        {
            let why = "the server knows no dry runs; check without --online, or upgrade it";
            Err(CliError::Usage(why.to_owned()))
        }
        Ok(_) | Err(CliError::Call(CallError::Api(_))) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Notes that the certificate has the key of the one that is bound now.
async fn note_bound_key(
    connection: &Connection,
    domain: &DomainPattern,
    upload: &Upload,
    report: &mut Report,
) -> Result<(), CliError> {
    let name = domain.to_string();
    let params = [("DomainName", name.as_str())];
    let called = connection.call(CDN_VERSION, "DescribeDomainCertificateInfo", &params);
    let Some(reply) = unless_refused(called.await)? else {
        return Ok(());
    };
    let bound = reply.body["CertInfos"]["CertInfo"].as_array();
    let mut bound = bound.into_iter().flatten();
    if bound.any(|info| has_key(&info["ServerCertificate"], upload)) {
        let detail = "it has the same key as the certificate that is bound now";
        report.remarks.push(Remark::note("SameKeyAsBound", detail));
    }
    Ok(())
}

/// Notes which of the account's newest certificates are this one, or have its key.
async fn note_stored_keys(
    connection: &Connection,
    upload: &Upload,
    report: &mut Report,
) -> Result<(), CliError> {
    let Some(mut rows) = unless_refused(pages::certificates(connection).await)? else {
        return Ok(());
    };
    rows.sort_by_key(|row| std::cmp::Reverse(row["CertId"].as_i64()));
    let sha256 = report.facts.as_ref().map(|facts| facts.info.sha256.clone());
    for row in rows.iter().take(COMPARED_MAX) {
        let (id, name) = (json_text(&row["CertId"]), json_text(&row["CertName"]));
        let params = [("CertId", id.as_str())];
        let called = connection.call(CAS_VERSION, "GetUserCertificateDetail", &params);
        let Some(reply) = unless_refused(called.await)? else {
            return Ok(());
        };
        if !has_key(&reply.body["Cert"], upload) {
            continue;
        }
        let stored = json_text(&reply.body["Sha2"]).to_lowercase();
        report.remarks.push(match sha256.as_ref() == Some(&stored) {
            true => Remark::note(
                "AlreadyStored",
                format!("the account has it: {id} ({name})"),
            ),
            false => {
                let detail = format!("certificate {id} ({name}) of the account has the same key");
                Remark::note("SharedKey", detail)
            }
        });
    }
    Ok(())
}

/// Whether the leaf of this chain has the key of the upload.
fn has_key(chain: &Value, upload: &Upload) -> bool {
    let leaf = inspect(chain.as_str().unwrap_or_default());
    leaf.is_ok_and(|leaf| Some(leaf.spki_sha256) == upload.spki_sha256)
}

/// The result of a call, or `None` if the caller may not make it or there is no such domain.
fn unless_refused<T>(called: Result<T, CliError>) -> Result<Option<T>, CliError> {
    match called {
        Err(error) if error.has_code("NoPermission") => Ok(None),
        Err(error) if error.has_code("InvalidDomain.NotFound") => Ok(None),
        other => other.map(Some),
    }
}
