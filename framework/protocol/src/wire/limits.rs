//! The limits of the wire: every size that a peer could choose has its bound here.
//!
//! This module holds numbers and their reasons. The decoders apply them. Depends on nothing.

use super::header::HEADER_BYTES_MAX;

/// Bounds on what a peer may make this node read, keep and decode.
///
/// Both sides of a link check; a frame over the other side's cap is not sent, see
/// [`Accepted`](super::hello::Accepted).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The longest frame on a lane, in bytes without its length field; default 64 KiB + 4 KiB.
    ///
    /// Bodies that make a frame longer than this take a stream of their own. A larger value lets
    /// one body block the lane for longer; it costs this much buffer for each lane of each peer.
    pub frame_bytes_max: u32,
    /// The longest body, in bytes; default 64 MiB. It costs this much memory for each body being
    /// received.
    pub body_bytes_max: u32,
    /// The memory any body may decode to, in bytes; default 1 MiB. A body is allowed this plus
    /// [`decode_amplification_max`](Self::decode_amplification_max) times its length.
    pub decode_bytes_min: u64,
    /// How many times larger than its bytes a decoded body may be, above the minimum; default 32.
    /// A `Vec<String>` of empty texts has a factor of 24. One of small trees, such as
    /// `Vec<BTreeMap<String, u32>>` with an entry each, has one of about 60, since a tree takes room
    /// for eleven entries: raise it where such bodies decode to more than the minimum.
    pub decode_amplification_max: u32,
    /// The memory a body may decode to, in bytes, whatever its length; default 256 MiB.
    pub decode_bytes_max: u64,
    /// Levels of nesting that no type may exceed; default 256, also the largest value that a
    /// shape can have. A level costs some hundred bytes of a 2 MiB stack.
    pub depth_max: u32,
    /// The longest frame on the control lane, in bytes; default 1 MiB. A hello takes about 60
    /// bytes a method, so this is room for 15,000 methods.
    pub control_bytes_max: u32,
    /// The most interfaces in a hello; default 4096. A few hundred bytes each are kept a peer.
    pub hosts_max: usize,
    /// The most methods of an interface in a hello; default 1024. About 100 bytes each are kept a
    /// peer.
    pub methods_max: usize,
    /// The most nodes in a list of members; default 4096. About 100 bytes each are kept.
    pub members_max: usize,
}

impl Limits {
    /// Returns the longest body that fits into a frame of this cap beside any header, in bytes.
    #[must_use]
    pub const fn inline_body_bytes_max(frame_bytes_max: u32) -> usize {
        (frame_bytes_max as usize).saturating_sub(HEADER_BYTES_MAX)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 68 * 1024,
            body_bytes_max: 64 * 1024 * 1024,
            decode_bytes_min: 1024 * 1024,
            decode_amplification_max: 32,
            decode_bytes_max: 256 * 1024 * 1024,
            depth_max: DEPTH_MAX,
            control_bytes_max: 1024 * 1024,
            hosts_max: 4096,
            methods_max: 1024,
            members_max: 4096,
        }
    }
}

/// The deepest nesting a type may have, in levels.
pub const DEPTH_MAX: u32 = 256;
