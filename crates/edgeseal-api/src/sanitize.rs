//! Makes texts from callers safe to show.

use crate::key_material;

/// A value from the caller, safe to show in an error: short, on one line, and never a private key
/// that was sent in the wrong parameter.
pub(crate) fn sanitize(given: &str) -> String {
    const SHOWN_MAX: usize = 40;
    sanitize_to(given, SHOWN_MAX)
}

/// Like [`sanitize`], with up to `characters` characters.
pub(crate) fn sanitize_to(given: &str, characters: usize) -> String {
    if key_material::contains_private_key(given) {
        return "(a private key)".to_owned();
    }
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    given.chars().take(characters).map(printable).collect()
}
