//! `DescribeRefreshTasks` and `DescribeRefreshTaskById`, in the DCDN `DescribeDcdnRefreshTasks` and
//! `DescribeDcdnRefreshTaskById`: tasks by their numbers; see [`super::refresh_task`].

use edgeseal_core::{Pattern, Timestamp};
use serde::Serialize;

use super::{
    named_domain::{self, NoDomain},
    refresh_task::{self, BadTaskId, Kind, Shown, Task},
    words::Word as _,
};
use crate::{
    authorize::Authorized,
    code::Code,
    context::Context,
    operation::{Done, Failure, Operation, Trouble, shown},
    ops::paging::{BadPage, Page},
    request::Params,
};

/// The operation.
pub struct DescribeRefreshTasks;

/// The operation of the DCDN.
pub struct DescribeDcdnRefreshTasks;

/// The operation for numbers alone.
pub struct DescribeRefreshTaskById;

/// What is asked for.
pub struct Wanted {
    page: Page,
    ids: Option<String>,
    object_path: String,
    domain: Option<Pattern>,
    kind: Option<Kind>,
    /// Whether tasks are wanted that are complete: all are.
    complete: bool,
    between: Option<(Timestamp, Timestamp)>,
}

/// A page of tasks.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    page_number: usize,
    page_size: usize,
    total_count: usize,
    tasks: CdnTasks,
}

#[derive(Serialize)]
struct CdnTasks {
    #[serde(rename = "CDNTask")]
    tasks: Vec<Shown>,
}

/// A page of tasks.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DcdnReply {
    page_number: usize,
    page_size: usize,
    total_count: usize,
    tasks: DcdnTasks,
}

#[derive(Serialize)]
struct DcdnTasks {
    #[serde(rename = "Task")]
    tasks: Vec<Shown>,
}

/// Tasks, in a list without a wrapper.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ById {
    total_count: usize,
    tasks: Vec<Shown>,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Out of range.
    #[error(transparent)]
    Page(#[from] BadPage),
    /// No number of a task.
    #[error("name the task in TaskId")]
    Unnamed,
    /// Not a number of a task.
    #[error(transparent)]
    Id(#[from] BadTaskId),
    /// A domain or a status without a kind.
    #[error("with DomainName or Status, say in ObjectType what kind of task is meant")]
    NoKind,
    /// No such kind.
    #[error("ObjectType is {given:?}; use file, directory, regex, ignoreparams or preload")]
    Kind {
        /// What was given.
        given: String,
    },
    /// No such status.
    #[error("Status is {given:?}; use Complete, Refreshing, Failed or Pending")]
    Status {
        /// What was given.
        given: String,
    },
    /// One end of a time without the other.
    #[error("give both StartTime and EndTime, or neither")]
    OneTime,
    /// Not a time.
    #[error("StartTime must be a time as 2026-01-02T03:04:05Z")]
    From,
    /// Not a time.
    #[error("EndTime must be a time as 2026-01-02T03:04:05Z")]
    Until,
    /// An end before its start.
    #[error("EndTime must be later than StartTime")]
    Backwards,
    /// There is no such domain.
    #[error(transparent)]
    Domain(#[from] NoDomain),
    /// The store failed.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

const CODES: &[Code] = &[
    Code::InvalidPageNumber,
    Code::InvalidPageSize,
    Code::InvalidTaskId,
    Code::MissingObjectType,
    Code::UnknownObjectType,
    Code::UnknownTaskStatus,
    Code::MissingTimeParameter,
    Code::TaskStartTime,
    Code::TaskEndTime,
    Code::TaskTimesMismatch,
    Code::DomainNameMalformed,
    Code::DomainNotFound,
];

/// Statuses that a task can have; here all are complete.
const STATUSES: [&str; 4] = ["Complete", "Refreshing", "Failed", "Pending"];

impl Operation for DescribeRefreshTasks {
    type Params = Wanted;
    type Reply = Reply;
    type Error = Error;

    const CODES: &'static [Code] = CODES;

    fn parse(params: &Params) -> Result<Wanted, Error> {
        Wanted::parse(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<Reply>, Error> {
        let (total_count, tasks) = wanted.tasks(context, call).await?;
        Ok(Done::read(Reply {
            page_number: wanted.page.number,
            page_size: wanted.page.size,
            total_count,
            tasks: CdnTasks { tasks },
        }))
    }
}

impl Operation for DescribeDcdnRefreshTasks {
    type Params = Wanted;
    type Reply = DcdnReply;
    type Error = Error;

    const CODES: &'static [Code] = CODES;

    fn parse(params: &Params) -> Result<Wanted, Error> {
        Wanted::parse(params)
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        wanted: Wanted,
    ) -> Result<Done<DcdnReply>, Error> {
        let (total_count, tasks) = wanted.tasks(context, call).await?;
        Ok(Done::read(DcdnReply {
            page_number: wanted.page.number,
            page_size: wanted.page.size,
            total_count,
            tasks: DcdnTasks { tasks },
        }))
    }
}

impl Operation for DescribeRefreshTaskById {
    type Params = String;
    type Reply = ById;
    type Error = Error;

    const CODES: &'static [Code] = &[Code::MissingTaskId, Code::InvalidTaskId];

    fn parse(params: &Params) -> Result<String, Error> {
        let given = params.given("TaskId").ok_or(Error::Unnamed)?;
        refresh_task::ids(given)?;
        Ok(given.to_owned())
    }

    async fn run(_: &Context, call: &Authorized, ids: String) -> Result<Done<ById>, Error> {
        let account = call.account();
        let tasks = Task::parse(&ids, account, call.now())?;
        Ok(Done::read(ById {
            total_count: tasks.len(),
            tasks: tasks.iter().map(|task| task.shown(account, "")).collect(),
        }))
    }
}

impl Wanted {
    fn parse(params: &Params) -> Result<Self, Error> {
        let page = Page::of(params, 20, 100)?;
        let ids = params.given("TaskId");
        ids.map(refresh_task::ids).transpose()?;
        let status = params.given("Status");
        let name = params.given("DomainName");
        let kind = params.given("ObjectType");
        if (status.is_some() || name.is_some()) && kind.is_none() {
            return Err(Error::NoKind);
        }
        let kind =
            kind.map(|word| Kind::of_word(word).ok_or_else(|| Error::Kind { given: shown(word) }));
        let kind = kind.transpose()?;
        let is_status = |word: &&str| STATUSES.iter().any(|one| one.eq_ignore_ascii_case(word));
        if let Some(other) = status.filter(|word| !is_status(word)) {
            return Err(Error::Status {
                given: shown(other),
            });
        }
        Ok(Self {
            page,
            ids: ids.map(str::to_owned),
            object_path: params.given("ObjectPath").unwrap_or_default().to_owned(),
            between: between(params)?,
            domain: name.map(|_| named_domain::name(params)).transpose()?,
            kind,
            complete: status.is_none_or(|word| word.eq_ignore_ascii_case(STATUSES[0])),
        })
    }

    /// How many there are, and those of the page.
    async fn tasks(
        &self,
        context: &Context,
        call: &Authorized,
    ) -> Result<(usize, Vec<Shown>), Error> {
        let account = call.account();
        if let Some(name) = &self.domain {
            named_domain::find(&context.catalog, account, name).await?;
        }
        // Without a number nothing is known of any task.
        let ids = self.ids.as_deref().filter(|_| self.complete);
        let tasks = ids.map(|ids| Task::parse(ids, account, call.now()));
        let mut tasks = tasks.transpose()?.unwrap_or_default();
        tasks.retain(|task| self.takes(*task));
        let total = tasks.len();
        let skipped = (self.page.number - 1).saturating_mul(self.page.size);
        let page = tasks.into_iter().skip(skipped).take(self.page.size);
        let shown = page.map(|task| task.shown(account, &self.object_path));
        Ok((total, shown.collect()))
    }

    fn takes(&self, task: Task) -> bool {
        self.kind.is_none_or(|kind| task.kind == kind)
            && self
                .between
                .is_none_or(|(from, until)| (from..=until).contains(&task.at))
    }
}

fn between(params: &Params) -> Result<Option<(Timestamp, Timestamp)>, Error> {
    let times = (params.given("StartTime"), params.given("EndTime"));
    let (from, until) = match times {
        (None, None) => return Ok(None),
        (Some(from), Some(until)) => (from, until),
        _ => return Err(Error::OneTime),
    };
    let from = Timestamp::parse_iso(from).ok_or(Error::From)?;
    let until = Timestamp::parse_iso(until).ok_or(Error::Until)?;
    if until <= from {
        return Err(Error::Backwards);
    }
    Ok(Some((from, until)))
}

impl Failure for Error {
    fn code(&self) -> Code {
        match self {
            Self::Page(why) => why.code(),
            Self::Unnamed => Code::MissingTaskId,
            Self::Id(_) => Code::InvalidTaskId,
            Self::NoKind => Code::MissingObjectType,
            Self::Kind { .. } => Code::UnknownObjectType,
            Self::Status { .. } => Code::UnknownTaskStatus,
            Self::OneTime => Code::MissingTimeParameter,
            Self::From => Code::TaskStartTime,
            Self::Until => Code::TaskEndTime,
            Self::Backwards => Code::TaskTimesMismatch,
            Self::Domain(why) => why.code(),
            Self::Trouble(trouble) => trouble.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Domain(why) => why.detail(),
            Self::Trouble(trouble) => trouble.detail(),
            other => Some(other.to_string()),
        }
    }
}
