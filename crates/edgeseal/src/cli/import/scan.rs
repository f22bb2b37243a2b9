//! The scan: reads every file below the given paths, whatever its name.

use std::{
    collections::{BTreeSet, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{
    certificate_files::{self, CertificateFileError, FILE_SIZE_MAX, Password, UnreadableFile},
    cli::CliError,
};

/// Deepest directory that is scanned: Caddy has `caddy/certificates/AUTHORITY/NAME/NAME.crt`.
const DEPTH_MAX: usize = 12;
/// Extensions of files that should contain something; other files are read too, and skipped
/// silently if they contain nothing.
const CERTIFICATE_EXTENSIONS: [&str; 8] = ["pem", "crt", "cer", "key", "pfx", "p12", "der", "p7b"];

/// The result of the scan.
#[derive(Default)]
pub(super) struct ScanResult {
    /// Files with certificates or keys.
    pub(super) files: Vec<ScannedFile>,
    /// Files that should contain something and cannot be read.
    pub(super) unreadable: Vec<UnreadableFile>,
}

/// A file with certificates or keys.
pub(super) struct ScannedFile {
    pub(super) path: PathBuf,
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) keys: Vec<PrivateKeyDer<'static>>,
}

struct Scan<'a> {
    password: Option<&'a Password>,
    found: ScanResult,
    /// Canonical paths already visited: links may lead to them again, or in circles.
    visited: HashSet<PathBuf>,
}

/// Reads everything below these paths.
///
/// # Errors
/// If one of the given paths cannot be read.
pub(super) fn scan(paths: &[PathBuf], password: Option<&Password>) -> Result<ScanResult, CliError> {
    let mut scan = Scan {
        password,
        found: ScanResult::default(),
        visited: HashSet::new(),
    };
    for path in paths {
        let looked = scan.scan_path(path, 0);
        looked
            .map_err(|error| CliError::Usage(format!("cannot read {}: {error}", path.display())))?;
    }
    Ok(scan.found)
}

impl Scan<'_> {
    fn scan_path(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        if !self.visited.insert(path.canonicalize()?) {
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
            // Below a given path, unreadable files are reported and skipped.
            if let Err(cause) = self.scan_path(&path, depth + 1) {
                self.found.unreadable.push(UnreadableFile {
                    path,
                    error: cause.into(),
                });
            }
        }
        Ok(())
    }

    fn read(&mut self, path: &Path, metadata: &fs::Metadata) {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let extension = extension.to_ascii_lowercase();
        let is_expected = CERTIFICATE_EXTENSIONS.contains(&extension.as_str());
        // Skip devices and sockets, and files that are too long to be certificates.
        if !metadata.is_file() || (metadata.len() > FILE_SIZE_MAX && !is_expected) {
            return;
        }
        let bytes = certificate_files::read(path);
        let parsed = bytes.and_then(|bytes| certificate_files::parse(&bytes, self.password));
        match parsed {
            Ok(contents) if contents.is_empty() => {}
            Err(CertificateFileError::SigningRequest) => {}
            Ok(contents) => self.found.files.push(ScannedFile {
                path: path.to_owned(),
                certificates: contents.certificates,
                keys: contents.keys,
            }),
            Err(why) if is_expected => self.found.unreadable.push(UnreadableFile {
                path: path.to_owned(),
                error: why,
            }),
            Err(_) => {}
        }
    }
}
