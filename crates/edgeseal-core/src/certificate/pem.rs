//! Parsing and printing of PEM (RFC 7468, and the headers of RFC 1421 §4.6 in old keys).
//!
//! The decoding library does not report where a block is, that it is encrypted, or that a line
//! break is missing, and the uploader needs to know. So blocks and their lines are found here, and
//! only decoded by the library.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls_pki_types::pem::{PemObject, SectionKind};
use x509_parser::asn1_rs::{Any, FromDer as _};
use zeroize::Zeroizing;

use super::invalid::{
    Base64Error, BlockName, InvalidBase64, InvalidPemBoundary, InvalidPemCharacter,
    UnexpectedContent,
};
use crate::Secret;

/// Prints certificates as PEM, one block each, with lines of 64 characters and a final line break.
#[must_use]
pub fn chain_to_pem(leaf: &[u8], intermediates: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for der in std::iter::once(leaf).chain(intermediates.iter().map(Vec::as_slice)) {
        write_block(&mut text, "CERTIFICATE", &STANDARD.encode(der));
    }
    text
}

/// Prints a private key (PKCS#8 DER) as PEM. The text is wiped on drop.
#[must_use]
pub fn key_to_pem(pkcs8: &Secret) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(pkcs8.expose()));
    // Full capacity up front, so that growing leaves no copy behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * body.len() + 128));
    write_block(&mut text, "PRIVATE KEY", &body);
    text
}

fn write_block(text: &mut String, label: &str, mut body: &str) {
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    while !body.is_empty() {
        let (line, rest) = body.split_at(body.len().min(64));
        text.push_str(line);
        text.push('\n');
        body = rest;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
}

/// An uploaded text and its blocks.
pub(super) struct PemDocument<'a> {
    text: &'a str,
    blocks: Vec<Block<'a>>,
    boundary_error: Option<InvalidPemBoundary>,
}

/// One block.
pub(super) struct Block<'a> {
    pub(super) kind: BlockKind,
    /// The line of its BEGIN marker, from 1.
    pub(super) line: usize,
    body: Vec<&'a str>,
    state: State,
}

/// The outcome of parsing a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    /// A broken marker, or another BEGIN, came before its END.
    Broken,
}

/// What a block contains, by its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// `CERTIFICATE`, or its old synonym `X509 CERTIFICATE`. Not `TRUSTED CERTIFICATE`, which
    /// contains more than a certificate.
    Certificate,
    /// Any label that ends in `PRIVATE KEY`.
    PrivateKey(KeyFormat),
    /// Anything else; with the label if it is a known one, so that no unknown text gets into an
    /// error.
    Other(Option<&'static str>),
}

/// Private-key formats by label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyFormat {
    /// PKCS#8, PKCS#1 or SEC1; the DER decides which, as labels are often wrong.
    Plain,
    /// PKCS#8, encrypted with a passphrase.
    Encrypted,
    /// The format of `ssh-keygen`.
    OpenSsh,
    /// The traditional format for DSA.
    Dsa,
}

/// Labels that an error may show.
const OTHER_LABELS: [&str; 11] = [
    "TRUSTED CERTIFICATE",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "X509 CRL",
    "PKCS7",
    "CMS",
    "PUBLIC KEY",
    "RSA PUBLIC KEY",
    "DH PARAMETERS",
    "EC PARAMETERS",
    "ECHCONFIG",
];

impl<'a> PemDocument<'a> {
    /// Finds the blocks of any text. A byte order mark at its start is skipped.
    pub(super) fn scan(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut found = Self {
            text,
            blocks: Vec::new(),
            boundary_error: None,
        };
        for (index, line) in lines(text).enumerate() {
            found.read(index + 1, line);
        }
        found.expect_closed();
        found
    }

    fn read(&mut self, number: usize, line: &'a str) {
        let open = self
            .blocks
            .last_mut()
            .filter(|block| block.state == State::Open);
        match Boundary::parse(line.trim()) {
            None => {
                if let Some(block) = open {
                    block.body.push(line);
                }
            }
            Some(Boundary::Begin(label)) => {
                self.expect_closed();
                self.blocks.push(Block {
                    kind: BlockKind::of(label),
                    line: number,
                    body: Vec::new(),
                    state: State::Open,
                });
            }
            Some(Boundary::End(label)) => match open {
                Some(block) => {
                    block.state = State::Closed;
                    if block.kind != BlockKind::of(label) {
                        let begin = block.line;
                        self.set_boundary_error(InvalidPemBoundary::LabelMismatch {
                            line: number,
                            begin,
                        });
                    }
                }
                None => self.set_boundary_error(InvalidPemBoundary::MissingBegin { line: number }),
            },
            Some(Boundary::Broken(why)) => {
                if let Some(block) = open {
                    block.state = State::Broken;
                }
                self.set_boundary_error(why(number));
            }
        }
    }

    fn expect_closed(&mut self) {
        let open = self.blocks.last_mut();
        if let Some(block) = open.filter(|block| block.state == State::Open) {
            block.state = State::Broken;
            let line = block.line;
            self.set_boundary_error(InvalidPemBoundary::Unterminated { line });
        }
    }

    /// Only the first error counts: the others may follow from it.
    fn set_boundary_error(&mut self, why: InvalidPemBoundary) {
        self.boundary_error.get_or_insert(why);
    }

    /// The first marker error.
    pub(super) const fn boundary_error(&self) -> Option<InvalidPemBoundary> {
        self.boundary_error
    }

    /// The certificate blocks, in order.
    pub(super) fn certificates(&self) -> impl Iterator<Item = &Block<'a>> {
        self.blocks
            .iter()
            .filter(|block| block.kind == BlockKind::Certificate)
    }

    /// The private-key blocks, in order.
    pub(super) fn private_keys(&self) -> impl Iterator<Item = &Block<'a>> {
        self.blocks
            .iter()
            .filter(|block| matches!(block.kind, BlockKind::PrivateKey(_)))
    }

    /// What the text contains, when it has no block of the expected kind.
    pub(super) fn unexpected_content(&self) -> UnexpectedContent {
        if let Some(block) = self.blocks.first() {
            return UnexpectedContent::Other {
                label: block.kind.label(),
                line: block.line,
            };
        }
        let mut characters = self.text.bytes().filter(|b| !b.is_ascii_whitespace());
        let is_base64 = characters.all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
        if is_base64 && self.text.len() > 100 {
            UnexpectedContent::BareBase64
        } else {
            UnexpectedContent::Nothing
        }
    }

    /// Finds the first character that PEM cannot contain.
    pub(super) fn check_characters(&self) -> Result<(), InvalidPemCharacter> {
        // Fast path for the usual characters; the rest is examined below.
        let is_plain = |line: &str| {
            let mut bytes = line.bytes();
            bytes.all(|byte| matches!(byte, b' '..=b'~' | b'\t') && byte != b'\\')
        };
        let lines = lines(self.text).enumerate();
        for (index, line) in lines.filter(|(_, line)| !is_plain(line)) {
            let number = index + 1;
            let bad = |c: char| !c.is_ascii() || (c.is_ascii_control() && !"\t\r".contains(c));
            if let Some((column, character)) = line.chars().enumerate().find(|(_, c)| bad(*c)) {
                return Err(InvalidPemCharacter::Character {
                    line: number,
                    column: column + 1,
                    character,
                });
            }
            if line.contains("\\n") || line.contains("\\r") {
                return Err(InvalidPemCharacter::EscapedLineBreak { line: number });
            }
        }
        Ok(())
    }
}

impl Block<'_> {
    /// Whether it needs a passphrase, by its label or its headers (RFC 1421 §4.6.1.1).
    pub(super) fn is_encrypted(&self) -> bool {
        self.kind == BlockKind::PrivateKey(KeyFormat::Encrypted)
            || self.body.iter().any(|line| {
                let line = line.trim();
                line.starts_with("Proc-Type:") && line.contains("ENCRYPTED")
            })
    }

    /// Decodes its content. A block that was not closed has none, which is reported later.
    pub(super) fn decode(&self, name: BlockName) -> Result<Zeroizing<Vec<u8>>, InvalidBase64> {
        if self.state != State::Closed {
            return Ok(Zeroizing::default());
        }
        let skip = self.header_lines();
        // The label selects the decoder: constant-time for keys.
        let label = match self.kind {
            BlockKind::Certificate => "CERTIFICATE",
            BlockKind::PrivateKey(_) | BlockKind::Other(_) => "PRIVATE KEY",
        };
        let body = Zeroizing::new(self.body[skip..].join("\n"));
        let text = Zeroizing::new(format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            *body
        ));
        let decoded = <(SectionKind, Vec<u8>)>::from_pem_slice(text.as_bytes());
        let why = match decoded.map(|(_, der)| Zeroizing::new(der)) {
            Ok(der) if is_whole(&der) => return Ok(der),
            // With four `+` missing the rest is valid base64, but the DER is too short.
            Ok(der) => match self.base64_error(skip) {
                Some(why) => why,
                None => return Ok(der),
            },
            Err(_) => self.base64_error(skip).unwrap_or(Base64Error::Length),
        };
        Err(InvalidBase64 {
            block: name,
            line: self.line,
            reason: why,
        })
    }

    /// The number of header lines (`Name: value`), with the blank line after them.
    fn header_lines(&self) -> usize {
        let first = self.body.first().copied().unwrap_or_default();
        if !first.contains(':') {
            return 0;
        }
        let blank = self.body.iter().position(|line| line.trim().is_empty());
        blank.map_or(0, |at| at + 1)
    }

    fn base64_error(&self, skip: usize) -> Option<Base64Error> {
        let body = &self.body[skip..];
        let first_line = self.line + 1 + skip;
        let is_odd = |b: u8| !(b.is_ascii_alphanumeric() || b"+/= \t".contains(&b));
        if let Some(at) = body.iter().position(|line| line.bytes().any(is_odd)) {
            let line = first_line + at;
            return Some(Base64Error::Character { line });
        }
        let has_space = |line: &&str| line.contains(' ') && !line.trim().is_empty();
        if let Some(at) = body.iter().position(has_space) {
            let line = first_line + at;
            return Some(Base64Error::PlusAsSpace { line });
        }
        let characters = body.iter().flat_map(|line| line.bytes());
        let count = characters.filter(|b| !b.is_ascii_whitespace()).count();
        (count % 4 != 0).then_some(Base64Error::Length)
    }
}

impl BlockKind {
    fn of(label: &str) -> Self {
        match label {
            "CERTIFICATE" | "X509 CERTIFICATE" => Self::Certificate,
            "ENCRYPTED PRIVATE KEY" => Self::PrivateKey(KeyFormat::Encrypted),
            "OPENSSH PRIVATE KEY" => Self::PrivateKey(KeyFormat::OpenSsh),
            "DSA PRIVATE KEY" => Self::PrivateKey(KeyFormat::Dsa),
            _ if label == "PRIVATE KEY" || label.ends_with(" PRIVATE KEY") => {
                Self::PrivateKey(KeyFormat::Plain)
            }
            _ => Self::Other(OTHER_LABELS.into_iter().find(|known| *known == label)),
        }
    }

    const fn label(self) -> Option<&'static str> {
        match self {
            Self::Certificate => Some("CERTIFICATE"),
            Self::PrivateKey(_) => Some("PRIVATE KEY"),
            Self::Other(label) => label,
        }
    }
}

/// A line that starts or ends a block, or looks as if it did.
enum Boundary<'a> {
    Begin(&'a str),
    End(&'a str),
    Broken(fn(usize) -> InvalidPemBoundary),
}

impl<'a> Boundary<'a> {
    /// Parses a line without surrounding white space.
    fn parse(line: &'a str) -> Option<Self> {
        if !line.contains('-') {
            return None;
        }
        let label = |prefix| {
            let label = line.strip_prefix(prefix)?.strip_suffix("-----")?;
            (!label.is_empty() && !label.contains('-')).then_some(label)
        };
        if let Some(label) = label("-----BEGIN ") {
            return Some(Self::Begin(label));
        }
        if let Some(label) = label("-----END ") {
            return Some(Self::End(label));
        }
        if line.contains("-----BEGIN ") || line.contains("-----END ") {
            return Some(Self::Broken(|line| InvalidPemBoundary::MissingLineBreak {
                line,
            }));
        }
        let has = |part| line.contains(part);
        if has("-BEGIN%20") || has("-END%20") || has("-BEGIN+") || has("-END+") {
            return Some(Self::Broken(|line| InvalidPemBoundary::UrlEncoded { line }));
        }
        let nearly = line.starts_with('-')
            && (has("BEGIN") || has("END"))
            && (has("CERTIFICATE") || has("PRIVATE KEY"));
        nearly.then_some(Self::Broken(|line| InvalidPemBoundary::Malformed { line }))
    }
}

/// Lines ending in LF, CRLF or, in a text without any LF, CR.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let end = if text.contains('\n') { '\n' } else { '\r' };
    text.split(end)
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
}

/// Whether `der` is exactly one DER value, by its length alone.
fn is_whole(der: &[u8]) -> bool {
    Any::from_der(der).is_ok_and(|(rest, _)| rest.is_empty())
}
