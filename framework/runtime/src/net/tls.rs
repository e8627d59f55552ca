//! The TLS settings of both sides of a connection: TLS 1.3 only, certificates on both sides.
//!
//! TLS checks that a certificate is valid now and issued by the authority. Whose it is (cluster,
//! node or client, name) is checked after the handshake, by `handshake`, because a refusal there
//! can say why, while a TLS alert is one byte. There is no resumption and no 0-RTT: each
//! connection proves both certificates anew, and no byte can be replayed.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use callboard_protocol::code::Code;
use callboard_protocol::wire::hello::PeerKind;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::StartError;
use super::identity::{Identity, invalid};
use crate::env::Clock;

/// The application protocol with its major version. Nodes of two majors do not talk.
pub(crate) const ALPN: &[u8] = b"callboard/1";

/// Returns the settings of the side that dials.
///
/// # Errors
/// [`Code::CertificateInvalid`], also for a
/// certificate that no peer would take.
pub(super) fn client(
    identity: &Identity,
    clock: &Arc<dyn Clock>,
) -> Result<QuicClientConfig, StartError> {
    let provider = provider();
    check_own(identity, &provider, clock)?;
    let verifier = NodeVerifier {
        roots: identity.roots(),
        provider: Arc::clone(&provider),
    };
    let mut config = rustls::ClientConfig::builder_with_details(provider, time(clock))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| invalid("TLS settings", error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(identity.chain(), identity.key())
        .map_err(|error| unfit(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    QuicClientConfig::try_from(config).map_err(|error| invalid("TLS settings", error.to_string()))
}

/// Returns the settings of the side that is dialled.
pub(super) fn server(
    identity: &Identity,
    clock: &Arc<dyn Clock>,
) -> Result<QuicServerConfig, StartError> {
    let provider = provider();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(identity.roots(), Arc::clone(&provider))
            .build()
            .map_err(|error| invalid("authority", error.to_string()))?;
    let mut config = rustls::ServerConfig::builder_with_details(provider, time(clock))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| invalid("TLS settings", error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain(), identity.key())
        .map_err(|error| unfit(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    QuicServerConfig::try_from(config).map_err(|error| invalid("TLS settings", error.to_string()))
}

/// Checks the own certificate as its peers will, so that the one who can replace it is told, and not
/// they. One that the authority given with it has not issued is refused too: most often two files were taken for each
/// other. While an authority is replaced, both are given, so that is no hindrance to it.
fn check_own(
    identity: &Identity,
    provider: &Arc<CryptoProvider>,
    clock: &Arc<dyn Clock>,
) -> Result<(), StartError> {
    let Some(now) = WallTime(Arc::clone(clock)).current_time() else {
        return Ok(());
    };
    let chain = identity.chain();
    let Some((leaf, above)) = chain.split_first() else {
        return Ok(());
    };
    let dials = WebPkiClientVerifier::builder_with_provider(identity.roots(), Arc::clone(provider))
        .build()
        .map_err(|error| invalid("authority", error.to_string()))?;
    let answers = NodeVerifier {
        roots: identity.roots(),
        provider: Arc::clone(provider),
    };
    let checked = dials.verify_client_cert(leaf, above, now).map(|_| ());
    let checked = checked.and_then(|()| match identity.kind() {
        PeerKind::Node => answers.verify(leaf, above, now),
        _ => Ok(()),
    });
    match checked {
        Ok(()) => Ok(()),
        Err(Error::InvalidCertificate(error)) => Err(own_error(identity, &error)),
        Err(error) => Err(invalid("certificate", error.to_string())),
    }
}

/// Says why a certificate and a key do not make an identity.
fn unfit(error: &Error) -> StartError {
    match error {
        Error::InconsistentKeys(_) => invalid("private key", "it is not that of the certificate"),
        error => invalid("certificate", error.to_string()),
    }
}

/// Says what is wrong with the own certificate.
fn own_error(identity: &Identity, error: &CertificateError) -> StartError {
    let subject = format!("certificate of {}", identity.name());
    let refused = |detail: String, advice: &'static str| {
        let error = StartError::new(Code::CertificateInvalid, subject);
        error.with_detail(detail).with_advice(advice)
    };
    match error {
        CertificateError::ExpiredContext { time, not_after } => {
            let ago = span(time.as_secs().saturating_sub(not_after.as_secs()));
            refused(
                format!("it expired {ago} ago by the clock of this machine"),
                "replace it by a new one, or set the clock",
            )
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let left = span(not_before.as_secs().saturating_sub(time.as_secs()));
            refused(
                format!("it is valid only in {left} by the clock of this machine"),
                "set the clock, or wait",
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            refused(
                format!("it may not be used for this: {error}"),
                "issue it with the extended key usages clientAuth and, for a node, serverAuth",
            )
        }
        error => refused(
            format!("the authority that was given with it did not issue it ({error})"),
            "give the authority's file first, then the certificate and its key; while an authority is replaced, give one \
             file that holds the old one and the new one",
        ),
    }
}

/// Returns a number of seconds as a reader takes it in.
fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "seconds"),
        120..7_200 => (seconds / 60, "minutes"),
        7_200..172_800 => (seconds / 3_600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}

/// Ring, passed explicitly everywhere, with the cheapest suite on machines with AES first.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = vec![
        TLS13_AES_128_GCM_SHA256,
        TLS13_AES_256_GCM_SHA384,
        TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(provider)
}

fn time(clock: &Arc<dyn Clock>) -> Arc<dyn TimeProvider> {
    Arc::new(WallTime(Arc::clone(clock)))
}

#[derive(Debug)]
struct WallTime(Arc<dyn Clock>);

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        self.0
            .wall()
            .duration_since(UNIX_EPOCH)
            .ok()
            .map(UnixTime::since_unix_epoch)
    }
}

/// Checks that the dialled side's certificate is issued by the authority. It does not look at
/// the server name: nodes are known by their URI name, not by where they are.
#[derive(Debug)]
struct NodeVerifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl NodeVerifier {
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )
    }
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use callboard_protocol::id::{ClusterName, NodeName};
    use std::time::Duration;

    use super::*;
    use crate::net::Authority;

    #[test]
    fn what_is_wrong_with_the_own_certificate_is_told_with_what_to_do() {
        let cluster = ClusterName::new("shop").expect("a name");
        let authority = Authority::throw_away(cluster).expect("an authority");
        let name = NodeName::new("n1").expect("a name");
        let identity = authority.issue(name, PeerKind::Node).expect("issued");
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let told = |error: CertificateError| own_error(&identity, &error);
        let expired = told(CertificateError::ExpiredContext {
            time: at(9 * 86_400),
            not_after: at(86_400),
        });
        assert_eq!(
            expired.detail(),
            "it expired 8 days ago by the clock of this machine"
        );
        let early = told(CertificateError::NotValidYetContext {
            time: at(0),
            not_before: at(3 * 3_600),
        });
        assert_eq!(
            early.detail(),
            "it is valid only in 3 hours by the clock of this machine"
        );
        assert_eq!(early.advice(), "set the clock, or wait");
        let purpose = told(CertificateError::InvalidPurpose);
        assert!(purpose.advice().contains("clientAuth"), "{purpose}");
        let foreign = told(CertificateError::UnknownIssuer);
        assert!(foreign.detail().contains("did not issue it"), "{foreign}");
        assert!(
            foreign
                .advice()
                .starts_with("give the authority's file first"),
            "{foreign}"
        );
    }
}
