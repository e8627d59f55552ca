//! Who a node or a client is: a certificate, its key, and the authority it trusts.
//!
//! The identity is the certificate's URI name, `spiffe://<cluster>/<node|client>/<name>`; further
//! URI names, `spiffe://<cluster>/role/<role>`, are its roles. This
//! module reads identities and the names in certificates; making them is
//! [`Authority`](super::Authority)'s work, and checking a chain is `tls`'s. It may depend on
//! `env` for files.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use callboard_protocol::code::Code;
use callboard_protocol::id::{ClusterName, NodeName, RoleName};
use callboard_protocol::rights::Roles;
use callboard_protocol::wire::hello::{CertifiedPeer, PeerKind};
use ring::hmac;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::StartError;
use super::deny::Fingerprint;
use crate::env::{Env, Files};

/// The certificate of a node or a client with its key, and the authority it trusts.
///
/// A clone is cheap and shares the key. The key is never shown.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    subject: Certified,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
    reset_secret: [u8; 32],
    /// The folder of the development authority, if that issued it.
    development: Option<Arc<Path>>,
}

/// What a certificate says of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certified {
    pub(super) peer: CertifiedPeer,
    pub(super) roles: Roles,
    pub(super) certificate: Fingerprint,
}

impl Identity {
    /// Reads an identity from three PEM files: the authority's certificates, the own certificate
    /// with its intermediates, and the own private key.
    ///
    /// It reads from the real file system and blocks; use [`from_pem`](Self::from_pem) for
    /// anything else.
    ///
    /// # Errors
    /// - [`Code::KeyReadable`] if others than the owner may read the key file.
    /// - [`Code::Io`] if a file cannot be read.
    /// - [`Code::CertificateInvalid`] if a file, which it names, does not hold what it should, or the certificate
    ///   has no name of the form `spiffe://<cluster>/<node|client>/<name>`.
    pub fn from_pem_files(
        authority: impl AsRef<Path>,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, StartError> {
        let files = Env::real().files;
        let paths = [authority.as_ref(), certificate.as_ref(), key.as_ref()];
        let [authority, certificate, key] = paths.map(|path| format!("file {}", path.display()));
        let key_text = read(&*files, paths[2])?;
        let found = private_key(&key_text, &key);
        // What is no key at all, as where two files were taken for each other, may be read by all.
        if found.is_ok() || first_section(&key_text) != Some(SectionKind::Certificate) {
            check_key_mode(&*files, paths[2])?;
        }
        let found = found?;
        let roots = certificates(&read(&*files, paths[0])?, AUTHORITY, &authority)?;
        let chain = certificates(&read(&*files, paths[1])?, CERTIFICATE, &certificate)?;
        Self::of_texts(roots, chain, found, [&authority, &certificate, &key])
    }

    /// Reads an identity from the contents of three PEM files; see
    /// [`from_pem_files`](Self::from_pem_files).
    ///
    /// # Errors
    /// [`Code::CertificateInvalid`] if a text does not hold what it should, or the certificate has
    /// no name of the form `spiffe://<cluster>/<node|client>/<name>`.
    pub fn from_pem(authority: &[u8], certificate: &[u8], key: &[u8]) -> Result<Self, StartError> {
        let roots = certificates(authority, AUTHORITY, AUTHORITY)?;
        let chain = certificates(certificate, CERTIFICATE, CERTIFICATE)?;
        let key = private_key(key, KEY)?;
        Self::of_texts(roots, chain, key, [AUTHORITY, CERTIFICATE, KEY])
    }

    /// Joins what was read from texts, which errors call by these names.
    fn of_texts(
        roots: Vec<CertificateDer<'static>>,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        names: [&str; 3],
    ) -> Result<Self, StartError> {
        let reset_secret = derive(key.secret_der(), b"stateless reset");
        let identity = Self::named(chain, key, roots, reset_secret, None, names)?;
        identity.check_pair(names)?;
        Ok(identity)
    }

    /// Checks that the certificate is that of the key, as a handshake would, where the texts that they are from are known.
    fn check_pair(&self, [_, certificate, key]: [&str; 3]) -> Result<(), StartError> {
        let signs = any_supported_type(&self.inner.key)
            .map_err(|error| invalid(key.to_owned(), error.to_string()))?;
        match CertifiedKey::new(self.chain(), signs).keys_match() {
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                let detail = match certificate == CERTIFICATE {
                    true => "it is not that of the certificate".to_owned(),
                    false => format!("it is not that of the certificate, {certificate}"),
                };
                Err(invalid(key.to_owned(), detail))
            }
            // What is wrong with the certificate itself is told when it is shown to others.
            _ => Ok(()),
        }
    }

    /// Joins the parts. `reset_secret` should be the same whenever this identity starts again.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        authorities: Vec<CertificateDer<'static>>,
        reset_secret: [u8; 32],
        development: Option<Arc<Path>>,
    ) -> Result<Self, StartError> {
        let names = [AUTHORITY, CERTIFICATE, KEY];
        Self::named(chain, key, authorities, reset_secret, development, names)
    }

    /// As [`new`](Self::new); errors call the authority, the certificate and the key by these names.
    fn named(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        authorities: Vec<CertificateDer<'static>>,
        reset_secret: [u8; 32],
        development: Option<Arc<Path>>,
        [authority, certificate, _]: [&str; 3],
    ) -> Result<Self, StartError> {
        let is_exchanged = authorities.first().is_some_and(|it| certified(it).is_ok());
        let mut roots = RootCertStore::empty();
        for root in authorities {
            roots
                .add(root)
                .map_err(|error| invalid(authority.to_owned(), error.to_string()))?;
        }
        let named = || certificate.to_owned();
        let leaf = chain
            .first()
            .ok_or_else(|| invalid(named(), "there is none"))?;
        let subject = certified(leaf).map_err(|detail| match is_exchanged {
            true => invalid(named(), format!("given as the certificate, it is none of a node or a client, and {authority} is one"))
                .with_advice("give the authority's certificate first, then the own one"),
            false => invalid(named(), detail),
        })?;
        let roots = Arc::new(roots);
        let inner = Inner {
            subject,
            chain,
            key,
            roots,
            reset_secret,
            development,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Returns the cluster.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        &self.inner.subject.peer.cluster
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.inner.subject.peer.name
    }

    /// Returns whether this is a node or a client.
    #[must_use]
    pub fn kind(&self) -> PeerKind {
        self.inner.subject.peer.kind
    }

    /// Returns the roles that the certificate gives.
    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.inner.subject.roles
    }

    /// Returns the digest of the certificate, by which others can [deny](crate::net::DenyList) it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.inner.subject.certificate
    }

    /// Returns the same identity, trusting the authorities of a PEM text and no others.
    ///
    /// For the time in which an authority is replaced: its successor is trusted before it issues.
    ///
    /// # Errors
    /// [`Code::CertificateInvalid`] if the text holds no certificates of authorities.
    pub fn trusting(&self, authorities: &[u8]) -> Result<Self, StartError> {
        let inner = &self.inner;
        Self::new(
            inner.chain.clone(),
            inner.key.clone_key(),
            certificates(authorities, AUTHORITY, AUTHORITY)?,
            inner.reset_secret,
            inner.development.clone(),
        )
    }

    /// Returns whether the development authority issued it, so that it may be used on loopback
    /// only.
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.inner.development.is_some()
    }

    /// Returns the folder of the development authority, if that issued it.
    pub(super) fn development(&self) -> Option<&Path> {
        self.inner.development.as_deref()
    }

    /// Checks that it may be used at this address.
    ///
    /// # Errors
    /// [`Code::DevNotLoopback`] if a development identity would leave this machine.
    pub(super) fn check_address(&self, address: SocketAddr) -> Result<(), StartError> {
        if self.is_development() && !address.ip().is_loopback() {
            let subject = format!("address {address}");
            return Err(StartError::new(Code::DevNotLoopback, subject));
        }
        Ok(())
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.inner.chain.clone()
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.inner.key.clone_key()
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.inner.roots)
    }

    /// The secret from which stateless resets are made. A node that restarts with it can tell a
    /// peer at once that an old connection is gone (RFC 9000, section 10.3).
    pub(super) fn reset_secret(&self) -> &[u8; 32] {
        &self.inner.reset_secret
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", uri(&self.inner.subject.peer))
    }
}

/// Reads the one URI name of a certificate, and those of its roles.
pub(super) fn certified(certificate: &CertificateDer<'_>) -> Result<Certified, String> {
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|error| match error {
        // Only version 3 has extensions, and what issues one without any writes an older version (RFC 5280, 4.1.2.1).
        webpki::Error::UnsupportedCertVersion => format!(
            "it has no extensions, and so no {FORM} name as its subject alternative name: issue it again with those \
             of its request, `openssl x509 -req … -copy_extensions copy`"
        ),
        error => error.to_string(),
    })?;
    let ours = parsed
        .valid_uri_names()
        .filter(|name| name.starts_with(SCHEME));
    let (roles, mut names): (Vec<_>, Vec<_>) = ours.partition(|name| is_role(name));
    let name = names
        .pop()
        .ok_or_else(|| format!("it has no {FORM} name"))?;
    // With two names, each side could believe another one.
    if !names.is_empty() {
        return Err(format!("it has more than one {FORM} name"));
    }
    let peer = parse(name).ok_or_else(|| format!("its name {name:?} is not {FORM}"))?;
    if roles.len() > ROLES_MAX {
        return Err(format!(
            "it has {} roles, more than {ROLES_MAX}",
            roles.len()
        ));
    }
    let role = |uri: &&str| {
        parse_role(uri, &peer.cluster).ok_or_else(|| {
            format!(
                "its name {uri:?} is not spiffe://{}/role/<role>",
                peer.cluster
            )
        })
    };
    let roles = roles.iter().map(role).collect::<Result<_, _>>()?;
    Ok(Certified {
        peer,
        roles,
        certificate: Fingerprint::of(certificate),
    })
}

/// Returns the URI name for a certificate.
pub(super) fn uri(peer: &CertifiedPeer) -> String {
    format!("{SCHEME}{}/{}/{}", peer.cluster, peer.kind, peer.name)
}

/// Returns the URI name that gives a role.
pub(super) fn role_uri(cluster: &ClusterName, role: &RoleName) -> String {
    format!("{SCHEME}{cluster}/{ROLE}/{role}")
}

fn is_role(uri: &str) -> bool {
    let mut parts = uri.strip_prefix(SCHEME).unwrap_or_default().split('/');
    parts.nth(1) == Some(ROLE)
}

/// A role of another cluster means nothing here, so it has no place in the certificate.
fn parse_role(uri: &str, cluster: &ClusterName) -> Option<RoleName> {
    let mut parts = uri.strip_prefix(SCHEME)?.split('/');
    if parts.next()? != cluster.as_str() || parts.next()? != ROLE {
        return None;
    }
    let role = RoleName::new(parts.next()?).ok()?;
    parts.next().is_none().then_some(role)
}

fn parse(uri: &str) -> Option<CertifiedPeer> {
    let mut parts = uri.strip_prefix(SCHEME)?.split('/');
    let cluster = ClusterName::new(parts.next()?).ok()?;
    let kind = match parts.next()? {
        "node" => PeerKind::Node,
        "client" => PeerKind::Client,
        _ => return None,
    };
    let name = NodeName::new(parts.next()?).ok()?;
    parts.next().is_none().then_some(CertifiedPeer {
        cluster,
        kind,
        name,
    })
}

/// Derives a secret for one purpose from another secret.
pub(super) fn derive(secret: &[u8], purpose: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), purpose);
    let mut derived = [0; 32];
    derived.copy_from_slice(tag.as_ref());
    derived
}

pub(super) fn invalid(what: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> StartError {
    StartError::new(Code::CertificateInvalid, what).with_detail(detail.into())
}

/// Reads the certificates of a text that was given as `part`, and that errors call `what`.
fn certificates(
    pem: &[u8],
    part: &str,
    what: &str,
) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| invalid(what.to_owned(), error.to_string()))?;
    match found.is_empty() {
        true => Err(holds_no(part, CERTIFICATE, pem, what)),
        false => Ok(found),
    }
}

/// Reads the private key of a text that errors call `what`.
fn private_key(pem: &[u8], what: &str) -> Result<PrivateKeyDer<'static>, StartError> {
    if ENCRYPTED.iter().any(|mark| has(pem, mark)) {
        let detail = "its private key is encrypted, and nobody is asked for a password";
        let advice = "decrypt it, for example with `openssl pkey -in n1.key -out n1.plain.key`, and keep it as secret \
                      as the password";
        return Err(invalid(what.to_owned(), detail).with_advice(advice));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => holds_no(KEY, KEY, pem, what),
        other => invalid(what.to_owned(), other.to_string()),
    })
}

/// Says that a text which was given as `part` does not hold what that is made of, and what it holds.
fn holds_no(part: &str, expected: &str, pem: &[u8], what: &str) -> StartError {
    let found = match first_section(pem) {
        Some(SectionKind::Certificate) => "but a certificate",
        Some(SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey) => {
            "but a private key"
        }
        Some(_) => "but something else",
        None if has(pem, b"-----BEGIN ") => "but something else",
        None => "as it is no PEM text",
    };
    invalid(
        what.to_owned(),
        format!("given as the {part}, it holds no {expected}, {found}"),
    )
}

/// How a private key that is encrypted is marked: in PKCS #8 by RFC 7468 section 11, before that by RFC 1421
/// section 4.6.1.1.
const ENCRYPTED: [&[u8]; 2] = [
    b"-----BEGIN ENCRYPTED PRIVATE KEY-----",
    b"Proc-Type: 4,ENCRYPTED",
];

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Returns what a PEM text holds first; nothing if it is none of what is known.
fn first_section(pem: &[u8]) -> Option<SectionKind> {
    let first = <(SectionKind, Vec<u8>)>::from_pem_slice(pem).ok()?;
    Some(first.0)
}

fn read(files: &dyn Files, path: &Path) -> Result<Vec<u8>, StartError> {
    files.read(path, PEM_BYTES_MAX).map_err(|error| {
        StartError::new(Code::Io, format!("file {}", path.display())).with_detail(error.to_string())
    })
}

pub(super) fn check_key_mode(files: &dyn Files, path: &Path) -> Result<(), StartError> {
    let subject = || format!("file {}", path.display());
    match files.permission_bits(path) {
        Ok(Some(bits)) if bits & 0o077 != 0 => Err(StartError::new(Code::KeyReadable, subject())
            .with_detail(format!("its mode is {bits:03o}"))),
        Ok(_) => Ok(()),
        Err(error) => Err(StartError::new(Code::Io, subject()).with_detail(error.to_string())),
    }
}

const SCHEME: &str = "spiffe://";
const ROLE: &str = "role";

/// What errors call the parts of an identity that came from no file.
const AUTHORITY: &str = "authority";
const CERTIFICATE: &str = "certificate";
const KEY: &str = "private key";

const FORM: &str = "spiffe://<cluster>/<node|client>/<name>";

/// Far above what anyone needs; each costs a comparison for each call that needs a role.
const ROLES_MAX: usize = 64;

/// Far above any chain; a wrong path, for example to a device, must not fill the memory.
const PEM_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Authority;

    #[test]
    fn only_the_exact_form_of_a_name_is_read() {
        let good = parse("spiffe://shop/node/n1").expect("the form");
        assert_eq!(uri(&good), "spiffe://shop/node/n1");
        for bad in [
            "spiffe://shop/node/n1/",
            "spiffe://shop/node",
            "spiffe://shop/admin/n1",
            "spiffe:///node/n1",
            "spiffe://shop/node/",
            "spiffe://shop//n1",
            "spiffe://shop/node/n 1",
            "https://shop/node/n1",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_exact_form_of_a_role_of_the_cluster_is_read() {
        let cluster = ClusterName::new("shop").expect("a name");
        let role = RoleName::new("admin").expect("a name");
        let uri = role_uri(&cluster, &role);
        assert_eq!(uri, "spiffe://shop/role/admin");
        assert!(is_role(&uri));
        assert_eq!(parse_role(&uri, &cluster), Some(role));
        for bad in [
            "spiffe://shop/role/",
            "spiffe://shop/role",
            "spiffe://shop/role/admin/",
            "spiffe://shop/role/ad min",
            "spiffe://mall/role/admin",
        ] {
            assert!(is_role(bad), "{bad}");
            assert_eq!(parse_role(bad, &cluster), None, "{bad}");
        }
        for other in [
            "spiffe://shop/node/role",
            "spiffe://role/node/n1",
            "role/role",
        ] {
            assert!(!is_role(other), "{other}");
        }
    }

    #[test]
    fn roles_are_read_from_what_an_authority_issued() {
        let cluster = ClusterName::new("shop").expect("a name");
        let authority = Authority::throw_away(cluster).expect("an authority");
        let issue = |roles: &[String]| {
            let roles = roles
                .iter()
                .map(|role| RoleName::new(role.as_str()).expect("a name"));
            let name = NodeName::new("n1").expect("a name");
            authority.issue_with_roles(name, PeerKind::Node, roles.collect::<Vec<_>>())
        };
        let identity = issue(&["ops".to_owned(), "admin".to_owned(), "ops".to_owned()]);
        assert_eq!(identity.expect("issued").roles().to_string(), "admin, ops");
        assert_eq!(issue(&[]).expect("issued").roles(), &Roles::default());
        let many = (0..=ROLES_MAX).map(|number| format!("r{number}"));
        let many = issue(&many.collect::<Vec<_>>()).expect_err("too many");
        assert_eq!(many.code(), Code::CertificateInvalid);
        assert!(many.detail().contains("65 roles"), "{many}");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder for the test");
        let cluster = ClusterName::new("shop").expect("a name");
        let authority = Authority::throw_away(cluster).expect("an authority");
        let name = NodeName::new("n1").expect("a name");
        let pem = authority.issue_pem(name, PeerKind::Node).expect("issue");
        let [ca, cert, key] = ["ca.pem", "n1.pem", "n1.key"].map(|name| dir.path().join(name));
        std::fs::write(&ca, authority.certificate_pem()).expect("write");
        std::fs::write(&cert, &pem.certificate).expect("write");
        std::fs::write(&key, &pem.key).expect("write");
        for (mode, code) in [(0o644, Some(Code::KeyReadable)), (0o600, None)] {
            std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).expect("chmod");
            let read = Identity::from_pem_files(&ca, &cert, &key);
            assert_eq!(read.as_ref().err().map(StartError::code), code, "{mode:o}");
        }
        let swapped = Identity::from_pem_files(&key, &cert, &key).expect_err("a key is no root");
        assert_eq!(swapped.code(), Code::CertificateInvalid);
        assert_eq!(swapped.subject(), format!("file {}", key.display()));
        let said = "given as the authority, it holds no certificate, but a private key";
        assert_eq!(swapped.detail(), said);
        let missing = Identity::from_pem_files(dir.path().join("none"), &cert, &key);
        assert_eq!(missing.expect_err("no such file").code(), Code::Io);
    }

    #[test]
    fn a_key_that_is_encrypted_is_told_to_be_decrypted() {
        let cluster = ClusterName::new("shop").expect("a name");
        let authority = Authority::throw_away(cluster).expect("an authority");
        let name = NodeName::new("n1").expect("a name");
        let pem = authority.issue_pem(name, PeerKind::Node).expect("issue");
        let ca = authority.certificate_pem();
        let read = |key: &str| {
            let (ca, cert) = (ca.as_bytes(), pem.certificate.as_bytes());
            Identity::from_pem(ca, cert, key.as_bytes()).expect_err("no key")
        };
        let pkcs8 = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGjMF8G\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIGj\n\
                   -----END RSA PRIVATE KEY-----\n";
        for key in [pkcs8, old] {
            let told = read(key);
            assert_eq!(told.code(), Code::CertificateInvalid);
            assert!(told.detail().contains("is encrypted"), "{told}");
            assert!(told.to_string().contains("`openssl pkey -in"), "{told}");
        }
        let other =
            read("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n");
        assert!(other.detail().contains("but something else"), "{other}");
    }

    #[test]
    fn a_certificate_without_extensions_is_told_to_be_issued_with_them() {
        let issued = CertificateDer::from_pem_slice(WITHOUT_EXTENSIONS.as_bytes());
        let told = certified(&issued.expect("a certificate")).err();
        let told = told.expect("no name");
        assert!(told.contains("subject alternative name"), "{told}");
        assert!(told.contains("-copy_extensions copy"), "{told}");
    }

    /// Made with the commands of the book, without `-copy_extensions copy`.
    const WITHOUT_EXTENSIONS: &str = "\
-----BEGIN CERTIFICATE-----
MIHVMIGIAhQmlnVLSWkpySO5tVvw/In2zWDQQjAFBgMrZXAwDDEKMAgGA1UEAwwB
YTAgFw0yNjExMjgyMjUwMjNaGA8yMTI2MTEwNDIyNTAyM1owDTELMAkGA1UEAwwC
bjEwKjAFBgMrZXADIQCIwZSArq2dFlhj1LhO3R9etEADLxt+mrKQ93DQXcsluTAF
BgMrZXADQQDGrmcJXF1ylmcvvAd5tBk46aQW/KsdMHhRhpn7z69dLwe/OFdhzyIb
fX5ea574oMabAugHJaGURVARYctStFED
-----END CERTIFICATE-----
";

    #[test]
    fn what_is_no_key_is_named_by_its_file_whatever_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder for the test");
        let cluster = ClusterName::new("shop").expect("a name");
        let authority = Authority::throw_away(cluster).expect("an authority");
        let name = NodeName::new("n1").expect("a name");
        let pem = authority.issue_pem(name, PeerKind::Node).expect("issue");
        let [ca, cert, key, none] =
            ["ca.pem", "n1.pem", "n1.key", "none"].map(|name| dir.path().join(name));
        std::fs::write(&ca, authority.certificate_pem()).expect("write");
        std::fs::write(&cert, &pem.certificate).expect("write");
        std::fs::write(&key, &pem.key).expect("write");
        std::fs::write(&none, "no PEM at all").expect("write");
        let chmod = |path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("chmod");
        };
        chmod(&cert, 0o644);
        let swapped = Identity::from_pem_files(&ca, &key, &cert).expect_err("swapped");
        assert_eq!(swapped.code(), Code::CertificateInvalid);
        assert_eq!(swapped.subject(), format!("file {}", cert.display()));
        let said = "given as the private key, it holds no private key, but a certificate";
        assert_eq!(swapped.detail(), said);
        // It may be a key that is damaged.
        for (mode, code) in [
            (0o644, Code::KeyReadable),
            (0o600, Code::CertificateInvalid),
        ] {
            chmod(&none, mode);
            let damaged = Identity::from_pem_files(&ca, &cert, &none).expect_err("no key");
            assert_eq!(damaged.code(), code, "{damaged}");
            assert_eq!(damaged.subject(), format!("file {}", none.display()));
        }
        chmod(&key, 0o600);
        let empty = Identity::from_pem_files(&none, &cert, &key).expect_err("no authority");
        assert_eq!(empty.subject(), format!("file {}", none.display()));
        let said = "given as the authority, it holds no certificate, as it is no PEM text";
        assert_eq!(empty.detail(), said);
        let exchanged = Identity::from_pem_files(&cert, &ca, &key).expect_err("exchanged");
        assert_eq!(exchanged.subject(), format!("file {}", ca.display()));
        let first = exchanged.to_string();
        assert!(
            first.contains("give the authority's certificate first"),
            "{first}"
        );
        let name = NodeName::new("n2").expect("a name");
        let other = authority.issue_pem(name, PeerKind::Node).expect("issue");
        std::fs::write(&none, &other.key).expect("write");
        let foreign = Identity::from_pem_files(&ca, &cert, &none).expect_err("another's key");
        assert_eq!(foreign.code(), Code::CertificateInvalid);
        assert_eq!(foreign.subject(), format!("file {}", none.display()));
        let said = format!("it is not that of the certificate, file {}", cert.display());
        assert_eq!(foreign.detail(), said);
        let own = Identity::from_pem_files(&ca, &ca, &key).expect_err("the authority has no name");
        assert_eq!(own.subject(), format!("file {}", ca.display()));
    }

    #[test]
    fn the_key_is_not_shown() {
        let cluster = ClusterName::new("shop").expect("a name");
        let authority = Authority::throw_away(cluster).expect("an authority");
        let name = NodeName::new("n1").expect("a name");
        let identity = authority.issue(name, PeerKind::Client).expect("issue");
        assert_eq!(format!("{identity:?}"), "Identity(spiffe://shop/client/n1)");
    }
}
