//! Parsers of the values that options take: rates, times, ranges, networks, addresses.
//!
//! Pure functions from text to value, fit for clap's `value_parser`: an error is a fragment that
//! says what was expected. What a value means is said in [`crate::config`].

use std::{fmt, time::Duration};

use shoal_net::{Multiaddr, Network};

use crate::config::bandwidth::{Timetable, bytes, rate};

/// Longest timeout: a month. Longer ones are typing errors, and sums with them could overflow.
const TIMEOUT_MAX: Duration = Duration::from_hours(31 * 24);

/// Bytes that the store may take; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota(pub(crate) Option<u64>);

/// Reads a quota: bytes with K, M or G; `off` is none.
pub(crate) fn quota(text: &str) -> Result<Quota, String> {
    rate(text)
        .map(Quota)
        .map_err(|_| format!("{text:?} is not a size such as 500M or 20G, and not `off`"))
}

/// Parses `UP:DOWN`, one value for both, or a timetable.
pub(crate) fn bwlimit(text: &str) -> Result<Timetable, String> {
    text.parse()
}

/// Parses `500`, `10M` or `1GiB`: a number of bytes in powers of 1,024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    bytes(text)
        .ok_or_else(|| format!("`{text}` is not a size: give bytes such as 500K, 10M, 1G or 2T"))
}

/// A time that prints as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeout(pub(crate) Duration);

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        match seconds {
            _ if millis != 0 => write!(f, "{}ms", self.0.as_millis()),
            3600.. if seconds % 3600 == 0 => write!(f, "{}h", seconds / 3600),
            120.. if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            _ => write!(f, "{seconds}s"),
        }
    }
}

/// Parses `500ms`, `5s`, `2m`, `1h`; a bare number is seconds.
pub(crate) fn timeout(text: &str) -> Result<Timeout, String> {
    let wrong = || format!("`{text}` is not a time: give one such as 500ms, 5s, 2m or 1h");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let millis = match &text[digits.len()..] {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let time = Duration::from_millis(number.checked_mul(millis).ok_or_else(wrong)?);
    if time.is_zero() {
        return Err("a timeout must be longer than nothing".into());
    }
    if time > TIMEOUT_MAX {
        return Err("a timeout is at most 31 days".into());
    }
    Ok(Timeout(time))
}

/// Parses `A-B`, both inclusive as in HTTP, or `A-` to the end.
pub(crate) fn range(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("`{text}` is not a range: give FIRST-LAST, both inclusive, or FIRST-");
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    // Not parse() alone: it takes a sign.
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits).ok_or_else(wrong)
    };
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return Err(format!("the range `{text}` ends before it begins"));
    }
    Ok((first, last))
}

/// Parses the name of a network.
pub(crate) fn network(text: &str) -> Result<Network, String> {
    match text {
        "lan" => Ok(Network::Lan),
        "isolated" => Ok(Network::Isolated),
        "ipfs" | "private" => {
            Err(format!("the network `{text}` is not built yet; there are `lan` and `isolated`"))
        }
        _ => Err(format!("there is no network `{text}`; there are `lan` and `isolated`")),
    }
}

/// Checks a multiaddress and keeps it as it was typed; nothing at all is passed over, so that an
/// empty environment variable means none.
pub(crate) fn multiaddr(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    match text.parse::<Multiaddr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "`{text}` is not a multiaddress such as /ip4/192.0.2.1/tcp/4001/p2p/PEERID: {error}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_they_are_typed() {
        for text in ["500ms", "5s", "60s", "2m", "90s", "1h", "36h"] {
            assert_eq!(timeout(text).unwrap().to_string(), text);
        }
        assert_eq!(timeout("7"), timeout("7s"));
    }

    #[test]
    fn wrong_times_are_named() {
        for text in ["", "s", "5 s", "5d", "1.5s", "-5s", "99999999999999999999s"] {
            assert!(timeout(text).unwrap_err().contains("is not a time"), "{text}");
        }
        assert!(timeout("0").is_err());
        assert!(timeout("9999h").unwrap_err().contains("31 days"));
    }

    #[test]
    fn ranges_are_inclusive() {
        assert_eq!(range("0-0"), Ok((0, 0)));
        assert_eq!(range("5-10"), Ok((5, 10)));
        assert_eq!(range("5-"), Ok((5, u64::MAX)));
        for text in ["", "-", "-5", "5", "a-b", "+1-2", "1-2-3", "5-4", "1 - 2"] {
            assert!(range(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_to_come_say_so() {
        assert!(network("lan").is_ok() && network("isolated").is_ok());
        assert!(network("ipfs").unwrap_err().contains("not built yet"));
        assert!(network("private").unwrap_err().contains("not built yet"));
        assert!(network("Lan").unwrap_err().contains("no network"));
    }

    #[test]
    fn addresses_are_checked_and_kept() {
        let text = "/ip4/127.0.0.1/tcp/4001";
        assert_eq!(multiaddr(text).as_deref(), Ok(text));
        assert_eq!(multiaddr("").as_deref(), Ok(""));
        assert!(multiaddr("127.0.0.1:4001").unwrap_err().contains("not a multiaddress"));
    }
}
