//! A bounded choice among what accounts have: none crowds out the others.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// Keeps at most `max` items, those with the least keys of each account. Whoever has the most gives
/// way.
pub(crate) struct FairShare<K, V> {
    max: usize,
    by_account: BTreeMap<String, BinaryHeap<Item<K, V>>>,
    /// The accounts by how many items of theirs are kept.
    sizes: BTreeSet<(usize, String)>,
    kept: usize,
    left_out: u64,
}

struct Item<K, V> {
    key: K,
    value: V,
}

impl<K: Ord, V> FairShare<K, V> {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            max,
            by_account: BTreeMap::new(),
            sizes: BTreeSet::new(),
            kept: 0,
            left_out: 0,
        }
    }

    /// Adds an item of an account, if there is room or it makes some.
    pub(crate) fn add(&mut self, account: &str, key: K, value: V) {
        if self.kept >= self.max {
            self.left_out += 1;
            let Some(loser) = self.loser(account, &key) else {
                return;
            };
            self.resize(&loser, BinaryHeap::pop);
        }
        self.resize(account, |items| items.push(Item { key, value }));
    }

    /// The account whose last item gives way to an item of `account`, if any does.
    fn loser(&self, account: &str, key: &K) -> Option<String> {
        let is_later = |owner: &str| {
            let last = self.by_account.get(owner).and_then(BinaryHeap::peek);
            last.is_some_and(|last| last.key > *key)
        };
        let own = self.by_account.get(account).map_or(0, BinaryHeap::len);
        let (most, greediest) = self.sizes.last()?;
        if own + 1 < *most || is_later(greediest) {
            return Some(greediest.clone());
        }
        is_later(account).then(|| account.to_owned())
    }

    /// How many were not kept.
    pub(crate) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What is kept, in no order.
    pub(crate) fn into_values(self) -> impl Iterator<Item = V> {
        let items = self.by_account.into_values().flatten();
        items.map(|item| item.value)
    }

    fn resize<T>(&mut self, account: &str, change: impl FnOnce(&mut BinaryHeap<Item<K, V>>) -> T) {
        let items = self.by_account.entry(account.to_owned()).or_default();
        let before = items.len();
        change(items);
        let after = items.len();
        self.kept = self.kept + after - before;
        self.sizes.remove(&(before, account.to_owned()));
        self.sizes.insert((after, account.to_owned()));
    }
}

impl<K: Ord, V> PartialEq for Item<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<K: Ord, V> Eq for Item<K, V> {}

impl<K: Ord, V> PartialOrd for Item<K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, V> Ord for Item<K, V> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_account_crowds_out_another() {
        let mut share = FairShare::new(4);
        for key in [5, 1, 4, 2, 3] {
            share.add("greedy", key, ("greedy", key));
        }
        for (account, key) in [("small", 9), ("other", 7), ("other", 8), ("small", 6)] {
            share.add(account, key, (account, key));
        }
        assert_eq!(share.left_out(), 5);
        let mut kept: Vec<_> = share.into_values().collect();
        kept.sort_unstable();
        // Each has one; the fourth is the most urgent of whoever was first.
        assert_eq!(
            kept,
            [("greedy", 1), ("greedy", 2), ("other", 7), ("small", 6)]
        );
    }
}
