//! What is sealed: every kind of record that holds a sealed value, in one table.

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

/// A kind of record that holds a sealed value. The value is sealed for the record's own key.
#[derive(Debug)]
pub struct SealedKind {
    /// What it is called, in the plural.
    pub name: &'static str,
    /// What the keys of all such records begin with, and of no others.
    pub prefix: &'static str,
    form: SealedLocation,
    /// When the store may forget a record: an engine does not tell, and writing it must not change
    /// that.
    expires: Option<Expires>,
}

/// Reads from a record when the store may forget it.
type Expires = fn(&[u8]) -> Result<Timestamp, Fault>;

/// Where the sealed value stands in a record.
#[derive(Debug)]
enum SealedLocation {
    /// In a JSON record, in base64, under this name.
    Field(&'static str),
    /// In [`record::Material`].
    Material,
}

/// Every kind there is. Whoever seals something new adds a row; status, re-sealing and the doctor
/// go by this table.
pub static SEALED_KINDS: &[SealedKind] = &[
    SealedKind {
        name: "access keys",
        prefix: key::ACCESS_KEYS,
        form: SealedLocation::Field("sealed_secret"),
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
    /// The sealed value of a record; `None` if this one holds none.
    ///
    /// # Errors
    /// A [`Fault`] if the record does not read.
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

    /// The record with another sealed value in the place of its own; all else stays, also what
    /// only a later release knows.
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

    /// When the store may forget this record.
    pub(super) fn expires(&self, value: &[u8]) -> Result<Option<Timestamp>, Fault> {
        self.expires.map(|expires| expires(value)).transpose()
    }
}
