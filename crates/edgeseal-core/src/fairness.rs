//! Who gets a scarce resource: connections, streams, connections to an origin.
//!
//! One policy for all of them. Each source holds at most its own limit. When the resource as a whole
//! is exhausted, the source that holds most pays: a newcomer that holds clearly less takes a place
//! from it, and a newcomer that would itself become the largest holder is refused. A single source
//! can therefore exhaust nothing for others, however high its own limit is, and sources that hold
//! little are never evicted for one that holds much.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

/// How many places there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// In all.
    pub total: usize,
    /// For one source.
    pub per_source: usize,
}

/// Places of a resource, by the source that holds them.
#[derive(Clone, Debug)]
pub struct Shares<S> {
    capacity: Capacity,
    total: usize,
    /// Sources that hold something, so never more than `total`.
    held: HashMap<S, usize>,
    /// The same, ordered by how much they hold: the last one holds most.
    ranking: BTreeSet<(usize, S)>,
}

/// How a place was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired<S> {
    /// One was free.
    Free,
    /// None was free. One place of this source is revoked, and counted as released from now on: the
    /// caller ends whatever used it and must not [release](Shares::release) it.
    Revoked(S),
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The source holds as much as one source may.
    #[error("the source holds as much as one source may")]
    Source,
    /// All is held, and by nobody who holds clearly more.
    #[error("everything is held, and no source holds clearly more than this one")]
    Total,
}

impl<S: Clone + Eq + Hash + Ord> Shares<S> {
    /// All places are free.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            total: 0,
            held: HashMap::new(),
            ranking: BTreeSet::new(),
        }
    }

    /// A place for `source`, in logarithmic time of the number of sources.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn acquire(&mut self, source: &S) -> Result<Acquired<S>, Refused> {
        let held = self.held_by(source);
        if held >= self.capacity.per_source {
            return Err(Refused::Source);
        }
        let acquired = if self.total < self.capacity.total {
            Acquired::Free
        } else {
            let Some((most, largest)) = self.ranking.last().cloned() else {
                return Err(Refused::Total);
            };
            // With a difference of one the two would evict each other in turns.
            if most <= held + 1 {
                return Err(Refused::Total);
            }
            self.release(&largest);
            Acquired::Revoked(largest)
        };
        self.set(source, held, held + 1);
        self.total += 1;
        Ok(acquired)
    }

    /// Gives a place of `source` back. Does nothing if it holds none.
    pub fn release(&mut self, source: &S) {
        let held = self.held_by(source);
        if held > 0 {
            self.set(source, held, held - 1);
            self.total -= 1;
        }
    }

    /// Places that are held.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// Places that `source` holds.
    #[must_use]
    pub fn held_by(&self, source: &S) -> usize {
        self.held.get(source).copied().unwrap_or_default()
    }

    /// The source that holds most, and how many.
    #[must_use]
    pub fn largest(&self) -> Option<(&S, usize)> {
        self.ranking.last().map(|(held, source)| (source, *held))
    }

    /// Sources that hold something.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.held.len()
    }

    fn set(&mut self, source: &S, before: usize, after: usize) {
        if before > 0 {
            self.ranking.remove(&(before, source.clone()));
        }
        if after > 0 {
            self.ranking.insert((after, source.clone()));
            self.held.insert(source.clone(), after);
        } else {
            self.held.remove(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(
        total: usize,
        per_source: usize,
        held: &[(&'static str, usize)],
    ) -> Shares<&'static str> {
        let mut shares = Shares::new(Capacity { total, per_source });
        for (source, count) in held {
            for _ in 0..*count {
                assert_eq!(shares.acquire(source), Ok(Acquired::Free));
            }
        }
        shares
    }

    /// Capacity in all and per source, what is held, who comes, what it gets.
    type Row = (
        usize,
        usize,
        &'static [(&'static str, usize)],
        &'static str,
        Result<Acquired<&'static str>, Refused>,
    );

    #[test]
    fn the_source_that_holds_most_pays() {
        use Acquired::{Free, Revoked};
        let table: &[Row] = &[
            (4, 2, &[], "a", Ok(Free)),
            (4, 2, &[("a", 1)], "a", Ok(Free)),
            (4, 2, &[("a", 2)], "a", Err(Refused::Source)),
            (4, 2, &[("a", 2)], "b", Ok(Free)),
            (4, 4, &[("a", 4)], "b", Ok(Revoked("a"))),
            (4, 4, &[("a", 3), ("b", 1)], "b", Ok(Revoked("a"))),
            (4, 4, &[("a", 3), ("b", 1)], "a", Err(Refused::Total)),
            (4, 4, &[("a", 2), ("b", 2)], "b", Err(Refused::Total)),
            (4, 4, &[("a", 2), ("b", 2)], "c", Ok(Revoked("b"))),
            // Everybody holds one: those who are there stay.
            (
                3,
                3,
                &[("a", 1), ("b", 1), ("c", 1)],
                "d",
                Err(Refused::Total),
            ),
            (5, 5, &[("a", 3), ("b", 2)], "b", Err(Refused::Total)),
            (0, 1, &[], "a", Err(Refused::Total)),
            (1, 0, &[], "a", Err(Refused::Source)),
        ];
        for (total, per_source, held, source, expected) in table {
            let mut shares = shares(*total, *per_source, held);
            assert_eq!(shares.acquire(source), *expected, "{held:?} and {source}");
        }
    }

    #[test]
    fn a_revoked_place_is_counted_once() {
        let mut shares = shares(3, 3, &[("a", 3)]);
        assert_eq!(shares.acquire(&"b"), Ok(Acquired::Revoked("a")));
        assert_eq!((shares.held_by(&"a"), shares.held_by(&"b")), (2, 1));
        assert_eq!(shares.largest(), Some((&"a", 2)));
        assert_eq!((shares.total(), shares.sources()), (3, 2));
        for source in ["a", "a", "b", "b"] {
            shares.release(&source);
        }
        assert_eq!((shares.total(), shares.sources()), (0, 0));
        assert_eq!(shares.largest(), None);
    }

    proptest! {
        /// Whatever comes and goes, the counts agree with a plain list of who holds what, and
        /// nobody who comes with nothing is refused while somebody holds two more.
        #[test]
        fn counts_agree_with_a_list(
            total in 0_usize..12,
            per_source in 0_usize..12,
            steps in prop::collection::vec((0_u8..5, any::<bool>()), 0..200),
        ) {
            let mut shares = Shares::new(Capacity { total, per_source });
            let mut held: Vec<u8> = Vec::new();
            let count = |held: &[u8], source| held.iter().filter(|one| **one == source).count();
            for (source, comes) in steps {
                if comes {
                    let most = (0..5).map(|one| count(&held, one)).max().unwrap_or_default();
                    let own = count(&held, source);
                    match shares.acquire(&source) {
                        Ok(Acquired::Free) => held.push(source),
                        Ok(Acquired::Revoked(loser)) => {
                            prop_assert_eq!(count(&held, loser), most);
                            prop_assert!(most >= own + 2);
                            let at = held.iter().position(|one| *one == loser).unwrap();
                            held[at] = source;
                        }
                        Err(Refused::Source) => prop_assert!(own >= per_source),
                        Err(Refused::Total) => prop_assert!(most < own + 2),
                    }
                } else if let Some(at) = held.iter().position(|one| *one == source) {
                    held.swap_remove(at);
                    shares.release(&source);
                } else {
                    shares.release(&source);
                }
                prop_assert_eq!(shares.total(), held.len());
                prop_assert!(held.len() <= total);
                for one in 0..5 {
                    prop_assert_eq!(shares.held_by(&one), count(&held, one));
                }
                let most = (0..5).map(|one| count(&held, one)).max().unwrap_or_default();
                prop_assert_eq!(shares.largest().map_or(0, |(_, held)| held), most);
            }
        }
    }
}
