//! Bandwidth limits, and the timetable that they may follow.
//!
//! ```text
//! limit      off | RATE | UP:DOWN         RATE, UP and DOWN are bytes per second with K, M or G, or off
//! timetable  limit | ENTRY ENTRY ...      ENTRY is [DAY-]HH:MM,limit; DAY is Mon, Tue, ... Sun
//! ```
//!
//! An entry holds from its minute until that of the next one, round the week; one without a day holds
//! every day. Times are local. The syntax is near to rclone's. Pure: what time it is is an argument,
//! but for [`Minute::now`].

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// Entries of a timetable as typed: more is a file's business.
const ENTRIES_MAX: usize = 64;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES_PER_DAY: u16 = 24 * 60;

/// Bytes per second in each direction; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// Sent at most.
    pub up: Option<u64>,
    /// Received at most.
    pub down: Option<u64>,
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.up, self.down) {
            (None, None) => f.write_str("off"),
            (up, down) => write!(f, "{}:{}", spelled(up), spelled(down)),
        }
    }
}

/// A rate as it may be typed: in the largest unit that keeps it exact.
fn spelled(rate: Option<u64>) -> String {
    let Some(rate) = rate else { return "off".to_owned() };
    for (shift, unit) in [(30, "G"), (20, "M"), (10, "K")] {
        if rate > 0 && rate.trailing_zeros() >= shift {
            return format!("{}{unit}", rate >> shift);
        }
    }
    rate.to_string()
}

impl FromStr for Rates {
    type Err = String;

    /// Reads `UP:DOWN`, or one value for both.
    fn from_str(text: &str) -> Result<Self, String> {
        let (up, down) = text.split_once(':').unwrap_or((text, text));
        Ok(Self { up: rate(up)?, down: rate(down)? })
    }
}

/// Reads one rate; `off` is none.
///
/// # Errors
/// What was expected, in words.
pub fn rate(text: &str) -> Result<Option<u64>, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    match bytes(text) {
        Some(0) => Err("a limit of 0 would stop everything; `off` means no limit".into()),
        Some(rate) => Ok(Some(rate)),
        None => Err(format!(
            "`{text}` is not a rate: give bytes per second such as 500K, 10M or 1G, or `off`"
        )),
    }
}

/// Reads `500`, `10M` or `1GiB`: a number of bytes in powers of 1,024.
pub fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let scale = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 1,
        "K" | "KIB" => 1 << 10,
        "M" | "MIB" => 1 << 20,
        "G" | "GIB" => 1 << 30,
        "T" | "TIB" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(scale))
}

/// A minute of the week, from Monday 00:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minute(u16);

impl Minute {
    /// The minute now, in local time, and how long it lasts.
    pub fn now() -> (Self, Duration) {
        let now = jiff::Zoned::now();
        let day = now.weekday().to_monday_zero_offset() as u16;
        let minute = now.hour() as u16 * 60 + now.minute() as u16;
        let left = 60_u64.saturating_sub(now.second() as u64).max(1);
        (Self(day * MINUTES_PER_DAY + minute), Duration::from_secs(left))
    }

    /// Reads `[DAY-]HH:MM`: the minute on each day that is meant.
    fn all(text: &str) -> Option<Vec<Self>> {
        let (day, time) =
            text.split_once('-').map_or((None, text), |(day, time)| (Some(day), time));
        let (hours, minutes) = time.split_once(':')?;
        let number = |text: &str, below: u16| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|number| digits && *number < below)
        };
        let at = number(hours, 24)? * 60 + number(minutes, 60)?;
        let days = match day {
            None => 0..7,
            Some(day) => {
                let day = DAYS.iter().position(|known| day.eq_ignore_ascii_case(known))? as u16;
                day..day + 1
            }
        };
        Some(days.map(|day| Self(day * MINUTES_PER_DAY + at)).collect())
    }
}

/// Limits by the time of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    /// As it was typed.
    text: String,
    entries: BTreeMap<Minute, Rates>,
}

impl Timetable {
    /// The limit that holds in a minute.
    pub fn at(&self, minute: Minute) -> Rates {
        let before = self.entries.range(..=minute).next_back();
        // Before the first entry of the week holds the last one of the week before.
        let entry = before.or_else(|| self.entries.last_key_value());
        entry.map(|(_, rates)| *rates).unwrap_or_default()
    }

    /// Whether the time changes anything.
    pub fn changes(&self) -> bool {
        self.entries.len() > 1
    }
}

impl Default for Timetable {
    fn default() -> Self {
        Rates::default().into()
    }
}

impl From<Rates> for Timetable {
    fn from(rates: Rates) -> Self {
        Self { text: rates.to_string(), entries: BTreeMap::from([(Minute(0), rates)]) }
    }
}

impl fmt::Display for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Timetable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains(',') {
            return text.trim().parse::<Rates>().map(Self::from);
        }
        let (mut daily, mut on_a_day) = (BTreeMap::new(), BTreeMap::new());
        for (number, entry) in text.split_whitespace().enumerate() {
            if number >= ENTRIES_MAX {
                return Err(format!("a timetable has at most {ENTRIES_MAX} entries"));
            }
            let wrong = || {
                format!(
                    "`{entry}` is not an entry of a timetable: give [DAY-]HH:MM,LIMIT such as \
                         08:00,512K:1M or Sat-10:00,off"
                )
            };
            let (time, limit) = entry.split_once(',').ok_or_else(wrong)?;
            let minutes = Minute::all(time).ok_or_else(wrong)?;
            let rates: Rates = limit.parse()?;
            // What is said of one day holds there instead of what is said of all.
            let entries = if minutes.len() > 1 { &mut daily } else { &mut on_a_day };
            for minute in minutes {
                if entries.insert(minute, rates).is_some() {
                    return Err(format!("`{time}` stands twice in the timetable"));
                }
            }
        }
        let mut entries: BTreeMap<Minute, Rates> = daily;
        entries.extend(on_a_day);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self { text, entries })
    }
}

#[cfg(test)]
mod tests;
