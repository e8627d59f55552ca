//! How a [`Code`] travels in a QUIC close frame, and what a closed connection means.
//!
//! The side that refuses closes with the code's number and a text; the other side reads both
//! back, so that a refusal has one name on both sides. Failures below us (TLS alerts, time-outs,
//! resets) are mapped to codes of the same table. Nothing is decided here. It may depend on
//! `congestion`, which must not hold the reason up.

use callboard_protocol::code::Code;
use quinn::{ConnectionError, TransportErrorCode, VarInt};

use super::congestion;
use super::error::LinkDown;

/// Closes a connection so that the other side can tell why.
pub(super) fn close(connection: &quinn::Connection, why: &LinkDown) {
    let (number, text) = (number(why.code), cut(&why.detail).as_bytes());
    connection.close(number, text);
    // AFTER the close: until then, all that waits in streams would leave in one burst, and what the
    // peer's socket has no room for then is the close.
    congestion::open(connection);
    // It is closed already. Whoever sends is woken, who may have found the window full in between.
    connection.close(number, text);
}

/// Returns the code's number as QUIC carries it.
pub(super) fn number(code: Code) -> VarInt {
    VarInt::from_u32(u32::from(code.number()))
}

/// Reads a number that the other side sent.
pub(super) fn code(number: VarInt) -> Option<Code> {
    u16::try_from(number.into_inner())
        .ok()
        .and_then(Code::from_number)
}

/// Says why a connection ended.
pub(super) fn reason(error: &ConnectionError) -> LinkDown {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let detail = String::from_utf8_lossy(&close.reason).into_owned();
            match code(close.error_code) {
                Some(code) => LinkDown::new(code, detail),
                None => LinkDown::new(
                    Code::Unrecognised,
                    format!("the peer closed with {}: {detail}", close.error_code),
                ),
            }
        }
        // What quinn says once the task that reads the socket is gone, which ends with its runtime alone.
        ConnectionError::TransportError(error) if error.reason == DRIVER_GONE => LinkDown::new(
            Code::NodeStopping,
            "the runtime that it was started on has ended",
        ),
        ConnectionError::TransportError(error) => {
            let code = transport(error.code);
            let who = match code {
                Code::AuthorityUnknown => "refused by this side: ",
                _ => "",
            };
            LinkDown::new(code, format!("{who}{error}"))
        }
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            LinkDown::new(Code::TooManyPeers, REFUSED)
        }
        ConnectionError::ConnectionClosed(close) => LinkDown::new(
            transport(close.error_code),
            format!("closed by the peer: {close}"),
        ),
        ConnectionError::VersionMismatch => LinkDown::new(
            Code::ProtocolMismatch,
            "the peer speaks no common version of QUIC",
        ),
        ConnectionError::Reset => LinkDown::forgotten(),
        ConnectionError::TimedOut => LinkDown::new(Code::PeerTimeout, ""),
        ConnectionError::LocallyClosed => LinkDown::new(Code::NodeStopping, "this node is closing"),
        ConnectionError::CidsExhausted => {
            LinkDown::new(Code::TooManyPeers, "no connection ids are left")
        }
    }
}

/// Names a failure that QUIC itself found. TLS alerts are 0x100 and the alert (RFC 9001,
/// section 4.8).
fn transport(code: TransportErrorCode) -> Code {
    match u64::from(code).checked_sub(0x100) {
        Some(UNKNOWN_CA | DECRYPT_ERROR | CERTIFICATE_REQUIRED) => Code::AuthorityUnknown,
        Some(NO_APPLICATION_PROTOCOL) => Code::ProtocolMismatch,
        Some(..0x100) => Code::HandshakeFailed,
        _ if code == TransportErrorCode::CONNECTION_REFUSED => Code::TooManyPeers,
        // The peer closed before its handshake was over, when QUIC hides its reason (RFC 9000,
        // section 10.2.3).
        _ if code == TransportErrorCode::APPLICATION_ERROR => Code::HandshakeFailed,
        _ => Code::PeerLost,
    }
}

/// Cuts a text so that the close frame fits into one packet of the smallest size.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(REASON_BYTES_MAX)]
}

const DRIVER_GONE: &str = "endpoint driver future was dropped";

/// A refusal by QUIC says no more than that.
const REFUSED: &str = "it takes no connections now: either as many are shaking hands as its \
                       `pending_max` allows, or it is about to end";

const REASON_BYTES_MAX: usize = 512;

// TLS alerts, RFC 8446 section 6.2.
const UNKNOWN_CA: u64 = 48;
/// Also what a signature by a foreign authority of the same name gives.
const DECRYPT_ERROR: u64 = 51;
const CERTIFICATE_REQUIRED: u64 = 116;
const NO_APPLICATION_PROTOCOL: u64 = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_as_itself() {
        for known in Code::ALL {
            assert_eq!(code(number(*known)), Some(*known));
        }
        assert_eq!(code(VarInt::from_u32(1 << 20)), None);
    }

    #[test]
    fn tls_alerts_have_codes() {
        assert_eq!(
            transport(TransportErrorCode::crypto(48)),
            Code::AuthorityUnknown
        );
        assert_eq!(
            transport(TransportErrorCode::crypto(120)),
            Code::ProtocolMismatch
        );
        assert_eq!(
            transport(TransportErrorCode::crypto(40)),
            Code::HandshakeFailed
        );
        assert_eq!(
            transport(TransportErrorCode::INTERNAL_ERROR),
            Code::PeerLost
        );
    }
}
