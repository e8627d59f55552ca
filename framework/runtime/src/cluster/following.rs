//! How a client knows of the slots: it follows the view of one of the nodes that it is linked with.
//!
//! [`Following`] decides whom to ask: another one when the link is down, when there is no answer, or
//! when the node says that it holds no lease. [`follow`] carries it out, and tells `net` of the
//! members that it hears of, so that links to them come up. Depends on `inbox`, `ownership`, `peers`
//! and `net`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};

use callboard_protocol::{
    cluster::{Message, decode_message, encode_message},
    slots::{Assembly, Delta, DeltaError, Standing},
    time::Time,
    wire::control::MemberInfo,
};
use tokio_util::sync::CancellationToken;

use super::{
    driver::sleep,
    inbox::{Heard, Queue},
    ownership::Ownership,
    peers::{LONG_BYTES_MAX, whole},
};
use crate::net::{Link, Net};

/// Decides whom a client asks, and when.
#[derive(Debug)]
struct Following {
    /// The sessions that are up, each with what its node has said if it cannot be followed: whether it places
    /// keys as far as it knows.
    links: BTreeMap<u64, Option<bool>>,
    followed: Option<u64>,
    ask_at: Time,
    /// Since when there is no answer.
    asked_since: Option<Time>,
    /// How long an answer may take before another one is asked.
    patience: Duration,
    random: u64,
}

impl Following {
    /// Makes the one of a client without links; `random` is for whom it follows first.
    fn new(random: u64) -> Self {
        Self {
            links: BTreeMap::new(),
            followed: None,
            ask_at: Time::ZERO,
            asked_since: None,
            patience: PATIENCE_MIN,
            random,
        }
    }

    /// These are the links that are up.
    fn handle_links(&mut self, sessions: &BTreeSet<u64>, now: Time) {
        self.links.retain(|session, _| sessions.contains(session));
        for session in sessions {
            self.links.entry(*session).or_default();
        }
        let is_lost = |it: u64| !sessions.contains(&it);
        if self.followed.is_none_or(is_lost) {
            self.turn_to_next(now);
        }
    }

    /// The node that is followed has told what it knows.
    fn handle_told(&mut self, session: u64, now: Time) {
        if let Some(said) = self.links.get_mut(&session) {
            *said = None;
        }
        if let Some(since) = self.asked_since.take() {
            let took = now.saturating_since(since);
            self.patience = (took * PATIENCE_PARTS).clamp(PATIENCE_MIN, PATIENCE_MAX);
        }
    }

    /// A node cannot be followed.
    fn handle_not_followed(&mut self, session: u64, places: bool, now: Time) {
        if let Some(said) = self.links.get_mut(&session) {
            *said = Some(places);
        }
        if self.followed == Some(session) {
            self.turn_to_next(now + PAUSE);
        }
    }

    /// What was told has a gap, or does not fit.
    fn handle_missed(&mut self, error: &DeltaError, now: Time) {
        match error {
            DeltaError::Gap { .. } => self.ask_at = now,
            _ => self.turn_to_next(now + PAUSE),
        }
    }

    /// Returns the session to ask now, if one is to be asked.
    fn poll_ask(&mut self, now: Time) -> Option<u64> {
        let lost = |since: Time| now.saturating_since(since) >= self.patience;
        if self.asked_since.is_some_and(lost) {
            // Where all are slow to answer, one of them is waited for in the end.
            self.patience = (self.patience * 2).min(PATIENCE_MAX);
            self.turn_to_next(now);
        }
        let followed = self.followed.filter(|_| now >= self.ask_at)?;
        self.ask_at = now + EVERY;
        self.asked_since.get_or_insert(now);
        Some(followed)
    }

    fn next_deadline(&self) -> Option<Time> {
        self.followed?;
        let lost = self.asked_since.map(|since| since + self.patience);
        Some(lost.map_or(self.ask_at, |lost| lost.min(self.ask_at)))
    }

    /// Returns whether keys are placed by a control group, or may be: false once every linked node
    /// has said that they are not.
    fn places(&self) -> bool {
        let said_no = self.links.values().all(|said| *said == Some(false));
        self.links.is_empty() || !said_no
    }

    fn turn_to_next(&mut self, ask_at: Time) {
        let first = usize::try_from(self.random).unwrap_or_default() % self.links.len().max(1);
        let next = match self.followed {
            Some(last) => self.links.range(last + 1..).chain(&self.links).next(),
            // Not all clients of a cluster have to follow the same node.
            None => self.links.iter().nth(first),
        };
        self.followed = next.map(|(session, _)| *session);
        self.asked_since = None;
        self.ask_at = ask_at;
    }
}

/// Follows, until the client is closed.
pub(crate) async fn follow(
    ownership: Arc<Ownership>,
    clock: impl Fn() -> Time,
    random: u64,
    mut queue: Queue,
    net: Weak<Net>,
    token: CancellationToken,
) {
    let inbox = Arc::clone(queue.inbox());
    let mut following = Following::new(random);
    let mut assembly = Assembly::default();
    let mut known = Vec::new();
    loop {
        let links = queue.links();
        let links: BTreeMap<u64, Arc<Link>> =
            links.into_iter().map(|it| (it.session(), it)).collect();
        following.handle_links(&links.keys().copied().collect(), clock());
        if let Some(link) = following.poll_ask(clock()).and_then(|it| links.get(&it)) {
            let version = ownership.version();
            let message = encode_message(&Message::Follow { version }, LONG_BYTES_MAX);
            drop(message.map(|message| link.tell(&message)));
        }
        ownership.set_places(ownership.version().0 > 0 || following.places());
        let due = following.next_deadline();
        // All branches are cancel safe: what is not taken stays where it is.
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            () = Queue::links_changed(&inbox) => {}
            Some(heard) = queue.next() => {
                hear(&mut following, &mut assembly, &ownership, heard, clock());
                reach(&ownership, &mut known, &net);
            }
            () = sleep(due.map(|it| it - clock())) => {}
        }
    }
}

/// Takes in what a node says.
fn hear(
    following: &mut Following,
    assembly: &mut Assembly,
    ownership: &Ownership,
    heard: Heard,
    now: Time,
) {
    let (session, from) = (heard.link.session(), heard.link.peer().id);
    let message = match decode_message(&heard.message) {
        Ok(Message::Part(part)) if following.followed == Some(session) => whole(assembly, part),
        Ok(message) => Some(message),
        Err(why) => {
            tracing::debug!(%from, %why, "a message of the cluster");
            None
        }
    };
    match message {
        Some(Message::NotFollowed { places }) => {
            following.handle_not_followed(session, places, now);
        }
        // What another one tells was asked of it a while ago, and is no news.
        Some(Message::Delta(bytes)) if following.followed == Some(session) => {
            let delta = match Delta::decode(&bytes) {
                Ok(delta) => delta,
                Err(why) => {
                    tracing::debug!(%from, %why, "a delta");
                    return following.turn_to_next(now + PAUSE);
                }
            };
            following.handle_told(session, now);
            if let Err(why) = ownership.handle_delta(&delta) {
                tracing::debug!(%from, %why, "a delta");
                following.handle_missed(&why, now);
            }
        }
        _ => {}
    }
}

/// Says which members there are, if they are others than before.
fn reach(ownership: &Ownership, known: &mut Vec<MemberInfo>, net: &Weak<Net>) {
    let members = ownership.members().into_iter();
    let members = members.filter(|(_, standing)| *standing != Standing::Lapsed);
    let members: Vec<MemberInfo> = members
        .map(|(member, _)| MemberInfo {
            id: member.id(),
            incarnation: member.incarnation,
            addr: member.addr,
            name: member.name,
        })
        .collect();
    if members != *known
        && let Some(net) = net.upgrade()
    {
        net.know(members.clone());
        *known = members;
    }
}

/// How often the node that is followed is asked.
const EVERY: Duration = Duration::from_millis(500);

/// After what time without an answer another one is asked: the shortest and the longest, and how many times
/// as long as the last answer took. A node that is lost seems to be linked for `peer_timeout`, and until
/// another one is followed, calls of keys that it had wait though they have a new owner: with `fast` they
/// have one after little more than a second.
const PATIENCE_MIN: Duration = Duration::from_millis(250);
const PATIENCE_MAX: Duration = Duration::from_secs(1);
const PATIENCE_PARTS: u32 = 4;

/// When the next one is asked after one that cannot be followed.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_protocol::id::ClusterId;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    fn linked(sessions: &[u64]) -> Following {
        let mut following = Following::new(0);
        following.handle_links(&sessions.iter().copied().collect(), at(0));
        following
    }

    #[test]
    fn the_node_that_answers_is_asked_again_and_again() {
        let mut following = linked(&[1, 2]);
        for time in [0, 500, 1000, 1500] {
            assert_eq!(following.poll_ask(at(time)), Some(1));
            assert_eq!(following.poll_ask(at(time + 1)), None);
            following.handle_told(1, at(time + 1));
            assert_eq!(following.next_deadline(), Some(at(time + 500)));
        }
    }

    #[test]
    fn clients_begin_with_different_nodes() {
        let mut following = Following::new(7);
        following.handle_links(&BTreeSet::from([1, 2, 3]), at(0));
        assert_eq!(following.poll_ask(at(0)), Some(2));
    }

    #[test]
    fn another_one_is_asked_when_the_link_is_lost_or_there_is_no_answer() {
        let mut following = linked(&[1, 2, 3]);
        assert_eq!(following.poll_ask(at(0)), Some(1));
        following.handle_links(&BTreeSet::from([2, 3]), at(10));
        assert_eq!(following.poll_ask(at(10)), Some(2));
        assert_eq!(following.poll_ask(at(259)), None);
        assert_eq!(following.next_deadline(), Some(at(260)));
        assert_eq!(following.poll_ask(at(260)), Some(3));
        following.handle_links(&BTreeSet::new(), at(1020));
        assert_eq!(following.next_deadline(), None);
        following.handle_links(&BTreeSet::from([4]), at(1030));
        assert_eq!(following.poll_ask(at(1030)), Some(4));
    }

    #[test]
    fn nodes_that_are_slow_to_answer_are_waited_for_longer() {
        let mut following = linked(&[1, 2, 3]);
        // They take 600 ms each: neither the first nor the second is waited for so long.
        for (time, session) in [(0, 1), (250, 2), (750, 3)] {
            assert_eq!(following.poll_ask(at(time)), Some(session));
        }
        assert_eq!(following.poll_ask(at(1250)), Some(3), "asked again");
        following.handle_told(3, at(1350));
        // From now on it is known how slow they are.
        assert_eq!(following.poll_ask(at(1750)), Some(3));
        assert_eq!(following.poll_ask(at(2250)), Some(3), "asked again");
        following.handle_told(3, at(2350));
        // One that answers at once is missed soon again.
        assert_eq!(following.poll_ask(at(2750)), Some(3));
        following.handle_told(3, at(2760));
        assert_eq!(following.poll_ask(at(3250)), Some(3));
        assert_eq!(following.next_deadline(), Some(at(3500)));
    }

    #[test]
    fn another_one_is_asked_when_a_node_holds_no_lease_or_what_it_says_does_not_fit() {
        let mut following = linked(&[1, 2]);
        assert_eq!(following.poll_ask(at(0)), Some(1));
        following.handle_not_followed(1, true, at(5));
        assert_eq!(following.poll_ask(at(104)), None);
        assert_eq!(following.poll_ask(at(105)), Some(2));
        following.handle_not_followed(1, true, at(110));
        let (theirs, ours) = (ClusterId(1), ClusterId(2));
        following.handle_missed(&DeltaError::OtherCluster { theirs, ours }, at(200));
        assert_eq!(following.poll_ask(at(300)), Some(1));
        let (from, at_version) = Default::default();
        let gap = DeltaError::Gap {
            from,
            at: at_version,
        };
        following.handle_missed(&gap, at(310));
        assert_eq!(following.poll_ask(at(310)), Some(1), "the same, at once");
    }

    #[test]
    fn keys_are_not_placed_once_every_node_says_so() {
        let mut following = linked(&[]);
        assert!(following.places(), "nobody has said anything");
        following.handle_links(&BTreeSet::from([1, 2]), at(0));
        following.handle_not_followed(1, false, at(1));
        assert!(following.places());
        following.handle_not_followed(2, false, at(2));
        assert!(!following.places());
        following.handle_not_followed(1, true, at(3));
        assert!(following.places(), "a cluster is to be formed");
        following.handle_not_followed(1, false, at(4));
        following.handle_links(&BTreeSet::from([1, 2, 3]), at(5));
        assert!(following.places());
    }
}
