//! What a check found, for people and scripts.

use edgeseal_api::upload_refusal::UploadRefusal;
use edgeseal_core::{
    Timestamp,
    certificate::{CertificateInfo, Leaf, Preflight, PublicPath, Severity},
};
use serde_json::{Map, Value, json};

use crate::{
    cli::{CliError, expiry, output::say},
    terminal_escape::escape_line,
};

/// What a check found about one certificate.
pub(super) struct Report {
    /// The file, as given.
    file: String,
    /// Why an upload would be refused.
    pub(super) refusal: Option<UploadRefusal>,
    /// What the certificate says; `None` if it cannot be read.
    pub(super) facts: Option<Facts>,
    /// The account's domains that it would cover, if the server was asked.
    pub(super) domains: Option<Vec<String>>,
    pub(super) remarks: Vec<Remark>,
}

/// What a certificate says, and the path that browsers build.
pub(super) struct Facts {
    pub(super) info: CertificateInfo,
    issuer: String,
    spki_sha256: String,
    days_left: i64,
    /// Whether it covers the domain of the call, if there is one.
    pub(super) covers: Option<bool>,
    /// `None` if the upload would be refused: then nothing is served.
    path: Option<Path>,
}

struct Path {
    trusted: Option<PublicPath>,
    scts: usize,
}

/// Something worth knowing.
pub(super) struct Remark {
    pub(super) severity: Severity,
    pub(super) kind: String,
    pub(super) detail: String,
}

impl Report {
    pub(super) const fn of(file: String) -> Self {
        Self {
            file,
            refusal: None,
            facts: None,
            domains: None,
            remarks: Vec::new(),
        }
    }

    /// Whether it has a remark of this severity.
    pub(super) fn has(&self, severity: Severity) -> bool {
        self.remarks.iter().any(|one| one.severity == severity)
    }
}

impl Facts {
    pub(super) fn of(found: &Preflight, now: Timestamp) -> Self {
        let issuer = found.issuer.clone();
        Self {
            issuer,
            spki_sha256: found.spki_sha256.to_string(),
            days_left: expiry::days_left(found.served.info.chain_not_after, now),
            covers: None,
            path: Some(Path {
                trusted: found.path.clone().ok(),
                scts: found.scts,
            }),
            info: found.served.info.clone(),
        }
    }

    /// Of a certificate that would be refused.
    pub(super) fn of_leaf(leaf: &Leaf, now: Timestamp) -> Self {
        Self {
            issuer: leaf.issuer.clone(),
            spki_sha256: leaf.spki_sha256.to_string(),
            days_left: expiry::days_left(leaf.info.chain_not_after, now),
            covers: None,
            path: None,
            info: leaf.info.clone(),
        }
    }

    fn names(&self) -> Vec<String> {
        self.info.names.iter().map(|name| name.to_san()).collect()
    }
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// Prints the reports.
///
/// # Errors
/// [`CliError::Output`].
pub(super) fn print(reports: &[Report], now: Timestamp) -> Result<(), CliError> {
    for report in reports {
        let file = escape_line(&report.file);
        match &report.refusal {
            None => say!("{file}: would be accepted")?,
            Some(refusal) => {
                say!("{file}: would be refused: {}", refusal.code)?;
                say!("  {}", refusal.detail)?;
            }
        }
        for (name, value) in rows(report, now) {
            say!("  {name:<8} {}", escape_line(&value))?;
        }
        let mut remarks: Vec<&Remark> = report.remarks.iter().collect();
        remarks.sort_by_key(|one| one.severity);
        for Remark {
            severity,
            kind,
            detail,
        } in remarks
        {
            say!("  {}: {kind}: {}", word(*severity), escape_line(detail))?;
        }
    }
    Ok(())
}

fn rows(report: &Report, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let Some(facts) = &report.facts else {
        return rows;
    };
    let info = &facts.info;
    rows.push(("names", facts.names().join(", ")));
    rows.push(("issuer", facts.issuer.clone()));
    rows.push(("key", format!("{}, {} bits", info.key, info.key_bits)));
    rows.push((
        "valid",
        format!("{} to {}", info.not_before, info.not_after),
    ));
    let end = expiry::describe(info.chain_not_after, now);
    rows.push((
        "expires",
        match info.chain_not_after < info.not_after {
            true => format!("{end}: an intermediate ends at {}", info.chain_not_after),
            false => end,
        },
    ));
    rows.push(("SHA-256", info.sha256.clone()));
    if let Some(path) = &facts.path {
        let trusted = path.trusted.as_ref();
        rows.push((
            "browsers",
            match trusted {
                None => "do not trust it".to_owned(),
                Some(trusted) => {
                    let steps = trusted.intermediates.iter().chain([&trusted.root]);
                    let steps: Vec<&str> = steps.map(String::as_str).collect();
                    let by = match trusted.is_public {
                        true => "trust it",
                        false => "trust it with your roots",
                    };
                    format!("{by}: {}", steps.join(" < "))
                }
            },
        ));
        rows.push(("SCTs", path.scts.to_string()));
    }
    if let Some(covers) = facts.covers {
        rows.push(("covers", if covers { "yes" } else { "no" }.to_owned()));
    }
    if let Some(domains) = &report.domains {
        rows.push((
            "domains",
            match &domains[..] {
                [] => "none of the account".to_owned(),
                some => some.join(", "),
            },
        ));
    }
    rows
}

/// The reports as JSON.
pub(super) fn as_json(reports: &[Report]) -> Value {
    let accepted = reports.iter().all(|report| report.refusal.is_none());
    let certificates: Vec<Value> = reports.iter().map(report_json).collect();
    json!({ "Accepted": accepted, "Certificates": certificates })
}

fn report_json(report: &Report) -> Value {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| {
        members.insert(name.to_owned(), value);
    };
    put("File", json!(report.file));
    put("Accepted", json!(report.refusal.is_none()));
    if let Some(refusal) = &report.refusal {
        put("Code", json!(refusal.code));
        put("Message", json!(refusal.message));
        put("Detail", json!(refusal.detail));
    }
    if let Some(facts) = &report.facts {
        let info = &facts.info;
        put("Names", json!(facts.names()));
        put("Issuer", json!(facts.issuer));
        put("Serial", json!(info.serial));
        put("Key", json!(info.key.to_string()));
        put("KeyBits", json!(info.key_bits));
        put("NotBefore", json!(info.not_before.to_string()));
        put("NotAfter", json!(info.not_after.to_string()));
        put("ChainNotAfter", json!(info.chain_not_after.to_string()));
        put("DaysLeft", json!(facts.days_left));
        put("Sha256", json!(info.sha256));
        put("SpkiSha256", json!(facts.spki_sha256));
        if let Some(path) = &facts.path {
            let is_public = path.trusted.as_ref().is_some_and(|path| path.is_public);
            put("PubliclyTrusted", json!(is_public));
            if let Some(path) = &path.trusted {
                put("Intermediates", json!(path.intermediates));
                put("Root", json!(path.root));
            }
            put("EmbeddedScts", json!(path.scts));
        }
        if let Some(covers) = facts.covers {
            put("Covers", json!(covers));
        }
    }
    if let Some(domains) = &report.domains {
        put("Domains", json!(domains));
    }
    let remarks = report.remarks.iter().map(
        |Remark {
             severity,
             kind,
             detail,
         }| { json!({ "Severity": word(*severity), "Kind": kind, "Detail": detail }) },
    );
    put("Findings", Value::from_iter(remarks));
    Value::Object(members)
}
