//! Reads a certificate chain and its key from files of any usual format, as PEM for the API.

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::{
    certificate_files::{
        self as files, CertificateFileError, Contents, Issuers, Password, UnreadableFile,
        display_path,
    },
    cli::CliError,
};

/// A certificate chain and its key in PEM.
pub(super) struct CertificateAndKey {
    pub(super) chain: String,
    pub(super) key: Zeroizing<String>,
}

/// Reads the certificate's file and the key's, which is the same file if no other is given.
pub(super) fn read(
    cert: &Path,
    key: Option<&Path>,
    password: Option<&Path>,
) -> Result<CertificateAndKey, CliError> {
    let password = password.map(Password::read).transpose()?;
    // Standard input can be read only once, so it contains both.
    let key = key.filter(|key| *key != cert);
    let cert_bytes = files::read(cert).map_err(file_error(cert))?;
    let key_bytes = key.map(|key| files::read(key).map_err(file_error(key)));
    let key_bytes = key_bytes.transpose()?;
    if let Some(key_bytes) = &key_bytes
        && let (Some(chain), Some(key)) =
            (plain_pem(&cert_bytes, false), plain_pem(key_bytes, true))
    {
        return Ok(CertificateAndKey {
            chain: chain.to_owned(),
            key: Zeroizing::new(key.to_owned()),
        });
    }
    let of_cert = files::parse(&cert_bytes, password.as_ref()).map_err(file_error(cert))?;
    let of_key = match (key, &key_bytes) {
        (Some(key), Some(bytes)) => {
            Some(files::parse(bytes, password.as_ref()).map_err(file_error(key))?)
        }
        _ => None,
    };
    assemble(cert, of_cert, key.zip(of_key))
}

/// Plain PEM in ASCII is sent unchanged: the server reports errors by block and line.
pub(super) fn plain_pem(bytes: &[u8], may_hold_keys: bool) -> Option<&str> {
    const READ_HERE: [&str; 4] = [
        "ENCRYPTED",
        "-----BEGIN PKCS",
        "-----BEGIN CMS",
        "-----BEGIN TRUSTED",
    ];
    let text = std::str::from_utf8(bytes).ok()?;
    // Servers refuse other characters, also in the text around the blocks.
    let is_plain = text.trim_start_matches('\u{feff}').is_ascii()
        && files::is_pem(bytes)
        && !READ_HERE.iter().any(|part| text.contains(part))
        && (may_hold_keys || !text.contains("PRIVATE KEY-----"));
    is_plain.then_some(text)
}

/// The key with the certificate that it is for, and its chain in order.
fn assemble(
    cert: &Path,
    of_cert: Contents,
    of_key: Option<(&Path, Contents)>,
) -> Result<CertificateAndKey, CliError> {
    let nothing = |path: &Path, what: &str, instead: &str| {
        CliError::Usage(format!("{} holds no {what}{instead}", display_path(path)))
    };
    let (keys_from, keys) = match of_key {
        Some((path, contents)) => (path, contents.keys),
        None => (cert, of_cert.keys),
    };
    let instead = if keys_from == cert {
        ": give it with --key"
    } else {
        ""
    };
    let certificates = of_cert.certificates;
    let first = certificates.first();
    let first = first.ok_or_else(|| nothing(cert, "certificate", ""))?;
    let key = keys.first();
    let key = key.ok_or_else(|| nothing(keys_from, "private key", instead))?;
    // If no key matches, the server reports it.
    let (key, leaf) = find_matching_pair(&keys, &certificates).unwrap_or((key, first));
    let mut issuers = Issuers::default();
    certificates.iter().for_each(|it| issuers.add(it));
    let chain = issuers.chain(leaf, &certificates);
    Ok(CertificateAndKey {
        chain: chain.iter().map(files::certificate_pem).collect(),
        key: files::key_pem(key),
    })
}

/// The first of these keys that is the key of one of these certificates, and that certificate.
pub(super) fn find_matching_pair<'a>(
    keys: impl IntoIterator<Item = &'a PrivateKeyDer<'static>>,
    certificates: &'a [CertificateDer<'static>],
) -> Option<(&'a PrivateKeyDer<'static>, &'a CertificateDer<'static>)> {
    keys.into_iter().find_map(|key| {
        let public = files::spki_of_key(key)?;
        let fits = |it: &&CertificateDer<'static>| {
            files::spki_of_certificate(it).as_ref() == Some(&public)
        };
        Some((key, certificates.iter().find(fits)?))
    })
}

pub(super) fn file_error(path: &Path) -> impl FnOnce(CertificateFileError) -> UnreadableFile {
    let path = path.to_owned();
    move |error| UnreadableFile { path, error }
}
