//! Which addresses a port can be bound to, and which it can dial at all.
//!
//! A packet to an address that the socket cannot reach is lost without a word, which looks like a
//! node that does not answer. What can be known before is said before. Depends on nothing of `net`
//! but its errors.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use callboard_protocol::code::Code;

use super::StartError;
use super::error::LinkDown;

/// Returns why a port that is bound to `own` cannot dial `peer`, if it cannot.
///
/// A port of `[::]` dials both: it is bound without `IPV6_V6ONLY`, and sends to IPv4 addresses in
/// their mapped form (RFC 4291, section 2.5.5.2).
fn unreachable(own: SocketAddr, peer: SocketAddr) -> Option<String> {
    if peer.ip().is_unspecified() || peer.port() == 0 {
        return Some(format!("{peer} is where to listen, and not whom to dial"));
    }
    let (own_ip, peer_ip) = (own.ip().to_canonical(), peer.ip().to_canonical());
    let is_dual = own_ip.is_ipv6() && own_ip.is_unspecified();
    if own_ip.is_ipv4() == peer_ip.is_ipv4() || is_dual {
        return None;
    }
    let (family, other) = match own_ip.is_ipv4() {
        true => ("IPv4", "IPv6"),
        false => ("IPv6", "IPv4"),
    };
    Some(format!(
        "{peer} cannot be dialled from {own}: a port of {family} reaches no {other} address"
    ))
}

/// Checks that others can be told to dial an address.
///
/// # Errors
/// [`Code::ConfigInvalid`] without a port.
pub(super) fn check_advertised(addr: SocketAddr) -> Result<(), StartError> {
    if addr.port() != 0 {
        return Ok(());
    }
    Err(StartError::new(Code::ConfigInvalid, "setting advertise")
        .with_detail(format!("{addr} has no port, so nobody can dial it"))
        .with_advice("name the address and the port by which others reach this node"))
}

/// Checks that a port that is bound to `own` can dial `peer`.
pub(super) fn check_dial(own: SocketAddr, peer: SocketAddr) -> Result<(), LinkDown> {
    match unreachable(own, peer) {
        None => Ok(()),
        Some(detail) => Err(LinkDown::new(Code::PeerUnreachable, detail)),
    }
}

/// Checks that a port that is bound to `own` can dial at least one of the seeds.
///
/// One that cannot be dialled beside others that can is told when it is dialled: a name may stand
/// for an address of each family.
///
/// # Errors
/// [`Code::ConfigInvalid`].
pub(super) fn check_seeds(own: SocketAddr, seeds: &[SocketAddr]) -> Result<(), StartError> {
    let reasons = seeds.iter().map(|seed| unreachable(own, *seed));
    let Some(reasons) = reasons.collect::<Option<Vec<_>>>() else {
        return Ok(());
    };
    let (Some(seed), Some(reason)) = (seeds.first(), reasons.into_iter().next()) else {
        return Ok(());
    };
    let advice = match seed.is_ipv6() {
        _ if seed.ip().is_unspecified() || seed.port() == 0 => {
            "name the address and the port that a node listens on"
        }
        true => "name the seed by its IPv4 address, or listen on an IPv6 one: [::1] or [::]",
        false => "name the seed by its IPv6 address, or listen on an IPv4 one: 127.0.0.1 or [::]",
    };
    Err(StartError::new(Code::ConfigInvalid, format!("seed {seed}"))
        .with_detail(reason)
        .with_advice(advice))
}

/// Says that there was no TLS handshake with an address, from this local one.
pub(super) fn unanswered(
    local: SocketAddr,
    addr: SocketAddr,
    within: Duration,
    dialled: bool,
) -> LinkDown {
    let mut detail = match dialled {
        true => format!("nothing answered at {addr} within {within:?}"),
        false => format!("{addr} did not finish the TLS handshake within {within:?}"),
    };
    if let Some(hint) = hint(local, addr) {
        detail.push_str("; ");
        detail.push_str(&hint);
    }
    LinkDown::new(Code::PeerTimeout, detail)
}

/// Returns what there is to say of a peer from which nothing came, if the own port explains it.
///
/// It is no proof: a machine reaches its own addresses from loopback too.
fn hint(own: SocketAddr, peer: SocketAddr) -> Option<String> {
    let stays = own.ip().to_canonical().is_loopback() && !peer.ip().to_canonical().is_loopback();
    stays.then(|| format!("this side is bound to {own}, and loopback reaches this machine only"))
}

/// Says why a port could not be bound to `addr`.
pub(super) fn not_bound(addr: SocketAddr, error: &io::Error) -> StartError {
    let failed =
        StartError::new(Code::BindFailed, format!("address {addr}")).with_detail(error.to_string());
    match error.kind() {
        io::ErrorKind::PermissionDenied if (1..FIRST_FREE_PORT).contains(&addr.port()) => failed
            .with_advice(
                "choose a port from 1024 up, or give the program the right to lower ones (on Linux: \
                 the capability CAP_NET_BIND_SERVICE)",
            ),
        io::ErrorKind::AddrInUse => failed
            .with_advice("stop the process that listens there, or choose another port"),
        io::ErrorKind::AddrNotAvailable => {
            failed.with_advice("choose an address that this machine has")
        }
        _ => failed,
    }
}

/// Unix systems keep the ports below for privileged processes.
const FIRST_FREE_PORT: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_port_dials_its_own_family_and_an_open_one_of_ipv6_both() {
        for (own, peer) in [
            ("127.0.0.1:1", "10.0.0.1:2"),
            ("0.0.0.0:1", "127.0.0.1:2"),
            ("[::1]:1", "[::1]:2"),
            ("[::]:1", "127.0.0.1:2"),
            ("[::]:1", "[::1]:2"),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:2"),
        ] {
            assert_eq!(unreachable(addr(own), addr(peer)), None, "{own} {peer}");
        }
        for (own, peer) in [
            ("127.0.0.1:1", "[::1]:2"),
            ("0.0.0.0:1", "[::1]:2"),
            ("[::1]:1", "127.0.0.1:2"),
        ] {
            let why = unreachable(addr(own), addr(peer)).expect("no way");
            assert!(why.starts_with(&format!("{peer} cannot be dialled from {own}")));
        }
    }

    #[test]
    fn seeds_are_refused_only_if_none_can_be_dialled() {
        let own = addr("127.0.0.1:1");
        assert_eq!(check_seeds(own, &[]), Ok(()));
        let both = [addr("[::1]:2"), addr("127.0.0.1:2")];
        assert_eq!(check_seeds(own, &both), Ok(()));
        for (seed, why) in [
            ("127.0.0.1:0", "whom to dial"),
            ("0.0.0.0:7", "whom to dial"),
        ] {
            let error = check_seeds(own, &[addr(seed)]).expect_err("nobody");
            assert!(error.detail().ends_with(why), "{error}");
            assert!(error.advice().starts_with("name the address and the port"));
        }
        assert_eq!(check_advertised(own), Ok(()));
        let error = check_advertised(addr("10.0.0.1:0")).expect_err("no port");
        assert_eq!(error.subject(), "setting advertise");
        let error = check_seeds(own, &both[..1]).expect_err("another family");
        assert_eq!(error.code(), Code::ConfigInvalid);
        assert_eq!(error.subject(), "seed [::1]:2");
        assert!(error.advice().contains("by its IPv4 address"), "{error}");
    }

    #[test]
    fn only_a_low_port_is_said_to_need_a_right() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        for (port, needs) in [(443, true), (1023, true), (1024, false), (0, false)] {
            let error = not_bound(SocketAddr::from(([127, 0, 0, 1], port)), &denied);
            let said = error.advice().contains("CAP_NET_BIND_SERVICE");
            assert_eq!(said, needs, "{error}");
        }
    }
}
