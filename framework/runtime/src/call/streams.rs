//! Brings a call and its QUIC stream together: the stream may be accepted before or after the
//! lane's frame that announces it, and after the call was cancelled.
//!
//! A stream that nobody asks for holds one of the few that the peer may have open, so it is given
//! back: at once if the call is known to be over, else after [`STRAY_MAX`].

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use callboard_protocol::{id::CallId, time::Time};
use tokio::sync::oneshot;

use crate::net::{RecvStream, SendStream};

use super::served::NotEntered;

/// The two halves of a call's stream, each of which comes when the stream does. They go to
/// different tasks.
#[derive(Debug)]
pub(crate) struct Halves<S = SendStream, R = RecvStream> {
    pub(crate) send: oneshot::Receiver<S>,
    pub(crate) recv: oneshot::Receiver<R>,
}

/// The streams of one session that miss their call or are missed by it. The number of accepted
/// ones is bounded by QUIC's stream limit, that of expected ones by who expects them.
#[derive(Debug)]
pub(crate) struct Streams<S = SendStream, R = RecvStream>(Mutex<Inner<S, R>>);

#[derive(Debug)]
struct Inner<S, R> {
    meetings: BTreeMap<CallId, Meeting<S, R>>,
    /// Calls that ended before their stream came, and streams that were given back before their
    /// call came. One that is evicted costs a stray stream or a call that runs to its deadline.
    unwanted: VecDeque<CallId>,
    /// Whether somebody calls [`Streams::sweep`].
    swept: bool,
}

#[derive(Debug)]
enum Meeting<S, R> {
    Expected(oneshot::Sender<S>, oneshot::Sender<R>),
    Accepted { send: S, recv: R, at: Time },
}

impl<S, R> Streams<S, R> {
    /// Takes in a stream that the peer opened. Returns true when somebody has to call
    /// [`sweep`](Self::sweep) from now on.
    ///
    /// # Errors
    /// [`NotEntered::Twice`] when one of this number waits for its call already. Were one of the two
    /// given back, a peer could open them for one number as fast as it can, and hold none.
    pub(crate) fn accepted(
        &self,
        call: CallId,
        send: S,
        recv: R,
        now: Time,
    ) -> Result<bool, NotEntered> {
        let mut inner = self.lock();
        if inner.take_unwanted(call) {
            // Dropping the halves resets the stream.
            return Ok(false);
        }
        match inner.meetings.remove(&call) {
            Some(Meeting::Expected(sender, receiver)) => {
                // A half that nobody waits for is dropped, which resets it.
                let _ = sender.send(send);
                let _ = receiver.send(recv);
                Ok(false)
            }
            Some(earlier @ Meeting::Accepted { .. }) => {
                inner.meetings.insert(call, earlier);
                Err(NotEntered::Twice)
            }
            None => {
                let stray = Meeting::Accepted {
                    send,
                    recv,
                    at: now,
                };
                inner.meetings.insert(call, stray);
                Ok(!std::mem::replace(&mut inner.swept, true))
            }
        }
    }

    /// Gives back the streams that have waited for their call too long. Returns false when none
    /// waits any more, and so nobody has to call it until [`accepted`](Self::accepted) says so.
    #[must_use]
    pub(crate) fn sweep(&self, now: Time) -> bool {
        let mut inner = self.lock();
        let Inner {
            meetings,
            unwanted,
            swept,
        } = &mut *inner;
        *swept = false;
        meetings.retain(|call, meeting| match meeting {
            Meeting::Accepted { at, .. } if now.saturating_since(*at) >= STRAY_MAX => {
                remember(unwanted, *call);
                false
            }
            Meeting::Accepted { .. } => {
                *swept = true;
                true
            }
            Meeting::Expected(..) => true,
        });
        *swept
    }

    /// Waits for the stream of a call; ends without one when the session or the call does.
    ///
    /// # Errors
    /// [`NotEntered`] when a call of this number waits for its stream already, or `most` do.
    pub(crate) fn expect(&self, call: CallId, most: usize) -> Result<Halves<S, R>, NotEntered> {
        let (sender, send) = oneshot::channel();
        let (receiver, recv) = oneshot::channel();
        let mut inner = self.lock();
        match inner.meetings.remove(&call) {
            Some(Meeting::Accepted { send, recv, .. }) => {
                let _ = sender.send(send);
                let _ = receiver.send(recv);
            }
            Some(earlier @ Meeting::Expected(..)) => {
                inner.meetings.insert(call, earlier);
                return Err(NotEntered::Twice);
            }
            // Given back already: it will not come again.
            None if inner.take_unwanted(call) => {}
            None if inner.meetings.len() >= most => return Err(NotEntered::Full),
            None => {
                inner
                    .meetings
                    .insert(call, Meeting::Expected(sender, receiver));
            }
        }
        Ok(Halves { send, recv })
    }

    /// Forgets a call that has ended; its stream is dropped when it comes.
    pub(crate) fn forget(&self, call: CallId) {
        let mut inner = self.lock();
        if let Some(Meeting::Expected(..)) = inner.meetings.remove(&call) {
            remember(&mut inner.unwanted, call);
        }
    }

    /// Drops all streams.
    pub(crate) fn end(&self) {
        let mut inner = self.lock();
        inner.meetings.clear();
        inner.unwanted.clear();
    }

    /// Returns how many streams and calls wait for each other.
    pub(crate) fn len(&self) -> usize {
        self.lock().meetings.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S, R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, R> Default for Streams<S, R> {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            meetings: BTreeMap::new(),
            unwanted: VecDeque::new(),
            swept: false,
        }))
    }
}

impl<S, R> Inner<S, R> {
    fn take_unwanted(&mut self, call: CallId) -> bool {
        let place = self.unwanted.iter().position(|unwanted| *unwanted == call);
        place.is_some_and(|place| self.unwanted.remove(place).is_some())
    }
}

fn remember(unwanted: &mut VecDeque<CallId>, call: CallId) {
    unwanted.push_back(call);
    if unwanted.len() > UNWANTED_MAX {
        unwanted.pop_front();
    }
}

/// How long a stream may be there before the frame that announces it: above what a full lane takes
/// to empty, below what a caller puts up with when its large bodies find no stream.
pub(crate) const STRAY_MAX: Duration = Duration::from_secs(10);

/// Streams of ended calls that are remembered; a call that ends before its stream was opened
/// leaves an entry that nothing else removes.
const UNWANTED_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: CallId = CallId(7);
    const MOST: usize = 3000;

    fn streams() -> Streams<&'static str, &'static str> {
        Streams::default()
    }

    #[test]
    fn a_stream_and_its_call_meet_in_either_order() {
        let streams = streams();
        let mut halves = streams.expect(CALL, MOST).expect("the first");
        let twice = streams
            .expect(CALL, MOST)
            .expect_err("its number is in use");
        assert_eq!(twice, NotEntered::Twice);
        let full = streams.expect(CallId(8), 1).expect_err("one waits");
        assert_eq!(full, NotEntered::Full);
        assert_eq!(
            streams.accepted(CALL, "send", "recv", Time::ZERO),
            Ok(false)
        );
        assert_eq!(halves.send.try_recv(), Ok("send"));
        assert_eq!(halves.recv.try_recv(), Ok("recv"));
        assert_eq!(streams.accepted(CALL, "send", "recv", Time::ZERO), Ok(true));
        let mut halves = streams.expect(CALL, MOST).expect("a new one");
        assert_eq!(halves.recv.try_recv(), Ok("recv"));
        assert_eq!(streams.len(), 0);
    }

    #[test]
    fn a_second_stream_of_one_number_is_refused_and_the_first_is_kept() {
        let streams = streams();
        assert_eq!(
            streams.accepted(CALL, "first", "first", Time::ZERO),
            Ok(true)
        );
        assert_eq!(
            streams.accepted(CALL, "second", "second", Time::ZERO),
            Err(NotEntered::Twice)
        );
        let mut halves = streams.expect(CALL, MOST).expect("its call");
        assert_eq!(halves.recv.try_recv(), Ok("first"));
        assert_eq!(streams.len(), 0);
    }

    #[test]
    fn the_stream_of_a_call_that_ended_is_given_back() {
        let streams = streams();
        drop(streams.expect(CALL, MOST));
        streams.forget(CALL);
        assert_eq!(
            streams.accepted(CALL, "send", "recv", Time::ZERO),
            Ok(false)
        );
        assert_eq!(streams.len(), 0);
    }

    #[test]
    fn a_stream_that_nobody_asks_for_is_given_back_after_a_while() {
        let streams = streams();
        // More ends than are remembered: this one was evicted.
        for call in 0..2000 {
            drop(streams.expect(CallId(call), MOST));
            streams.forget(CallId(call));
        }
        assert_eq!(streams.accepted(CALL, "send", "recv", Time::ZERO), Ok(true));
        let later = Time::ZERO + STRAY_MAX / 2;
        assert_eq!(
            streams.accepted(CallId(5000), "send", "recv", later),
            Ok(false)
        );
        assert!(streams.sweep(later));
        assert_eq!(streams.len(), 2);
        assert!(streams.sweep(Time::ZERO + STRAY_MAX), "one is left");
        assert_eq!(streams.len(), 1);
        // Its call hears that it is gone instead of waiting for it.
        let mut late = streams.expect(CALL, MOST).expect("the first");
        assert_eq!(
            late.recv.try_recv(),
            Err(oneshot::error::TryRecvError::Closed)
        );
        assert!(!streams.sweep(later + STRAY_MAX));
        assert_eq!(streams.len(), 0);
    }
}
