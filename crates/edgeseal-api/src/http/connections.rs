//! How many connections the API holds open, in all and for one source.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::admit::network;

/// How many connections may be open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all, over all listeners.
    pub in_all: usize,
    /// From one address, or from one /64 of IPv6.
    pub per_source: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            in_all: 4096,
            per_source: 256,
        }
    }
}

/// The connections that are open.
pub struct Connections {
    limits: ConnectionLimits,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    in_all: usize,
    /// Sources with a connection, so never more than connections.
    by_source: HashMap<IpAddr, usize>,
}

/// The limit that a connection would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    InAll,
    Source,
}

/// The place of a connection; free again once it is dropped.
pub(super) struct Place {
    connections: Arc<Connections>,
    source: IpAddr,
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            open: Mutex::default(),
        }
    }

    /// A place for a connection from `peer`, unless there are too many.
    pub(super) fn place(self: &Arc<Self>, peer: IpAddr) -> Result<Place, Full> {
        let source = network(peer);
        let mut open = self.open();
        if open.in_all >= self.limits.in_all {
            return Err(Full::InAll);
        }
        let of_source = open.by_source.get(&source).copied().unwrap_or_default();
        if of_source >= self.limits.per_source {
            return Err(Full::Source);
        }
        open.by_source.insert(source, of_source + 1);
        open.in_all += 1;
        drop(open);
        Ok(Place {
            connections: Arc::clone(self),
            source,
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Full {
    /// What a metric calls it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::InAll => "in_all",
            Self::Source => "per_source",
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.in_all -= 1;
        if let Some(of_source) = open.by_source.get_mut(&self.source) {
            *of_source -= 1;
            if *of_source == 0 {
                open.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_source_and_in_all() {
        let limits = ConnectionLimits {
            in_all: 3,
            per_source: 2,
        };
        let connections = Arc::new(Connections::new(limits));
        let place = |peer: &str| connections.place(peer.parse().unwrap());
        let first = place("2001:db8::1").ok().unwrap();
        let second = place("2001:db8::2").ok().unwrap();
        assert_eq!(place("2001:db8::3").err(), Some(Full::Source));
        let third = place("192.0.2.1").ok().unwrap();
        assert_eq!(place("192.0.2.2").err(), Some(Full::InAll));
        drop(first);
        assert!(place("2001:db8::3").is_ok(), "a place is free again");
        drop((second, third));
        assert_eq!(connections.open().in_all, 0);
        assert!(connections.open().by_source.is_empty());
    }
}
