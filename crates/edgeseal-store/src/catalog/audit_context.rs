//! Who calls, and what the audit record of a change says about it.

use bytes::Bytes;
use edgeseal_core::{AccountId, Timestamp};

use crate::{
    Expect, Fault, Key, LogWrite, Txn, Write,
    record::{self, AuditRecord, BindingChange},
};

/// The context of a call that changes something or is refused: who, from where, what, when.
#[derive(Clone, Debug)]
pub struct AuditContext {
    /// The account whose audit it is.
    pub account: AccountId,
    /// The principal's ARN.
    pub principal: String,
    /// The access key that signed the call.
    pub access_key: String,
    /// Address of the peer.
    pub source: String,
    /// The action.
    pub action: String,
    /// The resource acted upon, as given; empty if none in particular.
    pub resource: String,
    /// The request ID, unique.
    pub request_id: String,
    /// The nonce that the call uses up.
    pub nonce: Option<NonceUse>,
    /// When the call was received.
    pub now: Timestamp,
}

/// A nonce that a change uses up, so that a replayed call changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonceUse {
    /// The nonce.
    pub nonce: String,
    /// When the store may remove it: signatures that contain it are no longer accepted.
    pub expires: Timestamp,
}

impl AuditContext {
    pub(super) fn is_nonce(&self, key: &Key) -> bool {
        self.nonce_key().as_ref() == Some(key)
    }

    /// Adds the audit record and the nonce to a transaction.
    pub(super) fn attach(
        &self,
        txn: &mut Txn,
        code: &str,
        notes: &[String],
        bindings: &[BindingChange],
    ) -> Result<(), Fault> {
        txn.log.push(self.record(code, notes, bindings)?);
        self.consume_nonce(txn);
        Ok(())
    }

    /// Adds a second audit record for another account whose resources the change acts upon. It does
    /// not name the access key, which concerns only the caller and its account.
    pub(super) fn attach_for_account(
        &self,
        account: &AccountId,
        txn: &mut Txn,
        notes: &[String],
        bindings: &[BindingChange],
    ) -> Result<(), Fault> {
        let there = Self {
            account: account.clone(),
            access_key: String::new(),
            ..self.clone()
        };
        let mut notes = notes.to_vec();
        notes.push(format!("called by account {}", self.account));
        txn.log.push(there.record("OK", &notes, bindings)?);
        Ok(())
    }

    fn record(
        &self,
        code: &str,
        notes: &[String],
        bindings: &[BindingChange],
    ) -> Result<LogWrite, Fault> {
        let audit = AuditRecord {
            at: self.now,
            account: self.account.clone(),
            principal: self.principal.clone(),
            access_key: self.access_key.clone(),
            source: self.source.clone(),
            action: self.action.clone(),
            resource: self.resource.clone(),
            code: code.to_owned(),
            bindings: bindings.to_vec(),
            notes: notes.to_vec(),
            request_id: self.request_id.clone(),
        };
        let value = record::encode(&audit)?;
        let account = &self.account;
        Ok(LogWrite::audit(account, self.now, &self.request_id, value))
    }

    /// Uses the nonce up, if there is one.
    pub(super) fn consume_nonce(&self, txn: &mut Txn) {
        if let (Some(key), Some(used)) = (self.nonce_key(), &self.nonce) {
            txn.expect.push(Expect::Absent(key.clone()));
            txn.write.push(Write::Put {
                key,
                value: Bytes::new(),
                expires: Some(used.expires),
            });
        }
    }

    pub(super) fn refusal_txn(&self, code: &str, notes: &[String]) -> Result<Txn, Fault> {
        let mut txn = Txn::default();
        self.attach(&mut txn, code, notes, &[])?;
        Ok(txn)
    }

    fn nonce_key(&self) -> Option<Key> {
        self.nonce
            .as_ref()
            .map(|used| Key::nonce(&self.access_key, &used.nonce))
    }
}
