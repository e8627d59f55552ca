//! What this side shows in a handshake, whom it trusts and whom it denies. All three can be
//! replaced while links are up.
//!
//! A new identity is for the handshakes that begin after it was given; links that are up have
//! proven theirs and stay. A new deny list is for both. It may depend on `endpoint`, `identity` and
//! `deny`.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use callboard_protocol::code::Code;
use callboard_protocol::wire::hello::About;

use super::deny::DenyList;
use super::endpoint::{Handshakes, Port};
use super::error::LinkDown;
use super::identity::{Identity, invalid};
use super::link::PeerInfo;
use super::{PeerKind, StartError};

/// The identity and the deny list that are in use.
pub(super) struct Trust {
    handshakes: Handshakes,
    client: RwLock<quinn::ClientConfig>,
    /// The folder of the development authority, if the identity is of that.
    development: RwLock<Option<Arc<Path>>>,
    denied: RwLock<Arc<DenyList>>,
}

impl Trust {
    pub(super) fn new(
        handshakes: Handshakes,
        client: quinn::ClientConfig,
        development: Option<&Path>,
        denied: DenyList,
    ) -> Self {
        Self {
            handshakes,
            client: RwLock::new(client),
            development: RwLock::new(development.map(Arc::from)),
            denied: RwLock::new(Arc::new(denied)),
        }
    }

    /// Returns the settings of the handshakes that this side begins.
    pub(super) fn client(&self) -> quinn::ClientConfig {
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner);
        client.clone()
    }

    /// Shows another identity from now on, and trusts whom it trusts.
    ///
    /// # Errors
    /// [`Code::CertificateInvalid`] if it is another node's or client's, or does not fit its key;
    /// [`Code::DevNotLoopback`]. Nothing was changed.
    pub(super) fn rotate(
        &self,
        identity: &Identity,
        me: &About,
        port: &Port,
    ) -> Result<(), StartError> {
        check_same(identity, me)?;
        identity.check_address(port.local_addr())?;
        let client = self.handshakes.client(identity)?;
        if me.kind == PeerKind::Node {
            port.set_server(self.handshakes.server(identity)?);
        }
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
        let development = self.development.write();
        *development.unwrap_or_else(PoisonError::into_inner) =
            identity.development().map(Arc::from);
        let certificate = identity.fingerprint();
        tracing::info!(name = %me.name, %certificate, "identity rotated");
        Ok(())
    }

    /// Says of a handshake that failed, because one of the two authorities is not known to the other side, whether this
    /// side was given none: whoever forgot to give it looks at its files in vain. The folder is what two sides that were
    /// given none have to compare.
    pub(super) fn explain(&self, mut why: LinkDown) -> LinkDown {
        let development = self.development.read();
        let development = development.unwrap_or_else(PoisonError::into_inner);
        if why.code == Code::AuthorityUnknown
            && let Some(folder) = &*development
        {
            why.detail = format!(
                "{}; this side has an identity of the development authority of {}, as it was given no other: if the other \
                 side was given none either, start both as the same user and with the same XDG_STATE_HOME",
                why.detail,
                folder.display()
            );
        }
        why
    }

    /// Denies those on the list from now on, and no others.
    pub(super) fn deny(&self, list: DenyList) {
        let mut denied = self.denied.write().unwrap_or_else(PoisonError::into_inner);
        *denied = Arc::new(list);
    }

    /// Returns why there can be no link with a peer, if it is denied; `me` is who denies it.
    pub(super) fn denial(&self, peer: &PeerInfo, me: &About) -> Option<LinkDown> {
        let denied = {
            let denied = self.denied.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&denied)
        };
        let entry = denied.entry(&peer.name, &peer.certificate)?;
        let detail = format!("{entry} is on the deny list of {}", me.name);
        Some(LinkDown::new(Code::PeerDenied, detail))
    }
}

/// Links know this side by its cluster, kind and name, which therefore stay.
fn check_same(identity: &Identity, me: &About) -> Result<(), StartError> {
    let same = identity.cluster() == &me.cluster
        && identity.kind() == me.kind
        && identity.name() == &me.name;
    if same {
        return Ok(());
    }
    let detail = format!(
        "it names spiffe://{}/{}/{}; this is spiffe://{}/{}/{}, and stays so while it runs",
        identity.cluster(),
        identity.kind(),
        identity.name(),
        me.cluster,
        me.kind,
        me.name
    );
    Err(invalid("certificate", detail))
}
