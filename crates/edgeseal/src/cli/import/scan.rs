//! What there is: every file below the given paths, whatever it is called.

use std::{
    collections::{BTreeSet, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{
    certificate_files::{self, LENGTH_MAX, Password, Unreadable, UnreadableFile},
    cli::Failure,
};

/// Deepest directory that is looked into: Caddy has `caddy/certificates/AUTHORITY/NAME/NAME.crt`.
const DEPTH_MAX: usize = 12;
/// Ends of names of files that should be readable; other files are looked at, and passed over in
/// silence if they hold nothing.
const EXPECTED: [&str; 8] = ["pem", "crt", "cer", "key", "pfx", "p12", "der", "p7b"];

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    /// Files that hold something.
    pub(super) files: Vec<FoundFile>,
    /// Files that should hold something and cannot be read.
    pub(super) unreadable: Vec<UnreadableFile>,
}

/// A file that holds something.
pub(super) struct FoundFile {
    pub(super) path: PathBuf,
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) keys: Vec<PrivateKeyDer<'static>>,
}

struct Scan<'a> {
    password: Option<&'a Password>,
    found: Found,
    /// Directories and files by where they really are: links may lead to them again, or in circles.
    seen: HashSet<PathBuf>,
}

/// Reads everything below these paths.
///
/// # Errors
/// A path that is given and cannot be read.
pub(super) fn scan(paths: &[PathBuf], password: Option<&Password>) -> Result<Found, Failure> {
    let mut scan = Scan {
        password,
        found: Found::default(),
        seen: HashSet::new(),
    };
    for path in paths {
        let looked = scan.look(path, 0);
        looked
            .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
    }
    Ok(scan.found)
}

impl Scan<'_> {
    fn look(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        if !self.seen.insert(path.canonicalize()?) {
            return Ok(());
        }
        if !metadata.is_dir() {
            self.read(path, &metadata);
            return Ok(());
        }
        let names = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        // Sorted, so that the same directory gives the same report.
        let below: BTreeSet<PathBuf> = names.iter().map(fs::DirEntry::path).collect();
        for path in below {
            if depth == DEPTH_MAX {
                break;
            }
            // Below the path that was given, what cannot be read is told and passed over.
            if let Err(cause) = self.look(&path, depth + 1) {
                self.found.unreadable.push(UnreadableFile {
                    path,
                    why: cause.into(),
                });
            }
        }
        Ok(())
    }

    fn read(&mut self, path: &Path, metadata: &fs::Metadata) {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let extension = extension.to_ascii_lowercase();
        let is_expected = EXPECTED.contains(&extension.as_str());
        // Devices and sockets are no files; what is longer holds something else.
        if !metadata.is_file() || (metadata.len() > LENGTH_MAX && !is_expected) {
            return;
        }
        let bytes = certificate_files::read(path);
        let parsed = bytes.and_then(|bytes| certificate_files::parse(&bytes, self.password));
        match parsed {
            Ok(contents) if contents.is_empty() => {}
            Err(Unreadable::SigningRequest) => {}
            Ok(contents) => self.found.files.push(FoundFile {
                path: path.to_owned(),
                certificates: contents.certificates,
                keys: contents.keys,
            }),
            Err(why) if is_expected => self.found.unreadable.push(UnreadableFile {
                path: path.to_owned(),
                why,
            }),
            Err(_) => {}
        }
    }
}
