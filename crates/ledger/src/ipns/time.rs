//! Points in time as records spell them: RFC 3339 with up to nine digits of a second.
//!
//! Written in UTC without trailing zeros, as Go's `RFC3339Nano` is; read with any offset. Days are
//! counted by the proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level date
//! algorithms"). No leap seconds: Go has none.

use std::fmt;
use std::time::Duration;

const DAY_SECONDS: i64 = 86_400;

/// A point in time, to the nanosecond, in years 0 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    /// Seconds since 1970.
    seconds: i64,
    nanos: u32,
}

impl Instant {
    /// The time after that long since 1970; the end of the year 9999 for any later one.
    pub fn since_1970(elapsed: Duration) -> Self {
        let last = crate::entry::TIME_MS_MAX / 1000;
        if elapsed.as_secs() > last {
            return Self { seconds: last as i64, nanos: 999_999_999 };
        }
        Self { seconds: elapsed.as_secs() as i64, nanos: elapsed.subsec_nanos() }
    }

    /// How long after 1970 it is; zero for earlier times.
    pub fn to_duration(self) -> Duration {
        let seconds = u64::try_from(self.seconds);
        seconds.map_or(Duration::ZERO, |seconds| Duration::new(seconds, self.nanos))
    }

    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.as_bytes();
        let year = digits(&mut rest, 4)?;
        literal(&mut rest, b"-")?;
        let month = within(digits(&mut rest, 2)?, 1, 12)?;
        literal(&mut rest, b"-")?;
        let day = within(digits(&mut rest, 2)?, 1, days_in_month(year, month))?;
        literal(&mut rest, b"T")?;
        let hour = within(digits(&mut rest, 2)?, 0, 23)?;
        literal(&mut rest, b":")?;
        let minute = within(digits(&mut rest, 2)?, 0, 59)?;
        literal(&mut rest, b":")?;
        let second = within(digits(&mut rest, 2)?, 0, 59)?;
        let nanos = fraction(&mut rest)?;
        let offset = offset(rest)?;
        let of_day = hour * 3600 + minute * 60 + second - offset;
        Some(Self { seconds: days_since_1970(year, month, day) * DAY_SECONDS + of_day, nanos })
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, of_day) =
            (self.seconds.div_euclid(DAY_SECONDS), self.seconds.rem_euclid(DAY_SECONDS));
        let (year, month, day) = date(days);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            let nanos = format!("{:09}", self.nanos);
            write!(f, ".{}", nanos.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    taken.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
    })
}

fn literal(rest: &mut &[u8], text: &[u8]) -> Option<()> {
    *rest = rest.strip_prefix(text)?;
    Some(())
}

fn within(value: i64, least: i64, most: i64) -> Option<i64> {
    (least..=most).contains(&value).then_some(value)
}

/// A dot and one to nine digits, or nothing.
fn fraction(rest: &mut &[u8]) -> Option<u32> {
    let Some(after) = rest.strip_prefix(b".") else { return Some(0) };
    let count = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    *rest = after;
    if !(1..=9).contains(&count) {
        return None;
    }
    let value = digits(rest, count)?;
    Some(value as u32 * 10_u32.pow(9 - count as u32))
}

/// `Z`, or hours and minutes ahead of UTC, in seconds.
fn offset(mut rest: &[u8]) -> Option<i64> {
    if rest == b"Z" {
        return Some(0);
    }
    let (sign, after) = rest.split_first()?;
    rest = after;
    let hours = within(digits(&mut rest, 2)?, 0, 23)?;
    literal(&mut rest, b":")?;
    let minutes = within(digits(&mut rest, 2)?, 0, 59)?;
    let seconds = hours * 3600 + minutes * 60;
    match sign {
        b'+' if rest.is_empty() => Some(seconds),
        b'-' if rest.is_empty() => Some(-seconds),
        _ => None,
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Years begin in March here, so that the leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = (month + 2) % 12 + 1;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, seconds: i64, nanos: u32, printed: &str) {
        let time = Instant::parse(text).unwrap();
        assert_eq!(time, Instant { seconds, nanos }, "{text}");
        assert_eq!(time.to_string(), printed);
        assert_eq!(Instant::parse(printed), Some(time));
    }

    #[test]
    fn times_are_read_and_written_as_go_does() {
        check("1970-01-01T00:00:00Z", 0, 0, "1970-01-01T00:00:00Z");
        check(
            "2123-08-14T12:17:03.694052Z",
            4_847_689_023,
            694_052_000,
            "2123-08-14T12:17:03.694052Z",
        );
        check("2024-02-29T23:59:59.5+01:30", 1_709_245_799, 500_000_000, "2024-02-29T22:29:59.5Z");
        check("1969-12-31T23:59:59Z", -1, 0, "1969-12-31T23:59:59Z");
        check(
            "9999-12-31T23:59:59.999999999Z",
            253_402_300_799,
            999_999_999,
            "9999-12-31T23:59:59.999999999Z",
        );
        check("0000-03-01T00:00:00-00:01", -62_162_035_140, 0, "0000-03-01T00:01:00Z");
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00.1234567890Z",
            "2024-01-01T00:00:00Zx",
            "2024-01-01T00:00:00+1:00",
            "+2024-01-01T00:00:00Z",
            "2024-1-01T00:00:00Z",
            "2024-01-01T00:00:00+01:00Z",
        ] {
            assert_eq!(Instant::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in (-150_000..150_000).step_by(7) {
            let (year, month, of_month) = date(day);
            assert_eq!(days_since_1970(year, month, of_month), day);
            assert!((1..=days_in_month(year, month)).contains(&of_month));
        }
    }

    #[test]
    fn durations_are_clamped_to_what_can_be_printed() {
        let last = "9999-12-31T23:59:59.999999999Z";
        assert_eq!(Instant::since_1970(Duration::MAX).to_string(), last);
        let time = Duration::new(1_795_000_000, 7);
        assert_eq!(Instant::since_1970(time).to_duration(), time);
        assert_eq!(Instant::parse("1960-01-01T00:00:00Z").unwrap().to_duration(), Duration::ZERO);
    }
}
