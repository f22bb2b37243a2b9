//! Pages of certificates, which may have hundreds of long names each: bounds the memory of a page
//! and the size of the response.
//!
//! A page always has all its rows, because clients rely on it: they request the next one by number,
//! and many stop at the first that has fewer rows than requested. Only the text of names within
//! rows is truncated, and only where all names of a page together exceed what authorities issue: a
//! thousand certificates with a hundred names of thirty characters are shown in full.

use edgeseal_core::{
    DomainPattern,
    certificate::{CertificateId, CertificateInfo},
};
use edgeseal_store::{Catalog, Fault, record::CertificateRecord};

/// Most bytes of the names of a page.
const NAMES_BYTES: usize = 3 << 20;
/// Bytes reserved for each following row: the longest name (253 characters), and the ellipsis.
const ROW_BYTES: usize = 512;
/// Replaces names that do not fit. It is not a valid name.
const ELLIPSIS: &str = "...";
/// Records read concurrently.
const AT_ONCE: usize = 50;

/// The rows of these certificates. A concurrently deleted one has none.
///
/// # Errors
/// A [`Fault`] if the store failed.
pub(super) async fn rows<R: Send>(
    catalog: &Catalog,
    ids: &[CertificateId],
    mut row: impl FnMut(CertificateRecord) -> R + Send,
) -> Result<Vec<R>, Fault> {
    let mut rows = Vec::with_capacity(ids.len());
    for some in ids.chunks(AT_ONCE) {
        let certificates = catalog.certificates_by_id(some).await?;
        rows.extend(certificates.into_iter().map(&mut row));
    }
    Ok(rows)
}

/// The budget for the names of one page.
pub(super) struct NameBudget {
    left: usize,
    rows: usize,
}

impl NameBudget {
    /// The budget of a page of this many rows.
    pub(super) const fn for_rows(rows: usize) -> Self {
        Self {
            left: NAMES_BYTES,
            rows,
        }
    }

    /// The names of the next row, separated by commas. If not all fit, [`ELLIPSIS`] comes last.
    pub(super) fn take_names(&mut self, facts: &CertificateInfo) -> String {
        self.rows = self.rows.saturating_sub(1);
        let later = self.rows.saturating_mul(ROW_BYTES);
        let most = self.left.saturating_sub(later).max(ROW_BYTES);
        let shown = within(&facts.names, most);
        self.left = self.left.saturating_sub(shown.len());
        shown
    }
}

/// As many names as fit.
fn within(names: &[DomainPattern], most: usize) -> String {
    let mut shown = String::new();
    for (at, name) in names.iter().enumerate() {
        let name = name.to_san();
        let is_last = at + 1 == names.len();
        let after = if is_last { 0 } else { 1 + ELLIPSIS.len() };
        let comma = if at == 0 { "" } else { "," };
        shown.push_str(comma);
        if shown.len() + name.len() + after > most {
            return shown + ELLIPSIS;
        }
        shown.push_str(&name);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize, length: usize) -> Vec<DomainPattern> {
        let name = |n: usize| {
            let labels = format!("{n:03}.{}", "a.".repeat(length));
            DomainPattern::parse(&labels[..length]).unwrap()
        };
        (0..count).map(name).collect()
    }

    #[test]
    fn names_that_do_not_fit_are_replaced_by_an_ellipsis() {
        let three = names(3, 9);
        let whole = "000.a.a.a,001.a.a.a,002.a.a.a";
        for (most, shown) in [
            (1000, whole),
            (29, whole),
            (28, "000.a.a.a,001.a.a.a,..."),
            (23, "000.a.a.a,001.a.a.a,..."),
            (22, "000.a.a.a,..."),
            (13, "000.a.a.a,..."),
            (12, ELLIPSIS),
            (0, ELLIPSIS),
        ] {
            assert_eq!(within(&three, most), shown, "{most}");
            assert!(shown.len() <= most.max(ELLIPSIS.len()));
        }
        assert_eq!(within(&[], 0), "");
    }

    /// Whatever the certificates are, a page is bounded and each row has a name.
    #[test]
    fn a_page_is_bounded() {
        for (rows, count, length, in_full) in [
            (1000, 100, 29, true),
            (50, 200, 251, true),
            (1000, 90, 251, false),
            (1000, 1, 251, true),
        ] {
            let names = names(count, length);
            let whole = within(&names, usize::MAX).len();
            let facts = facts(names);
            let mut page = NameBudget::for_rows(rows);
            let shown: Vec<String> = (0..rows).map(|_| page.take_names(&facts)).collect();
            let total: usize = shown.iter().map(String::len).sum();
            assert!(total <= NAMES_BYTES, "{rows} {count} {length}: {total}");
            assert!(shown.iter().all(|row| row.starts_with("000.a")));
            let is_whole = |row: &String| row.len() == whole && !row.ends_with(ELLIPSIS);
            assert_eq!(
                shown.iter().all(is_whole),
                in_full,
                "{rows} {count} {length}"
            );
            let marked = |row: &String| is_whole(row) || row.ends_with(&format!(",{ELLIPSIS}"));
            assert!(shown.iter().all(marked));
        }
    }

    fn facts(names: Vec<DomainPattern>) -> CertificateInfo {
        CertificateInfo {
            common_name: String::new(),
            subject: Default::default(),
            names,
            issuer: String::new(),
            issuer_organization: String::new(),
            serial: String::new(),
            not_before: Default::default(),
            not_after: Default::default(),
            chain_not_after: Default::default(),
            sha256: String::new(),
            sha1: String::new(),
            key: edgeseal_core::certificate::KeyAlgorithm::Ecdsa,
            key_bits: 256,
            missing_issuer: None,
        }
    }
}
