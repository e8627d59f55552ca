//! The certificates of one run: Callboard's from its own authority, the rivals' from another, with
//! keys of the same kind (Ed25519). Both sides of every connection show one.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callboard::net::{Authority, Identity, PeerKind};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ED25519};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

/// The name that the rivals' servers are asked for.
pub(crate) const SERVER_NAME: &str = "localhost";

/// Makes the certificates of a run in `directory`.
pub(crate) fn make(directory: &Path) -> Result<(), Box<dyn Error>> {
    let ours = authority(directory)?;
    issue(&ours, directory, "server", PeerKind::Node)?;
    issue(&ours, directory, "client", PeerKind::Client)?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate_for(&PKCS_ED25519)?)?;
    fs::write(directory.join("ca.pem"), authority.pem())?;
    for name in ["server", "client"] {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let params = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
        let certificate = params.signed_by(&key, &authority)?;
        fs::write(directory.join(format!("{name}.pem")), certificate.pem())?;
        secret(&directory.join(format!("{name}.key")), &key.serialize_pem())?;
    }
    Ok(())
}

/// Makes the certificates of the nodes of a cluster in `directory`, for [`ours`]. Returns the identity of a
/// client that may ask how the cluster is.
pub(crate) fn cluster(directory: &Path, nodes: &[String]) -> Result<Identity, Box<dyn Error>> {
    let authority = authority(directory)?;
    for node in nodes {
        issue(&authority, directory, node, PeerKind::Node)?;
    }
    let role = callboard::admin::ROLE.parse()?;
    Ok(authority.issue_with_roles("client".parse()?, PeerKind::Client, [role])?)
}

/// Reads Callboard's identity of this name.
pub(crate) fn ours(directory: &Path, name: &str) -> Result<Identity, Box<dyn Error>> {
    Ok(Identity::from_pem_files(
        directory.join("ours-ca.pem"),
        directory.join(format!("ours-{name}.pem")),
        directory.join(format!("ours-{name}.key")),
    )?)
}

/// The rivals' TLS settings of the side that is dialled: the same as Callboard's, by `alpn`.
pub(crate) fn server(
    directory: &Path,
    alpn: &[u8],
) -> Result<rustls::ServerConfig, Box<dyn Error>> {
    let provider = provider();
    let roots = Arc::new(roots(directory)?);
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(directory, "server")?, key(directory, "server")?)?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The rivals' TLS settings of the side that dials.
pub(crate) fn client(
    directory: &Path,
    alpn: &[u8],
) -> Result<rustls::ClientConfig, Box<dyn Error>> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(directory)?)
        .with_client_auth_cert(chain(directory, "client")?, key(directory, "client")?)?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Ring with AES-128-GCM first, as Callboard has it.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites = vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384];
    Arc::new(provider)
}

/// Callboard's authority of a run. Its key is in memory alone.
fn authority(directory: &Path) -> Result<Authority, Box<dyn Error>> {
    let authority = Authority::throw_away("bench".parse()?)?;
    fs::write(directory.join("ours-ca.pem"), authority.certificate_pem())?;
    Ok(authority)
}

fn issue(
    authority: &Authority,
    directory: &Path,
    name: &str,
    kind: PeerKind,
) -> Result<(), Box<dyn Error>> {
    let issued = authority.issue_pem(name.parse()?, kind)?;
    let certificate = directory.join(format!("ours-{name}.pem"));
    fs::write(certificate, issued.certificate)?;
    secret(&directory.join(format!("ours-{name}.key")), &issued.key)?;
    Ok(())
}

fn roots(directory: &Path) -> Result<RootCertStore, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(directory.join("ca.pem"))?)?;
    Ok(roots)
}

fn chain(directory: &Path, name: &str) -> Result<Vec<CertificateDer<'static>>, Box<dyn Error>> {
    let path: PathBuf = directory.join(format!("{name}.pem"));
    Ok(vec![CertificateDer::from_pem_file(path)?])
}

fn key(directory: &Path, name: &str) -> Result<PrivateKeyDer<'static>, Box<dyn Error>> {
    Ok(PrivateKeyDer::from_pem_file(
        directory.join(format!("{name}.key")),
    )?)
}

/// Writes a file that only its owner can read, from its first byte on.
fn secret(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}
