//! `DescribeAlarms`: the alarms that are raised, the most urgent first.

use std::cmp::Reverse;

use edgeseal_core::{
    AccountId, Timestamp,
    alarm::{Alarm, AlarmId, Severity, Silence, Silences},
};
use serde::Serialize;

use crate::{
    authorize::Authorized,
    context::Context,
    error::StoreError,
    operation::{Input, Operation, Success},
};

/// Most alarms in a response: some 500 kB.
const ALARMS_MAX: usize = 1000;
/// Most silenced domains in a response.
const SILENCES_MAX: usize = 1000;

/// `DescribeAlarms`.
pub struct DescribeAlarms;

/// The alarms and silences of the account; the operator sees all.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reply {
    /// How many are raised, those beyond the listed ones included.
    total_count: usize,
    alarms: Vec<Row>,
    /// How many silences there are, those beyond the listed ones included.
    silence_count: usize,
    silences: Vec<SilenceRow>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    code: &'static str,
    subject: String,
    severity: &'static str,
    text: String,
    remedy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    since: String,
    since_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_notified: Option<String>,
    /// Channels that have not accepted the last notification yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pending_channels: Vec<String>,
    silenced: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SilenceRow {
    domain_name: String,
    account_id: String,
    /// Whether the operator silenced it, for all alarms.
    by_operator: bool,
    since: String,
    /// Absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl Operation for DescribeAlarms {
    type Params = ();
    type Reply = Reply;
    type Error = StoreError;

    fn parse(_: Input<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn run(
        context: &Context,
        call: &Authorized,
        (): (),
    ) -> Result<Success<Reply>, StoreError> {
        let (account, is_operator) = (call.account(), call.is_operator(context).await?);
        let sees = |owner: Option<&AccountId>| is_operator || owner == Some(account);
        let now = call.now();
        let of = Some(account).filter(|_| !is_operator);
        let mut silences = context.catalog.alarm_silences(of).await?;
        silences.retain(|it| it.applies(now));
        let silences: Silences = silences.into_iter().collect();
        let alarms = context.alarms.read(&context.catalog).await?;
        let alarms = alarms.iter();
        let alarms = alarms.filter(|(_, it)| it.is_active() && sees(it.account.as_ref()));
        let mut alarms: Vec<(&AlarmId, &Alarm)> = alarms.collect();
        alarms.sort_by_key(|(_, alarm)| (Reverse(alarm.severity), alarm.first_seen));
        let total_count = alarms.len();
        alarms.truncate(ALARMS_MAX);
        let rows = alarms.into_iter();
        let rows = rows.map(|(id, alarm)| {
            let silenced = silences.mute(id, alarm, now);
            Row::of(id, alarm, is_operator, silenced)
        });
        Ok(Success::read(Reply {
            total_count,
            alarms: rows.collect(),
            silence_count: silences.iter().count(),
            silences: silences
                .iter()
                .take(SILENCES_MAX)
                .map(SilenceRow::of)
                .collect(),
        }))
    }
}

impl Row {
    fn of(id: &AlarmId, alarm: &Alarm, is_operator: bool, silenced: bool) -> Self {
        let facts = id.code.facts();
        // The names of channels and edges are the operator's.
        let pending = alarm.pending.iter().filter(|_| is_operator);
        Self {
            code: facts.word,
            subject: id.subject.clone(),
            severity: Severity::as_str(alarm.severity),
            text: if is_operator {
                alarm.text.clone()
            } else {
                alarm.text_for_account(id.code)
            },
            remedy: facts.remedy,
            domain_name: alarm.domain.as_ref().map(ToString::to_string),
            account_id: alarm.account.as_ref().map(ToString::to_string),
            since: alarm.first_seen.to_string(),
            since_ms: alarm.first_seen.unix_ms(),
            last_notified: alarm.notified.map(|last| last.at.to_string()),
            pending_channels: pending.cloned().collect(),
            silenced,
        }
    }
}

impl SilenceRow {
    fn of(silence: &Silence) -> Self {
        Self {
            domain_name: silence.domain.to_string(),
            account_id: silence.account.to_string(),
            by_operator: silence.by_operator,
            since: silence.since.to_string(),
            until: silence.until.as_ref().map(Timestamp::to_string),
        }
    }
}
