//! Makes certificates: for tests, for development, for examples in one process.
//!
//! Production brings its own certificates; see [`Identity::from_pem_files`]. This module does not
//! check certificates. It is the only one that names rcgen. It may depend on `env` for files.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callboard_protocol::code::Code;
use callboard_protocol::id::{ClusterName, NodeName, RoleName};
use callboard_protocol::wire::hello::{CertifiedPeer, PeerKind};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::StartError;
use super::identity::{self, Identity, invalid};
use crate::env::{Env, Files};

/// A certificate authority that lives in this process, and issues identities for one cluster.
///
/// Its certificates are valid from 1970 to 4096, so that they do not depend on a set clock; that
/// and the key in memory make it unfit for production.
pub struct Authority {
    cluster: ClusterName,
    key: KeyPair,
    certificate: CertificateDer<'static>,
    /// The folder that it is kept in, if it is the development authority.
    development: Option<Arc<Path>>,
}

/// An issued certificate and its key, as PEM texts.
///
/// The key is a secret: keep it in a file that only its owner can read.
#[non_exhaustive]
pub struct IssuedPem {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// Makes an authority that is known to nobody else and ends with this value.
    ///
    /// # Errors
    /// [`Code::CertificateInvalid`] if the system gives no random bytes.
    pub fn throw_away(cluster: ClusterName) -> Result<Self, StartError> {
        let key = new_key()?;
        Self::sign_itself(cluster, key, None)
    }

    /// Opens this user's development authority, and makes it on first use.
    ///
    /// It is kept in `$XDG_STATE_HOME/callboard/dev` (or `~/.local/state/callboard/dev`), which
    /// only its owner can read, and is made once under a lock, so that processes started at the
    /// same time trust each other. Its cluster is `dev`. Blocks.
    ///
    /// # Errors
    /// - [`Code::Io`] if there is no home folder, or the file cannot be made or read.
    /// - [`Code::KeyReadable`] if others can read it.
    /// - [`Code::CertificateInvalid`] if the file does not hold an authority; removing it makes
    ///   a new one.
    pub fn development(env: &Env) -> Result<Self, StartError> {
        let variable = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        let state = variable("XDG_STATE_HOME")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".local/state")))
            .ok_or_else(|| {
                StartError::new(Code::Io, "development authority")
                    .with_detail("neither XDG_STATE_HOME nor HOME is set")
                    .with_advice("set one of them to a folder that this user may write to")
            })?;
        Self::development_in(&*env.files, &state.join("callboard/dev"))
    }

    pub(super) fn development_in(files: &dyn Files, folder: &Path) -> Result<Self, StartError> {
        let path = folder.join("authority.pem");
        let failed = |error: io::Error| {
            StartError::new(Code::Io, format!("file {}", path.display()))
                .with_detail(error.to_string())
        };
        files.create_dir_all(folder).map_err(failed)?;
        let _lock = files.lock(&folder.join("lock")).map_err(failed)?;
        if !files.exists(&path).map_err(failed)? {
            make_file(files, folder, &path).map_err(failed)?;
        }
        identity::check_key_mode(files, &path)?;
        let pem = files.read(&path, FILE_BYTES_MAX).map_err(failed)?;
        Self::of_development_key(&pem, folder).map_err(|why| {
            StartError::new(Code::CertificateInvalid, format!("file {}", path.display()))
                .with_detail(format!("the development authority is damaged: {why}"))
                .with_advice(format!(
                    "delete the folder {} and start again: a new one is made",
                    folder.display()
                ))
        })
    }

    /// Returns the development authority of a folder, whose key the PEM text holds, or why it holds none.
    pub(super) fn of_development_key(pem: &[u8], folder: &Path) -> Result<Self, String> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
        let key = KeyPair::from_der_and_sign_algo(&der, &rcgen::PKCS_ED25519)
            .map_err(|error| error.to_string())?;
        let cluster = ClusterName::new(DEVELOPMENT_CLUSTER).map_err(|error| error.to_string())?;
        Self::sign_itself(cluster, key, Some(folder.into()))
            .map_err(|error| error.detail().to_owned())
    }

    /// The certificate follows from the key, so the key alone has to be kept: an Ed25519
    /// signature has no random part (RFC 8032, section 5.1.6).
    fn sign_itself(
        cluster: ClusterName,
        key: KeyPair,
        development: Option<Arc<Path>>,
    ) -> Result<Self, StartError> {
        let signed = authority_params(&key).self_signed(&key);
        let certificate = signed.map_err(|error| invalid("authority", error.to_string()))?;
        Ok(Self {
            cluster,
            key,
            certificate: certificate.into(),
            development,
        })
    }

    /// Issues an identity with a new key. Blocks for the fraction of a millisecond that takes.
    ///
    /// # Errors
    /// [`Code::CertificateInvalid`] if the system gives no random bytes.
    pub fn issue(&self, name: NodeName, kind: PeerKind) -> Result<Identity, StartError> {
        self.issue_with_roles(name, kind, [])
    }

    /// Issues an identity that has roles; else like [`issue`](Self::issue).
    ///
    /// # Errors
    /// [`Code::CertificateInvalid`] if the system gives no random bytes, or for more than 64 roles.
    pub fn issue_with_roles(
        &self,
        name: NodeName,
        kind: PeerKind,
        roles: impl IntoIterator<Item = RoleName>,
    ) -> Result<Identity, StartError> {
        // Derived from the authority's key and not from the new one, so that a node that starts
        // again under its name can still reset its old connections.
        let purpose = format!("stateless reset of {name}");
        let reset_secret = identity::derive(self.key.serialized_der(), purpose.as_bytes());
        let (certificate, key) = self.sign(name, kind, &mut roles.into_iter())?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let authorities = vec![self.certificate.clone()];
        Identity::new(
            vec![certificate.into()],
            key,
            authorities,
            reset_secret,
            self.development.clone(),
        )
    }

    /// Issues an identity with a new key as PEM texts, to be read by another process.
    ///
    /// # Errors
    /// [`Code::CertificateInvalid`] if the system gives no random bytes.
    pub fn issue_pem(&self, name: NodeName, kind: PeerKind) -> Result<IssuedPem, StartError> {
        self.issue_pem_with_roles(name, kind, [])
    }

    /// Issues an identity that has roles as PEM texts; else like [`issue_pem`](Self::issue_pem).
    ///
    /// # Errors
    /// [`Code::CertificateInvalid`] if the system gives no random bytes.
    pub fn issue_pem_with_roles(
        &self,
        name: NodeName,
        kind: PeerKind,
        roles: impl IntoIterator<Item = RoleName>,
    ) -> Result<IssuedPem, StartError> {
        let (certificate, key) = self.sign(name, kind, &mut roles.into_iter())?;
        Ok(IssuedPem {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Returns the cluster whose identities it issues.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// Returns the authority's certificate, which is no secret, as a PEM text.
    ///
    /// # Panics
    /// Never: the key signed the same certificate before.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        let signed = authority_params(&self.key).self_signed(&self.key);
        signed
            .expect("the key has signed this certificate before")
            .pem()
    }

    /// The same authority, issuing for another cluster.
    #[cfg(test)]
    pub(super) fn for_cluster(&self, cluster: &str) -> Self {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let key = KeyPair::from_der_and_sign_algo(&key, &rcgen::PKCS_ED25519).expect("its key");
        let cluster = ClusterName::new(cluster).expect("a cluster name");
        Self::sign_itself(cluster, key, None).expect("it signed itself before")
    }

    fn sign(
        &self,
        name: NodeName,
        kind: PeerKind,
        roles: &mut dyn Iterator<Item = RoleName>,
    ) -> Result<(rcgen::Certificate, KeyPair), StartError> {
        let failed = |error: rcgen::Error| invalid("certificate", error.to_string());
        let subject = CertifiedPeer {
            cluster: self.cluster.clone(),
            kind,
            name,
        };
        let mut params = params(&format!("{} of {}", subject.name, self.cluster));
        let uri = identity::uri(&subject).try_into().map_err(failed)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        for role in roles {
            let uri = identity::role_uri(&self.cluster, &role).try_into();
            params
                .subject_alt_names
                .push(SanType::URI(uri.map_err(failed)?));
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        // A client's certificate cannot answer on a node's port, already by TLS's own rules.
        if kind == PeerKind::Node {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let key = new_key()?;
        let issuer = Issuer::new(authority_params(&self.key), &self.key);
        Ok((params.signed_by(&key, &issuer).map_err(failed)?, key))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for IssuedPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedPem").finish_non_exhaustive()
    }
}

/// Writes aside and renames: a reader sees no file or a whole one, after a crash too.
fn make_file(files: &dyn Files, folder: &Path, path: &Path) -> io::Result<()> {
    let key = new_key().map_err(io::Error::other)?;
    let aside = folder.join("authority.pem.new");
    if files.exists(&aside)? {
        files.remove(&aside)?;
    }
    files.write_new(&aside, key.serialize_pem().as_bytes())?;
    files.rename(&aside, path)?;
    files.sync_dir(folder)
}

fn new_key() -> Result<KeyPair, StartError> {
    KeyPair::generate_for(&rcgen::PKCS_ED25519)
        .map_err(|error| invalid("private key", error.to_string()))
}

/// The name has a part of the key, so that a foreign authority is found to be unknown and not to
/// sign badly.
fn authority_params(key: &KeyPair) -> CertificateParams {
    let [a, b, c, d, ..] = identity::derive(key.public_key_raw(), b"authority name");
    let mut params = params(&format!("Callboard authority {a:02x}{b:02x}{c:02x}{d:02x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn params(common_name: &str) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(4096, 1, 1);
    params
}

const DEVELOPMENT_CLUSTER: &str = "dev";
const FILE_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_development_authority_is_made_once() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let folder = dir.path().join("callboard/dev");
        let files = Env::real().files;
        let made = Authority::development_in(&*files, &folder).expect("make");
        let found = Authority::development_in(&*files, &folder).expect("open");
        assert_eq!(made.certificate, found.certificate);
        assert_eq!(made.certificate_pem(), found.certificate_pem());
        let bits = files
            .permission_bits(&folder.join("authority.pem"))
            .expect("bits");
        assert_eq!(bits, Some(0o600));
        let name = NodeName::new("n1").expect("a name");
        let identity = found.issue(name, PeerKind::Node).expect("issue");
        assert_eq!(identity.development(), Some(&*folder));
        assert_eq!(identity.cluster().as_str(), "dev");
    }

    #[test]
    fn an_unfinished_development_authority_is_made_anew() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let files = Env::real().files;
        let torn = dir.path().join("authority.pem.new");
        files.write_new(&torn, b"-----BEGIN").expect("write");
        Authority::development_in(&*files, dir.path()).expect("make");
        assert!(!files.exists(&torn).expect("look"));
    }

    #[test]
    fn a_damaged_development_authority_says_what_to_delete() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let folder = dir.path().join("callboard/dev");
        let files = Env::real().files;
        files.create_dir_all(&folder).expect("made");
        files
            .write_new(&folder.join("authority.pem"), b"-----BEGIN")
            .expect("write");
        let error = Authority::development_in(&*files, &folder).expect_err("damaged");
        assert_eq!(error.code(), Code::CertificateInvalid);
        let folder = folder.display();
        assert_eq!(error.subject(), format!("file {folder}/authority.pem"));
        let delete = format!("delete the folder {folder} and start again");
        assert!(error.advice().starts_with(&delete), "{error}");
    }

    #[test]
    fn a_name_keeps_its_reset_secret_and_no_other_name_has_it() {
        let cluster = ClusterName::new("shop").expect("a name");
        let authority = Authority::throw_away(cluster).expect("an authority");
        let issue = |name: &str| {
            let name = NodeName::new(name).expect("a name");
            authority.issue(name, PeerKind::Node).expect("issue")
        };
        assert_eq!(issue("n1").reset_secret(), issue("n1").reset_secret());
        assert_ne!(issue("n1").reset_secret(), issue("n2").reset_secret());
    }
}
