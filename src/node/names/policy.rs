//! Which versions' content is kept: `all`, or `last=10,daily=30,monthly=12`.
//!
//! Entries are never dropped, whatever the policy: a version whose content is let go stays in the log and stays
//! provable. `last=N` keeps the N newest; `daily=N` and `monthly=N` keep the newest of each of the last N days or months
//! (UTC) in which there was a version. The newest one is always kept. Days are counted from the claimed times, which
//! never go back within a ledger.

use std::{collections::BTreeSet, fmt, str::FromStr};

use shoal_ledger::ipns::Instant;

/// What is kept of a followed name when nothing is said.
pub const FOLLOWED_DEFAULT: Policy = Policy::Some { last: 10, daily: 0, monthly: 0 };

/// What is kept of an own name when nothing is said: nobody else may have it.
pub const OWN_DEFAULT: Policy = Policy::All;

/// Largest number in a policy: more is `all`.
const COUNT_MAX: u64 = 1_000_000;

/// Which versions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Every version.
    All,
    /// The union of these.
    Some {
        /// The newest versions.
        last: u64,
        /// The newest of each of that many days.
        daily: u64,
        /// The newest of each of that many months.
        monthly: u64,
    },
}

/// Text that is no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a policy is `all` or a list such as last=10,daily=30,monthly=12")]
pub struct PolicyError;

impl Policy {
    /// Of these versions, newest first with their times, the ones that are kept. No more of them are
    /// taken than decide it.
    pub fn keeps(self, newest_first: impl IntoIterator<Item = (u64, u64)>) -> BTreeSet<u64> {
        let mut kept = BTreeSet::new();
        let (mut days, mut months) = (BTreeSet::new(), BTreeSet::new());
        for (at, (version, time_ms)) in newest_first.into_iter().enumerate() {
            let Self::Some { last, daily, monthly } = self else {
                kept.insert(version);
                continue;
            };
            let full = (days.len() as u64) >= daily && (months.len() as u64) >= monthly;
            if full && at > 0 && (at as u64) >= last {
                break;
            }
            let date = date(time_ms);
            let of_day = is_new(&mut days, &date, daily);
            let of_month = is_new(&mut months, &date[..date.len().min(7)], monthly);
            if at == 0 || (at as u64) < last || of_day || of_month {
                kept.insert(version);
            }
        }
        kept
    }
}

/// Whether it is the first of its day or month, and one of the first `most` of them.
fn is_new(seen: &mut BTreeSet<String>, date: &str, most: u64) -> bool {
    (seen.len() as u64) < most && seen.insert(date.to_owned())
}

fn date(time_ms: u64) -> String {
    let instant = Instant::since_1970(std::time::Duration::from_millis(time_ms)).to_string();
    instant.chars().take(10).collect()
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        if text == "all" {
            return Ok(Self::All);
        }
        let (mut last, mut daily, mut monthly) = (None, None, None);
        for part in text.split(',') {
            let (what, count) = part.split_once('=').ok_or(PolicyError)?;
            let count: u64 = count.parse().map_err(|_| PolicyError)?;
            let slot = match what {
                "last" => &mut last,
                "daily" => &mut daily,
                "monthly" => &mut monthly,
                _ => return Err(PolicyError),
            };
            if count > COUNT_MAX || slot.replace(count).is_some() {
                return Err(PolicyError);
            }
        }
        let [last, daily, monthly] = [last, daily, monthly].map(Option::unwrap_or_default);
        Ok(Self::Some { last, daily, monthly })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Some { last, daily, monthly } = self else { return f.write_str("all") };
        write!(f, "last={last}")?;
        if *daily > 0 {
            write!(f, ",daily={daily}")?;
        }
        if *monthly > 0 {
            write!(f, ",monthly={monthly}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    fn kept(policy: &str, versions: &[(u64, u64)]) -> Vec<u64> {
        let policy: Policy = policy.parse().unwrap();
        policy.keeps(versions.iter().rev().copied()).into_iter().collect()
    }

    #[test]
    fn the_newest_days_and_months_are_kept() {
        // Two a day for 40 days.
        let versions: Vec<_> = (0..80).map(|at| (at + 1, at * DAY / 2)).collect();
        assert_eq!(kept("last=3", &versions), [78, 79, 80]);
        assert_eq!(kept("last=1,daily=3", &versions), [76, 78, 80]);
        assert_eq!(kept("monthly=2", &versions), [62, 80]);
        assert_eq!(kept("last=0", &versions), [80]);
        assert_eq!(kept("all", &versions).len(), 80);
        assert!(kept("last=3", &[]).is_empty());
    }

    #[test]
    fn policies_are_read_as_they_are_written() {
        for text in ["all", "last=10", "last=10,daily=30", "last=0,daily=1,monthly=12"] {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
        for text in ["", "last", "last=", "last=x", "weekly=1", "last=1,last=2", "last=9999999"] {
            assert!(text.parse::<Policy>().is_err(), "{text}");
        }
    }
}
