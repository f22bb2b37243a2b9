//! The kinds of records that contain a sealed value, in one table.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use edgeseal_core::Timestamp;
use serde_json::Value;

use crate::{
    Fault,
    catalog::SIGNING_REQUEST_TTL_MS,
    key,
    record::{self, SigningRequestRecord, TicketKeyRecord},
};

/// A kind of record that contains a sealed value, sealed for the key of the record.
#[derive(Debug)]
pub struct SealedKind {
    /// Its printed name, in the plural.
    pub name: &'static str,
    /// The prefix of the keys of all such records, and of no others.
    pub prefix: &'static str,
    form: SealedLocation,
    /// When a record expires: engines do not return that, and resealing must not change it.
    expires: Option<Expires>,
}

/// Reads from a record when it expires.
type Expires = fn(&[u8]) -> Result<Timestamp, Fault>;

/// Where a record contains the sealed value.
#[derive(Debug)]
enum SealedLocation {
    /// In a JSON record, in base64, under this name.
    Field(&'static str),
    /// In [`record::Material`].
    Material,
}

/// All kinds. Code that seals something new adds a row: status, resealing and the doctor use this
/// table.
pub static SEALED_KINDS: &[SealedKind] = &[
    SealedKind {
        name: "access keys",
        prefix: key::ACCESS_KEYS,
        form: SealedLocation::Field("sealed_secret"),
        expires: None,
    },
    SealedKind {
        name: "accounts at issuers",
        prefix: key::ISSUER_ACCOUNTS,
        form: SealedLocation::Field("sealed_credentials"),
        expires: None,
    },
    SealedKind {
        name: "audit secrets",
        prefix: key::AUDIT_CHAIN_SECRET,
        form: SealedLocation::Field("sealed_secret"),
        expires: None,
    },
    SealedKind {
        name: "certificates",
        prefix: key::MATERIALS,
        form: SealedLocation::Material,
        expires: None,
    },
    SealedKind {
        name: "keys as uploaded",
        prefix: key::ORIGINAL_KEYS,
        form: SealedLocation::Field("sealed_text"),
        expires: None,
    },
    SealedKind {
        name: "keys of orders",
        prefix: key::ORDER_KEYS,
        form: SealedLocation::Field("sealed_key"),
        expires: None,
    },
    SealedKind {
        name: "session ticket keys",
        prefix: key::TICKET_KEYS,
        form: SealedLocation::Field("sealed_key"),
        expires: Some(|value| {
            let key: TicketKeyRecord = record::decode(value)?;
            Ok(key.period.expires_at())
        }),
    },
    SealedKind {
        name: "signing requests",
        prefix: key::SIGNING_REQUESTS,
        form: SealedLocation::Field("sealed_key"),
        expires: Some(|value| {
            let request: SigningRequestRecord = record::decode(value)?;
            Ok(request.created.plus_ms(SIGNING_REQUEST_TTL_MS))
        }),
    },
];

impl SealedKind {
    /// The sealed value of a record; `None` if it contains none.
    ///
    /// # Errors
    /// A [`Fault`] if the record cannot be decoded.
    pub fn sealed(&self, value: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self.form {
            SealedLocation::Field(name) => {
                let record: Value =
                    serde_json::from_slice(value).map_err(Fault::of("decode a record"))?;
                let text = record.get(name).and_then(Value::as_str);
                let text =
                    text.ok_or(Fault::new("decode a record: the sealed value is missing"))?;
                let sealed = STANDARD.decode(text);
                sealed.map(Some).map_err(Fault::of("decode a sealed value"))
            }
            SealedLocation::Material => {
                let material = record::decode_material(value)?;
                Ok(Some(material.sealed_key).filter(|sealed| !sealed.is_empty()))
            }
        }
    }

    /// The record with another sealed value. Everything else stays, including fields that only a
    /// later release knows.
    pub(super) fn replace_sealed(&self, value: &[u8], sealed: Vec<u8>) -> Result<Bytes, Fault> {
        match self.form {
            SealedLocation::Field(name) => {
                let mut record: Value =
                    serde_json::from_slice(value).map_err(Fault::of("decode a record"))?;
                record[name] = Value::String(STANDARD.encode(sealed));
                let json = serde_json::to_vec(&record).map_err(Fault::of("encode a record"))?;
                Ok(Bytes::from(json))
            }
            SealedLocation::Material => {
                let mut material = record::decode_material(value)?;
                material.sealed_key = sealed;
                record::encode_material(&material)
            }
        }
    }

    /// When this record expires.
    pub(super) fn expires(&self, value: &[u8]) -> Result<Option<Timestamp>, Fault> {
        self.expires.map(|expires| expires(value)).transpose()
    }
}
