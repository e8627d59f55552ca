//! No turn begins, and none that may be interrupted goes on, once its machine can know that nobody
//! waits for the call any more: since it was dropped, ended, or lost with the machine that made it.
//! A turn that had begun and has its actor for itself runs to its end (design, section 2), but what
//! it waits for ends with its deadline, which like that of a send counts from the call's arrival.
//!
//! What a machine can know, and when: [`DroppedWorkStops::arrives_by`].

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event, MachineNumber, Token, Work};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The longest way of a frame on a healthy network, with the room for what a turn still does at its
/// deadline; appends take up to 20 ms.
const HEALTHY: Duration = Duration::from_millis(250);

/// The same while there are faults: a frame that has not arrived by then never does, because both
/// sides give a silent peer up after 3 s.
const FAULTY: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct DroppedWorkStops {
    calls: BTreeMap<Token, Call>,
    /// Runs that have begun and not ended.
    running: BTreeMap<Token, BTreeSet<MachineNumber>>,
    /// When a machine went on, or will, after it stood still.
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
    /// Returns when a frame that is written at a time has arrived at the latest, or its link is
    /// given up: both tell the host what it has to know.
    fn arrives_by(&self, written: Duration) -> Duration {
        let last_fault = self.calmed.map_or(written, |calmed| written.min(calmed));
        (written + HEALTHY).max(last_fault + FAULTY)
    }

    /// Returns when a machine knows at the latest that a call is over.
    fn known_by(&self, call: &Call, on: MachineNumber) -> Option<Duration> {
        let known = match call.work {
            Work::Sent => self.deadline_on_host(call),
            Work::EndsWithCaller | Work::RunsToItsEnd => self.arrives_by(call.over?),
        };
        Some(self.when_awake(known, on))
    }

    /// Returns when a turn of a call, once it has begun, ends at the latest.
    fn ends_by(&self, call: &Call, on: MachineNumber) -> Option<Duration> {
        match call.work {
            Work::EndsWithCaller => self.known_by(call, on),
            Work::RunsToItsEnd | Work::Sent => {
                Some(self.when_awake(self.deadline_on_host(call), on))
            }
        }
    }

    /// Returns the deadline as the host counts it, from the arrival of the call: at most as much
    /// later as the call was under way.
    fn deadline_on_host(&self, call: &Call) -> Duration {
        call.deadline + (self.arrives_by(call.issued) - call.issued)
    }

    /// Puts a time off if the machine stood still: it reads what waits for it, or gives the peer up.
    fn when_awake(&self, at: Duration, on: MachineNumber) -> Duration {
        let awake = self.awake.get(&on).map_or(at, |&awake| awake + FAULTY);
        at.max(awake)
    }

    fn started(&mut self, token: Token, on: MachineNumber, at: Duration) -> Result<(), Broken> {
        self.running.entry(token).or_default().insert(on);
        let Some(call) = self.calls.get(&token) else {
            return Ok(());
        };
        match self.known_by(call, on) {
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
            let late = machines.iter().find_map(|&on| {
                let end = self.ends_by(call, on).filter(|&end| now > end)?;
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
