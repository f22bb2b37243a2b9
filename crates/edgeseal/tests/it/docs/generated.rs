//! Generated blocks of the documentation, from `<!-- begin NAME -->` to `<!-- end NAME -->`.

use std::{env, fs, path::Path};

/// Asserts that a block is as generated; writes it instead with `EDGESEAL_WRITE_DOCS=1`.
pub(crate) fn assert_generated(page: &str, name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(page);
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = (
        format!("<!-- begin {name} -->\n"),
        format!("<!-- end {name} -->"),
    );
    let (before, rest) = text.split_once(&begin).unwrap();
    let (present, after) = rest.split_once(&end).unwrap();
    if env::var_os("EDGESEAL_WRITE_DOCS").is_some() {
        fs::write(path, format!("{before}{begin}{expected}{end}{after}")).unwrap();
        return;
    }
    let differs = present.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(
        present == expected,
        "{page}: the block {name} is out of date, first {differs:?}; write it again: \
         EDGESEAL_WRITE_DOCS=1 cargo test -p edgeseal docs"
    );
}
