//! TLS for calls: 1.2 and 1.3, whoever's certificate it is, as the kubelet's probes have it. A probe asks a server of its own container;
//! what it learns is whether that answers, and it sends nothing that is a secret to it. Without the feature `https` there is none.

#[cfg(feature = "https")]
pub(super) use with::{error, handshake};
#[cfg(not(feature = "https"))]
pub(super) use without::{error, handshake};

#[cfg(not(feature = "https"))]
mod without {
    use std::io;

    use tokio::net::TcpStream;

    use crate::facts::{CallError, TlsError};

    pub(in crate::http) fn error(_: &io::Error) -> Option<TlsError> {
        None
    }

    /// Never called with a configuration that was read: it is refused there.
    pub(in crate::http) async fn handshake(_: &str, _: TcpStream) -> Result<TcpStream, CallError> {
        Err(CallError::NoTls)
    }
}

#[cfg(feature = "https")]
mod with {
    use std::io;
    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::client::{ClientConfig, Resumption};
    use rustls::crypto::ring::{cipher_suite, kx_group};
    use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
    use rustls::sign::SigningKey;
    use rustls::{AlertDescription, DigitallySignedStruct, Error, SignatureScheme};
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    use super::super::client::unconnected;
    use crate::facts::{CallError, RequestPart, TlsError};

    /// The connection with TLS around it. `host`, without brackets, is what the server is asked for, where it is a name.
    pub(in crate::http) async fn handshake(host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, CallError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|e| CallError::Invalid {
            part: RequestPart::TlsName,
            value: host.to_owned(),
            error: e.to_string(),
        })?;
        let config = config().map_err(|e| CallError::TlsSetUp(e.to_string()))?;
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        connected.map_err(|e| CallError::Connection(unconnected(&e)))
    }

    /// Made for each call, in some microseconds: nothing is kept between two attempts, not even a session.
    fn config() -> Result<ClientConfig, Error> {
        let builder =
            ClientConfig::builder_with_provider(Arc::new(provider())).with_safe_default_protocol_versions()?;
        let verifier = Arc::new(Anybody);
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    /// No more than a probe needs: the rest of ring's own provider is 170 kB.
    fn provider() -> CryptoProvider {
        CryptoProvider {
            cipher_suites: vec![
                cipher_suite::TLS13_AES_128_GCM_SHA256,
                cipher_suite::TLS13_AES_256_GCM_SHA384,
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            ],
            kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
            signature_verification_algorithms: WebPkiSupportedAlgorithms { all: &[], mapping: &[] },
            secure_random: &Random,
            key_provider: &NoKeys,
        }
    }

    #[derive(Debug)]
    struct Random;

    impl SecureRandom for Random {
        fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
            use ring::rand::SecureRandom;
            ring::rand::SystemRandom::new().fill(buf).map_err(|_| GetRandomFailed)
        }
    }

    /// softstop has no certificate of its own.
    #[derive(Debug)]
    struct NoKeys;

    impl KeyProvider for NoKeys {
        fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
            Err(Error::General("no client certificates".to_string()))
        }
    }

    #[derive(Debug)]
    struct Anybody;

    impl ServerCertVerifier for Anybody {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        /// All that there are: none is checked, and a server takes the one that it has.
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            use SignatureScheme as S;
            vec![
                S::ECDSA_NISTP256_SHA256,
                S::ECDSA_NISTP384_SHA384,
                S::ECDSA_NISTP521_SHA512,
                S::ED25519,
                S::ED448,
                S::RSA_PSS_SHA256,
                S::RSA_PSS_SHA384,
                S::RSA_PSS_SHA512,
                S::RSA_PKCS1_SHA256,
                S::RSA_PKCS1_SHA384,
                S::RSA_PKCS1_SHA512,
                S::ECDSA_SHA1_Legacy,
                S::RSA_PKCS1_SHA1,
            ]
        }
    }

    /// What is wrong, where it is something of TLS.
    pub(in crate::http) fn error(e: &io::Error) -> Option<TlsError> {
        let tls = e.get_ref().and_then(|inner| inner.downcast_ref::<Error>())?;
        Some(match tls {
            Error::InvalidMessage(_) => TlsError::NotTls,
            Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity) => {
                TlsError::NoCipher
            }
            Error::AlertReceived(AlertDescription::ProtocolVersion) => TlsError::NoVersion,
            Error::AlertReceived(AlertDescription::CertificateRequired) => TlsError::WantsCertificate,
            other => TlsError::Library(other.to_string()),
        })
    }
}
