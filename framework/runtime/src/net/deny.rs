//! Who is not let in, although the authority has signed its certificate.
//!
//! It is a value: what it does to links is `trust`'s and `mesh`'s business.

use std::collections::BTreeSet;
use std::fmt;

use callboard_protocol::code::Code;
use callboard_protocol::id::NodeName;
use ring::digest;
use rustls::pki_types::CertificateDer;

use super::StartError;

/// Nodes and clients that are not let in, by name or by certificate.
///
/// A certificate that was lost or stolen is denied by its fingerprint, so that its owner comes back
/// with another one; an owner that is to stay out is denied by name, whatever certificate it shows.
/// The list is a value: keep it where it outlives the process, and give it to each node, which
/// knows its own list only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DenyList {
    names: BTreeSet<NodeName>,
    certificates: BTreeSet<Fingerprint>,
}

/// The SHA-256 digest of a certificate, as `openssl x509 -fingerprint -sha256` shows it.
///
/// Its text is `sha256:` and 32 bytes in hexadecimal digits with colons between.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl DenyList {
    /// Makes a list of names, and of fingerprints, which begin with `sha256:`. Empty entries are
    /// left out, so that the lines of a file will do.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`] for an entry that is neither.
    pub fn of<E: AsRef<str>>(entries: impl IntoIterator<Item = E>) -> Result<Self, StartError> {
        let mut list = Self::default();
        for entry in entries {
            let entry = entry.as_ref().trim();
            if let Some(digits) = entry.strip_prefix(PREFIX) {
                let fingerprint = Fingerprint::parse(digits).ok_or_else(|| {
                    invalid(format!(
                        "{entry:?} is not {PREFIX} and 64 hexadecimal digits"
                    ))
                })?;
                list.certificates.insert(fingerprint);
            } else if !entry.is_empty() {
                let name = NodeName::new(entry).map_err(|error| invalid(error.to_string()))?;
                list.names.insert(name);
            }
        }
        Ok(list)
    }

    /// Returns whether nobody is denied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.certificates.is_empty()
    }

    /// Returns which entry of the list names this node or client, if one does.
    pub(super) fn entry(&self, name: &NodeName, certificate: &Fingerprint) -> Option<String> {
        if self.names.contains(name) {
            return Some(format!("the name {name}"));
        }
        let denied = self.certificates.contains(certificate);
        denied.then(|| format!("the certificate {certificate} of {name}"))
    }
}

impl Fingerprint {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = digest::digest(&digest::SHA256, certificate);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    fn parse(digits: &str) -> Option<Self> {
        let digit = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let digits: Vec<u8> = digits
            .chars()
            .filter(|c| *c != ':')
            .map(digit)
            .collect::<Option<_>>()?;
        let mut bytes = [0; 32];
        if digits.len() != bytes.len() * 2 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn invalid(detail: String) -> StartError {
    StartError::new(Code::ConfigInvalid, "deny list").with_detail(detail)
}

const PREFIX: &str = "sha256:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_names_and_fingerprints() {
        let print = Fingerprint::of(&CertificateDer::from(b"a certificate".to_vec()));
        let other = Fingerprint::of(&CertificateDer::from(b"another".to_vec()));
        let name = |name: &str| NodeName::new(name).expect("a name");
        let text = format!("mallory\n\n  {print}\n");
        let list = DenyList::of(text.lines()).expect("read");
        assert!(!list.is_empty());
        assert_eq!(
            list.entry(&name("mallory"), &other).as_deref(),
            Some("the name mallory")
        );
        assert_eq!(
            list.entry(&name("n1"), &print),
            Some(format!("the certificate {print} of n1"))
        );
        assert_eq!(list.entry(&name("n1"), &other), None);
        // OpenSSL's form, and the digits alone.
        let digits = print
            .to_string()
            .replace(':', "")
            .replace("sha256", "sha256:");
        assert_eq!(print.to_string().len(), 7 + 32 * 3 - 1);
        assert_eq!(
            DenyList::of([digits.to_lowercase().as_str(), "mallory"]).expect("read"),
            list
        );
        assert!(DenyList::of([""; 0]).expect("read").is_empty());
    }

    #[test]
    fn an_entry_that_denies_nobody_is_refused() {
        for bad in [
            "two words",
            "sha256:",
            "sha256:AB:CD",
            "sha1:ab",
            "sha256:é",
        ] {
            let error = DenyList::of([bad]).expect_err(bad);
            assert_eq!(error.code(), Code::ConfigInvalid, "{bad}");
            assert_eq!(error.subject(), "deny list");
        }
    }
}
