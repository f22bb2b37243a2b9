//! Validates an uploaded chain and key: the checks in their order.

use super::{
    CERTIFICATES_MAX, CHAIN_BYTES_MAX, Certificate, CertificateInfo, Digest, KEY_BYTES_MAX, Leaf,
    NAMES_MAX, OriginalPem, ServedChain, TEXT_SURPLUS_MAX, Warning,
    chain::Chain,
    info::dns_names,
    invalid::{
        BlockName, InvalidBase64, InvalidCertificate, InvalidChain, InvalidKey, InvalidKeyBlock,
        TooLong,
    },
    key::{PrivateKey, PublicKey},
    parsed::ParsedCertificate,
    path,
    pem::{self, Block, BlockKind, KeyFormat, PemDocument},
    subject::{full_name, short_name},
};
use crate::{Secret, Timestamp};
use zeroize::Zeroizing;

/// Validates an uploaded chain and key.
///
/// The first of these checks that fails is reported; where a check applies to both texts, the chain
/// goes first:
///
/// 1. the key is only white space: [`InvalidCertificate::BlankKey`];
/// 2. lengths and number of certificates: [`TooLong`];
/// 3. characters that PEM cannot contain: [`InvalidCertificate::ChainText`], then
///    [`InvalidCertificate::KeyText`];
/// 4. base64 of the certificate and private-key blocks: [`InvalidBase64`];
/// 5. the chain's blocks: broken markers, a key among them, no certificate: [`InvalidChain`];
/// 6. each certificate by itself, in order: X.509 version 3 with well-formed extensions:
///    [`InvalidFormat`](super::InvalidFormat);
/// 7. the certificates form one chain from one leaf: [`InvalidChain`] again;
/// 8. signatures with broken hashes, once the leaf is known: `InvalidFormat` again;
/// 9. the number of the leaf's DNS names: [`TooLong`] again;
/// 10. the key's blocks: broken markers, a certificate instead, none, several, a passphrase:
///     [`InvalidKeyBlock`];
/// 11. the key itself: [`InvalidKey`];
/// 12. the key is not the leaf's: [`InvalidCertificate::Mismatch`];
/// 13. signatures and authority along the path: [`Untrusted`](super::Untrusted);
/// 14. expired, then not yet valid certificates on the path: [`InvalidCertificate::Expired`],
///     [`InvalidCertificate::NotYetValid`].
///
/// Accepted on purpose: CRLF, a missing final line break, blank lines, text and blocks of other
/// kinds around the expected ones, a single leaf, a self-signed leaf, a root (it is not served),
/// certificates in any order and more than once, and certificates that the path does not need (they
/// are dropped). Whether a name of the leaf covers a domain is not checked here.
///
/// # Errors
/// [`InvalidCertificate`], whose message is written for the uploader and contains no part of the
/// key.
pub fn validate_upload(
    chain_pem: &str,
    key_pem: &str,
    now: Timestamp,
) -> Result<Certificate, InvalidCertificate> {
    if key_pem.trim().is_empty() {
        return Err(InvalidCertificate::BlankKey);
    }
    let (chain_text, key_text) = (PemDocument::scan(chain_pem), PemDocument::scan(key_pem));
    check_lengths(chain_pem, &chain_text, key_pem)?;
    let characters = chain_text.check_characters();
    characters.map_err(InvalidCertificate::ChainText)?;
    let characters = key_text.check_characters();
    characters.map_err(InvalidCertificate::KeyText)?;

    let ders = decode_certificates(&chain_text)?;
    let key_ders = key_text
        .private_keys()
        .filter(|block| !block.is_encrypted())
        .map(|block| block.decode(BlockName::PrivateKey))
        .collect::<Result<Vec<_>, InvalidBase64>>()?;

    let chain = read_chain(&chain_text, &ders)?;
    let container = check_key_block(&key_text)?;
    let key = read_key(container, key_ders.first().map(|der| der.as_slice()))?;
    check_match(&chain, &key)?;
    let served = serve(&chain, now)?;
    let mut certificate = Certificate {
        leaf: served.leaf,
        intermediates: served.intermediates,
        key: key.pkcs8,
        info: served.info,
        warnings: served.warnings,
        original_pem: OriginalPem::default(),
    };
    certificate.original_pem = original_pem(chain_pem, key_pem, &certificate);
    Ok(certificate)
}

/// Validates a chain without its key: steps 2 to 9, 13 and 14 of [`validate_upload`].
///
/// # Errors
/// [`InvalidCertificate`], as [`validate_upload`].
pub fn validate_chain(chain_pem: &str, now: Timestamp) -> Result<ServedChain, InvalidCertificate> {
    let (text, ders) = decode_chain(chain_pem)?;
    serve(&read_chain(&text, &ders)?, now)
}

fn original_pem(chain_pem: &str, key_pem: &str, read: &Certificate) -> OriginalPem {
    let chain = pem::chain_to_pem(&read.leaf, &read.intermediates);
    let key = pem::key_to_pem(&read.key);
    OriginalPem {
        chain: is_kept(chain_pem, &chain).then(|| chain_pem.to_owned()),
        key: is_kept(key_pem, &key).then(|| Secret::from(key_pem.to_owned())),
    }
}

/// Whether a text is stored besides its canonical form `printed`.
fn is_kept(text: &str, printed: &str) -> bool {
    text != printed && text.len() <= printed.len() + TEXT_SURPLUS_MAX
}

/// Reads the leaf out of a chain without a key. Checks and errors are those of steps 2 to 9 of
/// [`validate_upload`], for the chain; no signature and no validity period is checked.
///
/// # Errors
/// [`InvalidCertificate`], as [`validate_upload`].
pub fn inspect(chain_pem: &str) -> Result<Leaf, InvalidCertificate> {
    let (text, ders) = decode_chain(chain_pem)?;
    let chain = read_chain(&text, &ders)?;
    let leaf = chain.leaf();
    let facts = CertificateInfo::of(leaf).ok_or(InvalidKey::Malformed)?;
    Ok(Leaf {
        der: leaf.der.to_vec(),
        spki_sha256: Digest::of(leaf.x509.public_key().raw),
        issuer: full_name(leaf.x509.issuer()),
        info: facts,
    })
}

/// The certificates in a chain's text.
type Ders = Vec<Zeroizing<Vec<u8>>>;

/// Steps 2 to 4 of [`validate_upload`], for the chain.
pub(super) fn decode_chain(chain_pem: &str) -> Result<(PemDocument<'_>, Ders), InvalidCertificate> {
    let text = PemDocument::scan(chain_pem);
    check_lengths(chain_pem, &text, "")?;
    let characters = text.check_characters();
    characters.map_err(InvalidCertificate::ChainText)?;
    let ders = decode_certificates(&text)?;
    Ok((text, ders))
}

fn decode_certificates(chain: &PemDocument<'_>) -> Result<Ders, InvalidBase64> {
    chain
        .certificates()
        .zip(1..)
        .map(|(block, number)| block.decode(BlockName::Certificate(number)))
        .collect()
}

/// Steps 5 to 9 of [`validate_upload`].
fn read_chain<'a>(
    text: &PemDocument<'_>,
    ders: &'a [Zeroizing<Vec<u8>>],
) -> Result<Chain<'a>, InvalidCertificate> {
    check_chain_blocks(text)?;
    let mut certificates: Vec<ParsedCertificate<'a>> = Vec::with_capacity(ders.len());
    for (number, der) in (1..).zip(ders) {
        if !certificates.iter().any(|seen| *seen.der == ***der) {
            certificates.push(ParsedCertificate::parse(number, der)?);
        }
    }
    let chain = Chain::of(certificates)?;
    chain.check_format()?;
    let count = dns_names(&chain.leaf().x509).count();
    if count > NAMES_MAX {
        return Err(TooLong::Names { count }.into());
    }
    Ok(chain)
}

fn check_lengths(chain_pem: &str, chain: &PemDocument<'_>, key_pem: &str) -> Result<(), TooLong> {
    let bytes = chain_pem.len();
    if bytes > CHAIN_BYTES_MAX {
        return Err(TooLong::Chain { bytes });
    }
    let count = chain.certificates().count();
    if count > CERTIFICATES_MAX {
        return Err(TooLong::Certificates { count });
    }
    let bytes = key_pem.len();
    if bytes > KEY_BYTES_MAX {
        return Err(TooLong::Key { bytes });
    }
    Ok(())
}

fn check_chain_blocks(chain: &PemDocument<'_>) -> Result<(), InvalidChain> {
    if let Some(broken) = chain.boundary_error() {
        return Err(InvalidChain::Boundary(broken));
    }
    if let Some(&Block { line, .. }) = chain.private_keys().next() {
        return Err(InvalidChain::PrivateKey { line });
    }
    if chain.certificates().next().is_none() {
        let found = chain.unexpected_content();
        return Err(InvalidChain::NoCertificate { found });
    }
    Ok(())
}

/// Requires exactly one private-key block that needs no passphrase.
fn check_key_block(key: &PemDocument<'_>) -> Result<KeyFormat, InvalidKeyBlock> {
    if let Some(broken) = key.boundary_error() {
        return Err(InvalidKeyBlock::Boundary(broken));
    }
    let blocks: Vec<&Block<'_>> = key.private_keys().collect();
    let block = match blocks[..] {
        [block] => block,
        [_, second, ..] => {
            return Err(InvalidKeyBlock::Several {
                count: blocks.len(),
                second: second.line,
            });
        }
        [] => {
            return Err(match key.certificates().next() {
                Some(&Block { line, .. }) => InvalidKeyBlock::Certificate { line },
                None => InvalidKeyBlock::NoKey {
                    found: key.unexpected_content(),
                },
            });
        }
    };
    match block.kind {
        BlockKind::PrivateKey(container) if !block.is_encrypted() => Ok(container),
        _ => Err(InvalidKeyBlock::Encrypted { line: block.line }),
    }
}

fn read_key(container: KeyFormat, der: Option<&[u8]>) -> Result<PrivateKey, InvalidKey> {
    let unsupported = |what: &str| InvalidKey::Unsupported {
        what: what.to_owned(),
    };
    match container {
        KeyFormat::OpenSsh => Err(InvalidKey::OpenSsh),
        KeyFormat::Dsa => Err(unsupported("DSA")),
        KeyFormat::Plain | KeyFormat::Encrypted => {
            PrivateKey::parse(der.ok_or(InvalidKey::Malformed)?)
        }
    }
}

fn check_match(chain: &Chain<'_>, key: &PrivateKey) -> Result<(), InvalidCertificate> {
    let is_of =
        |certificate: &ParsedCertificate<'_>| certificate.x509.public_key().raw == key.spki_der;
    let leaf = chain.leaf();
    if is_of(leaf) {
        return Ok(());
    }
    let owner = chain.certificates.iter().find(|other| is_of(other));
    Err(InvalidCertificate::Mismatch {
        leaf: leaf.block_ref(),
        leaf_key: PublicKey::of(leaf.x509.public_key()).description,
        key: key.description.clone(),
        belongs_to: owner.map(ParsedCertificate::block_ref),
    })
}

/// The name of the issuer that clients miss above the last served certificate.
///
/// Servers do not send roots, and whether clients know a private root cannot be known here. So an
/// issuer counts as missing above a leaf unless it is a root that clients know; above an
/// intermediate only if that also says where its issuer is available (RFC 5280 §4.2.2.1), as public
/// authorities' certificates do.
fn missing_issuer(last: &ParsedCertificate<'_>, is_leaf: bool) -> Option<String> {
    let issuer = last.x509.issuer();
    let is_missing = (is_leaf || last.has_ca_issuers_url()) && !is_known_root(issuer.as_raw());
    is_missing.then(|| short_name(issuer))
}

/// Whether this name (DER) is that of a root that clients know. The name suffices: this decides
/// about a warning only.
fn is_known_root(name: &[u8]) -> bool {
    // An anchor's name lacks the header of its SEQUENCE, which takes 2 to 4 bytes.
    let mut anchors = webpki_roots::TLS_SERVER_ROOTS.iter();
    anchors.any(|anchor| {
        let header = name.strip_suffix(anchor.subject.as_ref());
        header.is_some_and(|header| header.len() <= 4)
    })
}

/// Steps 13 and 14 of [`validate_upload`], and what is served.
fn serve(chain: &Chain<'_>, now: Timestamp) -> Result<ServedChain, InvalidCertificate> {
    let path = path::find(chain, now)?;
    let leaf = chain.leaf();
    let intermediates = || path.intermediates.iter().map(|at| &chain.certificates[*at]);
    // Of an upload, the key is the leaf's and was parsed, so the leaf's algorithm can be served.
    let mut facts = CertificateInfo::of(leaf).ok_or(InvalidKey::Malformed)?;
    let ends = intermediates().map(ParsedCertificate::not_after);
    facts.chain_not_after = ends.fold(facts.not_after, Timestamp::min);

    let last = intermediates().next_back().unwrap_or(leaf);
    if !path.complete {
        facts.missing_issuer = missing_issuer(last, path.intermediates.is_empty());
    }
    let mut warnings = facts.warnings(now);
    let is_in_order = chain.leaf == 0 && path.intermediates.is_sorted();
    if !is_in_order {
        warnings.push(Warning::ChainReordered);
    }
    Ok(ServedChain {
        leaf: leaf.der.to_vec(),
        intermediates: intermediates().map(|one| one.der.to_vec()).collect(),
        info: facts,
        warnings,
    })
}
