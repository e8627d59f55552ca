//! What is read from files and settings: PEM texts, the file of a node's life, deny lists, names and
//! policies.
//!
//! The first byte of an input says what the rest is read as. What has a text of its own is read
//! again from that text.

use std::sync::LazyLock;

use callboard::{
    ClusterName, Incarnation, NodeName, Policy, Roles, fuzzing,
    net::{Authority, DenyList, Fingerprint, Identity, IssuedPem, PeerKind},
};

use super::{Heap, Target};

/// The target.
pub const TARGET: Target = Target {
    name: "texts",
    check,
    seeds,
};

fn check(bytes: &[u8], heap: Heap) -> bool {
    let Some((what, bytes)) = bytes.split_first() else {
        return false;
    };
    // Beside what is read, its base64 undone, copied, and quoted in a refusal.
    let room = bytes.len() * 64 + FIXED_BYTES;
    let good = &*GOOD;
    let (authority, certificate, key) = (
        good.authority.as_bytes(),
        good.issued.certificate.as_bytes(),
        good.issued.key.as_bytes(),
    );
    heap.within(room, || match what {
        0 => read_identity(bytes, certificate, key),
        1 => read_identity(authority, bytes, key),
        2 => read_identity(authority, certificate, bytes),
        3 => fuzzing::development_authority(bytes).is_ok(),
        4 => read_life(bytes),
        5 => text(bytes).is_some_and(read_deny_list),
        6 => text(bytes).is_some_and(read_name),
        7 => text(bytes).is_some_and(read_policy),
        _ => false,
    })
}

fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}

fn read_identity(authority: &[u8], certificate: &[u8], key: &[u8]) -> bool {
    match Identity::from_pem(authority, certificate, key) {
        Ok(identity) => {
            let shown = format!("{identity:?}");
            let name = format!("{}/{}", identity.kind(), identity.name());
            assert_eq!(
                shown,
                format!("Identity(spiffe://{}/{name})", identity.cluster())
            );
            assert!(!identity.is_development());
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            // What a corpus keeps was read, and is of another key than the one that it is tried with.
            error.detail().starts_with(OF_ANOTHER_KEY)
        }
    }
}

fn read_life(bytes: &[u8]) -> bool {
    let Some((name, incarnation)) = fuzzing::life(bytes) else {
        return false;
    };
    let written = fuzzing::life_text(&name, incarnation);
    assert_eq!(fuzzing::life(written.as_bytes()), Some((name, incarnation)));
    true
}

fn read_deny_list(text: &str) -> bool {
    let Ok(list) = DenyList::of(text.lines()) else {
        return false;
    };
    let entries = text.lines().filter(|line| !line.trim().is_empty());
    assert_eq!(list.is_empty(), entries.count() == 0);
    // Order and repetition mean nothing.
    let turned = text.lines().rev().chain(text.lines());
    assert_eq!(DenyList::of(turned).as_ref().ok(), Some(&list));
    true
}

fn read_name(text: &str) -> bool {
    let Ok(name) = NodeName::new(text) else {
        assert!(ClusterName::new(text).is_err());
        return false;
    };
    assert_eq!(name.as_str(), text);
    let uri = format!("spiffe://shop/node/{name}");
    assert_eq!(uri.split('/').count(), 5, "it stays one part");
    assert_eq!(name.to_string().parse(), Ok(name));
    true
}

/// A pattern and, on the second line, the interface and the method that it is asked about.
fn read_policy(text: &str) -> bool {
    let (pattern, path) = text.split_once('\n').unwrap_or((text, "Orders/cancel"));
    let policy = Policy::allow_by_default().deny(pattern);
    let Some((interface, method)) = path.split_once('/') else {
        return false;
    };
    let denied = policy.grant(interface, method, &[]).is_some();
    if let Some(grant) = policy.grant(interface, method, &[]) {
        assert!(!grant.lets(&Roles::default()));
    }
    if policy.validate().is_err() {
        return false;
    }
    let (for_interface, for_method) = pattern.split_once('/').expect("it is valid");
    let fits = fits(for_interface.as_bytes(), interface.as_bytes())
        && fits(for_method.as_bytes(), method.as_bytes());
    let reserved = interface.starts_with("callboard.");
    assert_eq!(denied, reserved || fits, "{pattern:?} and {path:?}");
    true
}

/// Whether a pattern is the whole of a text, by trying each length for each star.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for byte in pattern {
        if *byte == b'*' {
            let first = reached.iter().position(|reached| *reached);
            let first = first.unwrap_or(reached.len());
            reached[first..].fill(true);
        } else {
            for at in (0..text.len()).rev() {
                reached[at + 1] = reached[at] && text[at] == *byte;
            }
            reached[0] = false;
        }
    }
    reached[text.len()]
}

/// Texts that fit each other, for those that an input does not replace.
struct Good {
    authority: String,
    issued: IssuedPem,
    fingerprint: Fingerprint,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let cluster = ClusterName::new("shop").expect("a name");
    let authority = Authority::throw_away(cluster).expect("an authority");
    let name = NodeName::new("n1").expect("a name");
    let issued = authority.issue_pem(name, PeerKind::Node).expect("issued");
    let authority = authority.certificate_pem();
    let identity = Identity::from_pem(
        authority.as_bytes(),
        issued.certificate.as_bytes(),
        issued.key.as_bytes(),
    );
    let fingerprint = identity.expect("they fit").fingerprint();
    Good {
        authority,
        issued,
        fingerprint,
    }
});

fn seeds() -> Vec<Vec<u8>> {
    let good = &*GOOD;
    let texts = [
        (0, good.authority.clone()),
        (1, good.issued.certificate.clone()),
        (2, good.issued.key.clone()),
        (3, good.issued.key.clone()),
        (4, fuzzing::life_text("n1", Incarnation(1_700_000_000_000))),
        (5, format!("mallory\n\n  {}\n", good.fingerprint)),
        (6, "n1.west-2_a".to_owned()),
        (7, "shop.*/get_*\nshop.Orders/get_all".to_owned()),
    ];
    texts
        .map(|(what, text)| [&[what], text.as_bytes()].concat())
        .to_vec()
}

/// How a refusal begins of a certificate and a key that are read, and do not belong together.
const OF_ANOTHER_KEY: &str = "it is not that of the certificate";

/// What is read beside the input, its parts, and an authority with its key.
const FIXED_BYTES: usize = 64 << 10;
