//! The decoders of this module for [`crate::fuzzing`], as functions over bytes.

use std::path::Path;

use bytes::Bytes;
use callboard_protocol::rights::Roles;
use callboard_protocol::wire::frame::FrameError;
use callboard_protocol::wire::hello::CertifiedPeer;
use rustls::pki_types::CertificateDer;

use super::split::Splitter;
use super::{Authority, identity};

/// Reads who a certificate says its owner is, and the owner's roles.
///
/// # Errors
/// What is wrong with the certificate or its names.
pub fn certificate(der: &[u8]) -> Result<(CertifiedPeer, Roles), String> {
    let certified = identity::certified(&CertificateDer::from(der))?;
    Ok((certified.peer, certified.roles))
}

/// Reads the key of a development authority.
///
/// # Errors
/// Why the text holds no such key.
pub fn development_authority(pem: &[u8]) -> Result<Authority, String> {
    Authority::of_development_key(pem, Path::new(""))
}

/// Splits what arrives on a stream in pieces into frames. Returns them, and whether the last one
/// was whole; or which came before the error, and the error.
///
/// # Errors
/// For a length that no frame can have.
pub fn split(
    pieces: impl IntoIterator<Item = Bytes>,
    frame_bytes_max: u32,
) -> Result<(Vec<Bytes>, bool), (Vec<Bytes>, FrameError)> {
    let mut splitter = Splitter::new(frame_bytes_max);
    let mut frames = Vec::new();
    for mut piece in pieces {
        loop {
            match splitter.next(&mut piece) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return Err((frames, error)),
            }
        }
    }
    Ok((frames, splitter.is_between_frames()))
}
