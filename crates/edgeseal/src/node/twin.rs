//! Notices another process that reports under the id of this one, as on a copy of its machine.

use edgeseal_store::nodes::NodeRecord;

/// Looks for a twin in what each exchange of reports has replaced.
///
/// A process that starts replaces the report of the one before it, once. Two that run replace each
/// other's again and again.
#[derive(Debug, Default)]
pub(super) struct TwinWatch {
    has_reported: bool,
    /// Whether the last exchanges replaced another process's report; the newest one is the lowest bit.
    recent: u16,
    is_found: bool,
}

/// Reports of another process, of the last 16, that make it a twin. It stops being one once there
/// are none.
const SEEN_MIN: u32 = 3;

impl TwinWatch {
    /// Notes an exchange; returns whether there is a twin.
    pub(super) fn note(&mut self, has_replaced_another: bool) -> bool {
        let is_first = !std::mem::replace(&mut self.has_reported, true);
        self.recent = self.recent << 1 | u16::from(has_replaced_another && !is_first);
        self.is_found = match self.recent.count_ones() {
            0 => false,
            seen => self.is_found || seen >= SEEN_MIN,
        };
        self.is_found
    }
}

/// Where a process is, for a message.
pub(super) fn place(node: &NodeRecord) -> String {
    format!("{} (API {})", node.host, node.api)
}

/// What is wrong, and what to do.
pub(crate) fn describe(id: &str, here: &str, twin: &str) -> String {
    format!(
        "two processes run as node {id}, on {here} and on {twin}: stop the one whose data directory is a copy, remove \
         node-id from that directory, and start it again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(exchanges: &str) -> Vec<bool> {
        let mut watch = TwinWatch::default();
        exchanges.chars().map(|it| watch.note(it == 'x')).collect()
    }

    #[test]
    fn a_restart_or_hand_over_is_no_twin() {
        for exchanges in ["x....", "x..x..", "xx.", "x.x................x"] {
            assert!(!found(exchanges).contains(&true), "{exchanges}");
        }
    }

    #[test]
    fn a_twin_is_seen_again_and_again() {
        // In step, at half the pace, and with exchanges that failed.
        for exchanges in [".xxx", "xxxx", ".x.x.x", "x.x..x...x"] {
            let found = found(exchanges);
            assert_eq!(
                found.iter().position(|it| *it),
                Some(found.len() - 1),
                "{exchanges}"
            );
        }
    }

    #[test]
    fn a_twin_that_ends_is_forgotten() {
        let gone = format!("xxxx{}", ".".repeat(16));
        let found = found(&gone);
        assert_eq!(found.iter().rposition(|it| *it), Some(found.len() - 2));
    }
}
