//! Sorts the given files into uploads: each certificate with its chain and its key, whichever files
//! they are in.

use std::path::{Path, PathBuf};

use edgeseal_core::certificate::Digest;
use rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;
use zeroize::Zeroizing;

use crate::{
    certificate_files::{
        self as files, Contents, Issuers, Password, UnreadableFile, display_path,
        spki_of_certificate,
    },
    cli::CliError,
};

use super::super::files::{file_error, find_matching_pair, plain_pem};

/// One certificate as it would be uploaded.
pub(super) struct Upload {
    /// The file of the certificate.
    pub(super) file: PathBuf,
    /// Certificate and chain in PEM.
    pub(super) chain: String,
    /// Its private key in PEM, if one was given.
    pub(super) key: Option<Zeroizing<String>>,
    /// SHA-256 of the public key of the certificate; `None` if it cannot be read.
    pub(super) spki_sha256: Option<Digest>,
}

/// A file.
struct Input {
    path: PathBuf,
    /// Its text, if it is PEM that a server can read: reports then name blocks and lines.
    text: Option<Zeroizing<String>>,
    contents: Contents,
}

/// Reads the files. A file that contains only CA certificates completes the chains of the others.
///
/// # Errors
/// A file that cannot be used, or no certificate in any of them.
pub(super) fn read(paths: &[PathBuf], password: Option<&Path>) -> Result<Vec<Upload>, CliError> {
    let password = password.map(Password::read).transpose()?;
    let inputs = paths
        .iter()
        .map(|path| Input::read(path, password.as_ref()));
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    let mut leaves: Vec<&Input> = inputs.iter().filter(|input| input.holds_leaf()).collect();
    if leaves.is_empty() {
        let mut others = inputs.iter();
        let authority = others.find(|input| !input.contents.certificates.is_empty());
        leaves.extend(authority);
    }
    if leaves.is_empty() {
        let named: Vec<String> = paths.iter().map(|path| display_path(path)).collect();
        let what = format!("no certificate in {}", named.join(", "));
        return Err(CliError::Usage(what));
    }
    Ok(leaves
        .iter()
        .map(|input| input.upload(&inputs, leaves.len() == 1))
        .collect())
}

impl Input {
    fn read(path: &Path, password: Option<&Password>) -> Result<Self, UnreadableFile> {
        let bytes = files::read(path).map_err(file_error(path))?;
        let text = plain_pem(&bytes, true).map(|text| Zeroizing::new(text.to_owned()));
        let contents = match files::parse(&bytes, password) {
            Ok(contents) => contents,
            // The check says more about it, in the words of the server.
            Err(_) if text.is_some() => Contents::default(),
            Err(error) => return Err(file_error(path)(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            text,
            contents,
        })
    }

    /// Whether this is the file of a certificate to check: not only of CAs, and not only of keys.
    fn holds_leaf(&self) -> bool {
        let certificates = &self.contents.certificates;
        if certificates.is_empty() {
            // Unreadable, or of keys.
            return self.contents.keys.is_empty() && !self.mentions_key();
        }
        certificates.iter().any(|one| !is_ca(one)) || !self.contents.keys.is_empty()
    }

    fn mentions_key(&self) -> bool {
        let mut text = self.text.iter();
        text.any(|text| text.contains("PRIVATE KEY-----"))
    }

    fn upload(&self, all: &[Self], is_only: bool) -> Upload {
        let others = || all.iter().filter(|other| !std::ptr::eq(*other, self));
        let keys = || {
            let own = self.contents.keys.iter();
            own.chain(others().flat_map(|other| &other.contents.keys))
        };
        let certificates = &self.contents.certificates;
        let (leaf, key) = match find_matching_pair(keys(), certificates) {
            Some((key, leaf)) => (Some(leaf), Some(files::key_pem(key))),
            None => {
                let leaf = certificates.iter().find(|one| !is_ca(one));
                (
                    leaf.or_else(|| certificates.first()),
                    self.stray_key(all, is_only),
                )
            }
        };
        let authorities = others().filter(|other| !other.holds_leaf());
        let authorities = authorities.flat_map(|other| &other.contents.certificates);
        let authorities: Vec<&CertificateDer<'static>> = authorities.collect();
        let spki = leaf.and_then(spki_of_certificate);
        Upload {
            file: self.path.clone(),
            chain: self.chain(leaf, &authorities, is_only),
            key,
            spki_sha256: spki.as_deref().map(Digest::of),
        }
    }

    /// A key that is not the certificate's, but can only be meant for it; the check says so. Its
    /// text, if it cannot be read.
    fn stray_key(&self, all: &[Self], is_only: bool) -> Option<Zeroizing<String>> {
        if let Some(key) = self.contents.keys.first() {
            return Some(files::key_pem(key));
        }
        let mut others = all.iter().filter(|_| is_only);
        others.find_map(|other| match other.contents.keys.first() {
            Some(key) => Some(files::key_pem(key)),
            None => other.text.clone().filter(|_| other.mentions_key()),
        })
    }

    /// The certificates of this file as they are in it, then those of the files of authorities: all
    /// of them if this is the only certificate, else those that lead up from it.
    fn chain(
        &self,
        leaf: Option<&CertificateDer<'static>>,
        authorities: &[&CertificateDer<'static>],
        is_only: bool,
    ) -> String {
        let own = &self.contents.certificates;
        let mut issuers = Issuers::default();
        own.iter()
            .chain(authorities.iter().copied())
            .for_each(|one| issuers.add(one));
        let built = leaf
            .map(|leaf| issuers.chain(leaf, own))
            .unwrap_or_default();
        let mut chain = match &self.text {
            Some(text) if !self.mentions_key() => text.to_string(),
            Some(_) => own.iter().map(files::certificate_pem).collect(),
            // Other formats have no order of their own.
            None => return built.iter().map(files::certificate_pem).collect(),
        };
        let further = authorities
            .iter()
            .filter(|one| is_only || built.contains(one) && !own.contains(one));
        if !chain.is_empty() && !chain.ends_with('\n') {
            chain.push('\n');
        }
        chain.extend(further.map(|one| files::certificate_pem(one)));
        chain
    }
}

fn is_ca(certificate: &CertificateDer<'_>) -> bool {
    parse_x509_certificate(certificate).is_ok_and(|(_, parsed)| parsed.is_ca())
}
