use bytes::Bytes;
use edgeseal_core::{
    AccountId, DomainName, Pattern,
    domain::{Domain, Environment},
};

use super::{Catalog, Deed, Draft};
use crate::{
    Fault, Key, Revision, key,
    record::{self, HistoryRecord},
};

impl Catalog {
    /// A domain, whoever owns it.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domain(&self, name: &Pattern) -> Result<Option<Domain>, Fault> {
        self.read(&Key::domain(name)).await
    }

    /// All domains of an account in byte order of their names.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domains_of(&self, account: &AccountId) -> Result<Vec<Domain>, Fault> {
        let prefix = key::account_domains(account);
        let mut domains = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.list(&prefix, after.as_ref(), 1000).await?;
            for entry in &page.entries {
                let name = entry.key.as_str().strip_prefix(&prefix).unwrap_or_default();
                let name = Pattern::parse(name).map_err(Fault::of("decode a domain's name"))?;
                // Deleted between the two reads: then it is no domain of the account any more.
                if let Some(domain) = self.domain(&name).await? {
                    domains.push(domain);
                }
            }
            if !page.more {
                return Ok(domains);
            }
            after = page.entries.into_iter().next_back().map(|entry| entry.key);
        }
    }

    /// The changes of a domain, oldest first, with the revision of each.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn history(
        &self,
        name: &Pattern,
        limit: usize,
    ) -> Result<Vec<(Revision, HistoryRecord)>, Fault> {
        let page = self
            .store
            .list(&key::domain_history(name), None, limit)
            .await?;
        page.entries
            .iter()
            .map(|entry| Ok((entry.changed, record::decode(&entry.value)?)))
            .collect()
    }
}

impl Draft {
    /// Reads a domain.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn domain(&mut self, name: &Pattern) -> Result<Option<Domain>, Fault> {
        self.get(&Key::domain(name)).await
    }

    /// Writes a new domain with its indexes.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn add_domain(&mut self, domain: &Domain) -> Result<(), Fault> {
        self.put_bytes(
            Key::account_domain(&domain.account, &domain.name),
            Bytes::new(),
        );
        if let Some((parent, key)) = below(&domain.name) {
            self.put_bytes(
                key,
                Bytes::copy_from_slice(domain.account.as_str().as_bytes()),
            );
            self.touch_family(parent).await?;
        }
        self.put_domain(domain)
    }

    /// Writes a domain that is there already.
    ///
    /// # Errors
    /// Never in practice; see [`record::encode`].
    pub fn put_domain(&mut self, domain: &Domain) -> Result<(), Fault> {
        self.put(Key::domain(&domain.name), domain)
    }

    /// A name one label below `base` that belongs to another account than `account`.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn name_of_others_below(
        &mut self,
        base: &DomainName,
        account: &AccountId,
    ) -> Result<Option<String>, Fault> {
        // Read first: a name that is added after the listing changes it, and the commit fails.
        self.touch_family(base.as_str()).await?;
        let prefix = key::names_below(base.as_str());
        let mut after = None;
        loop {
            let page = self
                .catalog
                .store
                .list(&prefix, after.as_ref(), 1000)
                .await?;
            let other = page
                .entries
                .iter()
                .find(|entry| entry.value != account.as_str().as_bytes());
            if let Some(other) = other {
                return Ok(other.key.as_str().strip_prefix(&prefix).map(str::to_owned));
            }
            if !page.more {
                return Ok(None);
            }
            after = page.entries.into_iter().next_back().map(|entry| entry.key);
        }
    }

    async fn touch_family(&mut self, parent: &str) -> Result<(), Fault> {
        let key = Key::family(parent);
        self.has(&key).await?;
        self.put_bytes(key, Bytes::new());
        Ok(())
    }

    /// Removes a domain. Its history stays.
    pub fn delete_domain(&mut self, domain: &Domain) {
        self.delete(Key::account_domain(&domain.account, &domain.name));
        if let Some((_, key)) = below(&domain.name) {
            self.delete(key);
        }
        self.delete(Key::domain(&domain.name));
    }

    /// Adds the history entry of a change of a domain. `before` and `after` are the SHA-256 of the
    /// leaf served in `environment` before and after it.
    ///
    /// # Errors
    /// Never in practice; see [`record::encode`].
    pub fn add_history(
        &mut self,
        domain: &Domain,
        environment: Option<Environment>,
        (before, after): (Option<String>, Option<String>),
        deed: &Deed,
    ) -> Result<(), Fault> {
        let bound = environment.and_then(|environment| domain.binding(environment));
        let entry = HistoryRecord {
            at: self.now,
            access_key: deed.access_key.clone(),
            action: deed.action.clone(),
            environment,
            before,
            after,
            certificate: bound.map(|binding| binding.certificate),
            request: deed.request.clone(),
        };
        self.put(Key::history(&domain.name, self.now, &deed.request), &entry)
    }
}

/// Where an exact name stands below its parent; wildcards and names right below a top-level domain
/// stand nowhere.
fn below(name: &Pattern) -> Option<(&str, Key)> {
    let Pattern::Exact(host) = name else {
        return None;
    };
    let parent = host.parent()?;
    Some((parent, Key::name_below(parent, host)))
}
