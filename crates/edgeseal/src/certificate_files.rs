//! Certificates and private keys in files of the usual formats: PEM with one thing or several, DER,
//! PKCS#8 with a password, PKCS#12 (PFX). What a file holds is told by its content, never by its name.

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
    chain::{Issuers, spki_of_certificate, spki_of_key},
    formats::is_pem,
};

/// Longest file that is read. The longest chain that the API takes is far below.
pub(crate) const FILE_SIZE_MAX: u64 = 1 << 20;

/// What a file holds, in the order in which it stands there.
#[derive(Default)]
pub(crate) struct Contents {
    /// Certificates.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// Private keys, not encrypted any more.
    pub(crate) keys: Vec<PrivateKeyDer<'static>>,
}

/// A password for encrypted files.
pub(crate) struct Password(Zeroizing<String>);

/// Why a file gives nothing. No message shows what it holds: it may be a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateFileError {
    /// The system does not read it.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Too long.
    #[error("it is longer than {FILE_SIZE_MAX} bytes")]
    TooLong,
    /// A format that is known and cannot be taken.
    #[error("it is {format}; {hint}")]
    Format {
        /// What it is.
        format: &'static str,
        /// What helps.
        hint: &'static str,
    },
    /// A request for a certificate: no certificate, and no mistake beside one.
    #[error("it is a signing request (CSR); give the certificate that the authority issued for it")]
    SigningRequest,
    /// A format that is known, and damaged.
    #[error("it is {format}, and damaged: {why}")]
    Damaged {
        /// What it is.
        format: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Encrypted, and no password is given.
    #[error("it is {format} and encrypted: give its password with --password-file")]
    NeedsPassword {
        /// What it is.
        format: &'static str,
    },
    /// Encrypted with another password.
    #[error("it is {format}, and the password of --password-file does not open it")]
    WrongPassword {
        /// What it is.
        format: &'static str,
    },
    /// Nothing that is known.
    #[error("it is neither PEM nor DER nor PKCS#12 (PFX)")]
    Unknown,
}

impl Password {
    /// The first line of a file.
    ///
    /// # Errors
    /// The system's, or that the file is no text.
    pub(crate) fn read(file: &Path) -> io::Result<Self> {
        let text = Zeroizing::new(std::fs::read_to_string(file)?);
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
/// [`Unreadable::System`] and [`Unreadable::TooLong`].
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

/// What these bytes of a file hold.
///
/// # Errors
/// [`Unreadable`] names the format.
pub(crate) fn parse(
    bytes: &[u8],
    password: Option<&Password>,
) -> Result<Contents, CertificateFileError> {
    formats::parse(bytes, password)
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

/// How a file is called in messages.
pub(crate) fn display_path(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

/// A file with what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {error}", display_path(path))]
pub(crate) struct UnreadableFile {
    /// The file.
    pub(crate) path: PathBuf,
    /// What is wrong.
    #[source]
    pub(crate) error: CertificateFileError,
}
