//! A certificate chain and its key out of files of any usual format, in PEM as the API takes it.

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::{
    certificate_files::{
        self as files, Contents, Issuers, Password, Unreadable, UnreadableFile, shown,
    },
    cli::Failure,
};

/// What the API is given.
pub(super) struct Material {
    pub(super) chain: String,
    pub(super) key: Zeroizing<String>,
}

/// Reads the certificate's file and the key's, which is the same one if there is no other.
pub(super) fn read(
    cert: &Path,
    key: Option<&Path>,
    password: Option<&Path>,
) -> Result<Material, Failure> {
    let password = password.map(|file| {
        Password::read(file)
            .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", shown(file))))
    });
    let password = password.transpose()?;
    // Standard input can be read once: it has both then.
    let key = key.filter(|key| *key != cert);
    let cert_bytes = files::read(cert).map_err(unreadable(cert))?;
    let key_bytes = key.map(|key| files::read(key).map_err(unreadable(key)));
    let key_bytes = key_bytes.transpose()?;
    if let Some(key_bytes) = &key_bytes
        && let (Some(chain), Some(key)) = (as_it_is(&cert_bytes, false), as_it_is(key_bytes, true))
    {
        return Ok(Material {
            chain: chain.to_owned(),
            key: Zeroizing::new(key.to_owned()),
        });
    }
    let of_cert = files::parse(&cert_bytes, password.as_ref()).map_err(unreadable(cert))?;
    let of_key = match (key, &key_bytes) {
        (Some(key), Some(bytes)) => {
            Some(files::parse(bytes, password.as_ref()).map_err(unreadable(key))?)
        }
        _ => None,
    };
    paired(cert, of_cert, key.zip(of_key))
}

/// Plain PEM goes as it is: the server says by block and line what is wrong with it.
fn as_it_is(bytes: &[u8], may_hold_keys: bool) -> Option<&str> {
    const READ_HERE: [&str; 3] = ["ENCRYPTED", "-----BEGIN PKCS", "-----BEGIN CMS"];
    let text = std::str::from_utf8(bytes).ok()?;
    let is_plain = files::is_pem(bytes)
        && !READ_HERE.iter().any(|part| text.contains(part))
        && (may_hold_keys || !text.contains("PRIVATE KEY-----"));
    is_plain.then_some(text)
}

/// The key with the certificate that it is for, and its chain in order.
fn paired(
    cert: &Path,
    of_cert: Contents,
    of_key: Option<(&Path, Contents)>,
) -> Result<Material, Failure> {
    let nothing = |path: &Path, what: &str, instead: &str| {
        Failure::Usage(format!("{} holds no {what}{instead}", shown(path)))
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
    // If nothing fits together the server says so.
    let (key, leaf) = pair(&keys, &certificates).unwrap_or((key, first));
    let mut issuers = Issuers::default();
    certificates.iter().for_each(|it| issuers.add(it));
    let chain = issuers.chain(leaf, &certificates);
    Ok(Material {
        chain: chain.iter().map(files::certificate_pem).collect(),
        key: files::key_pem(key),
    })
}

fn pair<'a>(
    keys: &'a [PrivateKeyDer<'static>],
    certificates: &'a [CertificateDer<'static>],
) -> Option<(&'a PrivateKeyDer<'static>, &'a CertificateDer<'static>)> {
    keys.iter().find_map(|key| {
        let public = files::public_key(key)?;
        let fits = |it: &&CertificateDer<'static>| files::spki(it).as_ref() == Some(&public);
        Some((key, certificates.iter().find(fits)?))
    })
}

fn unreadable(path: &Path) -> impl FnOnce(Unreadable) -> Failure {
    let path = path.to_owned();
    move |why| Failure::Usage(UnreadableFile { path, why }.to_string())
}
