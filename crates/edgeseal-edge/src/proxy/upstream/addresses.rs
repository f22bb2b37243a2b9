//! The addresses of an origin's name over time: a pure state machine, fed with DNS responses.
//!
//! New connections use the current addresses. A pooled one stays usable for a while after its
//! address has disappeared: names with many addresses show only some of them in each response.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

/// The addresses of one name.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// Each with the time since when it was missing in the responses; `None` if the last one
    /// contained it.
    known: HashMap<IpAddr, Option<Instant>>,
    /// Until when the last response is valid.
    valid_until: Option<Instant>,
}

impl Addresses {
    /// Records a response, valid until `valid_until`. Addresses missing for `left` are removed.
    pub(super) fn answer(
        &mut self,
        addresses: &[IpAddr],
        valid_until: Instant,
        left: Duration,
        now: Instant,
    ) {
        self.valid_until = Some(valid_until);
        for (address, missing) in &mut self.known {
            if !addresses.contains(address) {
                missing.get_or_insert(now);
            }
        }
        for address in addresses {
            self.known.insert(*address, None);
        }
        self.known
            .retain(|_, missing| missing.is_none_or(|since| now - since < left));
    }

    /// Whether the name should be resolved again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.valid_until.is_some_and(|until| now >= until)
    }

    /// Whether a connection to `address` may be used: the name has it, or had it less than `left`
    /// ago. An origin without a name allows any.
    pub(super) fn has(&self, address: IpAddr, left: Duration, now: Instant) -> bool {
        if self.valid_until.is_none() {
            return true;
        }
        let missing = self.known.get(&address.to_canonical());
        missing.is_some_and(|missing| missing.is_none_or(|since| now - since < left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Duration = Duration::from_secs(60);
    const TTL: Duration = Duration::from_secs(5);

    #[test]
    fn a_missing_address_stays_usable_for_a_while_and_may_return() {
        let [one, two]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|one| one.parse().unwrap());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut addresses = Addresses::default();
        assert!(addresses.has(one, LEFT, start) && !addresses.is_due(start));
        addresses.answer(&[one], at(5), LEFT, at(0));
        assert!(!addresses.is_due(at(4)) && addresses.is_due(at(5)));
        assert!(!addresses.has(two, LEFT, at(0)), "never was there");
        // However long the first response was valid.
        addresses.answer(&[two], at(1000) + TTL, LEFT, at(1000));
        assert!(addresses.has(one, LEFT, at(1059)) && addresses.has(two, LEFT, at(1059)));
        assert!(!addresses.has(one, LEFT, at(1060)) && addresses.has(two, LEFT, at(1060)));
        // The address is back, so that the next absence counts from its own beginning.
        addresses.answer(&[one, two], at(1050) + TTL, LEFT, at(1050));
        addresses.answer(&[two], at(1055) + TTL, LEFT, at(1055));
        assert!(addresses.has(one, LEFT, at(1114)) && !addresses.has(one, LEFT, at(1115)));
        addresses.answer(&[two], at(1200), LEFT, at(1116));
        assert_eq!(addresses.known.len(), 1, "it is forgotten");
    }

    #[test]
    fn an_ipv4_address_in_ipv6_form_is_the_same() {
        let now = Instant::now();
        let mut addresses = Addresses::default();
        addresses.answer(&["192.0.2.1".parse().unwrap()], now + TTL, LEFT, now);
        assert!(addresses.has("::ffff:192.0.2.1".parse().unwrap(), LEFT, now));
    }
}
