//! The lists of actions in `docs/reference/actions.md`: what the program has, what the cloud has
//! besides, and `spec/notes.tsv` on both.

use std::{collections::BTreeSet, fmt::Write as _};

use edgeseal_api::actions::{ACTIONS, Access, Action};

use super::{generated::assert_generated, read_document};

/// Characters of a line at most.
const LINE: usize = 120;

/// Products by their names in the tables, in the order of the document.
const PRODUCTS: [(&str, &str); 6] = [
    ("cdn", "CDN"),
    ("dcdn", "DCDN"),
    ("cas", "Certificate centre (CAS)"),
    ("ram", "RAM"),
    ("sts", "STS"),
    ("edgeseal", "Edgeseal's own"),
];

/// An action of `spec/actions.tsv`.
#[derive(Clone, Copy)]
struct SpecAction<'a> {
    product: &'a str,
    version: &'a str,
    name: &'a str,
    /// Whether it has a rate: then it is here, or is to be.
    has_rate: bool,
}

/// A row of `spec/notes.tsv`.
struct Note<'a> {
    product: &'a str,
    version: &'a str,
    name: &'a str,
    text: &'a str,
}

#[test]
fn the_lists_of_actions_are_the_program_s() {
    let expected = lists(
        &read_document("spec/actions.tsv"),
        &read_document("spec/notes.tsv"),
    );
    assert_generated("docs/reference/actions.md", "actions", &expected);
}

fn lists(known: &str, notes: &str) -> String {
    let known: Vec<SpecAction<'_>> = rows(known).map(SpecAction::of).collect();
    let notes: Vec<Note<'_>> = rows(notes).map(Note::of).collect();
    let mut used = BTreeSet::new();
    let mut lists = String::new();
    for (product, title) in PRODUCTS {
        let of_product = || known.iter().filter(|one| one.product == product);
        let versions: BTreeSet<&str> = of_product().map(|one| one.version).collect();
        for version in versions.into_iter().rev() {
            let of_version = of_product().filter(|one| one.version == version).copied();
            let (here, absent): (Vec<_>, Vec<_>) = of_version.partition(|one| one.row().is_some());
            let (count, of) = (here.len(), here.len() + absent.len());
            let separator = if lists.is_empty() { "" } else { "\n" };
            let counted = if absent.is_empty() {
                format!("All {of} actions.")
            } else {
                format!("{count} of {of} actions.")
            };
            writeln!(lists, "{separator}## {title}, {version}\n\n{counted}").unwrap();
            push_implemented(&mut lists, &here, &notes, &mut used);
            push_missing(&mut lists, &absent, &notes, &mut used);
        }
    }
    for (number, note) in notes.iter().enumerate() {
        let Note { name, text, .. } = note;
        assert!(
            used.contains(&number),
            "spec/notes.tsv: {name} fits no action that is not noted yet: {text}"
        );
    }
    lists
}

fn push_implemented(
    lists: &mut String,
    here: &[SpecAction<'_>],
    notes: &[Note<'_>],
    used: &mut BTreeSet<usize>,
) {
    if here.is_empty() {
        return;
    }
    *lists += "\n| action | calls/s | | permission | difference |\n|---|---|---|---|---|\n";
    for known in here {
        let action = known.row().unwrap();
        let access = match action.access {
            Access::Read => "read",
            Access::Write => "write",
        };
        assert_eq!(
            action.rate_limit.per_ms, 1000,
            "{} is in calls/s",
            action.name
        );
        let note = notes.iter().position(|note| note.is_about(known));
        used.extend(note);
        let note = note.map_or("", |number| notes[number].text);
        let (name, calls, permission) = (action.name, action.rate_limit.calls, action.permission);
        writeln!(
            lists,
            "| {name} | {calls} | {access} | {permission} | {note} |"
        )
        .unwrap();
    }
}

/// By reason, in the order of the notes.
fn push_missing(
    lists: &mut String,
    absent: &[SpecAction<'_>],
    notes: &[Note<'_>],
    used: &mut BTreeSet<usize>,
) {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut reasons = Vec::new();
    for known in absent {
        let number = notes.iter().position(|note| note.fits(known));
        let SpecAction { version, name, .. } = known;
        let number = number.unwrap_or_else(|| {
            panic!("spec/notes.tsv does not say why {name} of {version} is not here")
        });
        used.insert(number);
        let reason = notes[number].text;
        let is_planned = reason.starts_with("planned");
        assert_eq!(
            is_planned, known.has_rate,
            "{name} of {version}: {reason:?}, and its rate in spec/actions.tsv"
        );
        reasons.push((number, reason, *name));
    }
    reasons.sort_by_key(|(number, ..)| *number);
    for (_, reason, name) in reasons {
        match groups.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(name),
            None => groups.push((reason, vec![name])),
        }
    }
    if !groups.is_empty() {
        *lists += "\nNot available:\n\n";
    }
    for (reason, mut names) in groups {
        names.sort_unstable();
        *lists += &wrapped(&format!("- *{reason}*: {}", names.join(", ")));
    }
}

/// The words in lines that are not too long, the further ones indented.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > LINE {
            lines = lines + &line + "\n";
            line = " ".to_owned();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines + &line + "\n"
}

fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.skip(1).map(|line| line.split('\t').collect())
}

impl<'a> SpecAction<'a> {
    fn of(row: Vec<&'a str>) -> Self {
        Self {
            product: row[0],
            version: row[1],
            name: row[2],
            has_rate: row[3] != "-",
        }
    }

    /// Its row in the program, if it is here.
    fn row(&self) -> Option<&'static Action> {
        let is_it = |action: &&Action| action.version == self.version && action.name == self.name;
        ACTIONS.iter().find(is_it)
    }
}

impl<'a> Note<'a> {
    fn of(row: Vec<&'a str>) -> Self {
        let [product, version, name, text] = row[..] else {
            panic!("spec/notes.tsv: {row:?} has not four columns");
        };
        assert!(!text.contains('|'), "{text} would end a cell of the table");
        Self {
            product,
            version,
            name,
            text,
        }
    }

    /// Whether it is about an action that is here: a pattern never is.
    fn is_about(&self, known: &SpecAction<'_>) -> bool {
        !self.name.contains('*') && self.fits(known)
    }

    fn fits(&self, known: &SpecAction<'_>) -> bool {
        glob_matches(self.product, known.product)
            && glob_matches(self.version, known.version)
            && glob_matches(self.name, known.name)
    }
}

/// Whether a pattern with `*` for any text fits a name.
fn glob_matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| glob_matches(rest, &name[at..]))
        }),
    }
}

#[test]
fn patterns() {
    for (pattern, name, is_fitting) in [
        ("A", "A", true),
        ("A", "Ab", false),
        ("*", "", true),
        ("A*", "Ab", true),
        ("*Data", "DescribeData", true),
        ("*Data", "DescribeDataByLayer", false),
        ("*Data*", "DescribeDataByLayer", true),
        ("De*Bps*By", "DescribeBpsDataBy", true),
        ("De*Bps*By", "DescribeBpsDataByLayer", false),
    ] {
        assert_eq!(glob_matches(pattern, name), is_fitting, "{pattern} {name}");
    }
}
