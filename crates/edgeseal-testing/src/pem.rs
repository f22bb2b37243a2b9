//! PEM blocks, also such as no library writes.

use ::pem::{EncodeConfig, LineEnding, Pem};

/// A block with this label and content.
pub fn encode(label: &str, der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    ::pem::encode_config(&Pem::new(label, der), config)
}

/// The content of the first block.
pub fn decode(text: &str) -> Vec<u8> {
    ::pem::parse(text).unwrap().into_contents()
}

/// The contents of all blocks.
pub fn decode_all(text: &str) -> Vec<Vec<u8>> {
    let blocks = ::pem::parse_many(text).unwrap();
    blocks.into_iter().map(Pem::into_contents).collect()
}
