//! A bridge, and the namespaces on it.

use std::{
    net::Ipv4Addr,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{machine::Machine, run};

/// A bridge of the test's own; removed when dropped.
pub(super) struct Network {
    bridge: String,
    number: u32,
}

/// Prefix of the names of bridges. The number of the network follows, in hexadecimal.
const BRIDGE: &str = "edgeseal";
/// Networks that one process may have.
const PER_PROCESS: u32 = 64;
/// The link-layer address of nobody.
const NOBODY: &str = "02:00:00:00:00:ff";

impl Network {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        remove_stale();
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(
            next < PER_PROCESS,
            "this process has made too many networks"
        );
        // A process has at most 22 bits, so the name fits into the 15 characters of an interface.
        let number = std::process::id() * PER_PROCESS + next;
        let network = Self {
            bridge: format!("{BRIDGE}{number:x}"),
            number,
        };
        run("ip", &["link", "add", &network.bridge, "type", "bridge"]);
        let own = format!("{}/24", network.host(254));
        run("ip", &["address", "add", &own, "dev", &network.bridge]);
        run("ip", &["link", "set", &network.bridge, "up"]);
        network
    }

    pub(super) fn address(&self, machine: usize) -> Ipv4Addr {
        self.host(u8::try_from(machine + 1).unwrap())
    }

    /// A host of 10.100.0.0/24 to 10.199.255.0/24.
    fn host(&self, host: u8) -> Ipv4Addr {
        let [_, _, high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(10, 100 + high % 100, low, host)
    }

    /// Connects the namespace of a process as this machine.
    pub(super) fn connect(&self, machine: usize, process: u32) {
        let (outside, process) = (format!("es{:x}{machine}", self.number), process.to_string());
        // That of the machine before: the kernel removes it some time after its processes.
        remove(&outside);
        run(
            "ip",
            &[
                "link", "add", &outside, "type", "veth", "peer", "name", "eth0", "netns", &process,
            ],
        );
        run(
            "ip",
            &["link", "set", &outside, "master", &self.bridge, "up"],
        );
        let inside = format!(
            "ip link set lo up && ip link set eth0 up && ip address add {}/24 dev eth0",
            self.address(machine)
        );
        run(
            "nsenter",
            &["--target", &process, "--net", "sh", "-c", &inside],
        );
    }

    /// Packets of this machine to that address vanish, as with a broken cable.
    pub(super) fn drop_packets(&self, from: &Machine, to: Ipv4Addr) {
        let to = to.to_string();
        from.ip(&[
            "neighbour",
            "replace",
            &to,
            "lladdr",
            NOBODY,
            "nud",
            "permanent",
            "dev",
            "eth0",
        ]);
    }

    /// Ends [`drop_packets`](Self::drop_packets).
    pub(super) fn pass_packets(&self, from: &Machine, to: Ipv4Addr) {
        from.ip(&["neighbour", "delete", &to.to_string(), "dev", "eth0"]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(&self.bridge);
    }
}

/// Removes bridges of tests that were killed.
fn remove_stale() {
    let Ok(interfaces) = std::fs::read_dir("/sys/class/net") else {
        return;
    };
    for name in interfaces.filter_map(|found| found.ok()?.file_name().into_string().ok()) {
        let number = name.strip_prefix(BRIDGE);
        let number = number.and_then(|text| u32::from_str_radix(text, 16).ok());
        let process = number.map(|number| number / PER_PROCESS);
        if process.is_some_and(|id| !std::fs::exists(format!("/proc/{id}")).unwrap_or(true)) {
            remove(&name);
        }
    }
}

fn remove(interface: &str) {
    let _ = Command::new("ip")
        .args(["link", "delete", interface])
        .output();
}
