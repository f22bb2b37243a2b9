//! What `SetCdnDomainSSLCertificate` says to an upload that it refuses, for checks without a server.

use edgeseal_core::{
    DomainPattern,
    certificate::{CertificateInfo, InvalidCertificate},
};

use crate::{error::ApiError as _, ops::cdn::set_certificate::Error};

/// A refusal of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRefusal {
    /// The code on the wire.
    pub code: String,
    /// The message of the code.
    pub message: String,
    /// One plain sentence that says what is wrong and where.
    pub detail: String,
}

impl From<InvalidCertificate> for UploadRefusal {
    fn from(reason: InvalidCertificate) -> Self {
        Error::from(reason).into()
    }
}

impl UploadRefusal {
    /// The refusal of a certificate that does not cover a domain, unless it does. Servers with
    /// `name_mismatch = "accept"` accept it with a warning.
    #[must_use]
    pub fn of_mismatch(domain: &DomainPattern, info: &CertificateInfo) -> Option<Self> {
        let not_covered = || Error::NotCovered {
            domain: domain.clone(),
            names: Some(info.names.clone()),
        };
        (!info.covers(domain)).then(|| not_covered().into())
    }
}

impl From<Error> for UploadRefusal {
    fn from(error: Error) -> Self {
        Self {
            code: error.wire_code(),
            message: error.message(),
            detail: error.to_string(),
        }
    }
}
