//! Binds what an issuer signed: certificate, binding, history and state in one transaction.

use edgeseal_core::{
    AccountId, DomainPattern, Timestamp,
    acme::RetryState,
    certificate::{self, Certificate, KeyAlgorithm},
    domain::{Binding, Companion, Domain},
    managed_certificate::{IssuedCertificate, ManagedCertificate, Order, OrderStatus},
    quota::{QuotaKind, Quotas},
};
use edgeseal_store::{
    Catalog, Revision,
    catalog::{AuditContext, ChangeError, Draft},
    lease::Term,
    record::{CertificateRecord, CertificateSource},
};

use crate::{
    authority::renewal_id,
    error::OrderError,
    order::{IssuedChain, Target, check_domain},
};

/// What certificates are stored with.
#[derive(Clone, Copy, Debug)]
pub struct CertificateSettings {
    /// How many certificates an account may have.
    pub quotas: Quotas,
    /// The region that they belong to.
    pub region: &'static str,
}

/// What is bound.
struct NewBinding<'a> {
    target: &'a Target,
    orders: &'a [Order],
    /// The primary certificate, then the companion.
    certificates: Vec<Certificate>,
    audit: AuditContext,
    settings: CertificateSettings,
    term: Term,
}

/// Binds the certificates of these chains to the domain that they were ordered for.
///
/// # Errors
/// [`OrderError::Refused`] if a certificate would be refused as an upload, or does not cover
/// the domain; [`OrderError::Stopped`] and [`OrderError::Locked`] as for the steps before;
/// [`OrderError::Interrupted`] if the term of the lease is over.
pub(crate) async fn bind(
    (catalog, term): (&Catalog, Term),
    managed: &ManagedCertificate,
    issued: Vec<IssuedChain>,
    settings: CertificateSettings,
    now: Timestamp,
) -> Result<Revision, OrderError> {
    let chains = issued.iter().map(|issued| Some(&issued.chain));
    let ordered = managed.orders.iter().map(|order| order.chain.as_ref());
    // Something else may have become of the orders meanwhile: then these chains are not theirs.
    if issued.is_empty() || !ordered.eq(chains) {
        return Err(OrderError::Stopped);
    }
    let target = Target::of(managed);
    let mut certificates = Vec::with_capacity(issued.len());
    for issued in issued {
        certificates.push(validate(&target, &issued, now)?);
    }
    let binding = NewBinding {
        target: &target,
        orders: &managed.orders,
        certificates,
        audit: audit_context((&managed.account, &managed.domain), "IssueCertificate", now),
        settings,
        term,
    };
    let bound = catalog
        .transact(&binding.audit, |draft| binding.decide(draft))
        .await;
    match bound {
        Ok(committed) => Ok(committed.revision),
        Err(ChangeError::Refused(error)) => Err(error),
        Err(ChangeError::Fault(fault)) => Err(fault.into()),
        Err(ChangeError::NonceUsed | ChangeError::Contended) => {
            Err(edgeseal_store::Fault::new("bind a certificate: too many conflicts").into())
        }
    }
}

/// On whose behalf the order driver changes a domain: its owner's.
pub(crate) fn audit_context(
    (account, domain): (&AccountId, &DomainPattern),
    action: &str,
    now: Timestamp,
) -> AuditContext {
    AuditContext {
        account: account.clone(),
        principal: "edgeseal:orders".to_owned(),
        access_key: String::new(),
        source: String::new(),
        action: action.to_owned(),
        resource: domain.to_string(),
        request_id: uuid::Uuid::new_v4().to_string().to_uppercase(),
        nonce: None,
        now,
    }
}

fn validate(
    target: &Target,
    issued: &IssuedChain,
    now: Timestamp,
) -> Result<Certificate, OrderError> {
    let refused = |reason: String| {
        OrderError::refused(format!(
            "the certificate that was issued cannot be used: {reason}"
        ))
    };
    let key = certificate::key_to_pem(&issued.key);
    let validated = certificate::validate_upload(&issued.chain, &key, now);
    let certificate = validated.map_err(|invalid| refused(invalid.to_string()))?;
    if !certificate.info.covers(&target.domain) {
        return Err(refused(format!(
            "it does not cover {}",
            target.domain.to_san()
        )));
    }
    Ok(certificate)
}

impl NewBinding<'_> {
    async fn decide(&self, mut draft: Draft) -> Result<(Draft, ()), ChangeError<OrderError>> {
        let Target {
            domain: name,
            environment,
            ..
        } = self.target;
        if !draft.has_term(&self.term).await? {
            return Err(ChangeError::Refused(OrderError::Interrupted));
        }
        let before = draft.domain(name).await?;
        check_domain(self.target, before.as_ref()).map_err(ChangeError::Refused)?;
        let managed = draft.managed_certificate(name, *environment).await?;
        // Something else may have become of the orders: then their end is not this one.
        let managed = managed.filter(|managed| {
            managed.domain_id == self.target.domain_id && managed.orders == self.orders
        });
        let (Some(before), Some(mut managed)) = (before, managed) else {
            return Err(ChangeError::Refused(OrderError::Stopped));
        };
        let mut rows = Vec::with_capacity(self.certificates.len());
        for certificate in &self.certificates {
            rows.push(self.add(&mut draft, &before, certificate).await?);
        }
        let Some(binding) = self.binding(&rows) else {
            return Err(ChangeError::Refused(OrderError::Stopped));
        };
        self.note_issued(&mut managed, &rows);
        draft.put_managed_certificate(&managed)?;
        draft.delete_order_keys(&managed);
        let mut after = before.clone();
        after.bind_managed(binding, *environment, self.audit.now);
        draft
            .change_domain_with_history(&self.audit, *environment, &before, &after)
            .await?;
        self.make_room(&mut draft).await?;
        Ok((draft, ()))
    }

    async fn add(
        &self,
        draft: &mut Draft,
        domain: &Domain,
        certificate: &Certificate,
    ) -> Result<CertificateRecord, ChangeError<OrderError>> {
        let id = draft.new_certificate_id().await?;
        let row = CertificateRecord {
            id,
            account: domain.account.clone(),
            name: draft.unique_certificate_name(&domain.account, id).await?,
            source: CertificateSource::Issued,
            region: self.settings.region.to_owned(),
            uploaded_for: Some(domain.name.clone()),
            material: certificate.digest(),
            has_key: true,
            revoked: false,
            removed: false,
            resource_group: String::new(),
            tags: Vec::new(),
            info: certificate.info.clone(),
            created: self.audit.now,
        };
        // Checked against the quota once it is bound: what it replaces may free a slot.
        let unlimited = edgeseal_core::quota::Quota::Unlimited;
        draft.add_certificate(&row, certificate, unlimited).await?;
        Ok(row)
    }

    async fn make_room(&self, draft: &mut Draft) -> Result<(), ChangeError<OrderError>> {
        let account = draft.account(&self.audit.account).await?;
        let (root, overrides) = account
            .map(|account| (account.root, account.quotas))
            .unwrap_or_default();
        let kind = QuotaKind::Certificates;
        let quota = self.settings.quotas.effective(kind, root, &overrides);
        let domains = std::slice::from_ref(&self.target.domain);
        draft.make_room(&self.audit.account, domains, quota).await?;
        Ok(())
    }

    fn binding(&self, rows: &[CertificateRecord]) -> Option<Binding> {
        let (primary, others) = rows.split_first()?;
        let now = self.audit.now;
        let companion = others.first().map(|row| Companion {
            certificate: row.id,
            material: row.material,
            key: row.info.key,
            covers: true,
            updated: now,
        });
        Some(Binding {
            enabled: true,
            certificate: primary.id,
            material: primary.material,
            covers: true,
            updated: now,
            companion: companion.filter(|companion| {
                matches!(companion.key, KeyAlgorithm::Rsa | KeyAlgorithm::Ecdsa)
            }),
        })
    }

    fn note_issued(&self, managed: &mut ManagedCertificate, rows: &[CertificateRecord]) {
        let infos = || rows.iter().map(|row| &row.info);
        let begin = infos().map(|info| info.not_before).max();
        let end = infos().map(|info| info.chain_not_after).min();
        let id_of = |certificate: &Certificate| renewal_id(&certificate.leaf);
        let mut renewal_ids = self.certificates.iter().map(id_of);
        managed.issued = rows.first().map(|primary| {
            let validity = (begin.unwrap_or_default(), end.unwrap_or_default());
            let ids = (primary.id, rows.get(1).map(|row| row.id));
            let ordered = self.orders.first();
            let ordered = ordered.map(|it| ((it.issuer.clone(), it.created), it.directory.clone()));
            let (ordered, directory) = ordered.unwrap_or_default();
            let mut issued = IssuedCertificate::new(ordered, ids, validity, &managed.domain);
            issued.directory = directory;
            let before = managed.issued.as_ref();
            issued.replace(before, &managed.domain, self.audit.now);
            issued.renewal_id = renewal_ids.next().flatten();
            issued.companion_renewal_id = renewal_ids.next().flatten();
            issued
        });
        managed.status = OrderStatus::Success;
        managed.failure = None;
        managed.failed = None;
        managed.backoff = RetryState::default();
        managed.orders.clear();
    }
}
