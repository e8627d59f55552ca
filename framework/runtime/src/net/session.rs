//! The tasks of one link, from up to down.
//!
//! | task | ends when |
//! | --- | --- |
//! | a writer for each lane and for control | the lane is finished or shut, or the connection ended |
//! | a reader for each lane and for control | the peer finished the stream, or the connection ended |
//! | acceptors of lanes and of streams | the connection ended |
//! | the session itself | all of the above have, and the layer above was told |
//!
//! The order that [`Frames`] promises is made here. Nothing is decided: what a link means to
//! others is `mesh`'s and `peers`' business.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use callboard_protocol::code::Code;
use callboard_protocol::wire::control::Control;
use callboard_protocol::wire::hello::PeerKind;
use tokio::time::Instant;

use super::error::LinkDown;
use super::handshake::{
    ControlReader, LANE_PRIORITY, LANE_STREAM, exact_error, read_error, write_error,
};
use super::lane::Lane;
use super::link::{CloseOnPanic, Intake, Link};
use super::mesh::Mesh;
use super::split::Splitter;
use super::strays::Strays;
use super::stream::{RecvStream, SendStream, StreamError};
use crate::task::Tasks;

/// Starts the tasks of a link that the layer above has been told of.
pub(super) fn start(
    mesh: &Arc<Mesh>,
    link: &Arc<Link>,
    send: quinn::SendStream,
    control: ControlReader,
) {
    let tasks = mesh.links.child("link");
    let session = Session {
        mesh: Arc::clone(mesh),
        link: Arc::clone(link),
        tasks: tasks.clone(),
    };
    tasks.spawn("control-writer", session.clone().write_control(send));
    tasks.spawn("control-reader", session.clone().read_control(control));
    for (number, lane) in (0u8..).zip(&link.lanes) {
        tasks.spawn(
            "lane-writer",
            session.clone().write_lane(number, Arc::clone(lane)),
        );
    }
    tasks.spawn("accept-lanes", session.clone().accept_lanes());
    tasks.spawn("accept-streams", session.clone().accept_streams());
    mesh.sessions.spawn("session", session.run());
}

#[derive(Clone)]
struct Session {
    mesh: Arc<Mesh>,
    link: Arc<Link>,
    tasks: Tasks,
}

impl Session {
    /// Waits for the end of the connection and takes the link down.
    async fn run(self) {
        let why = self.mesh.explained(&self.link, self.link.ended().await);
        self.link.shut(&why);
        self.mesh.take_out(&self.link);
        // The connection has ended, so every task finds its stream broken and ends by itself,
        // AFTER it has handed over what had arrived.
        self.tasks.stop(self.mesh.config.peer_timeout).await;
        self.mesh.frames.link_down(&self.link, &why);
        self.mesh.ended(&self.link, &why);
        self.link.set_gone();
    }

    async fn write_control(self, mut send: quinn::SendStream) {
        let link = &self.link;
        let written = link.control.write_to(&mut send, &link.stats, &link.traffic);
        let written = written.await;
        self.written(written, &send).await;
        self.link.control.set_flushed();
    }

    async fn write_lane(self, number: u8, lane: Arc<Lane>) {
        // It fails only if the connection has ended.
        if let Ok(mut send) = self.link.connection.open_uni().await {
            let _ = send.set_priority(LANE_PRIORITY);
            let written = match send.write_all(&[LANE_STREAM, number]).await {
                Ok(()) => {
                    lane.write_to(&mut send, &self.link.stats, &self.link.traffic)
                        .await
                }
                Err(error) => Err(error),
            };
            self.written(written, &send).await;
        }
        lane.set_flushed();
    }

    async fn written(&self, written: Result<(), quinn::WriteError>, send: &quinn::SendStream) {
        match written {
            // Ready when the peer has acknowledged everything, or the connection has ended.
            Ok(()) => drop(send.stopped().await),
            Err(error) => self.link.close(write_error(&error)),
        }
    }

    async fn read_control(self, mut control: ControlReader) {
        let stall = self.mesh.config.stall_timeout;
        let mut look = pin!(tokio::time::sleep(stall));
        let mut begun_before = false;
        loop {
            // Both branches are cancel safe.
            let frame = tokio::select! {
                biased;
                frame = control.next() => frame,
                () = look.as_mut() => {
                    let begun = !control.is_between_frames();
                    if begun && begun_before {
                        return self.link.close(stalled(stall));
                    }
                    begun_before = begun;
                    look.as_mut().reset(Instant::now() + stall);
                    continue;
                }
            };
            begun_before = false;
            match frame {
                Ok(Some(_)) if self.link.is_denied() => return,
                Ok(Some(frame)) => {
                    if let Err(why) = self.handle_control(frame) {
                        return self.link.close(why);
                    }
                    // A packet is full of pings, and what is there is read without a wait.
                    tokio::task::coop::consume_budget().await;
                }
                Ok(None) => return,
                Err(why) => return self.link.close(why),
            }
        }
    }

    fn handle_control(&self, frame: Control) -> Result<(), LinkDown> {
        match frame {
            Control::Members(members) => {
                // A client links with nodes and has nothing to say about them.
                if self.link.peer().kind == PeerKind::Node {
                    self.mesh.heard(self.link.peer().id, members);
                }
                Ok(())
            }
            Control::Leaving => {
                self.link.set_leaving();
                Ok(())
            }
            Control::Withdrawn(interfaces) => {
                let most = self.mesh.config.limits.hosts_max;
                self.link.set_withdrawn(interfaces, most);
                Ok(())
            }
            Control::Namesake(namesake) => {
                if self.link.peer().kind == PeerKind::Node {
                    self.mesh.heard_of_namesake(self.link.peer(), namesake);
                }
                Ok(())
            }
            Control::Ping(number) => {
                self.mesh.say(&self.link, &Control::Pong(number));
                Ok(())
            }
            Control::Pong(number) => {
                self.link.set_answered(number);
                Ok(())
            }
            Control::Cluster(message) => {
                self.mesh.frames.heard(&self.link, message);
                Ok(())
            }
            _ => Err(LinkDown::new(Code::FrameMalformed, "a second hello")),
        }
    }

    async fn accept_lanes(self) {
        let mut seen = vec![false; usize::from(self.link.accepted().lanes)];
        let within = self.mesh.config.hello_timeout;
        while let Ok(mut recv) = self.link.connection.accept_uni().await {
            let mut preface = [0; 2];
            match tokio::time::timeout(within, recv.read_exact(&mut preface)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return self.link.close(exact_error(&error)),
                Err(_) => {
                    let detail = format!("a one-way stream did not say what it is in {within:?}");
                    return self.link.close(LinkDown::new(Code::PeerAbuse, detail));
                }
            }
            let [kind, number] = preface;
            match seen.get_mut(usize::from(number)) {
                Some(seen) if kind == LANE_STREAM && !*seen => *seen = true,
                _ => {
                    let detail = format!("stream kind {kind} with number {number}");
                    return self.link.close(LinkDown::new(Code::FrameMalformed, detail));
                }
            }
            self.tasks.spawn(
                "lane-reader",
                self.clone().read_lane(usize::from(number), recv),
            );
        }
    }

    async fn read_lane(self, lane: usize, recv: quinn::RecvStream) {
        let _guard = CloseOnPanic(&self.link);
        if let Err(why) = self.read_frames(lane, recv).await {
            self.link.close(why);
        }
    }

    async fn read_frames(&self, lane: usize, mut recv: quinn::RecvStream) -> Result<(), LinkDown> {
        let Some(mut intake) = self.mesh.frames.intake(&self.link) else {
            return Ok(());
        };
        let mut splitter = Splitter::new(self.mesh.config.limits.frame_bytes_max);
        let mut pieces: [Bytes; PIECES] = Default::default();
        let stall = self.mesh.config.stall_timeout;
        // Armed once, and set anew only when it fires: a frame that is cut by the end of a packet is
        // common, and must not cost a timer.
        let mut alarm = pin!(tokio::time::sleep(stall));
        let mut begun: Option<Instant> = None;
        let mut patience = Patience::default();
        loop {
            // Both branches are cancel safe: quinn keeps what was not taken.
            let read = tokio::select! {
                biased;
                read = recv.read_chunks(&mut pieces) => read,
                () = alarm.as_mut(), if begun.is_some() => {
                    let now = Instant::now();
                    let due = begun.unwrap_or(now) + stall;
                    if due <= now {
                        return Err(stalled(stall));
                    }
                    alarm.as_mut().reset(due);
                    continue;
                }
            };
            let Some(count) = read.map_err(|error| read_error(&error))? else {
                return match splitter.is_between_frames() {
                    true => Ok(()),
                    false => Err(LinkDown::new(Code::FrameMalformed, "a frame was cut off")),
                };
            };
            let (mut frames, mut bytes) = (0, 0);
            let mut now = intake.now();
            let mut shares = Shares::of(pieces[..count].iter().map(Bytes::len).sum());
            for piece in &mut pieces[..count] {
                if shares.is_over(bytes) {
                    tokio::task::yield_now().await;
                    now = intake.now();
                }
                bytes += piece.len();
                // QUIC may have put many packets together while the lane paused.
                while !piece.is_empty() && !self.link.is_denied() {
                    let part = piece.split_to(piece.len().min(PART_BYTES_MAX));
                    let frame =
                        |frame: &[u8], memory: &Bytes| intake.frame(lane, frame, memory, now);
                    patience.read(part.len());
                    frames += splitter.each(part, frame)?;
                    if intake.is_heavy() && !patience.left.is_zero() {
                        self.pause(&*intake, &mut patience).await;
                        now = intake.now();
                    }
                }
            }
            begun = match splitter.is_between_frames() {
                true => None,
                false if frames == 0 && begun.is_some() => begun,
                false => Some(Instant::now()),
            };
            self.link.stats.received(frames, bytes);
            // A lane that never runs dry must not keep the thread from the others, least of all from
            // the turns of those whom it brings so many messages.
            match frames < FRAMES_AT_ONCE {
                true => tokio::task::coop::consume_budget().await,
                false => tokio::task::yield_now().await,
            }
        }
    }

    /// Reads no further for a while: the peer finds no room to send, and its sends wait where they
    /// are made. Others that share the lane wait too, so it goes on when its patience has run out,
    /// whatever happens; what finds no room then is refused.
    async fn pause(&self, intake: &dyn Intake, patience: &mut Patience) {
        let from = Instant::now();
        tokio::select! {
            biased;
            () = intake.light() => {}
            _ = self.link.closed() => {}
            () = tokio::time::sleep(patience.left) => {}
        }
        patience.left = patience.left.saturating_sub(from.elapsed());
    }

    async fn accept_streams(self) {
        let stall = self.mesh.config.stall_timeout;
        let strays = Arc::new(Strays::new(self.mesh.config.strays_max));
        while let Ok((send, recv)) = self.link.connection.accept_bi().await {
            let opened = self.clone().take_stream(
                SendStream::new(send, self.mesh.intake.token().clone()),
                RecvStream::new(recv, stall),
                Arc::clone(&strays),
            );
            self.tasks.spawn("stream", opened);
        }
    }

    /// Hands a stream over once it says whose it is. One that does not is reset by its drop; the
    /// peer's limit of streams bounds how many such there are at once, and `strays` how many in a
    /// while: a peer that resets a stream may open the next one in the same packet.
    async fn take_stream(self, send: SendStream, mut recv: RecvStream, strays: Arc<Strays>) {
        match recv.read_preface(self.mesh.config.hello_timeout).await {
            Ok(_) if self.link.is_denied() => {}
            Ok((call, purpose)) => {
                self.mesh
                    .frames
                    .stream(&self.link, call, purpose, send, recv);
            }
            Err(StreamError::Preface) => {
                let detail = "the first bytes of a stream mean nothing";
                self.link.close(LinkDown::new(Code::FrameMalformed, detail));
            }
            Err(StreamError::Down(_)) => {}
            Err(error) => {
                tracing::debug!(%error, "a stream without a preface");
                self.mesh.strays.fetch_add(1, Ordering::Relaxed);
                if !strays.allow(self.mesh.env.clock.now()) {
                    let detail = "streams are opened and given up in a storm";
                    self.link.close(LinkDown::new(Code::PeerAbuse, detail));
                }
            }
        }
    }
}

fn stalled(stall: Duration) -> LinkDown {
    let detail = format!("a frame that had begun was not whole after {stall:?}");
    LinkDown::new(Code::PeerAbuse, detail)
}

/// Shares of what was read together. Between two of them other tasks run, so that what the first one
/// brings about leaves while the next one is read: the peer works on that meanwhile, where the two
/// nodes would wait for each other in turn. Where much waits, neither of them waits for the other,
/// and larger batches cost less.
struct Shares {
    bytes: usize,
    /// Where the share began.
    from: usize,
}

impl Shares {
    fn of(all: usize) -> Self {
        let bytes = match all {
            0..SHARED_BYTES_MAX => (all / SHARES).max(SHARE_BYTES_MIN),
            _ => usize::MAX,
        };
        Self { bytes, from: 0 }
    }

    /// Returns whether a share ends where so many bytes have been read.
    fn is_over(&mut self, read: usize) -> bool {
        let is_over = read - self.from >= self.bytes;
        if is_over {
            self.from = read;
        }
        is_over
    }
}

/// Two at work at once need two shares; a third one bridges what they are uneven by.
const SHARES: usize = 3;

/// Less than this is not worth a packet of its own.
const SHARE_BYTES_MIN: usize = 2 << 10;

/// So much is not divided: it is what hundreds of small calls bring.
const SHARED_BYTES_MAX: usize = 48 << 10;

/// Packets taken at once: one lock for as many as a receive batch has.
const PIECES: usize = 32;

/// So much of what arrived is split before a look whether it is too much.
const PART_BYTES_MAX: usize = 64 << 10;

/// A batch of so many frames is more than what callers who wait for replies bring.
const FRAMES_AT_ONCE: usize = 256;

/// How long a lane may still pause. However slow one target is, the lane reads [`PATIENCE_BYTES`] in
/// [`PAUSE_MAX`]: what others sent is late by what lies before it, and not by how slow the target is.
struct Patience {
    left: Duration,
    read: usize,
}

impl Patience {
    fn read(&mut self, bytes: usize) {
        self.read += bytes;
        if self.read >= PATIENCE_BYTES {
            *self = Self::default();
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            left: PAUSE_MAX,
            read: 0,
        }
    }
}

/// How long a lane pauses at most while it reads so much: [`PATIENCE_BYTES`]. It is shorter than a
/// default deadline by the number of such pieces that may lie in a stream's window, so that a call
/// behind the pauses is late and not lost.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A quarter of what may wait by default: what is read between two pauses fits.
const PATIENCE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns where shares end in pieces of one packet each.
    fn ends(packets: usize) -> Vec<usize> {
        let mut shares = Shares::of(packets * 6000);
        let read = (0..packets).map(|packet| packet * 6000);
        read.filter(|read| shares.is_over(*read)).collect()
    }

    #[test]
    fn what_was_read_is_handed_on_in_shares_unless_it_is_much() {
        assert_eq!(ends(1), []);
        assert_eq!(ends(2), [6000]);
        assert_eq!(ends(3), [6000, 12_000]);
        assert_eq!(ends(6), [12_000, 24_000]);
        assert_eq!(ends(30), []);
    }
}
