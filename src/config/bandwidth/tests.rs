//! Limits and timetables as they are typed, and what holds when.
//!
//! The clock is looked at once only, to see that it gives a minute.

use super::*;

const K: u64 = 1 << 10;

fn table(text: &str) -> Timetable {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn holds(table: &Timetable, when: &str, expected: &str) {
    let minute = Minute::all(when).expect("a minute")[0];
    assert_eq!(table.at(minute).to_string(), expected, "{when}");
}

#[test]
fn rates_have_a_direction_each() {
    let both = |up, down| Ok(Rates { up, down });
    assert_eq!("10M:500K".parse(), both(Some(10 << 20), Some(500 << 10)));
    assert_eq!("1g:off".parse(), both(Some(1 << 30), None));
    assert_eq!("off:1KiB".parse(), both(None, Some(1024)));
    assert_eq!("7".parse(), both(Some(7), Some(7)));
    assert_eq!("off".parse(), both(None, None));
}

#[test]
fn wrong_rates_are_named() {
    for text in ["", ":", "1M:", ":1M", "M", "1X", "1.5M", "-1", "1M:2M:3M", "99999999999G"] {
        assert!(text.parse::<Timetable>().unwrap_err().contains("is not a rate"), "{text}");
    }
    assert!("0:1M".parse::<Rates>().unwrap_err().contains("`off`"));
}

#[test]
fn limits_print_as_they_may_be_typed() {
    for text in ["off", "1M:off", "off:512K", "7:1G", "1025:3K"] {
        let rates: Rates = text.parse().unwrap_or_default();
        assert_eq!(rates.to_string(), text);
        assert_eq!(table(text).to_string(), text);
    }
    assert_eq!(table("1024K").to_string(), "1M:1M");
}

#[test]
fn one_limit_holds_always() {
    let always = table("512K:1M");
    assert!(!always.changes());
    for when in ["Mon-00:00", "Sun-23:59"] {
        holds(&always, when, "512K:1M");
    }
}

#[test]
fn an_entry_holds_until_the_next_one_round_the_clock() {
    let table = table("08:00,512K:1M  23:00,off");
    assert!(table.changes());
    assert_eq!(table.to_string(), "08:00,512K:1M 23:00,off");
    for day in ["Mon", "Thu", "Sun"] {
        holds(&table, &format!("{day}-00:00"), "off");
        holds(&table, &format!("{day}-07:59"), "off");
        holds(&table, &format!("{day}-08:00"), "512K:1M");
        holds(&table, &format!("{day}-22:59"), "512K:1M");
        holds(&table, &format!("{day}-23:00"), "off");
    }
}

#[test]
fn a_day_of_its_own_comes_before_every_day() {
    let table = table("sat-08:00,2M 08:00,1M 20:00,off");
    holds(&table, "Fri-09:00", "1M:1M");
    holds(&table, "Sat-09:00", "2M:2M");
    holds(&table, "Sat-21:00", "off");
    holds(&table, "Sun-09:00", "1M:1M");
}

#[test]
fn the_week_goes_round() {
    let table = table("Fri-18:00,off Mon-06:00,100K");
    for (when, expected) in [
        ("Mon-05:59", "off"),
        ("Mon-06:00", "100K:100K"),
        ("Fri-17:59", "100K:100K"),
        ("Sun-12:00", "off"),
    ] {
        holds(&table, when, expected);
    }
}

#[test]
fn wrong_timetables_are_named() {
    for text in ["8:00,1M", "24:00,1M", "08:60,1M", "0800,1M", "Mo-08:00,1M", "08:00,1M off", ","] {
        let error = text.parse::<Timetable>().unwrap_err();
        assert!(error.contains("is not an entry of a timetable"), "{text}: {error}");
    }
    assert!("08:00,1X".parse::<Timetable>().unwrap_err().contains("is not a rate"));
    assert!("08:00,1M 08:00,2M".parse::<Timetable>().unwrap_err().contains("twice"));
    let many = (0..=ENTRIES_MAX).map(|n| format!("{:02}:{:02},1M ", n / 60, n % 60));
    assert!(many.collect::<String>().parse::<Timetable>().unwrap_err().contains("at most"));
}

#[test]
fn now_is_a_minute_of_the_week() {
    let (now, left) = Minute::now();
    assert!(now < Minute(7 * MINUTES_PER_DAY));
    assert!(left <= Duration::from_mins(1) && !left.is_zero());
    assert_eq!(table("1K").at(now), Rates { up: Some(K), down: Some(K) });
}
