//! Standard error: phases, progress, notes, warnings and errors.
//!
//! On a terminal one moving line says how far it is and what is waited for. Elsewhere, and when
//! logging, whole lines say the same from time to time ([`super::phase`]), without a single control
//! character. Text that may come from strangers is escaped. With `-q` only warnings about sources
//! that were left out and errors remain. Losing standard error loses words, never work.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shoal_dag::name::escape;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing_subscriber::EnvFilter;

use super::{
    args::{Colour, Globals},
    phase::PhaseClock,
    progress::{Rate, describe},
};
use crate::control::protocol::{Failure, Progress};

/// How often the moving line is drawn and lines are considered.
const TICK: Duration = Duration::from_millis(100);

/// Work that ends sooner shows no moving line.
const BAR_AFTER: Duration = Duration::from_millis(250);

/// What is waited for when nobody says anything.
const SILENCE: &str = "waiting for the node";

/// Standard error.
#[derive(Debug)]
pub(crate) struct Talk {
    quiet: bool,
    verbose: bool,
    moving: bool,
    colour: bool,
    label: &'static str,
    silence: &'static str,
    since: Instant,
    ticks: Option<Interval>,
    bar: Option<ProgressBar>,
    waiting: PhaseClock,
    flowing: PhaseClock,
    phase: Option<String>,
    progress: Option<Progress>,
    rate: Rate,
}

impl Talk {
    /// Standard error as the options want it.
    pub(crate) fn new(globals: &Globals) -> Self {
        let terminal = io::stderr().is_terminal();
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let now = Instant::now();
        Self {
            quiet: globals.quiet,
            verbose: globals.verbose > 0 && !globals.quiet,
            moving: terminal && !dumb && !globals.quiet && globals.verbose == 0,
            colour: colour(globals),
            label: "done",
            silence: SILENCE,
            since: now,
            ticks: None,
            bar: None,
            waiting: PhaseClock::new(now),
            flowing: PhaseClock::new(now),
            phase: None,
            progress: None,
            rate: Rate::default(),
        }
    }

    /// Says what progress counts, such as `fetched`.
    pub(crate) const fn count_as(&mut self, label: &'static str) {
        self.label = label;
    }

    /// Says what it means when the node is silent: whether it is standard input that is waited for.
    pub(crate) const fn input_is_read(&mut self, reading: bool) {
        self.silence = if reading { "reading standard input" } else { SILENCE };
    }

    /// An exchange begins: nothing is known of it.
    pub(crate) fn begin(&mut self) {
        let now = Instant::now();
        self.waiting.restart(now);
        self.flowing.restart(now);
        self.phase = None;
        self.progress = None;
        self.rate = Rate::default();
    }

    /// The node says what it waits for.
    pub(crate) fn phase(&mut self, text: String) {
        self.phase = Some(text);
    }

    /// Data came: nothing is waited for.
    pub(crate) fn data_came(&mut self) {
        self.waiting.restart(Instant::now());
        self.phase = None;
    }

    /// The node says how far it is.
    pub(crate) fn progress(&mut self, progress: Progress) {
        let now = Instant::now();
        self.rate.note(now, &progress);
        if progress.waiting.is_empty() {
            self.waiting.restart(now);
            self.phase = None;
        } else {
            self.phase = Some(progress.waiting.clone());
        }
        self.progress = Some(progress);
    }

    /// Resolves once in a while, having drawn or said what is due. Cancel-safe.
    pub(crate) async fn tick(&mut self) {
        let ticks = self.ticks.get_or_insert_with(|| {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        ticks.tick().await;
        self.show(Instant::now());
    }

    /// Awaits something that is not the node, saying `what` is waited for.
    pub(crate) async fn while_waiting<T>(
        &mut self,
        what: &str,
        future: impl Future<Output = T>,
    ) -> T {
        self.begin();
        self.phase(what.to_owned());
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                value = &mut future => {
                    self.begin();
                    return value;
                }
                () = self.tick() => {}
            }
        }
    }

    fn show(&mut self, now: Instant) {
        if self.quiet {
            return;
        }
        if self.moving {
            self.draw(now);
            return;
        }
        if let Some(text) = self.waits_for(now) {
            if self.waiting.due(now, &text) {
                self.say(&harmless(&text));
            }
        } else if let Some(progress) = &self.progress {
            let text = describe(self.label, progress, self.rate.pace(now));
            if self.flowing.due(now, &text) {
                self.say(&text);
            }
        }
    }

    /// What is waited for; a silent node counts too.
    fn waits_for(&self, now: Instant) -> Option<String> {
        match (&self.phase, &self.progress) {
            (Some(phase), _) => Some(phase.clone()),
            // A transfer that flows is told by its numbers, and they stand still when it does.
            (None, Some(_)) => None,
            (None, None) => self.waiting.waits(now).then(|| self.silence.to_owned()),
        }
    }

    fn draw(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) < BAR_AFTER {
            return;
        }
        let pace = self.rate.pace(now);
        let how_far = self.progress.as_ref().map(|progress| describe(self.label, progress, pace));
        let total = self.progress.as_ref().and_then(|progress| progress.bytes_total);
        let waits_for = self.waits_for(now).map(|text| harmless(&text));
        let text: Vec<String> = how_far.into_iter().chain(waits_for).collect();
        if text.is_empty() {
            return;
        }
        let bar = self.bar.get_or_insert_with(new_bar);
        if let Some(total) = total.filter(|total| *total > 0) {
            if bar.length() != Some(total) {
                bar.set_length(total);
                bar.set_style(style("{spinner} [{bar:12}] {wide_msg}"));
            }
            bar.set_position(self.progress.as_ref().map_or(0, |progress| progress.bytes));
        }
        bar.set_message(text.join("; "));
        bar.tick();
    }

    /// Says something that a person may want to know.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.say(&harmless(text));
        }
    }

    /// Says something that is asked for with `-v`.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose {
            self.say(&harmless(text));
        }
    }

    /// Says more of the failure that is told next; not silenced by `-q`, as that one is not.
    pub(crate) fn of_failure(&self, text: &str) {
        self.say(&harmless(text));
    }

    /// Says that something was left out; not silenced by `-q`.
    pub(crate) fn warning(&self, text: &str) {
        self.say(&format!("{}: {}", self.paint("warning", "33;1"), harmless(text)));
    }

    /// Tells a failure and what to do about it.
    pub(crate) fn failure(&self, failure: &Failure) {
        let Failure { message, hint, .. } = failure;
        self.say(&format!("{}: {}", self.paint("error", "31;1"), harmless(message)));
        if let Some(hint) = hint {
            self.say(&format!("{}: {}", self.paint("hint", "36;1"), harmless(hint)));
        }
    }

    /// Writes a line of another program, such as the outcome of a verb whose output is bytes.
    pub(crate) fn raw(&self, line: &[u8]) {
        self.beside_bar(|| {
            let _lost = io::stderr().lock().write_all(line);
        });
    }

    /// Takes the moving line away.
    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.progress = None;
        self.phase = None;
    }

    fn paint(&self, word: &str, code: &str) -> String {
        if self.colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() }
    }

    fn say(&self, line: &str) {
        self.beside_bar(|| {
            let _lost = writeln!(io::stderr().lock(), "{line}");
        });
    }

    fn beside_bar(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// A sentence without control characters. Names in it were escaped where it was made, so that a
/// backslash stays as it is.
fn harmless(text: &str) -> String {
    escape(text.as_bytes()).replace("\\\\", "\\")
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(style("{spinner} {wide_msg}"));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates are constants that the tests draw")
        .progress_chars("=> ")
}

fn colour(globals: &Globals) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match globals.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => io::stderr().is_terminal() && !set("NO_COLOR"),
    }
}

/// Starts logging to standard error: `RUST_LOG`, else by the count of `-v`.
pub(crate) fn start_log(globals: &Globals) {
    let (ours, others) = match (globals.quiet, globals.verbose) {
        (true, _) => ("error", "off"),
        (false, 0) => ("warn", "off"),
        (false, 1) => ("info", "warn"),
        (false, 2) => ("debug", "info"),
        (false, _) => ("trace", "debug"),
    };
    let packages = ["", "_dag", "_store", "_swarm", "_net", "_ledger", "_fuse"];
    let by_count = packages
        .iter()
        .fold(others.to_owned(), |filter, package| format!("{filter},shoal{package}={ours}"));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(by_count));
    // A second start, as tests make it, keeps the first.
    let _started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour(globals))
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_escaped_stays_and_what_was_not_is() {
        assert_eq!(harmless("a\\x1b b\x1b[31m \\\n"), "a\\x1b b\\x1b[31m \\\\x0a");
        assert_eq!(harmless("plain"), "plain");
    }

    #[test]
    fn the_templates_are_sound() {
        let bar = new_bar();
        bar.set_style(style("{spinner} [{bar:12}] {wide_msg}"));
    }
}
