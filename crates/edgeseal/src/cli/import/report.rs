//! What came of it: all of it in a dry run, else what is not served or is warned of, and the counts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    plan::{Plan, Planned, Skipped},
    send::{Order, Row, Sent},
};
use crate::{
    certificate_files::shown,
    cli::{Failure, output, output::say},
};

/// Prints it.
///
/// # Errors
/// [`Failure::Unfinished`] unless all that was found is served, or would be; [`Failure::Interrupted`].
pub(super) fn print(order: &Order<'_>, plan: &Plan, results: &[Sent]) -> Result<(), Failure> {
    let counts = Counts::of(plan, results);
    if order.connection.json {
        say!("{}", as_json(plan, results, &counts))?;
    } else {
        table(order, plan, results)?;
        summary(order, plan, &counts)?;
    }
    match counts.complaint(order.dry_run) {
        _ if counts.interrupted > 0 => Err(Failure::Interrupted(format!(
            "interrupted: of {} of {} it is not known whether they are served; start it again: what is served is \
             left as it is",
            counts.interrupted,
            counted(counts.domains, "domain")
        ))),
        None => Ok(()),
        Some(complaint) => Err(Failure::Unfinished(complaint)),
    }
}

/// How many of what.
#[derive(Default)]
struct Counts {
    /// Domains of certificates that were sent.
    domains: usize,
    served: usize,
    /// Domains by what was done with them.
    by_result: BTreeMap<String, usize>,
    refused: usize,
    not_asked: usize,
    /// Domains of certificates that are not answered.
    interrupted: usize,
    /// Certificates that were not sent, and have no other for their names.
    missed: usize,
    unreadable: usize,
}

impl Counts {
    fn of(plan: &Plan, results: &[Sent]) -> Self {
        let mut counts = Self {
            missed: plan.skipped.iter().filter(|it| it.is_missed()).count(),
            unreadable: plan.unreadable.len(),
            ..Self::default()
        };
        for (planned, sent) in plan.certificates.iter().zip(results) {
            counts.domains += planned.domains.len();
            match sent {
                Sent::Refused(_) => counts.refused += 1,
                Sent::NotAsked => counts.not_asked += 1,
                Sent::Interrupted => counts.interrupted += planned.domains.len(),
                Sent::Done(rows, _) => {
                    for row in rows {
                        counts.served += usize::from(row.is_served);
                        *counts.by_result.entry(row.result.clone()).or_default() += 1;
                    }
                }
            }
        }
        counts
    }

    fn complaint(&self, dry_run: bool) -> Option<String> {
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
            parts.push(format!("{} skipped", counted(self.missed, "certificate")));
        }
        if self.unreadable > 0 {
            parts.push(format!("{} not readable", counted(self.unreadable, "file")));
        }
        if self.domains == 0 && parts.is_empty() {
            parts.push("nothing was found that could be served".to_owned());
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn table(order: &Order<'_>, plan: &Plan, results: &[Sent]) -> Result<(), Failure> {
    let sent = plan.certificates.iter().zip(results);
    // Those that an interruption left out are counted.
    let shown_ones = sent.filter(|(_, sent)| match sent {
        Sent::Interrupted => false,
        sent => order.dry_run || !is_all_well(sent),
    });
    let mut rows: Vec<[String; 4]> = shown_ones
        .map(|(planned, sent)| row_of(planned, sent, order.dry_run))
        .collect();
    let skipped = plan.skipped.iter();
    let skipped = skipped.filter(|it| order.dry_run || it.is_missed());
    rows.extend(skipped.map(row_of_skipped));
    for file in &plan.unreadable {
        rows.push([
            output::text(&shown(&file.path).into()),
            String::new(),
            String::new(),
            format!("skipped: {}", file.why),
        ]);
    }
    if rows.is_empty() {
        return Ok(());
    }
    output::table(["CERTIFICATE", "DOMAINS", "EXPIRES", "RESULT"], rows)
}

/// Whether there is nothing to say of it.
fn is_all_well(sent: &Sent) -> bool {
    matches!(sent, Sent::Done(rows, warnings)
        if warnings.is_empty() && rows.iter().all(|row| row.is_served))
}

fn row_of(planned: &Planned, sent: &Sent, dry_run: bool) -> [String; 4] {
    let names = planned.domains.iter().map(|name| name.display_star());
    let names: Vec<String> = names.collect();
    [
        output::text(&shown(&planned.file).into()),
        names.join(","),
        day(&planned.not_after.to_string()),
        match sent {
            Sent::Refused(why) => format!("refused: {why}"),
            Sent::NotAsked | Sent::Interrupted => "-".to_owned(),
            Sent::Done(rows, warnings) => {
                let warnings = warnings.iter().map(|it| format!("; warning: {it}"));
                words(rows, dry_run) + &warnings.collect::<String>()
            }
        },
    ]
}

fn row_of_skipped(skipped: &Skipped) -> [String; 4] {
    [
        output::text(&shown(&skipped.file).into()),
        output::text(&skipped.names.join(",").into()),
        String::new(),
        format!("skipped: {}", skipped.why),
    ]
}

/// The day of a time.
fn day(time: &str) -> String {
    time.split('T').next().unwrap_or_default().to_owned()
}

/// `added`, or `2 added, 1 replaced`, and which are not served.
fn words(rows: &[Row], dry_run: bool) -> String {
    let mut by_result: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *by_result.entry(word(&row.result, dry_run)).or_default() += 1;
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

fn word(result: &str, dry_run: bool) -> &'static str {
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

fn summary(order: &Order<'_>, plan: &Plan, counts: &Counts) -> Result<(), Failure> {
    let dry_run = order.dry_run;
    let by_result = counts.by_result.iter();
    let by_result = by_result.map(|(result, count)| format!("{count} {}", word(result, dry_run)));
    let by_result: Vec<String> = by_result.collect();
    let colon = if by_result.is_empty() { "" } else { ": " };
    say!(
        "{} for {}{colon}{}",
        counted(plan.certificates.len(), "certificate"),
        counted(counts.domains, "domain"),
        by_result.join(", ")
    )?;
    let older = plan.skipped.len() - counts.missed;
    if older > 0 {
        say!(
            "{} passed over for a later one",
            counted(older, "certificate")
        )?;
    }
    if plan.lone_keys > 0 {
        say!(
            "{} passed over: no certificate is theirs",
            counted(plan.lone_keys, "key")
        )?;
    }
    if !dry_run {
        say!("{} of {} domains are served", counts.served, counts.domains)?;
    }
    Ok(())
}

fn as_json(plan: &Plan, results: &[Sent], counts: &Counts) -> Value {
    let sent = plan.certificates.iter().zip(results).map(|(planned, sent)| {
        let mut row = json!({
            "File": shown(&planned.file),
            "NotAfter": planned.not_after.to_string(),
        });
        match sent {
            Sent::Done(rows, warnings) => {
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
                    json!({ "DomainName": name.display_star(), "Served": false })
                });
                row["Domains"] = names.collect();
                if let Sent::Refused(why) = other {
                    row["Refused"] = why.as_str().into();
                }
            }
        }
        row
    });
    let skipped = plan.skipped.iter().map(|skipped| {
        json!({ "File": shown(&skipped.file), "Names": skipped.names, "Why": skipped.why.to_string() })
    });
    let unreadable = plan.unreadable.iter();
    let unreadable =
        unreadable.map(|file| json!({ "File": shown(&file.path), "Why": file.why.to_string() }));
    json!({
        "Certificates": sent.collect::<Vec<_>>(),
        "Skipped": skipped.collect::<Vec<_>>(),
        "Unreadable": unreadable.collect::<Vec<_>>(),
        "LoneKeys": plan.lone_keys,
        "Domains": counts.domains,
        "Served": counts.served,
    })
}
