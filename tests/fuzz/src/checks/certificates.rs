//! The names in certificates: who the owner is and what roles it has.
//!
//! An input is a whole certificate in DER. Beside what all decoders promise: the names that are read
//! are in the bytes as they were read, and valid; a certificate that is issued for them gives the
//! same ones.

use callboard::{
    ClusterName, NodeName, RoleName, Roles,
    fuzzing::certificate,
    net::{Authority, Identity, PeerKind},
};
use callboard_protocol::wire::hello::CertifiedPeer;

use super::{Heap, Target};

/// The target.
pub const TARGET: Target = Target {
    name: "certificates",
    check,
    seeds,
};

fn check(der: &[u8], heap: Heap) -> bool {
    // A refusal may quote a name with each of its bytes escaped.
    let room = der.len() * 32 + 4096;
    let (peer, roles) = match heap.within(room, || certificate(der)) {
        Ok(names) => names,
        Err(reason) => {
            assert!(!reason.is_empty());
            return false;
        }
    };
    let scheme = format!("spiffe://{}", peer.cluster);
    let names = roles.iter().map(|role| format!("{scheme}/role/{role}"));
    let names: Vec<String> = names
        .chain([format!("{scheme}/{}/{}", peer.kind, peer.name)])
        .collect();
    for name in &names {
        let written = der
            .windows(name.len())
            .any(|bytes| bytes == name.as_bytes());
        assert!(written, "{name} is not in the certificate");
    }
    assert!(ClusterName::new(peer.cluster.as_str()).is_ok());
    assert!(NodeName::new(peer.name.as_str()).is_ok());
    let held: Vec<&RoleName> = roles.iter().collect();
    assert!(held.iter().all(|role| RoleName::new(role.as_str()).is_ok()));
    assert!(held.is_sorted() && held.len() <= 64);
    let again = issue(&peer, &roles);
    assert_eq!(again.cluster(), &peer.cluster);
    assert_eq!(again.name(), &peer.name);
    assert_eq!(again.kind(), peer.kind);
    assert_eq!(again.roles(), &roles);
    true
}

fn issue(peer: &CertifiedPeer, roles: &Roles) -> Identity {
    let authority = Authority::throw_away(peer.cluster.clone()).expect("an authority");
    authority
        .issue_with_roles(peer.name.clone(), peer.kind, roles.iter().cloned())
        .expect("names that were read can be issued")
}

fn seeds() -> Vec<Vec<u8>> {
    let cluster = ClusterName::new("shop").expect("a name");
    let authority = Authority::throw_away(cluster).expect("an authority");
    let issue = |name: &str, kind: PeerKind, roles: &[&str]| {
        let name = NodeName::new(name).expect("a name");
        let roles = roles
            .iter()
            .map(|role| RoleName::new(*role).expect("a name"));
        let pem = authority.issue_pem_with_roles(name, kind, roles.collect::<Vec<_>>());
        der(&pem.expect("issued").certificate)
    };
    vec![
        issue("n1", PeerKind::Node, &[]),
        issue("desk-7.west", PeerKind::Client, &["ops", "admin"]),
    ]
}

/// Returns the bytes of a PEM text (RFC 7468): its lines but the first and the last, in base64
/// (RFC 4648, section 4).
fn der(pem: &str) -> Vec<u8> {
    let digits = pem.lines().filter(|line| !line.starts_with('-'));
    let digits = digits.flat_map(str::bytes).filter_map(|digit| match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let digits: Vec<u8> = digits.collect();
    let quads = digits.chunks(4).flat_map(|quad| {
        let all = (0..4).fold(0, |all: u32, at| {
            all << 6 | u32::from(quad.get(at).copied().unwrap_or(0))
        });
        let [_, bytes @ ..] = all.to_be_bytes();
        bytes.into_iter().take(quad.len() - 1)
    });
    quads.collect()
}
