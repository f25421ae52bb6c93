//! What names a message, which topics pass, and what the door lets in.
//!
//! How messages travel is tested with whole nodes.

use super::*;

fn raw(topic: &str, len: usize) -> RawMessage {
    RawMessage {
        source: None,
        data: vec![1; len],
        sequence_number: None,
        topic: TopicHash::from_raw(topic),
        signature: None,
        key: None,
        validated: false,
    }
}

#[test]
fn the_same_bytes_are_one_message_whoever_sent_them() {
    let message = |topic: &str, data: &[u8], sequence_number| Message {
        source: None,
        data: data.to_vec(),
        sequence_number: Some(sequence_number),
        topic: TopicHash::from_raw(topic),
    };
    let id = message_id(&message("/record/a", b"b", 1));
    assert_eq!(id, message_id(&message("/record/a", b"b", 2)));
    assert_ne!(id, message_id(&message("/record/b", b"b", 1)));
    assert_ne!(id, message_id(&message("/record/a", b"c", 1)));
    assert_ne!(id, message_id(&message("/record/", b"ab", 1)));
}

#[test]
fn only_topics_of_records_pass() {
    let longest = format!("/record/{}", "x".repeat(TOPIC_BYTES_MAX - 8));
    for (topic, passes) in [
        ("/record/L2lwbnMv", true),
        (&longest, true),
        (&format!("{longest}x"), false),
        ("/record/a\0b", false),
        ("record/a", false),
        ("chat", false),
        ("", false),
    ] {
        assert_eq!(RecordTopics.can_subscribe(&TopicHash::from_raw(topic)), passes, "{topic}");
    }
}

#[test]
fn a_greeting_with_all_topics_fits_a_frame() {
    // Each costs two tags, two lengths and a flag beside its name.
    const { assert!(TOPICS_MAX * (TOPIC_BYTES_MAX + 8) <= CONTROL_BYTES_MAX) };
    const { assert!(CONTROL_BYTES_MAX + (16 << 10) <= FRAME_BYTES_MAX) };
    assert!(VERDICT_WAIT < HEARTBEAT * HISTORY as u32);
}

#[test]
fn the_door_lets_in_what_was_subscribed_to_at_its_rate() {
    let door = Door::default();
    assert!(door.inbound_transform(raw("/record/a", 10)).is_err(), "nothing was");
    assert!(door.open("/record/a"));
    assert!(door.inbound_transform(raw("/record/b", 10)).is_err());
    assert!(door.inbound_transform(raw("/record/a", GOSSIP_BYTES_MAX + 1)).is_err());
    let begun = Instant::now();
    let mut passed = 0;
    while door.inbound_transform(raw("/record/a", GOSSIP_BYTES_MAX)).is_ok() {
        passed += 1;
    }
    let rate = f64::from(MESSAGES_PER_SECOND_MAX) * begun.elapsed().as_secs_f64();
    assert!(passed >= MESSAGES_BURST && f64::from(passed) <= f64::from(MESSAGES_BURST) + rate);
}

#[test]
fn the_door_closes() {
    let door = Door::default();
    assert!(door.open("/record/a"));
    assert!(door.inbound_transform(raw("/record/a", 10)).is_ok());
    door.close("/record/a");
    assert!(door.inbound_transform(raw("/record/a", 10)).is_err());
}

#[test]
fn topics_are_bounded() {
    let door = Door::default();
    for n in 0..TOPICS_MAX {
        assert!(door.open(&n.to_string()));
    }
    assert!(!door.open("one more") && door.open("0"));
    door.close("0");
    assert!(door.open("one more"));
}
