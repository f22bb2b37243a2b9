//! Reports of edges, and what they prove.

use edgeseal_core::{
    DomainPattern, Timestamp,
    domain::{Binding, Domain, DomainState, Environment},
};

use super::{Catalog, domains::newest_changes};
use crate::{
    Entry, Fault, HISTORY_MAX, Key, PAGE_MAX, Pages, Revision, Write, key,
    record::{self, EdgeRecord},
    rollout::{ExpectedHandshake, LatestState, RolloutTarget},
    write_all,
};

impl Catalog {
    /// The last report of each edge.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn edges(&self) -> Result<Vec<EdgeRecord>, Fault> {
        self.read_all(key::EDGES).await
    }

    /// Deletes all edge reports: when a process that owns the store exclusively starts, before it
    /// starts its edge, all reports are from an earlier run.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn delete_edge_reports(&self) -> Result<(), Fault> {
        let mut pages = Pages::new(&*self.store, key::EDGES, PAGE_MAX);
        while let Some(entries) = pages.next().await? {
            let keys = entries.into_iter().map(|entry| entry.key);
            let write: Vec<Write> = keys.map(Write::Delete).collect();
            if !write.is_empty() {
                write_all(&*self.store, write).await?;
            }
        }
        Ok(())
    }

    /// The state of a domain that edges of `environment` must serve as of commit `revision`; as of
    /// its newest commit if none is given or the domain has not changed since. `None` if none is
    /// given and the domain does not exist. To be compared with reports that were read before.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn rollout_target(
        &self,
        domain: &DomainPattern,
        revision: Option<Revision>,
        environment: Environment,
    ) -> Result<Option<RolloutTarget>, Fault> {
        let newest = match self.store.get(&Key::domain(domain)).await? {
            Some(entry) => Some(self.latest_state(&entry, environment).await?),
            None => None,
        };
        let changed = newest.as_ref().map(|newest| newest.revision);
        let revision = match (revision, changed) {
            (Some(asked), Some(changed)) => Some(asked.min(changed)),
            (asked, changed) => asked.or(changed),
        };
        Ok(revision.map(|revision| RolloutTarget {
            domain: domain.clone(),
            revision,
            latest: newest,
        }))
    }

    /// The commit of a domain that a request made, if it is in its history.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn revision_of_request(
        &self,
        domain: &DomainPattern,
        request: &str,
    ) -> Result<Option<Revision>, Fault> {
        let scope = domain.to_string();
        let page = self
            .store
            .read_log(newest_changes(&scope), HISTORY_MAX)
            .await?;
        // The name of an entry ends with the request ID.
        let mut rows = page.rows.iter();
        let found = rows.find(|row| {
            let rest = row.name.strip_suffix(request);
            rest.is_some_and(|rest| rest.ends_with('-'))
        });
        Ok(found
            .filter(|_| !request.is_empty())
            .map(|row| row.revision))
    }

    async fn latest_state(
        &self,
        entry: &Entry,
        environment: Environment,
    ) -> Result<LatestState, Fault> {
        let domain: Domain = record::decode(&entry.value)?;
        let binding = domain.binding(environment);
        let binding = binding.filter(|it| it.enabled && domain.state == DomainState::Online);
        let shows = match binding {
            None => ExpectedHandshake::Rejected,
            Some(binding) => self.expected_handshake(binding).await?,
        };
        Ok(LatestState {
            revision: entry.revision,
            changed: domain.modified,
            expected: shows,
        })
    }

    async fn expected_handshake(&self, binding: &Binding) -> Result<ExpectedHandshake, Fault> {
        let mut leaves = Vec::new();
        for (id, _) in binding.certificates() {
            match self.certificate(id).await? {
                Some(certificate) => leaves.push(certificate.info.sha256),
                None => return Ok(ExpectedHandshake::Unknown),
            }
        }
        Ok(ExpectedHandshake::Leaves(leaves))
    }

    /// The number of live edges of `environment` at which commit `revision` is proven for all
    /// `domains`, and the number of live edges.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn count_proven(
        &self,
        domains: &[DomainPattern],
        revision: Revision,
        environment: Environment,
        now: Timestamp,
    ) -> Result<(usize, usize), Fault> {
        let edges = self.edges().await?;
        let wanted = (domains, revision, environment);
        self.count_proven_in(&edges, wanted, now).await
    }

    /// As [`count_proven`](Self::count_proven), for reports that the caller has read.
    ///
    /// # Errors
    /// A [`Fault`] if the store failed.
    pub async fn count_proven_in(
        &self,
        edges: &[EdgeRecord],
        (domains, revision, environment): (&[DomainPattern], Revision, Environment),
        now: Timestamp,
    ) -> Result<(usize, usize), Fault> {
        let live = edges
            .iter()
            .filter(|edge| edge.environment() == environment && !edge.is_silent(now));
        let mut live: Vec<(&EdgeRecord, bool)> = live
            .map(|edge| (edge, edge.revision >= revision.0 || !domains.is_empty()))
            .collect();
        for domain in domains {
            let target = self
                .rollout_target(domain, Some(revision), environment)
                .await?;
            let Some(target) = target else { continue };
            for (edge, all) in &mut live {
                *all &= edge.status(&target, now).settled;
            }
        }
        let proven = live.iter().filter(|(_, all)| *all).count();
        Ok((proven, live.len()))
    }
}
