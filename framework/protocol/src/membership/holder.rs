//! The node's side of its lease: renews it, and stops acting before it ends.
//!
//! The end of the lease is counted from when the renewal that was answered had been *sent*, so
//! nothing that happens to the answer on its way can make it last longer than the leader thinks
//! (Gray and Cheriton 1989, section 2). Renewals go out only while the pool that runs the actors
//! answers probes: a node whose handlers block every thread loses its lease, although the part of
//! it that sends renewals is well. Does not send, and knows no leader.

use std::collections::VecDeque;

use super::{Profile, RenewalNumber};
use crate::id::Incarnation;
use crate::plant::{Mistake, Plant};
use crate::time::Time;

/// Numbers the probes of a holder. Numbers are not used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProbeNumber(pub u64);

/// What a holder asks its driver to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HolderAction {
    /// Send a task through the pool that runs the actors, and say with
    /// [`Holder::handle_probe_returned`] when it has run.
    Probe(ProbeNumber),
    /// Send a renewal to the leader, over a link that loses nothing.
    Renew(RenewalNumber),
    /// The lease is held from now on: turns may start.
    Hold,
    /// The lease ends in a moment: start no turn, and let nothing out after
    /// [`Holder::may_answer`] has said no.
    Fence,
}

/// The lease of this node, for one incarnation of it.
///
/// Every moment given to it must come from the clock that also runs while the machine is
/// suspended (`CLOCK_BOOTTIME` on Linux): with any other one a node that was suspended would find
/// its lease as good as before.
#[derive(Debug)]
pub struct Holder {
    profile: Profile,
    incarnation: Incarnation,
    /// Renewals without an answer, the oldest first, with when they were sent.
    sent: VecDeque<(RenewalNumber, Time)>,
    next_renewal: u64,
    renew_at: Time,
    ends: Option<Time>,
    probe: Option<(ProbeNumber, Time)>,
    next_probe: u64,
    probe_at: Time,
    told_to_hold: bool,
    refused: bool,
    plant: Plant,
}

impl Holder {
    /// Makes a holder without a lease. It probes and renews at once.
    #[must_use]
    pub fn new(profile: Profile, incarnation: Incarnation, now: Time) -> Self {
        Self {
            profile,
            incarnation,
            sent: VecDeque::new(),
            next_renewal: 0,
            renew_at: now,
            ends: None,
            probe: None,
            next_probe: 0,
            probe_at: now,
            told_to_hold: false,
            refused: false,
            plant: Plant::NONE,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_plant(mut self, plant: Plant) -> Self {
        self.plant = plant;
        self
    }

    /// The leader granted the renewal with this number.
    ///
    /// A number that is not waited for is ignored: the answer is late, doubled, or to an earlier
    /// incarnation.
    pub fn handle_granted(&mut self, incarnation: Incarnation, number: RenewalNumber, now: Time) {
        if self.refused || incarnation != self.incarnation {
            return;
        }
        let Ok(at) = self.sent.binary_search_by_key(&number, |(sent, _)| *sent) else {
            return;
        };
        let sent = self.sent[at].1;
        self.sent.drain(..=at);
        let from = if self.plant.has(Mistake::CountFromReceipt) {
            now
        } else {
            sent
        };
        // An older renewal that is answered late never shortens what a newer one gave.
        self.ends = self.ends.max(Some(from + self.profile.lease));
    }

    /// The control plane does not know this incarnation any more. It never holds a lease again.
    ///
    /// The node has to drop its activations and join under a higher incarnation.
    pub fn handle_refused(&mut self, incarnation: Incarnation) {
        if incarnation == self.incarnation {
            self.refused = true;
            self.ends = None;
            self.sent.clear();
        }
    }

    /// The probe has run in the pool. Late and doubled returns are ignored.
    pub fn handle_probe_returned(&mut self, number: ProbeNumber, now: Time) {
        if self.probe.is_some_and(|(sent, _)| sent == number) {
            let was_wedged = self.is_wedged(now);
            self.probe = None;
            if was_wedged {
                self.renew_at = now;
            }
        }
    }

    /// A leader was elected: the next renewal goes out at once, not when it is due.
    pub fn handle_leader(&mut self, now: Time) {
        self.renew_at = self.renew_at.min(now);
    }

    /// Returns the next thing to do at this moment, until there is none.
    pub fn poll_action(&mut self, now: Time) -> Option<HolderAction> {
        let holds = self.may_start_turn(now);
        if holds != self.told_to_hold {
            self.told_to_hold = holds;
            return Some(if holds {
                HolderAction::Hold
            } else {
                HolderAction::Fence
            });
        }
        if self.refused {
            return None;
        }
        if self.probe.is_none() && now >= self.probe_at {
            let number = ProbeNumber(self.next_probe);
            self.next_probe += 1;
            self.probe = Some((number, now));
            self.probe_at = now + self.profile.renew;
            return Some(HolderAction::Probe(number));
        }
        if now >= self.renew_at && !self.is_wedged(now) {
            let number = RenewalNumber(self.next_renewal);
            self.next_renewal += 1;
            self.renew_at = now + self.profile.renew;
            // A renewal that was sent longer ago than a lease lasts could give nothing any more.
            let lease = self.profile.lease;
            self.sent.retain(|(_, sent)| *sent + lease > now);
            if self.sent.len() == UNANSWERED_MAX {
                self.sent.pop_front();
            }
            self.sent.push_back((number, now));
            return Some(HolderAction::Renew(number));
        }
        None
    }

    /// Returns when [`poll_action`](Self::poll_action) has something to do, if nothing is handled
    /// before. A moment that has passed means now.
    #[must_use]
    pub fn next_deadline(&self, now: Time) -> Option<Time> {
        let fence = self.fences_at().filter(|_| self.told_to_hold);
        if self.refused {
            return self.told_to_hold.then_some(now);
        }
        let probe = self.probe.is_none().then_some(self.probe_at);
        let renew = (!self.is_wedged(now)).then_some(self.renew_at);
        [fence, probe, renew].into_iter().flatten().min()
    }

    /// Returns whether a turn may start: the lease is held, and its end is not near.
    #[must_use]
    pub fn may_start_turn(&self, now: Time) -> bool {
        self.fences_at().is_some_and(|fence| now < fence)
    }

    /// Returns whether a reply, a send or a publish may leave: the lease is held.
    ///
    /// Asked at the end of a turn, BEFORE anything of it leaves.
    #[must_use]
    pub fn may_answer(&self, now: Time) -> bool {
        self.ends.is_some_and(|ends| now < ends)
    }

    /// Returns whether the pool that runs the actors has not answered a probe for half a lease.
    #[must_use]
    pub fn is_wedged(&self, now: Time) -> bool {
        let limit = self.profile.probe_limit();
        self.probe
            .is_some_and(|(_, sent)| now.saturating_since(sent) > limit)
    }

    /// Returns which incarnation the lease is for.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Returns until when turns may start, and until when what they make may leave; nothing without
    /// a lease.
    #[must_use]
    pub fn lease(&self) -> Option<(Time, Time)> {
        Some((self.fences_at()?, self.ends?))
    }

    fn fences_at(&self) -> Option<Time> {
        Some(self.ends? - self.profile.fence_lead())
    }
}

/// The most renewals that wait for an answer: many times what a lease has room for.
const UNANSWERED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Incarnation = Incarnation(7);

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn holder() -> Holder {
        Holder::new(Profile::lan(), ME, at(0))
    }

    fn actions(holder: &mut Holder, now: Time) -> Vec<HolderAction> {
        std::iter::from_fn(|| holder.poll_action(now)).collect()
    }

    /// Lets the holder run to this moment with a pool that answers; returns the renewals.
    fn run(holder: &mut Holder, until: Time) -> Vec<(RenewalNumber, Time)> {
        let (mut now, mut sent) = (Time::ZERO, Vec::new());
        while let Some(due) = holder.next_deadline(now).filter(|due| *due <= until) {
            now = now.max(due);
            for action in actions(holder, now) {
                match action {
                    HolderAction::Probe(number) => holder.handle_probe_returned(number, now),
                    HolderAction::Renew(number) => sent.push((number, now)),
                    HolderAction::Hold | HolderAction::Fence => {}
                }
            }
        }
        sent
    }

    #[test]
    fn a_lease_counts_from_the_sending_of_the_renewal_that_was_answered() {
        let mut holder = holder();
        let sent = run(&mut holder, at(1200));
        assert_eq!(
            sent.iter().map(|it| it.1).collect::<Vec<_>>(),
            [at(0), at(500), at(1000)]
        );
        holder.handle_granted(ME, sent[1].0, at(1400));
        assert!(holder.may_answer(at(3499)) && !holder.may_answer(at(3500)));
        assert!(holder.may_start_turn(at(3399)) && !holder.may_start_turn(at(3400)));
    }

    #[test]
    fn late_doubled_and_foreign_answers_change_nothing() {
        let mut holder = holder();
        let sent = run(&mut holder, at(1200));
        holder.handle_granted(ME, sent[2].0, at(1250));
        holder.handle_granted(ME, sent[2].0, at(1900));
        holder.handle_granted(ME, sent[0].0, at(1900));
        holder.handle_granted(ME, RenewalNumber(99), at(1900));
        holder.handle_granted(Incarnation(6), sent[1].0, at(1900));
        assert!(!holder.may_answer(at(4000)));
        assert!(holder.may_answer(at(3999)));
    }

    #[test]
    fn a_holder_says_when_it_may_act_and_when_no_more() {
        let mut holder = holder();
        let sent = run(&mut holder, at(0));
        holder.handle_granted(ME, sent[0].0, at(20));
        assert_eq!(actions(&mut holder, at(20)), [HolderAction::Hold]);
        // Its machine is suspended from 100 ms on, and wakes after the lease.
        assert_eq!(actions(&mut holder, at(9000))[0], HolderAction::Fence);
        assert!(!holder.may_start_turn(at(9000)) && !holder.may_answer(at(9000)));
    }

    #[test]
    fn the_end_of_the_lease_is_a_deadline() {
        let mut holder = holder();
        let sent = run(&mut holder, at(0));
        holder.handle_granted(ME, sent[0].0, at(20));
        run(&mut holder, at(2899));
        assert!(holder.told_to_hold);
        assert_eq!(holder.next_deadline(at(2899)), Some(at(2900)));
        assert_eq!(holder.poll_action(at(2900)), Some(HolderAction::Fence));
    }

    #[test]
    fn a_wedged_pool_stops_the_renewals_and_a_busy_one_does_not() {
        let mut holder = holder();
        let HolderAction::Probe(probe) = holder.poll_action(at(0)).expect("a probe") else {
            panic!("the probe comes first");
        };
        let mut renewals = 0;
        for millis in 0..=1500 {
            renewals += actions(&mut holder, at(millis)).len();
        }
        assert_eq!(renewals, 4, "as long as the probe may take");
        for millis in 1501..5000 {
            assert_eq!(holder.poll_action(at(millis)), None);
        }
        assert!(holder.is_wedged(at(5000)));
        holder.handle_probe_returned(probe, at(5000));
        let mut after = actions(&mut holder, at(5000));
        assert!(matches!(after.pop(), Some(HolderAction::Renew(_))));
        assert!(matches!(after.pop(), Some(HolderAction::Probe(_))));
    }

    #[test]
    fn a_refused_incarnation_never_holds_again() {
        let mut holder = holder();
        let sent = run(&mut holder, at(600));
        holder.handle_granted(ME, sent[0].0, at(600));
        assert_eq!(holder.poll_action(at(600)), Some(HolderAction::Hold));
        holder.handle_refused(Incarnation(6));
        assert!(holder.may_answer(at(600)), "that was another incarnation");
        holder.handle_refused(ME);
        assert_eq!(holder.next_deadline(at(600)), Some(at(600)));
        assert_eq!(actions(&mut holder, at(600)), [HolderAction::Fence]);
        holder.handle_granted(ME, sent[1].0, at(600));
        assert!(!holder.may_answer(at(600)));
        assert_eq!(holder.next_deadline(at(600)), None);
    }

    #[test]
    fn a_new_leader_is_asked_at_once() {
        let mut holder = holder();
        run(&mut holder, at(0));
        assert_eq!(actions(&mut holder, at(100)), []);
        holder.handle_leader(at(100));
        assert_eq!(actions(&mut holder, at(100)).len(), 1);
    }

    #[test]
    fn the_mistake_that_tests_can_plant_is_one() {
        let plant = Plant::of(Some(Mistake::CountFromReceipt));
        let mut holder = holder().with_plant(plant);
        let sent = run(&mut holder, at(0));
        holder.handle_granted(ME, sent[0].0, at(400));
        assert!(holder.may_answer(at(3399)));
    }

    #[test]
    fn unanswered_renewals_are_bounded() {
        let mut holder = holder();
        for millis in 0..10_000 {
            holder.handle_leader(at(millis));
            for action in actions(&mut holder, at(millis)) {
                if let HolderAction::Probe(number) = action {
                    holder.handle_probe_returned(number, at(millis));
                }
            }
        }
        assert_eq!(holder.sent.len(), UNANSWERED_MAX);
    }
}
