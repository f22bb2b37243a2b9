//! Checks the limits that the operating system sets for the server.

use std::fs;

use super::Report;
use crate::{
    config::Config,
    data_lock::Holder,
    resources::{self, DescriptorBudget},
};

/// Checks the file descriptors of the running server, or of one that is started like this command.
pub(super) fn examine(config: &Config, server: Holder, report: &mut Report) {
    let served = match server {
        Holder::Process(Some(id)) => nofile_limit_of(id),
        Holder::Process(None) | Holder::Nobody => None,
    };
    let Some(allowed) = served.or_else(resources::nofile_limit) else {
        return;
    };
    let shared =
        DescriptorBudget::allocate(Some(allowed), config.connections, config.api_connections);
    if shared.connections >= config.connections {
        return;
    }
    let (taken, wanted) = (shared.connections, config.connections);
    let cure = "raise LimitNOFILE of the unit or ulimit -n, or lower `connections`";
    if served.is_some() {
        let what = format!(
            "the server has {allowed} file descriptors, which is too few: the edge takes {taken} connections instead of \
             {wanted}"
        );
        report.problem(what, cure);
    } else {
        let what = format!(
            "a server that is started like this command has {allowed} file descriptors, which is too few: the edge \
             would take {taken} connections instead of {wanted}"
        );
        report.warning(what, cure);
    }
}

/// The limit of open files of a process; `None` if it is unlimited or cannot be read.
fn nofile_limit_of(process: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    // The columns are soft, hard, unit; the server has raised the soft limit to the hard one.
    line.split_whitespace().nth(1)?.parse().ok()
}
