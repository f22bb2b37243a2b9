//! Reads certificates and private keys from files of the usual formats: PEM with any number of
//! blocks, DER, encrypted PKCS#8, PKCS#7, PKCS#12 (PFX). The content decides the format, never the
//! file's name.

mod chain;
mod formats;

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

pub(crate) use self::{
    chain::{Issuers, is_issued_by, spki_of_certificate, spki_of_key},
    formats::{is_pem, parse},
};

/// Longest file that is read, far above the longest chain that the API accepts.
pub(crate) const FILE_SIZE_MAX: u64 = 1 << 20;

/// The content of a file, in file order.
#[derive(Default)]
pub(crate) struct Contents {
    /// Certificates.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// Private keys, decrypted.
    pub(crate) keys: Vec<PrivateKeyDer<'static>>,
}

/// A password for encrypted files.
pub(crate) struct Password(Zeroizing<String>);

/// Why a file cannot be used. No message contains a part of its content: it may be a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateFileError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is too long.
    #[error("it is longer than {FILE_SIZE_MAX} bytes")]
    TooLong,
    /// A known format that is not supported.
    #[error("it is {format}; {hint}")]
    Format {
        /// The format.
        format: &'static str,
        /// The remedy.
        hint: &'static str,
    },
    /// A CSR alone: no certificate. Next to a certificate it is ignored.
    #[error("it is a signing request (CSR); give the certificate that the authority issued for it")]
    SigningRequest,
    /// A known format, but damaged.
    #[error("it is {format}, and damaged: {why}")]
    Damaged {
        /// The format.
        format: &'static str,
        /// The error.
        why: String,
    },
    /// Encrypted, and no password was given.
    #[error("it is {format} and encrypted: give its password with --password-file")]
    NeedsPassword {
        /// The format.
        format: &'static str,
    },
    /// Encrypted with another password.
    #[error("it is {format}, and the password of --password-file does not open it")]
    WrongPassword {
        /// The format.
        format: &'static str,
    },
    /// Empty, or white space only.
    #[error("it is empty")]
    Empty,
    /// An unknown format.
    #[error("it is neither PEM nor DER nor PKCS#12 (PFX)")]
    Unknown,
}

impl Password {
    /// Reads the password from the first line of a file.
    ///
    /// # Errors
    /// If the file cannot be read or is not text; names the file.
    pub(crate) fn read(file: &Path) -> Result<Self, UnreadableFile> {
        let text = std::fs::read_to_string(file).map_err(|cause| UnreadableFile {
            path: file.to_owned(),
            error: cause.into(),
        });
        let text = Zeroizing::new(text?);
        let line = text.lines().next().unwrap_or_default();
        Ok(Self(Zeroizing::new(line.to_owned())))
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads a file; `-` is standard input.
///
/// # Errors
/// [`CertificateFileError::Io`] and [`CertificateFileError::TooLong`].
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateFileError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let limit = FILE_SIZE_MAX + 1;
    if path == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > FILE_SIZE_MAX {
        return Err(CertificateFileError::TooLong);
    }
    Ok(bytes)
}

/// A certificate in PEM.
pub(crate) fn certificate_pem(certificate: &CertificateDer<'_>) -> String {
    formats::encode("CERTIFICATE", certificate.as_ref())
}

/// A private key in PEM.
pub(crate) fn key_pem(key: &PrivateKeyDer<'_>) -> Zeroizing<String> {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    Zeroizing::new(formats::encode(label, key.secret_der()))
}

/// The name of a file in messages.
pub(crate) fn display_path(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

/// A file that cannot be used, with the error.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {error}", display_path(path))]
pub(crate) struct UnreadableFile {
    /// The file.
    pub(crate) path: PathBuf,
    /// The error.
    #[source]
    pub(crate) error: CertificateFileError,
}
