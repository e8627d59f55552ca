//! The decoders of this module for [`crate::fuzzing`], as functions over bytes.

use super::frames::{self, Head};
use super::message;

/// Reads a message of a member. Returns it as it is written.
///
/// # Errors
/// What is wrong with it.
pub fn message(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let message = message::decode(bytes).map_err(|error| error.to_string())?;
    message::encode(&message).ok_or_else(|| "a kind that is read and not written".to_owned())
}

/// Reads a log file. Returns where its next frame begins, and a file with one frame that holds the same.
///
/// # Errors
/// What is wrong with it.
pub fn log(bytes: &[u8]) -> Result<(usize, Vec<u8>), String> {
    let contents = frames::parse(bytes)?;
    let frame = frames::frame(contents.head, 0, &contents.hard, &contents.entries);
    Ok((contents.end, [contents.head.encode(), frame].concat()))
}

/// Returns a log file with a frame for each of these payloads, whatever they hold.
#[must_use]
pub fn sealed<'a>(payloads: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let head = Head {
        disk: callboard_protocol::id::DiskId(7),
        salt: 0x5a17,
    };
    let mut file = head.encode();
    for (sequence, payload) in (0..).zip(payloads) {
        file.extend(frames::seal(head, sequence, payload));
    }
    file
}
