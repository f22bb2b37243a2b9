//! Programs that are run: their process groups, and what they say.

use tokio::process::Child;

/// Kills the process group of a program when dropped: its children must not outlive the attempt.
pub(crate) struct KillOnDrop(Option<u32>);

impl KillOnDrop {
    /// The group that `child` leads.
    pub(crate) fn group_of(child: &Child) -> Self {
        Self(child.id())
    }

    /// Kills nothing: the group is empty, and its number may be another's.
    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        kill_group(self.0);
    }
}

/// Kills a process group.
pub(crate) fn kill_group(leader: Option<u32>) {
    let leader = leader.and_then(|id| i32::try_from(id).ok());
    if let Some(leader) = leader.and_then(rustix::process::Pid::from_raw) {
        // Fails if it has exited meanwhile.
        let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
    }
}

/// What a program said, on one line, without control characters.
pub(crate) fn sanitize_output(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines
        .join("; ")
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}
