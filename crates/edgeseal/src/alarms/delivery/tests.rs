use edgeseal_core::alarm::{Notified, Phase, Severity};
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

fn alarm(is_pending: bool) -> Alarm {
    let notified = Notified {
        at: NOW,
        kind: EventKind::Raised,
        severity: Severity::Critical,
        rung: 0,
        greatest: Severity::Critical,
    };
    Alarm {
        severity: Severity::Critical,
        rung: 0,
        text: String::new(),
        account: None,
        domain: None,
        first_seen: NOW,
        phase: Phase::Active,
        notified: Some(notified),
        notifications: 1,
        pending: is_pending.then(|| "am".to_owned()).into_iter().collect(),
    }
}

/// A channel, and its state before anything was sent.
fn unused() -> (Channel, Health) {
    let table = json!({ "name": "am", "type": "alertmanager", "url": "http://127.0.0.1:9" });
    let channel = Channel::new(&serde_json::from_value(table).unwrap()).unwrap();
    (channel, Health::default())
}

fn id(n: usize) -> AlarmId {
    AlarmId::new(Code::CertificateExpiring, format!("d{n:05}"))
}

/// What is sent next, and accepted: the numbers of the alarms.
fn accept(health: &mut Health, channel: &Channel, alarms: &mut AlarmMap, ms: i64) -> Vec<AlarmId> {
    let told = health.state(channel, alarms, |_, _| true, NOW.plus_ms(ms));
    let told: Vec<AlarmId> = told.into_iter().map(|(id, _)| id.clone()).collect();
    for id in &told {
        alarms.get_mut(id).unwrap().pending.clear();
    }
    health.round.accepted.extend(told.iter().cloned());
    told
}

#[test]
fn what_is_silenced_is_no_reason_to_tell_the_rest_again() {
    let (channel, mut health) = unused();
    let mut alarms = AlarmMap::from([(id(1), alarm(false))]);
    assert_eq!(accept(&mut health, &channel, &mut alarms, 0), [id(1)]);
    alarms.insert(id(0), alarm(true));
    let may_tell = |_: &_, alarm: &Alarm| alarm.pending.is_empty();
    assert_eq!(health.state(&channel, &alarms, may_tell, NOW), []);
    assert_eq!(accept(&mut health, &channel, &mut alarms, 1), [id(0)]);
}

#[test]
fn an_attempt_of_an_earlier_life_settles_nothing() {
    let (channel, _) = unused();
    let mut deliveries = Deliveries::new(&[Arc::new(channel)]);
    let mut alarms = AlarmMap::from([(id(0), alarm(true))]);
    for (first_seen, settled) in [(NOW.plus_ms(-1), 0), (NOW, 1)] {
        let done = Done {
            channel: 0,
            sent: vec![(id(0), first_seen, 1)],
            result: Ok(()),
            now: NOW,
        };
        assert_eq!(deliveries.finish(done, &mut alarms).len(), settled);
    }
}

#[tokio::test]
async fn a_panic_is_a_failure() {
    let (channel, _) = unused();
    let mut deliveries = Deliveries::new(&[Arc::new(channel)]);
    deliveries.channels[0].1.is_busy = true;
    let attempt = deliveries
        .in_flight
        .spawn(async { panic!("of the channel") });
    deliveries.attempts.insert(attempt.id(), (0, NOW));
    let done = deliveries.ended().await;
    deliveries.finish(done, &mut AlarmMap::new());
    assert!(deliveries.failing()["am"].1.contains("panic"));
    assert!(deliveries.retry_at().is_some());
}

#[test]
fn a_channel_fails_until_it_was_tried() {
    let (channel, _) = unused();
    let mut deliveries = Deliveries::new(&[Arc::new(channel)]);
    let failing = AlarmId::new(Code::ChannelFailing, "am");
    deliveries.remember_failing(&failing, &alarm(false));
    let since = deliveries.failing()["am"].0;
    assert_eq!(NOW.since_ms(since), CHANNEL_FAILING_MS);
}

#[test]
fn an_alarm_that_has_ended_while_another_process_told_is_forgotten() {
    let (channel, _) = unused();
    let channel = Arc::new(channel);
    let mut deliveries = Deliveries::new(&[Arc::clone(&channel)]);
    let failing = AlarmId::new(Code::ChannelFailing, "am");
    deliveries.remember_failing(&failing, &alarm(false));
    deliveries.forget_remembered();
    assert!(deliveries.failing().is_empty());
    deliveries.remember_failing(&failing, &alarm(false));
    channel.note_accepted_test();
    assert!(deliveries.failing().is_empty(), "a test was accepted");
    // What this process has tried is known better.
    let failed = DeliveryError("down".to_owned());
    deliveries.channels[0].1.fail("am", failed, NOW);
    deliveries.forget_remembered();
    assert_eq!(deliveries.failing().len(), 1);
}

#[test]
fn all_are_told_in_each_round_and_the_operators_first() {
    let (channel, mut health) = unused();
    let of_accounts = (0..2 * STATE_MAX).map(|n| {
        let account = Some(edgeseal_core::AccountId::from_random(1));
        let alarm = Alarm {
            account,
            ..alarm(true)
        };
        (id(n), alarm)
    });
    let mut alarms: AlarmMap = of_accounts.collect();
    let operators = AlarmId::new(Code::StoreUnavailable, "store");
    alarms.insert(operators.clone(), alarm(false));
    for round in [0, RESEND_INTERVAL_MS] {
        let posts = [0, 1, 2, 3].map(|ms| accept(&mut health, &channel, &mut alarms, round + ms));
        assert_eq!(posts[0][0], operators);
        assert_eq!(posts.each_ref().map(Vec::len), [STATE_MAX, STATE_MAX, 1, 0]);
        let told: HashSet<&AlarmId> = posts.iter().flatten().collect();
        assert_eq!(told.len(), alarms.len());
    }
    // What is new does not wait for the next round.
    alarms.insert(id(0), alarm(true));
    let next = accept(&mut health, &channel, &mut alarms, RESEND_INTERVAL_MS + 4);
    assert_eq!(next, [id(0)]);
}
