//! Shows how far a copy is.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use edgeseal_store::copy::CopyStep;

use crate::cli::output::warn_line;

/// Prints progress on standard error: on one line of a terminal, else as lines, but few.
pub(in crate::cli) struct ProgressLine {
    is_terminal: bool,
    state: Mutex<State>,
}

struct State {
    /// When the step began, with the records that were copied before.
    began: (Instant, u64),
    printed: Option<Instant>,
    phase: &'static str,
    /// The bytes of the line on the terminal.
    shown: usize,
}

/// How often it is printed: on a terminal, and in a log.
const INTERVALS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(10)];

impl ProgressLine {
    pub(in crate::cli) fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            state: Mutex::new(State {
                began: (Instant::now(), 0),
                printed: None,
                phase: "",
                shown: 0,
            }),
        }
    }

    pub(in crate::cli) fn show(&self, step: &CopyStep) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (phase, records, total) = match *step {
            CopyStep::Resumed(records) => {
                state.began.1 = records;
                return self.print(&mut state, &format!("going on after {records} records"));
            }
            CopyStep::Restarted => {
                let what = "the source's change log does not reach back so far: beginning again";
                return self.print(&mut state, what);
            }
            CopyStep::Stopped => {
                return self.print(
                    &mut state,
                    "the source takes no more changes: the last ones",
                );
            }
            CopyStep::Warning(ref text) => {
                return self.print(&mut state, &format!("warning: {text}"));
            }
            CopyStep::Listing { records, total } => ("copied", records, Some(total)),
            CopyStep::CatchingUp(records) => ("copied of what changed meanwhile", records, None),
            CopyStep::Comparing(records) => ("compared", records, None),
        };
        let now = Instant::now();
        if state.phase != phase {
            let before = if total.is_some() { state.began.1 } else { 0 };
            (state.phase, state.began, state.printed) = (phase, (now, before), None);
        }
        let interval = INTERVALS[usize::from(!self.is_terminal)];
        if state.printed.is_some_and(|at| now - at < interval) {
            return;
        }
        state.printed = Some(now);
        let line = line(phase, records, total, (now - state.began.0, state.began.1));
        if !self.is_terminal {
            warn_line!("{line}");
            return;
        }
        // The line before may be longer.
        let width = state.shown;
        let mut out = io::stderr();
        let _ = write!(out, "\r{line:width$}").and_then(|()| out.flush());
        state.shown = line.len();
    }

    fn print(&self, state: &mut State, line: &str) {
        if self.is_terminal && state.shown > 0 {
            let _ = writeln!(io::stderr());
            state.shown = 0;
        }
        warn_line!("{line}");
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if self.is_terminal && state.shown > 0 {
            let _ = writeln!(io::stderr());
        }
    }
}

/// Records, rate and remaining time.
fn line(phase: &str, records: u64, total: Option<u64>, (took, before): (Duration, u64)) -> String {
    let rest = total.map(|total| total.saturating_sub(records));
    let rest_text = rest.map_or(String::new(), |rest| format!(", about {rest} to go"));
    let line = format!("{records} records {phase}{rest_text}");
    let rate = records.saturating_sub(before) as f64 / took.as_secs_f64();
    // The first one says nothing of the rate.
    if took < Duration::from_millis(100) || rate < 1.0 {
        return line;
    }
    let time = rest.map_or(String::new(), |rest| {
        format!(", {:.0} s", rest as f64 / rate)
    });
    format!("{line}, {rate:.0} a second{time}")
}
