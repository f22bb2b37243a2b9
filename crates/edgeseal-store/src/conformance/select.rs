//! Listings with filters: every engine selects what the filter's own function selects.

use edgeseal_core::domain::{Coverage, DomainState, ServiceType};

use super::{commit, delete};
use crate::{
    Entry, Filter, Key, SharedStore, Write,
    filter::{DomainCondition, DomainFilter, TextMatch},
    record::{DomainSummary, encode_summary},
};

/// A domain without anything; every third is offline.
fn summary(number: usize) -> DomainSummary<'static> {
    let state = if number.is_multiple_of(3) {
        DomainState::Offline
    } else {
        DomainState::Online
    };
    DomainSummary {
        id: 0,
        state,
        service: ServiceType::Web,
        coverage: Coverage::Domestic,
        modified: super::at(0),
        resource_group: "",
        tags: Vec::new(),
        origins: Vec::new(),
        served: None,
        staged: None,
        settings: Vec::new(),
    }
}

/// `root` stands before all names: engines may keep some prefixes apart.
pub(super) async fn by_name_and_summary(store: &SharedStore, root: &str) {
    // Letters that mean something in patterns, and more than one page of each engine's.
    let odd = ["a%b", "a_b", "a\\b", "axb", ".é.com", "ends.a%b", "é"];
    let many = (0..5200).map(|n| format!("n{n:04}.com"));
    let names: Vec<String> = odd.map(str::to_owned).into_iter().chain(many).collect();
    let prefix = format!("{root}x/");
    for part in names.chunks(2600) {
        let puts = part.iter().map(|name| {
            let number = names.iter().position(|other| other == name).unwrap();
            let key = Key::from_stored(&format!("{prefix}{name}"));
            Write::put(key, encode_summary(&summary(number)).unwrap())
        });
        commit(store, puts.collect::<Vec<_>>()).await;
    }
    let beside = ["y/a%b", "x.a%b"].map(|name| Key::from_stored(&format!("{root}{name}")));
    let undecodable = Key::from_stored(&format!("{prefix}undecodable"));
    let others = beside.into_iter().chain([undecodable]);
    commit(
        store,
        others
            .map(|key| Write::put(key, "?".into()))
            .collect::<Vec<_>>(),
    )
    .await;
    commit(store, [delete(&format!("{prefix}n0001.com"))]).await;

    let mut pages = crate::Pages::new(&**store, &prefix, crate::PAGE_MAX);
    let all = pages.collect().await.unwrap();
    let offline = || vec![DomainCondition::State(DomainState::Offline)];
    let texts = ["", "a%b", "_", "\\", "n00", "é", "none", "n0\0"];
    for text in texts.map(str::to_owned) {
        for name in [
            TextMatch::Equals(text.clone()),
            TextMatch::StartsWith(text.clone()),
            TextMatch::EndsWith(text.clone()),
            TextMatch::Contains(text.clone()),
        ] {
            for conditions in [Vec::new(), offline()] {
                let name = Some(name.clone());
                let filter = Filter::Domains(DomainFilter { name, conditions });
                selects(store, &prefix, &filter, &all).await;
            }
        }
    }
    let filter = DomainFilter {
        name: None,
        conditions: offline(),
    };
    selects(store, &prefix, &Filter::Domains(filter), &all).await;
    selects(store, &prefix, &Filter::OutdatedSummaries, &all).await;
}

async fn selects(store: &SharedStore, prefix: &str, filter: &Filter, all: &[Entry]) {
    let wanted = |entry: &&Entry| filter.matches(&entry.key.as_str()[prefix.len()..], &entry.value);
    let expected: Vec<&Entry> = all.iter().filter(wanted).collect();
    for (skip, limit) in [(0, 3), (1700, 200)] {
        let found = store.select(prefix, filter, skip, limit).await.unwrap();
        assert_eq!(found.total, expected.len(), "{filter:?}");
        let part = expected.iter().copied().skip(skip).take(limit);
        assert!(found.items.iter().eq(part), "{filter:?}: {skip}, {limit}");
    }
}
