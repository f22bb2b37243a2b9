//! `edgeseal cert check`

mod inputs;
mod online;
mod report;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use edgeseal_api::{upload_refusal::UploadRefusal, warning::Warning};
use edgeseal_core::{
    DomainPattern, Timestamp,
    certificate::{Anchors, Finding, Severity, inspect, preflight},
};

use super::super::{CliError, Connection, EX_DENIED, connection::trust_anchors, output::say};
use crate::{certificate_files::display_path, clock};

use inputs::Upload;
use report::{Facts, Remark, Report};

#[derive(Args)]
pub(in crate::cli) struct Check {
    /// Certificates, chains and keys, in PEM, DER or PKCS#12 (PFX); - is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The domain that they are meant for
    #[arg(long)]
    domain: Option<String>,
    /// File whose first line is the password of encrypted keys and PFX files
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Also trust the roots in this file, in PEM, for certificates of a private CA
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Also ask the server: which domains they would serve, and with --domain for a dry run
    #[arg(long)]
    online: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Check {
    /// Success if all would be accepted, else [`EX_DENIED`].
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let domain = self.domain.as_deref().map(parse_domain).transpose()?;
        let uploads = inputs::read(&self.files, self.password_file.as_deref())?;
        let private = self.roots.as_deref().map(trust_anchors).transpose()?;
        let anchors = Anchors {
            public: webpki_roots::TLS_SERVER_ROOTS,
            private: &private.unwrap_or_default(),
        };
        let now = clock::now();
        let mut reports: Vec<Report> = uploads
            .iter()
            .map(|upload| check(upload, domain.as_ref(), &anchors, now))
            .collect();
        note_shared_keys(&uploads, &mut reports);
        if self.online {
            for (upload, report) in uploads.iter().zip(&mut reports) {
                online::ask(&self.connection, upload, domain.as_ref(), report).await?;
            }
        }
        if self.connection.json {
            say!("{}", report::as_json(&reports))?;
        } else {
            report::print(&reports, now)?;
        }
        let fails = |report: &Report| {
            report.refusal.is_some() || self.strict && report.has(Severity::Warning)
        };
        Ok(match reports.iter().any(fails) {
            true => ExitCode::from(EX_DENIED),
            false => ExitCode::SUCCESS,
        })
    }
}

fn parse_domain(name: &str) -> Result<DomainPattern, CliError> {
    let parsed = DomainPattern::parse(name);
    parsed.map_err(|error| CliError::Usage(format!("--domain {name}: {error}")))
}

fn check(
    upload: &Upload,
    domain: Option<&DomainPattern>,
    anchors: &Anchors<'_>,
    now: Timestamp,
) -> Report {
    let mut report = Report::of(display_path(&upload.file));
    match preflight(
        &upload.chain,
        upload.key.as_ref().map(|key| key.as_str()),
        anchors,
        now,
    ) {
        Err(reason) => {
            report.refusal = Some(reason.into());
            let leaf = inspect(&upload.chain).ok();
            report.facts = leaf.map(|leaf| Facts::of_leaf(&leaf, now));
        }
        Ok(found) => {
            let info = &found.served.info;
            report.refusal = domain.and_then(|name| UploadRefusal::of_mismatch(name, info));
            let warnings = found.served.warnings.iter().map(Warning::from);
            report
                .remarks
                .extend(warnings.map(|one| Remark::of_warning(&one)));
            report.remarks.extend(found.findings.iter().map(Remark::of));
            report.facts = Some(Facts::of(&found, now));
        }
    }
    if let (Some(facts), Some(domain)) = (&mut report.facts, domain) {
        facts.covers = Some(facts.info.covers(domain));
    }
    if upload.key.is_none() {
        let detail =
            "no private key is among the files: whether it is the certificate's is unknown";
        report.remarks.push(Remark::note("NoKey", detail));
    }
    report
}

/// Notes which of the certificates have the same key: a key that is replaced in one place stays in
/// use in the other.
fn note_shared_keys(uploads: &[Upload], reports: &mut [Report]) {
    for (at, upload) in uploads.iter().enumerate() {
        let Some(key) = upload.spki_sha256 else {
            continue;
        };
        let others = uploads.iter().enumerate();
        let same = others.filter(|(other, it)| *other != at && it.spki_sha256 == Some(key));
        let same: Vec<String> = same.map(|(_, other)| display_path(&other.file)).collect();
        if !same.is_empty() {
            let detail = format!("it has the same key as {}", same.join(", "));
            reports[at].remarks.push(Remark::note("SharedKey", detail));
        }
    }
}

impl Remark {
    fn of(finding: &Finding) -> Self {
        Self {
            severity: finding.severity(),
            kind: finding.name().to_owned(),
            detail: finding.to_string(),
        }
    }

    fn of_warning(warning: &Warning) -> Self {
        Self {
            severity: Severity::Warning,
            kind: warning.kind.name().to_owned(),
            detail: warning.detail.clone(),
        }
    }

    fn note(kind: &str, detail: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            kind: kind.to_owned(),
            detail: detail.into(),
        }
    }
}
