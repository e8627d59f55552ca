//! No turn begins, and none that may be interrupted goes on, once its machine has to know that nobody
//! waits for the call any more: since it was dropped, ended, or lost with the machine that made it.
//! A turn that had begun and has its actor for itself runs to its end (design, section 2), but what
//! it waits for ends with its deadline, which like that of a send counts from the call's arrival.
//!
//! What a machine has to know, and when: [`DroppedWorkStops::arrives_by`].

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event, MachineNumber, Token, Work};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest way of a frame on a healthy network, with the room for what a turn still does at its
/// deadline; appends take up to 20 ms.
const HEALTHY: Duration = Duration::from_millis(250);

/// The same from the end of the faults, for a frame of before: both sides give a silent peer up after
/// 3 s. While there are faults nothing is certain, because a link that loses most of its datagrams
/// lasts, and may take seconds for a frame.
const FAULTY: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct DroppedWorkStops {
    calls: BTreeMap<Token, Call>,
    /// Runs that have begun and not ended, with the time of the beginning.
    running: BTreeMap<Token, BTreeMap<MachineNumber, Duration>>,
    /// When a machine goes on that stands still.
    awake: BTreeMap<MachineNumber, Duration>,
    calmed: Option<Duration>,
}

#[derive(Debug)]
struct Call {
    by: MachineNumber,
    work: Work,
    issued: Duration,
    deadline: Duration,
    /// Since when nobody waits for it.
    over: Option<Duration>,
}

impl DroppedWorkStops {
    /// Returns when a frame that is written at a time has arrived at the latest, or its link is given
    /// up: both tell the host what it has to know. Nothing as long as there are faults.
    fn arrives_by(&self, written: Duration) -> Option<Duration> {
        Some((written + HEALTHY).max(self.calmed? + FAULTY))
    }

    /// Returns when the host of a call knows at the latest that the call is over.
    fn known_by(&self, call: &Call) -> Option<Duration> {
        match call.work {
            Work::Sent => Some(call.deadline + (self.arrives_by(call.issued)? - call.issued)),
            Work::EndsWithCaller | Work::RunsToItsEnd => self.arrives_by(call.over?),
        }
    }

    /// Returns when a turn of a call that began at a time ends at the latest.
    fn ends_by(&self, call: &Call, on: MachineNumber, began: Duration) -> Option<Duration> {
        match call.work {
            Work::EndsWithCaller => self.known_by(call),
            Work::RunsToItsEnd | Work::Sent => {
                let arrived = self.arrives_by(call.issued).unwrap_or(began).min(began);
                let deadline = call.deadline + (arrived - call.issued);
                let awake = self.awake.get(&on).copied().unwrap_or_default();
                Some(deadline.max(awake) + HEALTHY)
            }
        }
    }

    fn started(&mut self, token: Token, on: MachineNumber, at: Duration) -> Result<(), Broken> {
        self.running.entry(token).or_default().insert(on, at);
        let Some(call) = self.calls.get(&token) else {
            return Ok(());
        };
        match self.known_by(call) {
            Some(known) if at > known => Err(format!(
                "call {token} began to run on {on} at {} ms, although nobody waited for it any \
                 more, as {on} knew by {} ms",
                at.as_millis(),
                known.as_millis()
            )),
            _ => Ok(()),
        }
    }

    fn stopped(&mut self, token: Token, on: MachineNumber) {
        if let Some(machines) = self.running.get_mut(&token) {
            machines.remove(&on);
            if machines.is_empty() {
                self.running.remove(&token);
            }
        }
    }

    fn crashed(&mut self, machine: MachineNumber, at: Duration) {
        self.running.retain(|_, machines| {
            machines.remove(&machine);
            !machines.is_empty()
        });
        for call in self.calls.values_mut().filter(|call| call.by == machine) {
            call.over.get_or_insert(at);
        }
    }

    fn calmed(&mut self, at: Duration) {
        self.calmed = Some(at);
        for awake in self.awake.values_mut() {
            *awake = at.min(*awake);
        }
    }
}

impl Invariant for DroppedWorkStops {
    fn name(&self) -> &'static str {
        "dropped-work-stops"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        match entry.event {
            Event::Issued {
                token,
                by,
                work,
                deadline,
                ..
            } => {
                let call = Call {
                    by,
                    work,
                    issued: entry.at,
                    deadline,
                    over: None,
                };
                self.calls.insert(token, call);
            }
            Event::Started { token, on } => return self.started(token, on, entry.at),
            Event::Finished { token, on } | Event::Abandoned { token, on } => {
                self.stopped(token, on)
            }
            Event::Dropped { token } | Event::Ended { token, .. } => {
                if let Some(call) = self.calls.get_mut(&token) {
                    call.over = Some(entry.at);
                }
            }
            Event::Crashed { machine } => self.crashed(machine, entry.at),
            Event::Paused { machine, until } => {
                self.awake.insert(machine, until);
            }
            Event::Calmed => self.calmed(entry.at),
            _ => {}
        }
        Ok(())
    }

    fn at(&mut self, now: Duration) -> Result<(), Broken> {
        for (token, machines) in &self.running {
            let Some(call) = self.calls.get(token) else {
                continue;
            };
            let late = machines.iter().find_map(|(&on, &began)| {
                let end = self.ends_by(call, on, began).filter(|&end| now > end)?;
                Some((on, end))
            });
            if let Some((on, end)) = late {
                return Err(format!(
                    "call {token} still runs on {on}, and was to end by {} ms",
                    end.as_millis()
                ));
            }
        }
        Ok(())
    }
}
