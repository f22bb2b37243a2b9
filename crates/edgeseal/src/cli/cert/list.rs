//! `edgeseal cert list`

use clap::Args;
use edgeseal_core::Timestamp;
use serde_json::Value;

use super::super::{
    CliError, Connection, expiry,
    output::{json_text, print_table, say},
    pages,
    time::duration_ms,
};
use crate::clock;

#[derive(Args)]
pub(in crate::cli) struct List {
    /// Only those that expire within this time, as in 30d, or have expired
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    expiring: Option<i64>,
    /// Only those that no domain has bound
    #[arg(long)]
    unused: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A certificate of the account.
struct Row {
    /// When clients begin to fail: the earliest end in its chain.
    expires: Timestamp,
    /// As the API shows it, with `DaysLeft`.
    shown: Value,
}

impl List {
    /// Lists the certificates by expiry, the expired ones first.
    pub(super) async fn run(self) -> Result<(), CliError> {
        let now = clock::now();
        let rows = pages::certificates(&self.connection).await?;
        let mut rows: Vec<Row> = rows.into_iter().map(|row| Row::of(row, now)).collect();
        rows.retain(|row| {
            let expiring = self
                .expiring
                .is_none_or(|ms| row.expires.since_ms(now) < ms);
            expiring && !(self.unused && row.is_used())
        });
        rows.sort_by_key(|row| row.expires);
        if self.connection.json {
            let shown = rows.into_iter().map(|row| row.shown);
            return say!("{}", Value::from_iter(shown));
        }
        print_table(
            [
                "EXPIRES",
                "ID",
                "NAME",
                "CERTIFICATE FOR",
                "DOMAINS",
                "LEFT",
            ],
            rows.iter().map(|row| row.cells(now)),
        )
    }
}

impl Row {
    fn of(mut shown: Value, now: Timestamp) -> Self {
        // Dates beyond what can be read count as the end of time.
        let end = Timestamp::parse_iso(&json_text(&shown["ChainNotAfter"]));
        let expires = end.unwrap_or(Timestamp::from_unix_ms(i64::MAX));
        if end.is_some() {
            shown["DaysLeft"] = expiry::days_left(expires, now).into();
        }
        Self { expires, shown }
    }

    fn is_used(&self) -> bool {
        let domains = self.shown["Domains"].as_array();
        domains.is_some_and(|domains| !domains.is_empty())
    }

    fn cells(&self, now: Timestamp) -> [String; 6] {
        let text = |name: &str| json_text(&self.shown[name]);
        [
            text("ChainNotAfter"),
            text("CertId"),
            text("CertName"),
            shorten(text("Names").split(',').map(str::to_owned).collect(), false),
            self.domains(),
            expiry::describe(self.expires, now),
        ]
    }

    fn domains(&self) -> String {
        let domains = self.shown["Domains"].as_array().into_iter().flatten();
        let names: Vec<String> = domains.map(json_text).collect();
        if names.is_empty() {
            return "unused".to_owned();
        }
        shorten(names, self.shown["MoreDomains"] == true)
    }
}

/// The first names; a certificate may have hundreds.
fn shorten(names: Vec<String>, has_more: bool) -> String {
    const SHOWN: usize = 3;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    match (more, has_more) {
        (0, false) => shown,
        (more, false) => format!("{shown} and {more} more"),
        (_, true) => format!("{shown} and more"),
    }
}

fn parse_span(text: &str) -> Result<i64, String> {
    let span = duration_ms(text);
    span.ok_or_else(|| "use a number with a unit, as in 30d; units are s, m, h, d and w".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_first_are_counted() {
        let names = |count: usize| -> Vec<String> {
            let all = ["a", "b", "c", "d", "e"];
            all[..count].iter().map(ToString::to_string).collect()
        };
        for (count, has_more, shown) in [
            (1, false, "a"),
            (3, false, "a, b, c"),
            (5, false, "a, b, c and 2 more"),
            (5, true, "a, b, c and more"),
        ] {
            assert_eq!(shorten(names(count), has_more), shown);
        }
    }
}
