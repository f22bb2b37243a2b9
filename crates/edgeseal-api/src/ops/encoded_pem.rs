//! Certificates with one or two extra encodings: two operations document PEM that is base64-encoded
//! and percent-encoded. Clients also send plain PEM.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use percent_encoding::percent_decode_str;

/// The value is neither PEM nor base64-encoded PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate is neither PEM nor base64-encoded PEM")]
pub struct InvalidEncodedPem;

/// Decodes the PEM.
///
/// # Errors
/// [`InvalidEncodedPem`].
pub(super) fn decode(text: &str) -> Result<String, InvalidEncodedPem> {
    let mut text = text.trim().to_owned();
    // Percent-encoded base64 of PEM, which may itself be percent-encoded.
    for _ in 0..2 {
        if text.contains("-----BEGIN") {
            return Ok(text);
        }
        if text.contains('%') {
            let decoded = percent_decode_str(&text).decode_utf8();
            text = decoded.map_err(|_| InvalidEncodedPem)?.into_owned();
        }
        if text.contains("-----BEGIN") {
            return Ok(text);
        }
        let dense: String = text.split_whitespace().collect();
        let bytes = BASE64.decode(dense).map_err(|_| InvalidEncodedPem)?;
        text = String::from_utf8(bytes).map_err(|_| InvalidEncodedPem)?;
    }
    if text.contains("-----BEGIN") {
        Ok(text)
    } else {
        Err(InvalidEncodedPem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAB+/=\n-----END CERTIFICATE-----\n";

    #[test]
    fn spellings() {
        let base64 = BASE64.encode(PEM);
        let encoded = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        for text in [
            PEM.to_owned(),
            base64.clone(),
            encoded(&base64),
            encoded(PEM),
            BASE64.encode(encoded(PEM)),
        ] {
            assert_eq!(decode(&text).unwrap().trim(), PEM.trim(), "{text}");
        }
        for text in ["", "hello", "aGVsbG8=", "%zz"] {
            assert_eq!(decode(text), Err(InvalidEncodedPem), "{text}");
        }
    }
}
