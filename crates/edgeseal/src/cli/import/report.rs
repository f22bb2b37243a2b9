//! The report: every certificate in a dry run, else those that are not served or have warnings; and
//! the counts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    plan::{Plan, PlannedCertificate, SkippedCertificate},
    send::{DomainResult, ImportOptions, ImportResult},
};
use crate::{
    certificate_files::display_path,
    cli::{
        CliError, output,
        output::{pluralize, say},
    },
};

/// Prints the report.
///
/// # Errors
/// [`CliError::Incomplete`] unless everything found is served, or would be;
/// [`CliError::Interrupted`].
pub(super) fn print(
    order: &ImportOptions<'_>,
    plan: &Plan,
    results: &[ImportResult],
) -> Result<(), CliError> {
    let counts = Counts::of(plan, results);
    if order.connection.json {
        say!("{}", as_json(plan, results, &counts))?;
    } else {
        table(order, plan, results)?;
        summary(order, plan, &counts)?;
    }
    match counts.failure_summary(order.dry_run) {
        _ if counts.interrupted > 0 => Err(CliError::Interrupted(format!(
            "interrupted: of {} of {} it is not known whether they are served; start it again: what is served is \
             left as it is",
            counts.interrupted,
            pluralize(counts.domains, "domain")
        ))),
        None => Ok(()),
        Some(complaint) => Err(CliError::Incomplete(complaint)),
    }
}

/// The counts of the report.
#[derive(Default)]
struct Counts {
    /// Domains of certificates that were sent.
    domains: usize,
    served: usize,
    /// Domains by result.
    by_result: BTreeMap<String, usize>,
    refused: usize,
    not_asked: usize,
    /// Domains of certificates whose calls have no response.
    interrupted: usize,
    /// Certificates that were not sent, without another one for their names.
    missed: usize,
    unreadable: usize,
}

impl Counts {
    fn of(plan: &Plan, results: &[ImportResult]) -> Self {
        let mut counts = Self {
            missed: plan.skipped.iter().filter(|it| it.leaves_gap()).count(),
            unreadable: plan.unreadable.len(),
            ..Self::default()
        };
        for (planned, sent) in plan.certificates.iter().zip(results) {
            counts.domains += planned.domains.len();
            match sent {
                ImportResult::Refused(_) => counts.refused += 1,
                ImportResult::NotAsked => counts.not_asked += 1,
                ImportResult::Interrupted => counts.interrupted += planned.domains.len(),
                ImportResult::Done(rows, _) => {
                    for row in rows {
                        counts.served += usize::from(row.is_served);
                        *counts.by_result.entry(row.result.clone()).or_default() += 1;
                    }
                }
            }
        }
        counts
    }

    fn failure_summary(&self, dry_run: bool) -> Option<String> {
        let mut parts = Vec::new();
        let unserved = self.domains - self.served;
        if self.not_asked > 0 {
            parts.push("the server was not asked".to_owned());
        } else if unserved > 0 {
            let would = if dry_run { "would not be" } else { "are not" };
            parts.push(format!(
                "{unserved} of {} domains {would} served",
                self.domains
            ));
        }
        if self.missed > 0 {
            parts.push(format!("{} skipped", pluralize(self.missed, "certificate")));
        }
        if self.unreadable > 0 {
            parts.push(format!(
                "{} not readable",
                pluralize(self.unreadable, "file")
            ));
        }
        if self.domains == 0 && parts.is_empty() {
            parts.push("nothing was found that could be served".to_owned());
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn table(order: &ImportOptions<'_>, plan: &Plan, results: &[ImportResult]) -> Result<(), CliError> {
    let sent = plan.certificates.iter().zip(results);
    // Those left out by an interruption are only counted.
    let shown_ones = sent.filter(|(_, sent)| match sent {
        ImportResult::Interrupted => false,
        sent => order.dry_run || !is_clean(sent),
    });
    let mut rows: Vec<[String; 4]> = shown_ones
        .map(|(planned, sent)| table_row(planned, sent, order.dry_run))
        .collect();
    let skipped = plan.skipped.iter();
    let skipped = skipped.filter(|it| order.dry_run || it.leaves_gap());
    rows.extend(skipped.map(skipped_row));
    for file in &plan.unreadable {
        rows.push([
            output::json_text(&display_path(&file.path).into()),
            String::new(),
            String::new(),
            format!("skipped: {}", file.error),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    output::print_table(["CERTIFICATE", "DOMAINS", "EXPIRES", "RESULT"], rows)
}

/// Whether the certificate needs no line in the report.
fn is_clean(sent: &ImportResult) -> bool {
    matches!(sent, ImportResult::Done(rows, warnings)
        if warnings.is_empty() && rows.iter().all(|row| row.is_served))
}

fn table_row(planned: &PlannedCertificate, sent: &ImportResult, dry_run: bool) -> [String; 4] {
    let names = planned.domains.iter().map(|name| name.to_san());
    let names: Vec<String> = names.collect();
    [
        output::json_text(&display_path(&planned.file).into()),
        names.join(","),
        day(&planned.not_after.to_string()),
        match sent {
            ImportResult::Refused(why) => format!("refused: {why}"),
            ImportResult::NotAsked | ImportResult::Interrupted => "-".to_owned(),
            ImportResult::Done(rows, warnings) => {
                let warnings = warnings.iter().map(|it| format!("; warning: {it}"));
                results_text(rows, dry_run) + &warnings.collect::<String>()
            }
        },
    ]
}

fn skipped_row(skipped: &SkippedCertificate) -> [String; 4] {
    [
        output::json_text(&display_path(&skipped.file).into()),
        output::json_text(&skipped.names.join(",").into()),
        String::new(),
        format!("skipped: {}", skipped.reason),
    ]
}

/// The date of a time.
fn day(time: &str) -> String {
    time.split('T').next().unwrap_or_default().to_owned()
}

/// `added`, or `2 added, 1 replaced`, and the domains that are not served.
fn results_text(rows: &[DomainResult], dry_run: bool) -> String {
    let mut by_result: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *by_result
            .entry(result_text(&row.result, dry_run))
            .or_default() += 1;
    }
    let counted = by_result.iter().map(|(word, count)| match rows.len() {
        1 => (*word).to_owned(),
        _ => format!("{count} {word}"),
    });
    let mut parts: Vec<String> = counted.collect();
    let unserved = rows
        .iter()
        .filter(|row| !row.is_served && row.result != "Held");
    let unserved: Vec<&str> = unserved.map(|row| row.domain.as_str()).collect();
    if !unserved.is_empty() {
        parts.push(format!("not served: {}", unserved.join(",")));
    }
    parts.join(", ")
}

fn result_text(result: &str, dry_run: bool) -> &'static str {
    match (result, dry_run) {
        ("Added", false) => "added",
        ("Added", true) => "to be added",
        ("Bound", false) => "bound",
        ("Bound", true) => "to be bound",
        ("Replaced", false) => "replaced",
        ("Replaced", true) => "to be replaced",
        ("Unchanged", _) => "unchanged",
        ("Newer", _) => "kept: the server has one that was issued later",
        ("Held", _) => "held: stopped, or kept by its mode",
        _ => "unknown",
    }
}

fn summary(order: &ImportOptions<'_>, plan: &Plan, counts: &Counts) -> Result<(), CliError> {
    let dry_run = order.dry_run;
    let by_result = counts.by_result.iter();
    let by_result =
        by_result.map(|(result, count)| format!("{count} {}", result_text(result, dry_run)));
    let by_result: Vec<String> = by_result.collect();
    let colon = if by_result.is_empty() { "" } else { ": " };
    say!(
        "{} for {}{colon}{}",
        pluralize(plan.certificates.len(), "certificate"),
        pluralize(counts.domains, "domain"),
        by_result.join(", ")
    )?;
    let older = plan.skipped.len() - counts.missed;
    if older > 0 {
        say!(
            "{} passed over for a later one",
            pluralize(older, "certificate")
        )?;
    }
    if plan.unused_keys > 0 {
        say!(
            "{} passed over: no certificate is theirs",
            pluralize(plan.unused_keys, "key")
        )?;
    }
    if !dry_run {
        say!("{} of {} domains are served", counts.served, counts.domains)?;
    }
    Ok(())
}

fn as_json(plan: &Plan, results: &[ImportResult], counts: &Counts) -> Value {
    let sent = plan.certificates.iter().zip(results).map(|(planned, sent)| {
        let mut row = json!({
            "File": display_path(&planned.file),
            "NotAfter": planned.not_after.to_string(),
        });
        match sent {
            ImportResult::Done(rows, warnings) => {
                if !warnings.is_empty() {
                    row["Warnings"] = warnings.as_slice().into();
                }
                let domains = rows.iter().map(|row| {
                    json!({ "DomainName": row.domain, "Result": row.result, "Served": row.is_served })
                });
                row["Domains"] = domains.collect();
            }
            other => {
                let names = planned.domains.iter().map(|name| {
                    json!({ "DomainName": name.to_san(), "Served": false })
                });
                row["Domains"] = names.collect();
                if let ImportResult::Refused(why) = other {
                    row["Refused"] = why.as_str().into();
                }
            }
        }
        row
    });
    let skipped = plan.skipped.iter().map(|skipped| {
        json!({ "File": display_path(&skipped.file), "Names": skipped.names, "Why": skipped.reason.to_string() })
    });
    let unreadable = plan.unreadable.iter();
    let unreadable = unreadable
        .map(|file| json!({ "File": display_path(&file.path), "Why": file.error.to_string() }));
    json!({
        "Certificates": sent.collect::<Vec<_>>(),
        "Skipped": skipped.collect::<Vec<_>>(),
        "Unreadable": unreadable.collect::<Vec<_>>(),
        "LoneKeys": plan.unused_keys,
        "Domains": counts.domains,
        "Served": counts.served,
    })
}
