//! The code's tables match the tables of `spec/`, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use super::{table::EDGESEAL, *};

type Row = (u16, String, String);

/// Rows of `errors.tsv` with the actions that return them.
fn errors() -> BTreeMap<Row, Vec<&'static str>> {
    rows(include_str!("../../../../spec/errors.tsv"))
        .map(|row| {
            assert_eq!(row.len(), 5, "{row:?}");
            (
                (
                    row[0].parse().unwrap(),
                    row[1].to_owned(),
                    row[2].to_owned(),
                ),
                row[3].split(',').collect(),
            )
        })
        .collect()
}

/// Whether `by` names an action: by its name, or in the form of its permission where several
/// products have an action of that name (`ram:CreateAccessKey`).
fn names(by: &[&str], action: &Action) -> bool {
    by.contains(&action.name) || by.contains(&action.permission)
}

fn row(code: Code) -> Row {
    let row = code.spec();
    (row.status, row.wire_code.to_owned(), row.message.to_owned())
}

#[test]
fn every_code_stands_in_the_table() {
    let errors = errors();
    for code in Code::ALL {
        assert!(
            errors.contains_key(&row(*code)),
            "{code:?} is not in spec/errors.tsv as {:?}",
            code.spec()
        );
    }
}

#[test]
fn every_row_that_an_implemented_action_answers_is_a_code() {
    let known: BTreeSet<Row> = Code::ALL.iter().map(|code| row(*code)).collect();
    let answered_here =
        |by: &&str| *by == "gateway" || ACTIONS.iter().any(|action| names(&[*by], action));
    for (row, by) in errors() {
        if by.iter().any(answered_here) {
            assert!(
                known.contains(&row),
                "{row:?} is returned by {by:?}, but is not a code"
            );
        }
    }
}

#[test]
fn each_action_can_have_the_errors_that_are_listed_for_it() {
    let mut impossible = Vec::new();
    for action in ACTIONS.iter() {
        let possible: BTreeSet<Row> = (action.error_codes)().into_iter().map(row).collect();
        for (row, by) in errors() {
            if names(&by, action) && !possible.contains(&row) {
                impossible.push((action.name, row));
            }
        }
    }
    assert_eq!(impossible, []);
}

#[test]
fn the_documented_codes_of_the_operation_are_thirty_two() {
    let action = ACTIONS
        .iter()
        .find(|action| action.name == "SetCdnDomainSSLCertificate")
        .unwrap();
    let own = errors().into_values().filter(|by| names(by, action));
    // The codes of domain names, a missing switch, the quota, and conflicting changes.
    assert_eq!(own.count(), 32 + 6);
}

#[test]
fn each_action_has_the_facts_of_its_row() {
    let table: Vec<Vec<&str>> = rows(include_str!("../../../../spec/actions.tsv")).collect();
    for row in &table {
        assert_eq!(row.len(), 8, "{row:?}");
        assert!(["read", "write"].contains(&row[5]), "{row:?}");
        assert!(
            ["1", "-"].contains(&row[4]),
            "a rate is per second: {row:?}"
        );
    }
    for action in ACTIONS.iter() {
        assert!(action.rate_limit.calls > 0, "{} has no rate", action.name);
    }
    let own = table.iter().filter(|row| row[0] == "edgeseal").count();
    let built = ACTIONS.iter().filter(|action| action.version == EDGESEAL);
    assert_eq!(
        own,
        built.count(),
        "all of Edgeseal's own actions are listed"
    );
}

#[test]
fn names_are_unique_in_a_version() {
    let names: BTreeSet<_> = ACTIONS
        .iter()
        .map(|action| (action.version, action.name))
        .collect();
    assert_eq!(names.len(), ACTIONS.len());
}
