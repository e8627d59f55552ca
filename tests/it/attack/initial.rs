//! The first packet of a QUIC connection, made by hand: from any address, and never followed up.
//!
//! RFC 9000, section 17.2.2, and RFC 9001, section 5.

use rustls::{
    Side,
    crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
    pki_types::ServerName,
    quic::{ClientConnection, Keys, Version},
};

use super::rogue::client_tls;

/// The least that a first packet may have.
pub const BYTES: usize = 1200;

/// Makes first packets, all with the same greeting.
pub struct Forger {
    crypto_frame: Vec<u8>,
}

impl Forger {
    pub fn new() -> Self {
        let name = ServerName::try_from("callboard").expect("a name");
        let tls = client_tls(None, b"callboard/1");
        // Transport parameters: the id that the packet has as its source, which is empty.
        let parameters = vec![0x0f, 0];
        let connection = ClientConnection::new(tls.into(), Version::V1, name, parameters);
        let mut hello = Vec::new();
        connection.expect("a client").write_hs(&mut hello);
        let mut crypto_frame = vec![0x06, 0];
        put_length(&mut crypto_frame, hello.len());
        crypto_frame.extend(hello);
        Self { crypto_frame }
    }

    /// Makes the first packet of a connection; two numbers make two connections.
    pub fn packet(&self, number: u64, version: u32) -> Vec<u8> {
        self.packet_of(number, version, BYTES)
    }

    /// Makes one of this length.
    pub fn packet_of(&self, number: u64, version: u32, bytes: usize) -> Vec<u8> {
        let id = number.to_be_bytes();
        let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("a suite of 1.3");
        let quic = suite.quic.expect("a suite for QUIC");
        let keys = Keys::initial(Version::V1, suite, quic, &id, Side::Client).local;
        let mut header = vec![0xc0];
        header.extend(version.to_be_bytes());
        header.push(8);
        header.extend(id);
        header.extend([0, 0]); // No source id, no token.
        let tag = keys.packet.tag_len();
        let payload_bytes = bytes - header.len() - 2 - 1 - tag;
        put_length(&mut header, 1 + payload_bytes + tag);
        let number_at = header.len();
        header.push(0);
        let mut payload = self.crypto_frame.clone();
        payload.resize(payload_bytes, 0);
        let sealed = keys.packet.encrypt_in_place(0, &header, &mut payload);
        let mut packet = header;
        packet.extend(payload);
        packet.extend(sealed.expect("sealed").as_ref());
        let (head, rest) = packet.split_at_mut(number_at + 1);
        let sample = &rest[3..3 + keys.header.sample_len()];
        let (first, head) = head.split_at_mut(1);
        let number = &mut head[number_at - 1..];
        let hidden = keys.header.encrypt_in_place(sample, &mut first[0], number);
        hidden.expect("protected");
        packet
    }
}

/// A length of two bytes (RFC 9000, section 16).
fn put_length(out: &mut Vec<u8>, length: usize) {
    let length = u16::try_from(length).expect("short") | 0x4000;
    out.extend(length.to_be_bytes());
}
