//! The settings of the node's port, with their defaults, their reasons and what they cost.
//!
//! quinn's own defaults are made for browsers and the open internet: unlimited receive windows,
//! 65,536 pending handshakes, migration. Every one that matters here is set from this file; how
//! is in [`endpoint`](super::endpoint).

use std::time::Duration;

use callboard_protocol::wire::Limits;
use callboard_protocol::wire::hello::{FRAME_BYTES_MIN, LANES_MAX};

use super::StartError;
use super::range::{Side, at_least, related, within};

/// Settings of a node's or a client's links.
///
/// All nodes of a cluster should run with the same values; where two differ, the smaller limit
/// applies to what one sends to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The limits of the wire: the sizes of frames, bodies and lists.
    pub limits: Limits,

    /// After this long without a packet from a peer its link is down; default 3 s, 100 ms to 1 h.
    ///
    /// It is the time to notice a killed peer, because a killed process says no goodbye, and up to
    /// `keep_alive` more: the time runs from the last probe. One that is started again on its port
    /// is noticed sooner: at once if it dials, else at the next packet that it is sent, at the
    /// latest after `keep_alive`. Smaller values take a busy or paused peer for a dead one.
    pub peer_timeout: Duration,
    /// How often an idle link is probed; default 1 s, below half of `peer_timeout`.
    ///
    /// Costs one small packet each way for each idle link.
    pub keep_alive: Duration,
    /// How long a dial may take before the other side has answered; default 3 s.
    pub dial_timeout: Duration,
    /// How long a connection may take from its TLS handshake to its accepted hello; default 5 s.
    pub hello_timeout: Duration,
    /// How long what a peer has begun may stand still; default 10 s, 100 ms to 1 h.
    ///
    /// A frame that has begun on a lane has to be whole after this, or the link is closed. A body
    /// on a stream, and an item that has begun, has to come at 64 KiB each such time, or the
    /// stream is given up. So it is the slowest path that bodies pass, 6.4 KiB/s, and how long one
    /// that sends a byte a second holds what was set aside for it.
    pub stall_timeout: Duration,
    /// The guess of a path's round trip before it is measured; default 100 ms.
    ///
    /// A lost first packet is sent again after three times this. quinn's default is 333 ms, which
    /// makes one lost packet cost a second.
    pub initial_rtt: Duration,

    /// The most linked peers, nodes and clients together; default 1024. A quarter, rounded down, is
    /// kept for nodes: one certificate of a client is enough for any number of links, and they must
    /// not keep out a node that comes back.
    ///
    /// Worst case, each costs the windows and the buffers below, and its list of the nodes that it
    /// is linked with, of up to `limits.members_max`.
    pub peers_max: usize,
    /// The most links of clients that have one name, so one certificate or its successors; default
    /// 256. One more is refused, so that who has a client's key cannot keep the other clients out.
    ///
    /// Processes that share a certificate share it too.
    pub client_links_max: usize,
    /// The most connections between their first packet and their accepted hello; default 256.
    /// More are refused.
    pub pending_max: usize,
    /// From this many pending connections on, a dialler must first prove that its address is its
    /// own, by one more round trip (QUIC Retry); default 0: always.
    ///
    /// Until then nothing is kept of it, and what goes out to it is shorter than what came in, so
    /// that a forged address costs neither this node nor its owner. Below this number a dialler
    /// saves the round trip, and a forged address is sent up to four times what came in its name.
    pub retry_above: usize,

    /// Ordered lanes to each peer; default 1, 1 to 16.
    ///
    /// A pair of sender and target always uses the same lane. More lanes keep a lost packet of
    /// one from delaying the others, and make batches smaller.
    pub lanes: u8,
    /// The bytes that may wait in one lane for the network; default 4 MiB.
    ///
    /// A full one refuses frames. It costs up to twice this for each lane of each peer: one part
    /// is being filled while the other is being written.
    pub lane_buffer_bytes_max: usize,
    /// The most streams that a peer may have open to this node for large bodies and user streams;
    /// default 128. Opening one more waits.
    pub streams_max: u32,
    /// The streams that a peer may open and give up each second before they say what they are for;
    /// default 1000, from 1. Four times as many at once close the link with `PeerAbuse`.
    ///
    /// A caller that drops calls with large bodies gives up some. Each costs about 20 µs.
    pub strays_max: u32,
    /// The bytes that a peer may send on one lane or stream ahead of its reader; default 256 KiB.
    ///
    /// It bounds the speed of one lane or stream to this much a round trip.
    pub stream_window_bytes: u32,
    /// The bytes that a peer may send on all its lanes and streams ahead of their readers;
    /// default 72 MiB. Worst case, each peer costs this much.
    ///
    /// It has to have room for all of them at once, so that streams that nobody reads leave the lanes
    /// theirs: `stream_window_bytes` for each of `streams_max` streams that the peer opens and as many
    /// that this node does, for each lane and for the control stream.
    pub receive_window_bytes: u32,
    /// The bytes to one peer that were handed to QUIC and are not acknowledged; default 8 MiB.
    /// Worst case, each peer costs this much.
    pub send_window_bytes: u64,

    /// The largest datagram that path MTU discovery tries, in bytes; default 6400, 1200 to 65527.
    ///
    /// On loopback and with jumbo frames, larger datagrams save most of the work for each byte.
    /// It also sizes the socket's receive buffers: this × 64 × 32 bytes of address space, of
    /// which only what a burst fills is memory.
    pub datagram_bytes_max: u16,

    /// The wait before the first new try of a failed dial; default 50 ms.
    pub reconnect_min: Duration,
    /// The longest wait between two tries; default 5 s. The waits double, with jitter.
    pub reconnect_max: Duration,
    /// After this long without a link to a member, here or at any linked node, it is dropped;
    /// default 60 s. Seeds are never dropped.
    pub member_forget: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            peer_timeout: Duration::from_secs(3),
            keep_alive: Duration::from_secs(1),
            dial_timeout: Duration::from_secs(3),
            hello_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(10),
            initial_rtt: Duration::from_millis(100),
            peers_max: 1024,
            client_links_max: 256,
            pending_max: 256,
            retry_above: 0,
            lanes: 1,
            lane_buffer_bytes_max: 4 << 20,
            streams_max: 128,
            strays_max: 1000,
            stream_window_bytes: 256 << 10,
            receive_window_bytes: 72 << 20,
            send_window_bytes: 8 << 20,
            datagram_bytes_max: 6400,
            reconnect_min: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(5),
            member_forget: Duration::from_secs(60),
        }
    }
}

impl Config {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    /// [`Code::ConfigInvalid`] with the first setting that is not, its value and its range.
    ///
    /// [`Code::ConfigInvalid`]: callboard_protocol::code::Code::ConfigInvalid
    pub fn validate(&self) -> Result<(), StartError> {
        self.validate_times()?;
        self.validate_counts()?;
        self.validate_bytes()
    }

    fn validate_times(&self) -> Result<(), StartError> {
        let (milli, second) = (Duration::from_millis(1), Duration::from_secs(1));
        let hour = second * 3600;
        within("peer_timeout", self.peer_timeout, milli * 100, hour)?;
        at_least("keep_alive", self.keep_alive, milli)?;
        let [timeout, alive] = [
            self.side("peer_timeout", |config| config.peer_timeout),
            self.side("keep_alive", |config| config.keep_alive),
        ];
        let rule = format!(
            "keep_alive has to be below half of peer_timeout: below {:?} here",
            self.peer_timeout / 2
        );
        related(
            self.keep_alive < self.peer_timeout / 2,
            [timeout, alive],
            &rule,
        )?;
        within("dial_timeout", self.dial_timeout, milli * 10, hour)?;
        within("hello_timeout", self.hello_timeout, milli * 10, hour)?;
        within("stall_timeout", self.stall_timeout, milli * 100, hour)?;
        within("initial_rtt", self.initial_rtt, milli, second * 10)?;
        within("reconnect_min", self.reconnect_min, milli, hour)?;
        within("reconnect_max", self.reconnect_max, milli, hour)?;
        related(
            self.reconnect_min <= self.reconnect_max,
            [
                self.side("reconnect_min", |config| config.reconnect_min),
                self.side("reconnect_max", |config| config.reconnect_max),
            ],
            "reconnect_min may not be above reconnect_max",
        )?;
        within(
            "member_forget",
            self.member_forget,
            Duration::ZERO,
            hour * 24,
        )?;
        related(
            self.member_forget >= self.peer_timeout,
            [
                self.side("member_forget", |config| config.member_forget),
                self.side("peer_timeout", |config| config.peer_timeout),
            ],
            "member_forget may not be below peer_timeout",
        )
    }

    fn validate_counts(&self) -> Result<(), StartError> {
        at_least("peers_max", self.peers_max, 1)?;
        at_least("client_links_max", self.client_links_max, 1)?;
        at_least("limits.members_max", self.limits.members_max, 1)?;
        at_least("pending_max", self.pending_max, 1)?;
        at_least("strays_max", self.strays_max, 1)?;
        within("lanes", self.lanes, 1, LANES_MAX)
    }

    fn validate_bytes(&self) -> Result<(), StartError> {
        let limits = &self.limits;
        at_least("lane_buffer_bytes_max", self.lane_buffer_bytes_max, 1)?;
        for (name, bytes) in [
            ("limits.frame_bytes_max", limits.frame_bytes_max),
            ("limits.control_bytes_max", limits.control_bytes_max),
        ] {
            within(name, bytes, FRAME_BYTES_MIN, 16 << 20)?;
        }
        for (name, bytes) in [
            ("stream_window_bytes", self.stream_window_bytes),
            ("receive_window_bytes", self.receive_window_bytes),
        ] {
            within(name, bytes, 16 << 10, 1 << 30)?;
        }
        // Of a stream that nobody reads its window is full, and no more of the link's.
        let streams = 2 * u64::from(self.streams_max) + u64::from(self.lanes) + 1;
        let least = streams.saturating_mul(u64::from(self.stream_window_bytes));
        let rule = format!(
            "with streams_max at {} and lanes at {} there may be {streams} streams, of which each needs \
             its window: receive_window_bytes has to be {least} or more",
            self.streams_max, self.lanes
        );
        related(
            u64::from(self.receive_window_bytes) >= least,
            [
                self.side("receive_window_bytes", |config| config.receive_window_bytes),
                self.side("stream_window_bytes", |config| config.stream_window_bytes),
            ],
            &rule,
        )?;
        at_least("send_window_bytes", self.send_window_bytes, 16 << 10)?;
        within("datagram_bytes_max", self.datagram_bytes_max, 1200, 65527)
    }

    fn side<T>(&self, name: &'static str, of: impl Fn(&Self) -> T) -> Side<T> {
        Side {
            name,
            value: of(self),
            default: of(&Self::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use callboard_protocol::code::Code;

    use super::*;

    /// Returns the subject and the detail of what is wrong.
    fn wrong(set: impl FnOnce(&mut Config)) -> (String, String) {
        let mut config = Config::default();
        set(&mut config);
        let error = config.validate().expect_err("out of its range");
        assert_eq!(error.code(), Code::ConfigInvalid);
        (error.subject().to_owned(), error.detail().to_owned())
    }

    #[test]
    fn the_defaults_are_in_their_ranges() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn a_setting_out_of_its_range_is_named_with_its_value_and_the_range() {
        let (subject, detail) = wrong(|config| config.lanes = 17);
        assert_eq!(subject, "setting lanes");
        assert_eq!(detail, "it is 17, and may be 1 to 16");
        let (subject, detail) = wrong(|config| config.peer_timeout = Duration::from_millis(50));
        assert_eq!(subject, "setting peer_timeout");
        assert_eq!(detail, "it is 50ms, and may be 100ms to 3600s");
        let (subject, detail) = wrong(|config| config.peers_max = 0);
        assert_eq!(subject, "setting peers_max");
        assert_eq!(detail, "it is 0, and may be 1 or more");
    }

    #[test]
    fn of_two_settings_that_do_not_fit_the_one_that_was_set_is_named() {
        let rule = "keep_alive has to be below half of peer_timeout";
        let (subject, detail) = wrong(|config| config.peer_timeout = Duration::from_millis(1500));
        assert_eq!(subject, "setting peer_timeout");
        assert_eq!(
            detail,
            format!(
                "peer_timeout is 1.5s and keep_alive is 1s by default, and {rule}: below 750ms here"
            )
        );
        let (subject, detail) = wrong(|config| config.keep_alive = Duration::from_secs(2));
        assert_eq!(subject, "setting keep_alive");
        assert_eq!(
            detail,
            format!(
                "peer_timeout is 3s by default and keep_alive is 2s, and {rule}: below 1.5s here"
            )
        );
        let (subject, _) = wrong(|config| {
            config.keep_alive = Duration::from_secs(9);
            config.peer_timeout = Duration::from_secs(9);
        });
        assert_eq!(subject, "settings peer_timeout and keep_alive");
    }

    #[test]
    fn the_window_of_a_link_has_room_for_those_of_all_its_streams() {
        let (subject, detail) = wrong(|config| config.stream_window_bytes = 2 << 20);
        assert_eq!(subject, "setting stream_window_bytes");
        assert_eq!(
            detail,
            "receive_window_bytes is 75497472 by default and stream_window_bytes is 2097152, and with \
             streams_max at 128 and lanes at 1 there may be 258 streams, of which each needs its window: \
             receive_window_bytes has to be 541065216 or more"
        );
        let (subject, _) = wrong(|config| config.streams_max = u32::MAX);
        assert_eq!(
            subject,
            "settings receive_window_bytes and stream_window_bytes"
        );
        let mut config = Config {
            lanes: LANES_MAX,
            ..Config::default()
        };
        assert_eq!(config.validate(), Ok(()));
        config.streams_max = 16;
        config.stream_window_bytes = 1 << 20;
        assert_eq!(config.validate(), Ok(()));
        config.receive_window_bytes = 49 << 20;
        assert_eq!(config.validate(), Ok(()));
        config.receive_window_bytes -= 1;
        assert!(config.validate().is_err());
    }
}
