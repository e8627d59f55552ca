//! This node's lease: drives [`Holder`].
//!
//! Depends on `driver`.

use callboard_protocol::{
    cluster::{Message, NotGranted},
    id::{Incarnation, NodeId},
    membership::{Holder, HolderAction, ProbeNumber, Profile, RenewalNumber},
    time::Time,
};

use super::driver::{Driver, Event};

/// This node's lease, if it is a member.
#[derive(Debug, Default)]
pub(super) struct Holding {
    holder: Option<Holder>,
}

impl Holding {
    /// This life is a member from now on.
    pub(super) fn begin(&mut self, profile: Profile, incarnation: Incarnation, now: Time) {
        self.holder = Some(Holder::new(profile, incarnation, now));
    }

    /// There is no lease any more, and none is asked for.
    fn end(&mut self) {
        self.holder = None;
    }

    pub(super) fn handle_leader(&mut self, now: Time) {
        if let Some(holder) = &mut self.holder {
            holder.handle_leader(now);
        }
    }

    pub(super) fn handle_probed(
        &mut self,
        incarnation: Incarnation,
        number: ProbeNumber,
        now: Time,
    ) {
        if let Some(holder) = self.of(incarnation) {
            holder.handle_probe_returned(number, now);
        }
    }

    pub(super) fn next_deadline(&self, now: Time) -> Option<Time> {
        self.holder.as_ref()?.next_deadline(now)
    }

    /// Returns until when the lease is held, if it is.
    pub(super) fn lease_until(&self, now: Time) -> Option<Time> {
        let (_, ends) = self.holder.as_ref()?.lease()?;
        (ends > now).then_some(ends)
    }

    fn of(&mut self, incarnation: Incarnation) -> Option<&mut Holder> {
        let holder = self.holder.as_mut();
        holder.filter(|it| it.incarnation() == incarnation)
    }
}

impl Driver {
    pub(super) fn step_holding(&mut self, now: Time) {
        while let Some(action) = self
            .holding
            .holder
            .as_mut()
            .and_then(|it| it.poll_action(now))
        {
            match action {
                HolderAction::Probe(number) => self.probe(number),
                HolderAction::Renew(number) => {
                    let incarnation = self.owner.incarnation;
                    let version = self.ownership.version();
                    self.send_to_leader(Message::Renew {
                        incarnation,
                        number,
                        version,
                    });
                }
                HolderAction::Hold => tracing::info!(me = %self.owner, "holds a lease"),
                HolderAction::Fence => {
                    let why = self.why_unleased();
                    tracing::warn!(me = %self.owner, why, "holds no lease any more: starts no turns");
                }
                _ => {}
            }
        }
    }

    pub(super) fn handle_granted(
        &mut self,
        incarnation: Incarnation,
        number: RenewalNumber,
        now: Time,
    ) {
        let Some(holder) = self.holding.of(incarnation) else {
            return;
        };
        holder.handle_granted(incarnation, number, now);
        if let Some((starts_until, answers_until)) = holder.lease() {
            self.ownership.handle_lease(starts_until, answers_until);
        }
    }

    pub(super) fn handle_not_granted(
        &mut self,
        from: NodeId,
        incarnation: Incarnation,
        why: NotGranted,
    ) {
        match why {
            NotGranted::NotLeader => {
                self.leader = self.leader.filter(|it| it.node != from);
            }
            // It may have ended before this node has heard that it had begun.
            NotGranted::Over if incarnation == self.owner.incarnation => {
                // BEFORE anything else: nothing starts and nothing leaves any more.
                self.fence();
                if !self.has_parted() {
                    self.begin_next_life();
                }
            }
            _ => {}
        }
    }

    /// Gives the lease up.
    pub(super) fn fence(&mut self) {
        self.ownership.handle_lease(Time::ZERO, Time::ZERO);
        self.holding.end();
    }

    /// Sends a task through the pool that runs the actors.
    fn probe(&self, number: ProbeNumber) {
        let (events, incarnation) = (self.events.clone(), self.owner.incarnation);
        self.tasks.spawn("probe", async move {
            drop(events.send(Event::Probed(incarnation, number)).await);
        });
    }
}
