//! Resource names in policies, in canonical form.

use std::borrow::Cow;

use super::{
    super::{
        glob::Glob,
        invalid::InvalidPolicy,
        json::{JsonPath, Node},
    },
    invalid_value, parse_text,
};

/// What a resource without an account matches: the resources of every account, where that makes a
/// policy allow less, or nothing, as it literally says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MissingAccount {
    EveryAccount,
    NoAccount,
}

/// As [`read_stored_resource`], but also refuses a resource written in a form that matches nothing.
pub(super) fn read_resource(
    node: &Node,
    path: &JsonPath<'_>,
    anyones: MissingAccount,
) -> Result<Glob, InvalidPolicy> {
    let glob = read_stored_resource(node, path, anyones)?;
    let text = glob.as_str();
    if canonicalize(text).is_none() {
        let expected = "a resource in whose domain each label is either ASCII or free of wildcards, \
                        without a dot after a wildcard at its end";
        return Err(invalid_value(text, path, expected));
    }
    if anyones == MissingAccount::NoAccount && text.split(':').nth(ACCOUNT) == Some("") {
        let expected = "a resource with an account, acs:service:region:account:name; it may be *";
        return Err(invalid_value(text, path, expected));
    }
    Ok(glob)
}

/// `*`, or `acs:service:region:account:name` with wildcards anywhere. A name with fewer parts and
/// no `*` to cover them could match nothing. Domains are converted to A-labels without a trailing
/// dot (see [`crate::DomainName`]) before they are compared.
pub(super) fn read_stored_resource(
    node: &Node,
    path: &JsonPath<'_>,
    anyones: MissingAccount,
) -> Result<Glob, InvalidPolicy> {
    let text = parse_text(node, path)?;
    let complete = text.split(':').count() >= PARTS || text.contains('*');
    if text == "*" || (text.starts_with("acs:") && complete) {
        let placed = with_any_region(text, anyones);
        Ok(match canonicalize(&placed) {
            Some(canonical) => Glob::with_canonical(text, &canonical),
            None => Glob::new(text),
        })
    } else {
        Err(invalid_value(
            text,
            path,
            "a resource, acs:service:region:account:name or *",
        ))
    }
}

/// Parts of a full resource name.
const PARTS: usize = 5;
/// Index of the region.
const REGION: usize = 2;
/// Index of the account.
const ACCOUNT: usize = 3;

/// Replaces the region by `*`: resources here have no region, whichever a policy names, and the
/// cloud prints the names of users and roles without one.
fn with_any_region(text: &str, anyones: MissingAccount) -> Cow<'_, str> {
    let mut parts: Vec<&str> = text.splitn(PARTS, ':').collect();
    if parts.len() < PARTS {
        return Cow::Borrowed(text);
    }
    parts[REGION] = "*";
    if parts[ACCOUNT].is_empty() && anyones == MissingAccount::EveryAccount {
        parts[ACCOUNT] = "*";
    }
    Cow::Owned(parts.join(":"))
}

/// Converts the domain in a resource to its stored form; `None` if it can match no domain.
fn canonicalize(text: &str) -> Option<String> {
    let is_wildcard = |c: char| matches!(c, '*' | '?');
    let is_domain = text.contains("domain/")
        || ["acs:cdn:", "acs:dcdn:"]
            .iter()
            .any(|cdn| text.starts_with(cdn));
    let text = match text.strip_suffix('.') {
        Some(rest) if is_domain && rest.ends_with(is_wildcard) => return None,
        Some(rest) if is_domain => rest,
        _ => text,
    };
    let mut canonical = String::with_capacity(text.len());
    for part in text.split_inclusive([':', '/', '.']) {
        let label = part.trim_end_matches([':', '/', '.']);
        if label.is_ascii() {
            canonical.push_str(part);
            continue;
        }
        if label.contains(is_wildcard) {
            return None;
        }
        canonical.push_str(&idna::domain_to_ascii_strict(label).ok()?);
        canonical.push_str(&part[label.len()..]);
    }
    Some(canonical)
}
