//! Tests of the handshake by itself, and of the certificate rules against the spec's vectors.
//!
//! Over a pipe, so that the cipher that was agreed on can be seen: AES-128-GCM between two of ours
//! and with a stock peer on either side. The vectors are libp2p's (tls/tls.md), read where they
//! are present.

use std::fs;

use futures::executor::block_on;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use libp2p_tls::Config as Stock;
use rustls::CipherSuite;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::*;

type Pipe = Compat<tokio::io::DuplexStream>;

fn pipes() -> (Pipe, Pipe) {
    let (a, b) = tokio::io::duplex(1 << 16);
    (a.compat(), b.compat())
}

fn suite_of<C>(stream: &TlsStream<C>) -> CipherSuite {
    stream.get_ref().1.negotiated_cipher_suite().expect("the handshake is done").suite()
}

#[test]
fn two_of_ours_agree_on_aes_128_and_know_each_other() {
    let (client, server) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let (a, b) = pipes();
    let dialed = TlsUpgrade::new(&client).unwrap().upgrade_outbound(a, "/tls/1.0.0");
    let accepted = TlsUpgrade::new(&server).unwrap().upgrade_inbound(b, "/tls/1.0.0");
    block_on(async {
        let (dialed, accepted) = futures::join!(dialed, accepted);
        let (mut dialed, mut accepted) = (dialed.unwrap(), accepted.unwrap());
        assert_eq!(dialed.0, server.public().to_peer_id());
        assert_eq!(accepted.0, client.public().to_peer_id());
        assert_eq!(suite_of(&dialed.1), CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(suite_of(&accepted.1), CipherSuite::TLS13_AES_128_GCM_SHA256);
        dialed.1.write_all(b"hello").await.unwrap();
        dialed.1.flush().await.unwrap();
        let mut got = [0; 5];
        accepted.1.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
    });
}

#[test]
fn a_stock_peer_gets_aes_128_in_both_directions() {
    let (ours, stock) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let upgrade = TlsUpgrade::new(&ours).unwrap();
    let stock = Stock::new(&stock).unwrap();
    block_on(async {
        let (a, b) = pipes();
        let dialed = upgrade.clone().upgrade_outbound(a, "/tls/1.0.0");
        let accepted = stock.clone().upgrade_inbound(b, "/tls/1.0.0");
        let (dialed, accepted) = futures::join!(dialed, accepted);
        assert!(accepted.is_ok());
        assert_eq!(suite_of(&dialed.unwrap().1), CipherSuite::TLS13_AES_128_GCM_SHA256);
        let (a, b) = pipes();
        let dialed = stock.upgrade_outbound(a, "/tls/1.0.0");
        let accepted = upgrade.upgrade_inbound(b, "/tls/1.0.0");
        let (dialed, accepted) = futures::join!(dialed, accepted);
        assert!(dialed.is_ok());
        assert_eq!(suite_of(&accepted.unwrap().1), CipherSuite::TLS13_AES_128_GCM_SHA256);
    });
}

#[test]
fn garbage_instead_of_a_handshake_is_an_error() {
    let upgrade = TlsUpgrade::new(&Keypair::generate_ed25519()).unwrap();
    let (mut a, b) = pipes();
    block_on(async {
        a.write_all(&[0x55; 4096]).await.unwrap();
        let result = upgrade.upgrade_inbound(b, "/tls/1.0.0").await;
        assert!(matches!(result, Err(TlsError::Handshake(_))));
    });
}

fn bytes_of_hex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

#[test]
fn the_certificates_of_the_spec_are_judged_as_it_says() {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/libp2p/peer-id-and-tls.json");
    let Ok(text) = fs::read_to_string(path) else {
        println!("skipped: no vectors at {path}");
        return;
    };
    let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
    let certificates = vectors["tls_certificates"].as_array().unwrap();
    assert_eq!(certificates.len(), 4);
    for vector in certificates {
        let name = vector["name"].as_str().unwrap();
        let der = CertificateDer::from(bytes_of_hex(vector["cert_hex"].as_str().unwrap()));
        let judged = certificate::parse(&der);
        assert_eq!(judged.is_ok(), name.starts_with("Valid"), "{name}");
        let expected = vector["peer_id"].as_str();
        if let (Ok(certificate), Some(expected)) = (judged, expected) {
            assert_eq!(certificate.peer_id().to_string(), expected, "{name}");
        }
    }
}
