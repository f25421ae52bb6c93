//! Tests of keys: the vectors of RFC 8032, and keys that may not be introduced.
//!
//! The vectors are those of RFC 8032, section 7.1, all but the one with a message of 1023 bytes; each
//! signature is tried with flipped bits too.

use super::*;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    assert_eq!(text.len(), 2 * N);
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

#[track_caller]
fn check(seed: &str, public: &str, message: &[u8], signature: &str) {
    let key = SecretKey::from_seed(&hex(seed));
    assert_eq!(key.public().to_string(), public);
    let signed = key.sign(&[message]);
    assert_eq!(signed, hex::<64>(signature));
    assert!(key.public().verifies(&[message], &signed));
    assert!(key.public().is_sound());
    for bit in [0, 255, 256, 511] {
        let mut changed = signed;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!key.public().verifies(&[message], &changed), "bit {bit}");
    }
    assert!(!key.public().verifies(&[message, b"x"], &signed));
}

#[test]
fn rfc_8032_section_7_1() {
    check(
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        b"",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    );
    check(
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        b"\x72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    );
    check(
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        b"\xaf\x82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    );
    // The message is the SHA-512 of "abc".
    let message = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    check(
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        &hex::<64>(message),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    );
}

#[test]
fn keys_of_small_order_and_odd_spellings_are_not_sound() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut above_field = [0xff; 32];
    above_field[0] = 0xed + 3; // y = p + 3 spells y = 3 a second time
    above_field[31] = 0x7f;
    for bytes in [[0; 32], identity, above_field] {
        assert!(!PublicKey::from_bytes(bytes).is_sound(), "{bytes:?}");
    }
    let not_a_point = (2..=u8::MAX).map(|y| {
        let mut bytes = [0; 32];
        bytes[0] = y;
        PublicKey::from_bytes(bytes)
    });
    assert!(not_a_point.filter(|key| !key.is_sound()).count() > 50, "half of all y are no point");
}

#[test]
fn a_small_order_key_verifies_nothing() {
    // With the identity as key and as commitment, a lax rule takes any message.
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    assert!(!PublicKey::from_bytes(identity).verifies(&[b"anything"], &signature));
}

#[test]
fn secrets_are_not_printed() {
    let key = SecretKey::from_seed(&[7; 32]);
    assert!(format!("{key:?}").starts_with("SecretKey(of PublicKey("));
    assert!(!format!("{key:?}").contains("0707"));
}
