//! A rogue that is dialled: it shows a certificate that a node does not have, and is refused by name on
//! both sides.

use callboard::{
    Code,
    net::{Identity, PeerKind},
    prelude::*,
};

use super::{
    forge::{Forge, Shown},
    rogue::{Listener, Seen, hello},
    target::CLUSTER,
};
use crate::support::quick;

/// The refusals of TLS are alerts: RFC 8446, section 6.2.
const UNSUPPORTED_CERTIFICATE: u8 = 43;
const UNKNOWN_CA: u8 = 48;

/// Dials a listener that shows this and says it is of that kind; returns how the dialler's attempt
/// ended, and what the rogue saw.
async fn dialled(forge: &Forge, shown: &Shown, kind: PeerKind) -> (Code, String, Seen) {
    let own = forge.issue(&format!("spiffe://{CLUSTER}/client/ada"));
    let identity = Identity::from_pem(
        forge.certificate_pem.as_bytes(),
        own.certificate_pem.as_bytes(),
        own.key_pem.as_bytes(),
    );
    let rogue = Listener::of(shown);
    let client = Client::builder()
        .identity(identity.expect("an identity"))
        .config(quick())
        .seed(rogue.addr());
    let (connected, seen) = tokio::join!(client.connect(), rogue.meets(hello("mallory", kind)));
    let error = connected.expect_err("it is no node");
    (error.code(), error.to_string(), seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_with_a_clients_certificate_is_refused_by_name() {
    let forge = Forge::new("the authority of the bank");
    let shown = forge.issue(&format!("spiffe://{CLUSTER}/client/mallory"));
    // It says what its certificate says, or that it is a node.
    for kind in [PeerKind::Client, PeerKind::Node] {
        let (code, error, seen) = dialled(&forge, &shown, kind).await;
        assert_eq!(code, Code::KindMismatch, "{error}");
        assert!(
            matches!(seen, Seen::Closed(Code::KindMismatch, _)),
            "{kind:?}: {seen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_whose_certificate_is_only_good_for_dialling_is_refused_in_the_handshake() {
    let forge = Forge::new("the authority of the bank");
    let shown = forge.issue_to_dial(&format!("spiffe://{CLUSTER}/node/mallory"));
    let (code, error, seen) = dialled(&forge, &shown, PeerKind::Node).await;
    assert_eq!(code, Code::HandshakeFailed, "{error}");
    assert_eq!(seen, Seen::Alert(UNSUPPORTED_CERTIFICATE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_of_another_authority_is_refused_in_the_handshake() {
    let forge = Forge::new("the authority of the bank");
    let shown = Forge::new("another authority").issue(&format!("spiffe://{CLUSTER}/node/mallory"));
    let (code, error, seen) = dialled(&forge, &shown, PeerKind::Node).await;
    assert_eq!(code, Code::AuthorityUnknown, "{error}");
    assert_eq!(seen, Seen::Alert(UNKNOWN_CA));
}
