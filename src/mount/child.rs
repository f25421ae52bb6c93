//! Processes that a mount starts: how they are ended, and what they said when they failed.
//!
//! They are this binary again, so what they tell follows [`crate::cli`]: `error: ` and `hint: ` lines
//! on standard error, and an exit code of [`Exit`].

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use crate::{control::protocol::Failure, exit::Exit};

/// Time for an end in order: a node allows itself 2 s.
const END_MAX: Duration = Duration::from_secs(3);

/// Asks a process to end and waits for it, not for ever.
pub(super) async fn end(child: &mut Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid
        && kill_process(pid, Signal::TERM).is_ok()
    {
        let _late = tokio::time::timeout(END_MAX, child.wait()).await;
    }
}

/// The failure that a process told, as it told it.
pub(super) fn told(text: &str, code: Option<i32>) -> Failure {
    let lines: Vec<String> = text.lines().map(plain).collect();
    let line = |prefix: &str| lines.iter().find_map(|line| line.strip_prefix(prefix));
    let message = line("error: ").unwrap_or("a process that it started ended without a word");
    let exit = Exit::ALL
        .iter()
        .find(|(exit, _)| Some(i32::from(exit.code())) == code)
        .map_or(Exit::Failed, |(exit, _)| *exit);
    let failure = Failure::new(exit, message);
    match line("hint: ") {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// True for a line of [`told`].
pub(super) fn is_failure(line: &str) -> bool {
    let line = plain(line);
    line.starts_with("error: ") || line.starts_with("hint: ")
}

/// A line without colours.
fn plain(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, text)| text));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_passed_on_with_its_code_and_hint() {
        let text = "looking for providers\nerror: nobody has it\nhint: wait\n";
        let failure = told(text, Some(4));
        assert_eq!(failure, Failure::new(Exit::NotFound, "nobody has it").hint("wait"));
        let painted = "\x1b[31;1merror\x1b[0m: nobody has it\n\x1b[36;1mhint\x1b[0m: wait";
        assert_eq!(told(painted, Some(4)), failure);
        assert!(painted.lines().all(is_failure));
        assert!(!is_failure("looking for providers: 1 error: none"));
    }

    #[test]
    fn a_process_that_says_nothing_has_failed() {
        assert_eq!(told("", None).exit, Exit::Failed);
        assert_eq!(told("", Some(99)).exit, Exit::Failed);
    }
}
