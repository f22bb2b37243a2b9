//! An installation in virtual time: very many domains, and an authority that is down at times.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    fmt::Write as _,
    sync::Arc,
};

use super::{DAY_MS, HOUR_MS, authority::Authority, days, start};
use crate::{
    AccountId, DomainPattern, Timestamp,
    acme::{
        Issuer, IssuerLimits, PauseReason, RenewalInfo, RenewalInfoPoll, RetryState, Scheduler,
        Seed, Start, Task, Validity,
        queue::IssuedBy,
        renewal::{PollOutcome, REVOCATION_NOTICE_MS, renewal},
    },
};

const PARALLEL: usize = 20;
const ORDER_MS: i64 = 20_000;
/// How long it takes to find out that a domain is not ready.
const CHECK_MS: i64 = 20_000;
/// The account that has the domains of the beginning. Ten others add more.
const ACCOUNT: u64 = 0;
/// The account that asks for very many first certificates, and for how many; half of its domains
/// are never ready.
const FLOODER: u64 = 1000;
const FLOOD: usize = 2_000;
const NEVER_READY: &str = "never-ready";

/// What is varied.
pub(super) struct Scenario {
    pub(super) domains: usize,
    pub(super) life_ms: i64,
    pub(super) limits: IssuerLimits,
    pub(super) is_down: fn(Timestamp) -> bool,
    /// One domain in 500 cannot be validated during so many days of each hundred.
    pub(super) broken_days: i64,
    /// The day of a mass revocation of one in twenty certificates.
    pub(super) revocation_day: Option<i64>,
    /// The day on which one account asks for very many first certificates at once.
    pub(super) flood_day: Option<i64>,
    pub(super) days: i64,
}

/// One domain of the installation.
pub(super) struct Domain {
    name: Arc<DomainPattern>,
    validity: Option<Validity>,
    info: Option<RenewalInfo>,
    backoff: RetryState,
    seed: Seed,
    renewals: u32,
    revoked_at: Option<Timestamp>,
    pub(super) attempts_since_success: u32,
    requested_at: Timestamp,
    account: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Finished { domain: usize, issued: bool },
    Checked(usize),
    Poll(usize),
    Added(usize),
    Flood,
    Revocation,
    Midnight,
}

/// What one day had.
#[derive(Default, Clone)]
pub(super) struct Day {
    orders: u32,
    failed: u32,
    pub(super) unreachable: u32,
    pub(super) backlog: usize,
    nearest_expiry_ms: i64,
    is_down: bool,
}

pub(super) struct Year {
    scenario: Scenario,
    scheduler: Scheduler,
    pub(super) authority: Authority,
    pub(super) domains: Vec<Domain>,
    by_name: HashMap<Arc<DomainPattern>, usize>,
    events: BinaryHeap<Reverse<(Timestamp, Event)>>,
    running: usize,
    today: Day,
    pub(super) days: Vec<Day>,
    pub(super) expired: Vec<String>,
    pub(super) revoked_before_replacement: u32,
    /// The longest time that somebody waited for a first certificate, without the account that
    /// asked for very many.
    pub(super) longest_first_wait_ms: i64,
    seed: Seed,
    draws: u64,
}

/// Down on the days 20 to 22 of every 47.
pub(super) fn three_of_47_days(now: Timestamp) -> bool {
    (20..23).contains(&(now.since_ms(start()) / DAY_MS).rem_euclid(47))
}

/// One domain in 5,000 can never be validated.
const fn is_hopeless(domain: usize) -> bool {
    domain % 5000 == 77
}

/// Whether the checks before an order always find something missing.
fn is_never_ready(name: &DomainPattern) -> bool {
    name.to_string().starts_with(NEVER_READY)
}

/// Ten domains share a registered domain.
fn name(i: usize) -> DomainPattern {
    DomainPattern::parse(&format!("www{}.site{}.example", i % 10, i / 10)).unwrap()
}

impl Year {
    pub(super) fn new(scenario: Scenario) -> Self {
        let mut year = Self {
            scheduler: Scheduler::new(vec![Issuer::new(scenario.limits)]),
            authority: Authority::new(scenario.limits, scenario.life_ms, scenario.is_down),
            domains: Vec::new(),
            by_name: HashMap::new(),
            events: BinaryHeap::new(),
            running: 0,
            today: Day::default(),
            days: Vec::new(),
            expired: Vec::new(),
            revoked_before_replacement: 0,
            longest_first_wait_ms: 0,
            seed: Seed::of("a year"),
            draws: 0,
            scenario,
        };
        for i in 0..year.scenario.domains {
            // A fifth was issued on the day before, the others at any time of a renewal period.
            let age = if i % 5 == 0 {
                year.draw(DAY_MS)
            } else {
                year.draw(year.scenario.life_ms / 3 * 2)
            };
            year.add(name(i), ACCOUNT, start());
            year.issued(i, start().plus_ms(-age));
            year.plan(i);
        }
        for day in 1..=year.scenario.days {
            let midnight = start().plus_ms(days(day));
            year.events.push(Reverse((midnight, Event::Midnight)));
            // Somebody orders fifty more each day, at noon.
            for n in 0..50 {
                let i = year.scenario.domains + usize::try_from((day - 1) * 50 + n).unwrap();
                let noon = midnight.plus_ms(-DAY_MS / 2);
                year.events.push(Reverse((noon, Event::Added(i))));
            }
        }
        if let Some(day) = year.scenario.flood_day {
            let at = start().plus_ms(days(day));
            year.events.push(Reverse((at, Event::Flood)));
        }
        if let Some(day) = year.scenario.revocation_day {
            let at = start().plus_ms(days(day) + 9 * HOUR_MS);
            year.events.push(Reverse((at, Event::Revocation)));
        }
        year
    }

    fn draw(&mut self, below: i64) -> i64 {
        self.draws += 1;
        self.seed.nth(self.draws).below(below)
    }

    fn add(&mut self, name: DomainPattern, account: u64, now: Timestamp) {
        let name = Arc::new(name);
        self.by_name.insert(name.clone(), self.domains.len());
        let seed = Seed::of(&name.to_string());
        self.domains.push(Domain {
            name,
            validity: None,
            info: None,
            backoff: RetryState::default(),
            seed,
            renewals: 0,
            revoked_at: None,
            attempts_since_success: 0,
            requested_at: now,
            account,
        });
    }

    fn issued(&mut self, i: usize, now: Timestamp) {
        let validity = self.authority.issue(now);
        let domain = &mut self.domains[i];
        domain.validity = Some(validity);
        domain.backoff = RetryState::default();
        domain.attempts_since_success = 0;
        domain.revoked_at = None;
        domain.seed = domain.seed.nth(1);
        // One in ten gets no renewal information.
        let window = (i % 10 != 9).then(|| Authority::window(validity));
        domain.info = window.map(|window| RenewalInfo::after_response(None, window, validity, now));
    }

    /// Puts the next order of a domain into the scheduler, as the driver does.
    fn plan(&mut self, i: usize) {
        let domain = &self.domains[i];
        let task = match domain.validity {
            None => {
                let account = AccountId::from_random(domain.account);
                Task::first(domain.requested_at, &account, 1, domain.backoff)
            }
            Some(validity) => {
                let by = IssuedBy {
                    issuer: 0,
                    replaces: domain.info.is_some(),
                };
                let due = renewal(validity, domain.info, domain.seed);
                Task::renewal(validity, due, Some(by), 1, domain.backoff)
            }
        };
        self.scheduler.set(domain.name.clone(), task);
    }

    pub(super) fn run(mut self) -> Self {
        let end = start().plus_ms(days(self.scenario.days));
        let mut now = start();
        while now < end {
            while self.running < PARALLEL
                && let Some(start) = self.scheduler.next(now)
            {
                self.start(&start, now);
            }
            let event = self.events.peek().map(|Reverse((at, _))| *at);
            let is_full = self.running >= PARALLEL;
            let next = self.scheduler.next_at(now).filter(|_| !is_full);
            let at = event.into_iter().chain(next).min().unwrap();
            assert!(is_full || next.is_none_or(|at| at > now), "stands still");
            now = at;
            while let Some(Reverse((at, event))) = self.events.peek().copied()
                && at <= now
            {
                self.events.pop();
                self.handle(event, now);
            }
        }
        self
    }

    fn start(&mut self, start: &Start, now: Timestamp) {
        let i = self.by_name[&start.domain];
        if (self.authority.is_down)(now) {
            self.today.unreachable += 1;
            let seed = Seed::from_random(self.draws);
            self.scheduler
                .issuer_failed(0, PauseReason::Unreachable, None, seed, now);
            self.scheduler.set(start.domain.clone(), start.task);
            return;
        }
        if is_never_ready(&start.domain) {
            self.not_ready(start, now);
            return;
        }
        self.scheduler.issuer_answered(0, now);
        let root = start.domain.registrable_domain();
        let name = start.domain.to_string();
        let is_allowed = self.authority.order(&name, root.as_str(), start.kind, now);
        assert!(is_allowed, "{name} exceeds a limit: {:?}", start.kind);
        self.today.orders += 1;
        // One in a hundred fails for no reason.
        let issued = !self.is_broken(i, now) && self.draw(100) > 0;
        self.running += 1;
        let at = now.plus_ms(ORDER_MS);
        let finished = Event::Finished { domain: i, issued };
        self.events.push(Reverse((at, finished)));
    }

    /// The checks find that the domain is not ready: nothing is sent. Its owner asks again at once.
    fn not_ready(&mut self, start: &Start, now: Timestamp) {
        let i = self.by_name[&start.domain];
        self.scheduler
            .give_back(0, &start.domain, start.kind, start.task.orders);
        let domain = &mut self.domains[i];
        let backoff = domain.backoff.after_failure(None, None, domain.seed, now);
        domain.backoff = backoff.asked_again(now, now);
        self.running += 1;
        let at = now.plus_ms(CHECK_MS);
        let checked = Event::Checked(i);
        self.events.push(Reverse((at, checked)));
    }

    fn is_broken(&self, i: usize, now: Timestamp) -> bool {
        let day = now.since_ms(start()) / DAY_MS;
        // From a day of its own on.
        let offset = i64::try_from(i).unwrap() % 97;
        is_hopeless(i) || (i % 500 == 3 && (day + offset) % 100 < self.scenario.broken_days)
    }

    fn handle(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Finished { domain, issued } => self.finished(domain, issued, now),
            Event::Poll(i) => self.poll(i, now),
            Event::Added(i) => {
                let one_of_ten = u64::try_from(i % 10).unwrap();
                self.request(name(i), ACCOUNT + 1 + one_of_ten, now);
            }
            Event::Checked(i) => {
                self.running -= 1;
                self.plan(i);
            }
            Event::Flood => {
                for n in 0..FLOOD {
                    let (kind, n) = (["www", NEVER_READY][n % 2], n / 2);
                    let name = format!("{kind}{}.flood{}.example", n % 10, n / 10);
                    self.request(DomainPattern::parse(&name).unwrap(), FLOODER, now);
                }
            }
            Event::Revocation => self.revoke(now),
            Event::Midnight => self.end_day(now),
        }
    }

    fn request(&mut self, name: DomainPattern, account: u64, now: Timestamp) {
        self.add(name, account, now);
        self.plan(self.domains.len() - 1);
    }

    fn finished(&mut self, i: usize, issued: bool, now: Timestamp) {
        self.running -= 1;
        let expires = self.domains[i].validity.map(|validity| validity.not_after);
        if issued {
            let domain = &mut self.domains[i];
            self.revoked_before_replacement +=
                u32::from(domain.revoked_at.is_some_and(|at| at < now));
            domain.renewals += u32::from(domain.validity.is_some());
            let is_first = domain.validity.is_none() && domain.backoff.failures == 0;
            if is_first && domain.account != FLOODER {
                let wait_ms = now.since_ms(domain.requested_at);
                self.longest_first_wait_ms = self.longest_first_wait_ms.max(wait_ms);
            }
            if expires.is_some_and(|at| at < now) && !is_hopeless(i) {
                self.expired.push(domain.name.to_string());
            }
            self.issued(i, now);
        } else {
            self.today.failed += 1;
            let domain = &mut self.domains[i];
            domain.attempts_since_success += 1;
            domain.backoff = domain
                .backoff
                .after_failure(expires, None, domain.seed, now);
            let name = domain.name.clone();
            self.scheduler.authorization_failed(0, &name, now);
        }
        self.plan(i);
    }

    /// The issuer tells of its revocation; each certificate's next request hears of it.
    fn revoke(&mut self, now: Timestamp) {
        for i in (0..self.domains.len()).filter(|i| i % 20 == 4) {
            let domain = &mut self.domains[i];
            let (Some(validity), true) = (domain.validity, domain.info.is_some()) else {
                continue;
            };
            domain.revoked_at = Some(now.plus_ms(REVOCATION_NOTICE_MS));
            let mut poll = RenewalInfoPoll {
                errors: 0,
                next: validity.not_before,
            };
            let answered = PollOutcome::Answered {
                retry_after_ms: Some(6 * HOUR_MS),
            };
            while poll.next < now {
                poll = poll.after(answered, domain.seed, poll.next);
            }
            self.events.push(Reverse((poll.next, Event::Poll(i))));
        }
    }

    fn poll(&mut self, i: usize, now: Timestamp) {
        let domain = &mut self.domains[i];
        // Nothing is known any more of a certificate that was replaced meanwhile.
        if let (Some(validity), Some(_)) = (domain.validity, domain.revoked_at) {
            let window = Authority::window_in_the_past(now);
            let info = RenewalInfo::after_response(domain.info, window, validity, now);
            assert_eq!(info.at_once_since, Some(now));
            domain.info = Some(info);
            self.plan(i);
        }
    }

    fn end_day(&mut self, now: Timestamp) {
        let healthy = self
            .domains
            .iter()
            .enumerate()
            .filter(|(i, _)| !is_hopeless(*i));
        let ends = healthy.filter_map(|(_, domain)| Some(domain.validity?.not_after));
        let nearest = ends.min().unwrap();
        let mut day = std::mem::take(&mut self.today);
        day.nearest_expiry_ms = nearest.since_ms(now);
        day.backlog = self.scheduler.len().1;
        day.is_down = (self.authority.is_down)(now.plus_ms(-1));
        if day.nearest_expiry_ms < 0 {
            self.expired
                .push(format!("a domain on day {}", self.days.len()));
        }
        self.days.push(day);
    }

    /// One row a day.
    pub(super) fn csv(&self) -> String {
        let mut text =
            "day,orders,failed,unreachable,backlog,nearest_expiry_days,down\n".to_owned();
        for (n, day) in self.days.iter().enumerate() {
            let nearest = day.nearest_expiry_ms as f64 / DAY_MS as f64;
            writeln!(
                text,
                "{n},{},{},{},{},{nearest:.3},{}",
                day.orders,
                day.failed,
                day.unreachable,
                day.backlog,
                u8::from(day.is_down)
            )
            .unwrap();
        }
        text
    }

    pub(super) fn orders(&self) -> impl Iterator<Item = f64> {
        self.days.iter().map(|day| f64::from(day.orders))
    }

    pub(super) fn mean(&self) -> f64 {
        self.orders().sum::<f64>() / self.days.len() as f64
    }

    /// Renewals, as a multiple of what the renewals by age alone would be.
    pub(super) fn renewals_per_ideal(&self) -> f64 {
        let life = self.scenario.life_ms as f64;
        let period = if self.scenario.life_ms < 10 * DAY_MS {
            life / 2.0
        } else {
            life * 2.0 / 3.0
        };
        let kept = &self.domains[..self.scenario.domains];
        let renewals: u32 = kept.iter().map(|domain| domain.renewals).sum();
        let ideal = days(self.scenario.days) as f64 / period * kept.len() as f64;
        f64::from(renewals) / ideal
    }
}
