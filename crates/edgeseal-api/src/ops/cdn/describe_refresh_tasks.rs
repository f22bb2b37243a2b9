//! `DescribeRefreshTasks` and `DescribeRefreshTaskById`, in the DCDN `DescribeDcdnRefreshTasks` and
//! `DescribeDcdnRefreshTaskById`: tasks by id; see [`super::refresh_task`].

use std::marker::PhantomData;

use edgeseal_core::{DomainPattern, Timestamp};
use serde::Serialize;

use super::{
    domain_lookup::{self, DomainError},
    refresh_task::{self, InvalidTaskId, Task, TaskKind, TaskView},
    wire_names::WireName as _,
};
use crate::{
    authorize::Authorized,
    context::Context,
    error::{StoreError, api_error},
    operation::{Input, Operation, Success},
    ops::paging::{InvalidPage, Page},
    request::ParamMap,
    sanitize::sanitize,
};

/// `DescribeRefreshTasks`.
pub type DescribeRefreshTasks = DescribeTasks<CdnTasks>;

/// `DescribeDcdnRefreshTasks`.
pub type DescribeDcdnRefreshTasks = DescribeTasks<DcdnTasks>;

/// Lists tasks.
pub struct DescribeTasks<L>(PhantomData<L>);

/// `DescribeRefreshTaskById` and `DescribeDcdnRefreshTaskById`.
pub struct DescribeRefreshTaskById;

/// The parameters.
pub struct Params {
    page: Page,
    ids: Option<String>,
    object_path: String,
    domain: Option<DomainPattern>,
    kind: Option<TaskKind>,
    /// Whether complete tasks match the filter: all tasks are complete.
    complete: bool,
    time_range: Option<(Timestamp, Timestamp)>,
}

/// A page of tasks; `L` is the list as the product wraps it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply<L> {
    page_number: usize,
    page_size: usize,
    total_count: usize,
    tasks: L,
}

/// Tasks in the wrapper of the CDN.
#[derive(Serialize)]
pub struct CdnTasks {
    #[serde(rename = "CDNTask")]
    tasks: Vec<TaskView>,
}

/// Tasks in the wrapper of the DCDN.
#[derive(Serialize)]
pub struct DcdnTasks {
    #[serde(rename = "Task")]
    tasks: Vec<TaskView>,
}

impl From<Vec<TaskView>> for CdnTasks {
    fn from(tasks: Vec<TaskView>) -> Self {
        Self { tasks }
    }
}

impl From<Vec<TaskView>> for DcdnTasks {
    fn from(tasks: Vec<TaskView>) -> Self {
        Self { tasks }
    }
}

/// Tasks, in a list without a wrapper.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ById {
    total_count: usize,
    tasks: Vec<TaskView>,
}

/// Errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// No task id.
    #[error("name the task in TaskId")]
    Unnamed,
    /// Not a task id.
    #[error(transparent)]
    Id(#[from] InvalidTaskId),
    /// A domain or a status without a task type.
    #[error("with DomainName or Status, also give the type of task in ObjectType")]
    NoKind,
    /// No such task type.
    #[error("ObjectType is {given:?}; use file, directory, regex, ignoreparams or preload")]
    Kind {
        /// The value given.
        given: String,
    },
    /// No such status.
    #[error("Status is {given:?}; use Complete, Refreshing, Failed or Pending")]
    Status {
        /// The value given.
        given: String,
    },
    /// One end of a time range without the other.
    #[error("give both StartTime and EndTime, or neither")]
    IncompleteTimeRange,
    /// Not a time.
    #[error("StartTime must be a time as 2026-01-02T03:04:05Z")]
    From,
    /// Not a time.
    #[error("EndTime must be a time as 2026-01-02T03:04:05Z")]
    Until,
    /// A time range whose end precedes its start.
    #[error("EndTime must be later than StartTime")]
    ReversedTimeRange,
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Statuses of a task; here all are complete.
const STATUSES: [&str; 4] = ["Complete", "Refreshing", "Failed", "Pending"];

impl<L: From<Vec<TaskView>> + Serialize + Send + 'static> Operation for DescribeTasks<L> {
    type Params = Params;
    type Reply = Reply<L>;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<Params, Error> {
        Params::parse(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        params: Params,
    ) -> Result<Success<Reply<L>>, Error> {
        let (total_count, tasks) = params.tasks(context, call).await?;
        Ok(Success::read(Reply {
            page_number: params.page.number,
            page_size: params.page.size,
            total_count,
            tasks: tasks.into(),
        }))
    }
}

impl Operation for DescribeRefreshTaskById {
    type Params = String;
    type Reply = ById;
    type Error = Error;

    fn parse(Input { params, .. }: Input<'_>) -> Result<String, Error> {
        let given = params.get_non_empty("TaskId").ok_or(Error::Unnamed)?;
        refresh_task::ids(given)?;
        Ok(given.to_owned())
    }

    async fn run(_: &Context, call: &Authorized, ids: String) -> Result<Success<ById>, Error> {
        let account = call.account();
        let tasks = Task::parse(&ids, account, call.now())?;
        Ok(Success::read(ById {
            total_count: tasks.len(),
            tasks: tasks.iter().map(|task| task.view(account, "")).collect(),
        }))
    }
}

impl Params {
    fn parse(params: &ParamMap) -> Result<Self, Error> {
        let page = Page::parse(params, 20, 100)?;
        let ids = params.get_non_empty("TaskId");
        ids.map(refresh_task::ids).transpose()?;
        let status = params.get_non_empty("Status");
        let name = params.get_non_empty("DomainName");
        let kind = params.get_non_empty("ObjectType");
        if (status.is_some() || name.is_some()) && kind.is_none() {
            return Err(Error::NoKind);
        }
        let kind = kind.map(|word| {
            TaskKind::from_wire_name(word).ok_or_else(|| Error::Kind {
                given: sanitize(word),
            })
        });
        let kind = kind.transpose()?;
        let is_status = |word: &&str| STATUSES.iter().any(|one| one.eq_ignore_ascii_case(word));
        if let Some(other) = status.filter(|word| !is_status(word)) {
            return Err(Error::Status {
                given: sanitize(other),
            });
        }
        Ok(Self {
            page,
            ids: ids.map(str::to_owned),
            object_path: params
                .get_non_empty("ObjectPath")
                .unwrap_or_default()
                .to_owned(),
            time_range: parse_time_range(params)?,
            domain: name
                .map(|_| domain_lookup::parse_name(params))
                .transpose()?,
            kind,
            complete: status.is_none_or(|word| word.eq_ignore_ascii_case(STATUSES[0])),
        })
    }

    /// The number of matching tasks, and those of the page.
    async fn tasks(
        &self,
        context: &Context,
        call: &Authorized,
    ) -> Result<(usize, Vec<TaskView>), Error> {
        let account = call.account();
        if let Some(name) = &self.domain {
            domain_lookup::find(&context.catalog, account, name).await?;
        }
        // Tasks are not stored: only those that the call names by id are known.
        let ids = self.ids.as_deref().filter(|_| self.complete);
        let tasks = ids.map(|ids| Task::parse(ids, account, call.now()));
        let mut tasks = tasks.transpose()?.unwrap_or_default();
        tasks.retain(|task| self.matches(*task));
        let total = tasks.len();
        let shown = self
            .page
            .of(tasks)
            .map(|task| task.view(account, &self.object_path));
        Ok((total, shown.collect()))
    }

    fn matches(&self, task: Task) -> bool {
        self.kind.is_none_or(|kind| task.kind == kind)
            && self
                .time_range
                .is_none_or(|(from, until)| (from..=until).contains(&task.at))
    }
}

fn parse_time_range(params: &ParamMap) -> Result<Option<(Timestamp, Timestamp)>, Error> {
    let times = (
        params.get_non_empty("StartTime"),
        params.get_non_empty("EndTime"),
    );
    let (from, until) = match times {
        (None, None) => return Ok(None),
        (Some(from), Some(until)) => (from, until),
        _ => return Err(Error::IncompleteTimeRange),
    };
    let from = Timestamp::parse_iso(from).ok_or(Error::From)?;
    let until = Timestamp::parse_iso(until).ok_or(Error::Until)?;
    if until <= from {
        return Err(Error::ReversedTimeRange);
    }
    Ok(Some((from, until)))
}

api_error!(Error {
    Page(InvalidPage),
    Unnamed => MissingTaskId,
    Id => InvalidTaskId,
    NoKind => MissingObjectType,
    Kind => UnknownObjectType,
    Status => UnknownTaskStatus,
    IncompleteTimeRange => MissingTimeParameter,
    From => TaskStartTime,
    Until => TaskEndTime,
    ReversedTimeRange => TaskTimesMismatch,
    Domain(DomainError),
    Store(StoreError),
});
