//! The window over the life of a connection.
//!
//! Each test delivers leaves along a made-up path and looks at the room that is left; times are
//! those of the rule book, figures are bounds, not exact values.

use super::*;

const LEAF: u32 = 65_536;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn one_leaf_until_proven() {
    let mut pipe = Pipe::new(ms(0));
    assert!(pipe.room(0, ms(0)) > 0.0);
    pipe.begin(ms(0));
    assert!(pipe.room(1, ms(0)) <= 0.0);
    pipe.delivered(LEAF, ms(40), ms(40));
    assert!(pipe.room(u64::from(LEAF), ms(40)) >= f64::from(LEAF));
    assert!(pipe.room(3 * u64::from(LEAF), ms(40)) <= 0.0);
}

#[test]
fn a_fast_path_starts_with_a_mebibyte() {
    let mut pipe = Pipe::new(ms(0));
    pipe.begin(ms(0));
    pipe.delivered(LEAF, ms(1), ms(1));
    assert!(pipe.room(0, ms(1)) >= FAST_WINDOW);
    assert!(pipe.room(0, ms(1)) <= 2.0 * FAST_WINDOW);
}

#[test]
fn a_long_fast_path_grows_to_twice_its_product() {
    // 100 ms, 125 MB/s: a leaf comes 100 ms after it was asked for, or behind the one before it.
    let (mut pipe, mut now, latency) = (Pipe::new(ms(0)), ms(0), ms(100));
    let spacing = Duration::from_secs_f64(f64::from(LEAF) / 125e6);
    let mut flying = std::collections::VecDeque::new();
    pipe.begin(now);
    let mut last = now;
    while now < ms(5_000) {
        let mut room = pipe.room(flying.len() as u64 * u64::from(LEAF), now);
        while room > 0.0 {
            last = (now + latency).max(last + spacing);
            flying.push_back((now, last));
            room -= f64::from(LEAF);
        }
        let (asked, comes) = flying.pop_front().unwrap();
        now = comes;
        pipe.delivered(LEAF, now.checked_sub(asked).unwrap(), now);
    }
    let room = pipe.room(0, now);
    assert!((20e6..34e6).contains(&room), "{room}");
}

#[test]
fn a_slow_path_settles_near_the_slack() {
    let (mut pipe, mut now) = (Pipe::new(ms(0)), ms(0));
    pipe.begin(now);
    for _ in 0..200 {
        now += ms(100);
        pipe.delivered(LEAF, ms(100), now);
    }
    let room = pipe.room(0, now);
    assert!((PIPE_SLACK..PIPE_SLACK * 2.0).contains(&room), "{room}");
}

#[test]
fn silence_expires_and_the_peer_rests_longer_each_time() {
    let mut pipe = Pipe::new(ms(0));
    pipe.begin(ms(0));
    assert!(!pipe.expired(EXPIRY_UNPROVEN.checked_sub(ms(1)).unwrap()));
    assert!(pipe.expired(EXPIRY_UNPROVEN));
    pipe.expire(ms(10_000));
    assert!(pipe.resting(ms(13_999)) && !pipe.resting(ms(14_000)));
    pipe.expire(ms(20_000));
    assert!(pipe.resting(ms(27_999)) && !pipe.resting(ms(28_000)));
}
