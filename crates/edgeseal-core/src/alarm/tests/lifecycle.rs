//! The life of an alarm over several evaluations.

use super::{
    EventKind::{Escalated, Raised, Reminder, Resolved},
    *,
};

/// Runs evaluations of one code, and returns the notifications with the time of each.
struct Course {
    code: Code,
    alarms: Alarms,
    told: Vec<(i64, EventKind)>,
    silenced: bool,
}

impl Course {
    fn of(code: Code) -> Self {
        Self {
            code,
            alarms: Alarms::new(),
            told: Vec::new(),
            silenced: false,
        }
    }

    fn at(&mut self, ms: i64, level: Option<(Severity, u8)>) -> &mut Self {
        let id = AlarmId::new(self.code, "s");
        let current: Conditions = level
            .map(|(severity, rung)| {
                let condition = Condition {
                    severity,
                    rung,
                    text: "t".to_owned(),
                    account: None,
                    domain: None,
                };
                (id, condition)
            })
            .into_iter()
            .collect();
        // What is stored is all that is known.
        let stored = serde_json::to_string(&self.alarms.values().collect::<Vec<_>>()).unwrap();
        let stored: Vec<Alarm> = serde_json::from_str(&stored).unwrap();
        let before: Alarms = self.alarms.keys().cloned().zip(stored).collect();
        let silenced = self.silenced;
        let now = NOW.plus_ms(ms);
        let silenced = |_: &_, _: &_| silenced;
        for change in advance(&before, &current, |_| true, silenced, MINUTE, now) {
            self.told.extend(change.event.map(|kind| (ms, kind)));
            match change.alarm {
                Some(alarm) => self.alarms.insert(change.id, alarm),
                None => self.alarms.remove(&change.id),
            };
        }
        self
    }

    #[track_caller]
    fn told(&mut self, expected: &[(i64, EventKind)]) {
        assert_eq!(std::mem::take(&mut self.told), expected);
    }
}

const INFO: Option<(Severity, u8)> = Some((Severity::Info, 0));
const CRITICAL: Option<(Severity, u8)> = Some((Severity::Critical, 3));

#[test]
fn an_alarm_is_raised_escalates_is_repeated_and_is_resolved() {
    let mut course = Course::of(Code::CertificateExpiring);
    course.at(0, INFO).at(MINUTE, INFO).told(&[(0, Raised)]);
    course.at(7 * DAY - 1, INFO).told(&[]);
    course.at(7 * DAY, INFO).told(&[(7 * DAY, Reminder)]);
    course.at(8 * DAY, Some((Severity::Warning, 1)));
    course.at(9 * DAY, Some((Severity::Warning, 2)));
    course.at(10 * DAY, CRITICAL).told(&[
        (8 * DAY, Escalated),
        (9 * DAY, Escalated),
        (10 * DAY, Escalated),
    ]);
    course.at(11 * DAY, CRITICAL).told(&[(11 * DAY, Reminder)]);
    course
        .at(12 * DAY - 1, None)
        .told(&[(12 * DAY - 1, Resolved)]);
    course.at(12 * DAY, None).told(&[]);
    let resolved = course.alarms.values().next().unwrap();
    assert_eq!(resolved.notified.unwrap().greatest, Severity::Critical);
    // It begins anew, although nobody has accepted the end yet.
    course.at(13 * DAY, INFO).told(&[(13 * DAY, Raised)]);
}

#[test]
fn becoming_less_urgent_is_not_told_but_the_next_step_up_is() {
    let mut course = Course::of(Code::CertificateExpiring);
    course.at(0, CRITICAL).at(1, INFO).told(&[(0, Raised)]);
    course.at(2, CRITICAL).told(&[(2, Escalated)]);
}

#[test]
fn values_that_flap_raise_one_alarm() {
    let warning = Some((Severity::Warning, 0));
    let mut course = Course::of(Code::DomainUnproven);
    course
        .at(0, warning)
        .at(MINUTE, None)
        .at(90_000, warning)
        .told(&[]);
    course.at(3 * MINUTE, warning).told(&[]);
    course
        .at(3 * MINUTE + 30_000, warning)
        .told(&[(3 * MINUTE + 30_000, Raised)]);
    course
        .at(4 * MINUTE, None)
        .at(5 * MINUTE, warning)
        .told(&[]);
    course.at(6 * MINUTE, None).at(7 * MINUTE, None).told(&[]);
    course.at(8 * MINUTE, None).told(&[(8 * MINUTE, Resolved)]);
    assert!(
        Course::of(Code::DomainUnproven)
            .at(0, None)
            .alarms
            .is_empty()
    );
}

#[test]
fn silence_delays_notifications_except_of_the_end() {
    let mut course = Course::of(Code::CertificateExpiring);
    course.silenced = true;
    course.at(0, INFO).at(DAY, None).told(&[]);
    assert!(course.alarms.is_empty(), "nobody was told of its beginning");
    course.at(2 * DAY, INFO).at(30 * DAY, INFO).told(&[]);
    course.silenced = false;
    course.at(31 * DAY, INFO).told(&[(31 * DAY, Raised)]);
    course.silenced = true;
    course.at(32 * DAY, CRITICAL).told(&[]);
    course.at(33 * DAY, None).told(&[(33 * DAY, Resolved)]);
}

#[test]
fn what_was_not_observed_stays() {
    let id = AlarmId::new(Code::CertificateExpiring, "s");
    let before = Alarms::from([(id, active(Severity::Critical, 5))]);
    let changes = advance(
        &before,
        &Conditions::new(),
        |_| false,
        |_, _| false,
        MINUTE,
        NOW,
    );
    assert_eq!(changes, []);
}

/// The channel has not accepted the end yet when the condition comes back for a moment.
#[test]
fn a_moment_hides_no_end() {
    let warning = Some((Severity::Warning, 0));
    let mut course = Course::of(Code::DomainUnproven);
    course.at(0, warning).at(2 * MINUTE, warning);
    course.alarms.values_mut().for_each(|alarm| {
        alarm.pending.insert("pager".to_owned());
    });
    course.at(3 * MINUTE, None).at(5 * MINUTE, None);
    course.told(&[(2 * MINUTE, Raised), (5 * MINUTE, Resolved)]);
    course
        .at(6 * MINUTE, warning)
        .at(7 * MINUTE, None)
        .told(&[]);
    let resolved = course.alarms.values().next().unwrap();
    assert!(resolved.is_over() && !resolved.pending.is_empty());
    // Of a moment that is none, a new alarm is told.
    course.at(8 * MINUTE, warning).at(10 * MINUTE, warning);
    course.told(&[(10 * MINUTE, Raised)]);
}

#[test]
fn delays_last_as_many_evaluations() {
    let condition = Condition {
        severity: Severity::Warning,
        rung: 0,
        text: "t".to_owned(),
        account: None,
        domain: None,
    };
    let current = Conditions::from([(AlarmId::new(Code::DomainUnproven, "s"), condition)]);
    let mut alarms = Alarms::new();
    let mut told = Vec::new();
    for ms in [0, 100, 200] {
        let now = NOW.plus_ms(ms);
        for change in advance(&alarms, &current, |_| true, |_, _| false, 100, now) {
            told.extend(change.event.map(|kind| (ms, kind)));
            alarms.insert(change.id, change.alarm.unwrap());
        }
    }
    assert_eq!(told, [(200, Raised)]);
}
