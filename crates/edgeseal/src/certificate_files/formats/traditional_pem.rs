//! OpenSSL's traditional encrypted private keys: PEM with the headers of RFC 1421 §4.6.1, such as
//! `DEK-Info: AES-256-CBC,2A…`, with a key derived from the password by MD5 (`EVP_BytesToKey(3)`,
//! one iteration).

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::{
    BlockCipherDecrypt, BlockModeDecrypt as _, KeyInit, KeyIvInit as _, block_padding::Pkcs7,
};
use des::TdesEde3;
use md5::{Digest as _, Md5};
use rustls::pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::{CertificateFileError, Password, password_error};

const FORMAT: &str = "a private key in the old form of OpenSSL";

/// Decrypts a block by its header `DEK-Info`.
///
/// # Errors
/// [`CertificateFileError`]: no password, a wrong one, or an unsupported cipher.
pub(super) fn decrypt(
    block: &[u8],
    how: &str,
    password: Option<&Password>,
) -> Result<PrivateKeyDer<'static>, CertificateFileError> {
    let (cipher, iv) = how.split_once(',').unwrap_or((how, ""));
    let open = match cipher.trim().to_ascii_uppercase().as_str() {
        "AES-128-CBC" => decrypt_cbc::<Aes128>,
        "AES-192-CBC" => decrypt_cbc::<Aes192>,
        "AES-256-CBC" => decrypt_cbc::<Aes256>,
        "DES-EDE3-CBC" => decrypt_cbc::<TdesEde3>,
        _ => {
            return Err(CertificateFileError::Format {
                format: "a private key in the old form of OpenSSL, with a cipher that is not taken",
                hint: "openssl pkcs8 -topk8 -in FILE -out FILE.new converts it",
            });
        }
    };
    let iv = hex::decode(iv.trim()).map_err(|error| CertificateFileError::Damaged {
        format: FORMAT,
        why: format!("DEK-Info: {error}"),
    })?;
    let Some(password) = password else {
        return Err(password_error(FORMAT, None));
    };
    // A wrong password results in invalid padding or an invalid key.
    let der = open(block, &iv, password.as_str().as_bytes());
    let key = der.and_then(|der| PrivateKeyDer::try_from(der.to_vec()).ok());
    key.ok_or_else(|| password_error(FORMAT, Some(password)))
}

fn decrypt_cbc<C: KeyInit + BlockCipherDecrypt>(
    block: &[u8],
    iv: &[u8],
    password: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let key = bytes_to_key(password, iv.get(..8)?, C::key_size());
    let cipher = cbc::Decryptor::<C>::new_from_slices(&key, iv).ok()?;
    let der = cipher.decrypt_padded_vec::<Pkcs7>(block).ok()?;
    Some(Zeroizing::new(der))
}

/// Each digest covers the previous one, the password and the salt, until there are enough bytes.
fn bytes_to_key(password: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    let mut last = Zeroizing::new(Vec::new());
    while key.len() < length {
        let digest = Md5::new().chain_update(last.as_slice());
        let digest = digest.chain_update(password).chain_update(salt);
        last = Zeroizing::new(digest.finalize().to_vec());
        key.extend_from_slice(&last);
    }
    key.truncate(length);
    key
}
