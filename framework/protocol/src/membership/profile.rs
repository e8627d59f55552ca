//! The times of a lease and of an election, which have to fit each other.
//!
//! This module holds numbers, their reasons, and the relations between them. It measures nothing.
//! Depends on nothing.

use std::time::Duration;

/// The times that leases and elections of a cluster go by: a setting of the whole cluster.
///
/// Shorter times find a dead node sooner, and cost more messages and more false alarms on a slow
/// network. The figures of a profile are checked against each other by
/// [`check`](Self::check); the three presets pass it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// How often a node renews. It costs one message each way and a share of a quorum read.
    pub renew: Duration,
    /// How long a renewal lasts, from when the holder has sent it.
    pub lease: Duration,
    /// How long the leader collects renewals before it asks a quorum; at most 50 ms.
    pub batch: Duration,
    /// How often the leader of the control group shows the voters that it lives.
    pub heartbeat: Duration,
    /// The shortest silence after which a voter stands for election.
    pub election_min: Duration,
    /// The longest silence after which a voter stands for election. Each draws its own between the
    /// two.
    pub election_max: Duration,
    /// What one round trip between voters, with its write to the disk, may take.
    pub round_trip: Duration,
}

impl Profile {
    /// The profile of one site: renew 500 ms, lease 3 s. The default.
    #[must_use]
    pub const fn lan() -> Self {
        Self {
            renew: Duration::from_millis(500),
            lease: Duration::from_secs(3),
            batch: Duration::from_millis(50),
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(400),
            election_max: Duration::from_millis(700),
            round_trip: Duration::from_millis(50),
        }
    }

    /// The profile of one rack with quick disks: renew 150 ms, lease 1 s.
    #[must_use]
    pub const fn fast() -> Self {
        Self {
            renew: Duration::from_millis(150),
            lease: Duration::from_secs(1),
            batch: Duration::from_millis(15),
            heartbeat: Duration::from_millis(40),
            election_min: Duration::from_millis(120),
            election_max: Duration::from_millis(240),
            round_trip: Duration::from_millis(20),
        }
    }

    /// The profile of several sites: renew 2 s, lease 10 s.
    #[must_use]
    pub const fn wan() -> Self {
        Self {
            renew: Duration::from_secs(2),
            lease: Duration::from_secs(10),
            batch: Duration::from_millis(50),
            heartbeat: Duration::from_millis(400),
            election_min: Duration::from_millis(1200),
            election_max: Duration::from_millis(2000),
            round_trip: Duration::from_millis(300),
        }
    }

    /// Returns the number of a preset, which stands for it in the settings of the cluster: 0 `lan`,
    /// 1 `fast`, 2 `wan`.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        let presets = (0..).map_while(Self::from_number);
        let mut numbered = (0..).zip(presets);
        numbered
            .find(|(_, preset)| preset == self)
            .map(|(it, _)| it)
    }

    /// Returns the preset with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::lan()),
            1 => Some(Self::fast()),
            2 => Some(Self::wan()),
            _ => None,
        }
    }

    /// Returns how long the leader waits after the receipt of a renewal before it takes the lease
    /// for ended: the lease × 1.03 + 50 ms.
    ///
    /// With clocks that are off by up to 1 % on each side, the lease lasts at most
    /// lease ÷ 0.99 = 1.0101 × lease of real time after the sending, and the leader waits at least
    /// 1.03 ÷ 1.01 = 1.0198 × lease after the receipt, which is not before the sending. The
    /// constant covers the coarseness of timers.
    #[must_use]
    pub fn reassign_after(&self) -> Duration {
        self.lease * DRIFT_NUMERATOR / DRIFT_DENOMINATOR + TIMER_SLACK
    }

    /// Returns how long before the end of its lease a holder stops starting turns: a thirtieth of
    /// the lease, so that short turns still end, and answer, within it.
    #[must_use]
    pub fn fence_lead(&self) -> Duration {
        self.lease / FENCE_LEAD_PARTS
    }

    /// Returns how long an answer from the actors' pool may take before renewals stop: half the
    /// lease.
    #[must_use]
    pub fn probe_limit(&self) -> Duration {
        self.lease / 2
    }

    /// Returns the longest time without a leader after the loss of one when the first candidate
    /// wins: the longest silence, the asking before the election (pre-vote), the election, and the
    /// commit of the new leader's first entry, without which it must not answer reads.
    ///
    /// The three rounds are those of Ongaro, "Consensus: bridging theory and practice", 2014,
    /// sections 9.6, 3.4 and 6.4.
    #[must_use]
    pub fn election_worst(&self) -> Duration {
        self.election_max + self.round_trip * ELECTION_ROUNDS
    }

    /// Returns the longest time from the loss of a node until all its slots have new owners.
    ///
    /// `leader_too` says that the leader is lost at the same moment. Its successor takes every lease
    /// for just renewed, so its waiting begins when it is elected.
    #[must_use]
    pub fn recovery_worst(&self, leader_too: bool) -> Duration {
        let commits = self.round_trip * 2;
        let waiting = self.reassign_after() + commits;
        if leader_too {
            self.election_worst() + waiting
        } else {
            waiting
        }
    }

    /// Checks that the times fit each other.
    ///
    /// # Errors
    ///
    /// The first relation that does not hold, as a sentence: what is too long or too short, and
    /// beside what.
    pub fn check(&self) -> Result<(), &'static str> {
        let rules = [
            (
                self.batch > Duration::ZERO && self.batch <= BATCH_MAX,
                "renewals are collected for more than 0 and at most 50 ms",
            ),
            (
                self.renew > Duration::ZERO && self.renew * 3 <= self.lease,
                "a lease lasts for at least three renewals, so that one may be lost",
            ),
            (
                self.heartbeat > Duration::ZERO && self.heartbeat * 3 <= self.election_min,
                "a voter waits for at least three heartbeats before it stands for election",
            ),
            (
                self.election_min + self.round_trip <= self.election_max,
                "the silences that voters draw are spread over at least a round trip",
            ),
            (
                // So says the design: a change of leader alone pauses nobody.
                self.election_worst() + self.renew <= self.lease / 2,
                "an election ends within half a lease less a renewal",
            ),
            (
                // A lease whose renewal came in just before the leader was lost is older than a
                // renewal, a batch and a round trip; the next renewal takes them again.
                (self.renew + self.batch) * 2
                    + self.round_trip * 3
                    + self.election_worst()
                    + self.fence_lead()
                    <= self.lease,
                "a lease outlives a change of leader and the renewal after it",
            ),
        ];
        let broken = rules.iter().find(|(holds, _)| !holds);
        broken.map_or(Ok(()), |(_, rule)| Err(rule))
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::lan()
    }
}

/// The leader waits 103 % of a lease.
const DRIFT_NUMERATOR: u32 = 103;
const DRIFT_DENOMINATOR: u32 = 100;

/// What timers of both sides may be late by, together.
const TIMER_SLACK: Duration = Duration::from_millis(50);

const FENCE_LEAD_PARTS: u32 = 30;

/// Asking before the election, the election, and the commit of the first entry.
const ELECTION_ROUNDS: u32 = 3;

/// The longest that a renewal may wait for others.
const BATCH_MAX: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn presets() -> [(&'static str, Profile); 3] {
        [
            ("lan", Profile::lan()),
            ("fast", Profile::fast()),
            ("wan", Profile::wan()),
        ]
    }

    #[test]
    fn the_times_of_every_preset_fit_each_other() {
        for (name, profile) in presets() {
            assert_eq!(profile.check(), Ok(()), "{name}");
            // Spelled out, beside the check, as the design has it.
            let left = profile.lease / 2 - profile.renew;
            assert!(profile.election_worst() <= left, "{name}: {left:?}");
        }
    }

    #[test]
    fn the_leader_waits_longer_than_any_two_clocks_can_make_a_lease_last() {
        for (name, profile) in presets() {
            let slow_holder = profile.lease.as_secs_f64() / 0.99;
            let fast_leader = profile.reassign_after().as_secs_f64() / 1.01;
            assert!(fast_leader > slow_holder + 0.05 / 1.01, "{name}");
        }
    }

    #[test]
    fn every_preset_recovers_within_what_is_promised() {
        let promised = [(3500, 5500), (1500, 2500), (11_000, 17_000)];
        for ((name, profile), (owner, leader_too)) in presets().into_iter().zip(promised) {
            let owner = Duration::from_millis(owner);
            let leader_too = Duration::from_millis(leader_too);
            assert!(profile.recovery_worst(false) <= owner, "{name}");
            assert!(profile.recovery_worst(true) <= leader_too, "{name}");
        }
    }

    #[test]
    fn a_preset_is_known_by_its_number() {
        for (number, (name, profile)) in (0..).zip(presets()) {
            assert_eq!(profile.number(), Some(number), "{name}");
            assert_eq!(Profile::from_number(number), Some(profile));
        }
        assert_eq!(Profile::from_number(3), None);
        let mut other = Profile::lan();
        other.batch += Duration::from_millis(1);
        assert_eq!(other.number(), None);
    }

    #[test]
    fn times_that_do_not_fit_are_named() {
        const fn millis(millis: u64) -> Duration {
            Duration::from_millis(millis)
        }
        let broken = |change: fn(&mut Profile)| {
            let mut profile = Profile::lan();
            change(&mut profile);
            profile.check().expect_err("broken")
        };
        assert!(broken(|it| it.batch = millis(51)).contains("50 ms"));
        assert!(broken(|it| it.renew = millis(1001)).contains("three renewals"));
        assert!(broken(|it| it.heartbeat = millis(140)).contains("three heartbeats"));
        assert!(broken(|it| it.election_max = millis(420)).contains("spread"));
        assert!(broken(|it| it.election_max = millis(900)).contains("half a lease"));
        let slow_link = broken(|it| {
            (it.renew, it.heartbeat) = (millis(1000), millis(20));
            (it.election_min, it.election_max) = (millis(60), millis(170));
            it.round_trip = millis(110);
        });
        assert!(slow_link.contains("outlives"), "{slow_link}");
    }
}
