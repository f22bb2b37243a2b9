//! Tasks that remove objects from caches or preload them. The edge has no cache, so each task is
//! complete at once, and its id encodes everything: nothing is stored.

use aws_lc_rs::digest::{SHA256, digest};
use edgeseal_core::{AccountId, Timestamp};
use serde::Serialize;

use super::wire_names::WireName;
use crate::sanitize::sanitize_to;

/// How long a task is listed: three days, according to the reference pages.
const RETENTION_MS: i64 = 3 * 24 * 60 * 60 * 1000;
/// How far the clock of another node may be ahead.
const CLOCK_SKEW_MS: i64 = 15 * 60 * 1000;
/// Most task ids of one call.
pub(super) const IDS_MAX: usize = 10;
/// 5 check digits for the account.
const CHECKS: u64 = 100_000;
/// 10 digits for the time in seconds: until the year 2286.
const SECONDS: u64 = 10_000_000_000;

/// The effect of a task on caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskKind {
    /// Removes files.
    File,
    /// Removes the content of directories.
    Directory,
    /// Removes what matches a regular expression.
    Regex,
    /// Removes files, whatever their query.
    IgnoreParams,
    /// Preloads files.
    Preload,
}

/// A task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) kind: TaskKind,
    /// When it was requested, in whole seconds.
    pub(super) at: Timestamp,
}

/// A task as the reads of both products show it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TaskView {
    task_id: String,
    object_path: String,
    object_type: String,
    status: &'static str,
    process: &'static str,
    creation_time: String,
    description: &'static str,
}

/// Why parsing a task id failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TaskId is {given:?}; it must be at most {IDS_MAX} numbers, separated by commas")]
pub struct InvalidTaskId {
    given: String,
}

impl WireName for TaskKind {
    const WIRE_NAMES: &'static [(Self, &'static str)] = &[
        (Self::File, "File"),
        (Self::Directory, "Directory"),
        (Self::Regex, "Regex"),
        (Self::IgnoreParams, "IgnoreParams"),
        (Self::Preload, "Preload"),
    ];
}

impl TaskKind {
    const fn digit(self) -> u64 {
        match self {
            Self::File => 1,
            Self::Directory => 2,
            Self::Regex => 3,
            Self::IgnoreParams => 4,
            Self::Preload => 5,
        }
    }
}

impl Task {
    /// The id for an account: 16 digits, so that it is exact as a JSON number too. The official
    /// refresh script reads one number from the response. Tasks of one kind that an account
    /// requests in the same second are one, as the cloud merges them.
    pub(super) fn id(self, account: &AccountId) -> String {
        let seconds = u64::try_from(self.at.unix_ms() / 1000).unwrap_or_default() % SECONDS;
        let task = self.kind.digit() * SECONDS + seconds;
        (task * CHECKS + check(account, task)).to_string()
    }

    /// The task with this id, if it belongs to the account and was requested in the last three
    /// days.
    fn from_id(id: u64, account: &AccountId, now: Timestamp) -> Option<Self> {
        let task = id / CHECKS;
        if id % CHECKS != check(account, task) {
            return None;
        }
        let kinds = TaskKind::WIRE_NAMES.iter().map(|(kind, _)| *kind);
        let kind = kinds
            .into_iter()
            .find(|kind| kind.digit() == task / SECONDS)?;
        let seconds = i64::try_from(task % SECONDS).ok()?;
        let at = Timestamp::from_unix_seconds(seconds);
        (-CLOCK_SKEW_MS..=RETENTION_MS)
            .contains(&now.since_ms(at))
            .then_some(Self { kind, at })
    }

    /// The account's tasks among ids separated by commas, without duplicates.
    ///
    /// # Errors
    /// [`InvalidTaskId`] if one is not an id, or if there are too many.
    pub(super) fn parse(
        text: &str,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<Vec<Self>, InvalidTaskId> {
        let mut tasks = Vec::new();
        for id in ids(text)? {
            let task = Self::from_id(id, account, now);
            tasks.extend(task.filter(|task| !tasks.contains(task)));
        }
        Ok(tasks)
    }

    /// The task as shown for `object_path`, which is empty if the caller did not name it.
    pub(super) fn view(self, account: &AccountId, object_path: &str) -> TaskView {
        TaskView {
            task_id: self.id(account),
            object_path: object_path.to_owned(),
            object_type: self.kind.wire_name().to_ascii_lowercase(),
            status: "Complete",
            process: "100%",
            creation_time: self.at.to_string(),
            description: "",
        }
    }
}

/// Ids separated by commas.
///
/// # Errors
/// As for [`Task::parse`].
pub(super) fn ids(text: &str) -> Result<Vec<u64>, InvalidTaskId> {
    let bad = || InvalidTaskId {
        given: sanitize_to(text, 80),
    };
    let parts = text.split(',').map(|id| id.trim().parse());
    let ids = parts.collect::<Result<Vec<u64>, _>>().map_err(|_| bad())?;
    if ids.len() > IDS_MAX {
        return Err(bad());
    }
    Ok(ids)
}

/// Check digits, which distinguish the ids of an account's tasks from other numbers.
fn check(account: &AccountId, task: u64) -> u64 {
    let digest = digest(&SHA256, format!("{account}/{task}").as_bytes());
    let bytes = digest.as_ref().iter().take(6);
    bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)) % CHECKS
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_522_200);

    fn account(id: &str) -> AccountId {
        AccountId::parse(id).unwrap()
    }

    #[test]
    fn an_id_identifies_the_task_for_its_account_only() {
        let (own, other) = (account("1000000000000001"), account("2000000000000002"));
        for (kind, word) in TaskKind::WIRE_NAMES {
            let task = Task {
                kind: *kind,
                at: NOW,
            };
            let id = task.id(&own);
            assert_eq!(id.len(), 16, "{id}");
            assert_eq!(Task::parse(&id, &own, NOW), Ok(vec![task]));
            let shown = task.view(&own, "http://example.com/a");
            assert_eq!(shown.task_id, id);
            assert_eq!(shown.object_type, word.to_ascii_lowercase());
            assert_eq!((shown.status, shown.process), ("Complete", "100%"));
            assert_eq!(Task::parse(&id, &other, NOW), Ok(vec![]), "{id}");
        }
    }

    #[test]
    fn a_task_is_shown_for_three_days() {
        let own = account("1000000000000001");
        let (kind, at) = (TaskKind::File, NOW);
        let id = Task { kind, at }.id(&own);
        for (after_ms, is_shown) in [
            (-CLOCK_SKEW_MS - 1, false),
            (-CLOCK_SKEW_MS, true),
            (0, true),
            (RETENTION_MS, true),
            (RETENTION_MS + 1, false),
        ] {
            let found = Task::parse(&id, &own, NOW.plus_ms(after_ms)).unwrap();
            assert_eq!(!found.is_empty(), is_shown, "after {after_ms} ms");
        }
    }

    #[test]
    fn malformed_ids_are_refused_and_unknown_ids_have_no_task() {
        let own = account("1000000000000001");
        for text in [
            "",
            "x",
            "1,",
            "-1",
            "1.5",
            "99999999999999999999",
            "1,1,1,1,1,1,1,1,1,1,1",
        ] {
            assert!(Task::parse(text, &own, NOW).is_err(), "{text}");
        }
        for text in [
            "0",
            "704222904",
            "18446744073709551615",
            "1, 2,3",
            "6000000000000000",
        ] {
            assert_eq!(Task::parse(text, &own, NOW), Ok(vec![]), "{text}");
        }
        let id = Task {
            kind: TaskKind::Preload,
            at: NOW,
        }
        .id(&own);
        let twice = format!("{id},1,{id}");
        assert_eq!(Task::parse(&twice, &own, NOW).unwrap().len(), 1);
    }
}
