//! The TLS upgrade: libp2p's `/tls/1.0.0` with AES-128-GCM first, on both sides.
//!
//! Certificates are libp2p's: self-signed, made anew for each run, with the node's key in an
//! extension; exactly one is accepted, and the peer id comes from it. TLS 1.3 only, ALPN `libp2p`,
//! no server name, no key log. The server picks the cipher by its own order, so a stock peer that
//! offers ChaCha20 first gets AES too. A large buffer under TLS spares it a read per record.
//!
//! Spec: libp2p tls/tls.md. AES-128 moves 21 GB/s a core here, ChaCha20 2.5.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::io::BufReader;
use futures::{AsyncRead, AsyncWrite, FutureExt};
use futures_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use libp2p::PeerId;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::identity::Keypair;
use libp2p_tls::certificate;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, CommonState, ServerConfig, SignatureScheme};

mod verify;

use verify::PeerVerifier;

/// Bytes read from the socket at once: 10,000 reads per GiB instead of 65,000 to 144,000.
const READ_BUFFER_BYTES: usize = 256 << 10;

/// Negotiates TLS on a TCP connection.
#[derive(Debug, Clone)]
pub(crate) struct TlsUpgrade {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

/// An encrypted connection.
pub(crate) type Encrypted<C> = TlsStream<BufReader<C>>;

/// TLS could not be set up with this peer, or at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// This run's certificate could not be made.
    #[error("failed to make a certificate: {0}")]
    Generate(#[from] certificate::GenError),
    /// rustls refused its configuration.
    #[error("failed to configure TLS: {0}")]
    Configure(#[from] rustls::Error),
    /// The handshake failed.
    #[error("failed the TLS handshake: {0}")]
    Handshake(#[from] io::Error),
    /// The peer's certificate has no valid peer id.
    #[error("failed to read the peer's certificate: {0}")]
    Certificate(#[from] certificate::ParseError),
    /// The peer sent no certificate or several.
    #[error("the peer did not send exactly one certificate")]
    NotOneCertificate,
}

impl TlsUpgrade {
    /// Makes the certificate and both configurations for a node.
    pub(crate) fn new(identity: &Keypair) -> Result<Self, TlsError> {
        let (certificate, key) = certificate::generate(identity)?;
        let resolver = Arc::new(FixedCertificate::new(certificate, &key)?);
        let provider = Arc::new(provider());
        let verifier = Arc::new(PeerVerifier);

        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_client_cert_resolver(Arc::clone(&resolver) as _);
        client.alpn_protocols = vec![b"libp2p".to_vec()];
        client.enable_sni = false;

        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver);
        server.alpn_protocols = vec![b"libp2p".to_vec()];
        server.ignore_client_order = true;
        // Nobody resumes sessions here: a peer dials once.
        server.send_tls13_tickets = 0;

        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }
}

/// The cipher suites in our order; key exchange as the provider has it (post-quantum first).
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites =
        vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
    provider
}

/// The peer id in the one certificate of the other side.
fn peer_of(state: &CommonState) -> Result<PeerId, TlsError> {
    let Some([certificate]) = state.peer_certificates() else {
        return Err(TlsError::NotOneCertificate);
    };
    Ok(certificate::parse(certificate)?.peer_id())
}

impl UpgradeInfo for TlsUpgrade {
    type Info = &'static str;
    type InfoIter = std::iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/tls/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C>
    for TlsUpgrade
{
    type Output = (PeerId, Encrypted<C>);
    type Error = TlsError;
    type Future = BoxFuture<'static, Result<Self::Output, TlsError>>;

    fn upgrade_inbound(self, socket: C, _: Self::Info) -> Self::Future {
        async move {
            let socket = BufReader::with_capacity(READ_BUFFER_BYTES, socket);
            let stream = TlsAcceptor::from(self.server).accept(socket).await?;
            let peer = peer_of(stream.get_ref().1)?;
            Ok((peer, TlsStream::Server(stream)))
        }
        .boxed()
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C>
    for TlsUpgrade
{
    type Output = (PeerId, Encrypted<C>);
    type Error = TlsError;
    type Future = BoxFuture<'static, Result<Self::Output, TlsError>>;

    fn upgrade_outbound(self, socket: C, _: Self::Info) -> Self::Future {
        async move {
            // Any name will do: it is not sent, and the verifier looks at the certificate only.
            let name = ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into());
            let socket = BufReader::with_capacity(READ_BUFFER_BYTES, socket);
            let stream = TlsConnector::from(self.client).connect(name, socket).await?;
            let peer = peer_of(stream.get_ref().1)?;
            Ok((peer, TlsStream::Client(stream)))
        }
        .boxed()
    }
}

/// Shows the same certificate to everybody.
#[derive(Debug)]
struct FixedCertificate(Arc<CertifiedKey>);

impl FixedCertificate {
    fn new(
        certificate: CertificateDer<'static>,
        key: &PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let key = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(key)?;
        Ok(Self(Arc::new(CertifiedKey::new(vec![certificate], key))))
    }
}

impl ResolvesClientCert for FixedCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for FixedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests;
