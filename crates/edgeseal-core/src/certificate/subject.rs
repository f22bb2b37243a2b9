//! Distinguished names as text. They can contain anything; the results are safe to print.

use super::Subject;
use x509_parser::{
    asn1_rs::Tag,
    x509::{AttributeTypeAndValue, X509Name},
};

/// Longest attribute that is shown, in characters (RFC 5280 allows 64 in a common name).
const ATTRIBUTE_CHARS_MAX: usize = 128;
/// Longest full name that is shown, in characters.
const NAME_CHARS_MAX: usize = 1024;

/// A name for an error or a warning: the common name, or else the organisation, as in `CN=Example
/// CA`.
pub(super) fn short_name(name: &X509Name<'_>) -> String {
    let common = common_name(name);
    if !common.is_empty() {
        return format!("CN={common}");
    }
    let organization = organization(name);
    if !organization.is_empty() {
        return format!("O={organization}");
    }
    "without a common name".to_owned()
}

/// The first common name; empty if there is none.
pub(super) fn common_name(name: &X509Name<'_>) -> String {
    name.iter_common_name().next().map(text).unwrap_or_default()
}

/// The first organisation; empty if there is none.
pub(super) fn organization(name: &X509Name<'_>) -> String {
    name.iter_organization()
        .next()
        .map(text)
        .unwrap_or_default()
}

/// The full name in the order of the certificate, as in `C=US, O=Example, CN=Example CA`.
pub(super) fn full_name(name: &X509Name<'_>) -> String {
    let text = name.to_string();
    let printable = text.chars().filter(|c| !is_invisible(*c));
    printable.take(NAME_CHARS_MAX).collect()
}

/// The attributes of a subject besides its common name.
pub(super) fn subject(name: &X509Name<'_>) -> Subject {
    let first = |mut values: Box<dyn Iterator<Item = &AttributeTypeAndValue<'_>> + '_>| {
        values.next().map(text).unwrap_or_default()
    };
    Subject {
        organization: organization(name),
        country: first(Box::new(name.iter_country())),
        province: first(Box::new(name.iter_state_or_province())),
        locality: first(Box::new(name.iter_locality())),
    }
}

/// The value as text, whatever its string type (RFC 5280 §4.1.2.4).
fn text(attribute: &AttributeTypeAndValue<'_>) -> String {
    let value = attribute.attr_value();
    let decoded = if value.tag() == Tag::BmpString {
        let units = value.data.chunks_exact(2);
        let units: Vec<u16> = units.map(|u| u16::from_be_bytes([u[0], u[1]])).collect();
        String::from_utf16_lossy(&units)
    } else {
        String::from_utf8_lossy(value.data).into_owned()
    };
    let printable = decoded.chars().filter(|c| !is_invisible(*c));
    printable.take(ATTRIBUTE_CHARS_MAX).collect()
}

/// Control characters, and characters that reorder or hide the text around them (UAX #9 §2).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
