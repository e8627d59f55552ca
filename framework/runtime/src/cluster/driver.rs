//! The task that owns this node's part in the cluster.
//!
//! ```text
//!  links, messages ─▶ inbox ─▶ driver ─▶ forming, joining, holding          decide what this node does
//!                                │  ├──▶ leading: leases, placing, seats    while it leads
//!                                │  └──▶ seat ── flush ──▶ disk             what was told is synced
//!                                ▼            ◀── actions ──┘               BEFORE it has an effect
//!                              peers ─▶ control lane
//! ```
//!
//! It decides nothing itself: each part is a state machine of the protocol, or a thin one beside it
//! in a file of its own. Depends on the other files of this module.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use callboard_protocol::{
    cluster::{Leading as Leader, Message, Seen, decode_message},
    code::Code,
    id::{DiskId, Incarnation, NodeId},
    membership::{ProbeNumber, Profile},
    slots::{Delta, DeltaError, Owner},
    time::Time,
};
use tokio::sync::{mpsc, watch};

use super::{
    choosing::Ask,
    forming::{Forming, Stored},
    handle::{Seats, Status, Trouble},
    holding::Holding,
    inbox::{Heard, Queue},
    joining::Joining,
    leading::Leading,
    mending::Mending,
    ownership::{Ownership, PlacedBy},
    parting::{Parting, Wish},
    parts::Parts,
    passage::Passage,
    peers::Peers,
    seat::{Lost, Returned, Seat},
    unleased::Unleased,
};
use crate::{control, env::Env, net::Reminder, task::Tasks};

/// Everything that this node does for the cluster, in one place.
pub(super) struct Driver {
    pub(super) env: Env,
    pub(super) tasks: Tasks,
    /// When the leader is told again of the slots that go from here.
    words_at: Time,
    /// When this node takes it that there is no control group, unless it hears of one.
    alone_at: Time,
    /// The same, as long as it has been linked with nobody.
    unlinked_until: Time,
    pub(super) parts: Parts,
    pub(super) owner: Owner,
    pub(super) ownership: Arc<Ownership>,
    passage: Arc<Passage>,
    pub(super) peers: Peers,
    pub(super) seat: Option<Seat>,
    /// The disk of this node's log, for as long as it can be used.
    pub(super) disk: Option<DiskId>,
    pub(super) forming: Forming,
    pub(super) joining: Joining,
    pub(super) holding: Holding,
    pub(super) leading: Leading,
    pub(super) parting: Parting,
    pub(super) mending: Mending,
    pub(super) unleased: Unleased,
    /// Nodes of other clusters were met.
    pub(super) foreign: Reminder,
    /// Who leads, as far as this node knows.
    pub(super) leader: Option<Leader>,
    /// What this node says to itself.
    pub(super) own: VecDeque<Message>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) status: watch::Sender<Status>,
    pub(super) is_warned_of_twins: bool,
    /// What the others know of this node.
    said: Option<Seen>,
    /// Until when the leader is not asked again for what was missed.
    missed_until: Time,
}

/// A driver's ends of its channels.
pub(super) struct Ends {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) status: watch::Sender<Status>,
    pub(super) wishes: watch::Receiver<Wish>,
}

/// What comes back from work elsewhere.
#[derive(Debug)]
pub(super) enum Event {
    /// A probe has run in the actors' pool.
    Probed(Incarnation, ProbeNumber),
    /// What is remembered of forming is on the disk, or never will be.
    Stored(Stored),
    /// The group's files are open.
    Opened(Result<Box<control::Group>, control::Error>),
    /// The next life has begun, on the disk too.
    Life(Result<Incarnation, String>),
}

impl Driver {
    pub(super) fn new(
        env: Env,
        tasks: Tasks,
        parts: Parts,
        (ownership, passage): (Arc<Ownership>, Arc<Passage>),
        forming: Forming,
        ends: Ends,
    ) -> Self {
        let owner = parts.owner;
        let joining = Joining::new(parts.heir_of);
        Self {
            env,
            tasks,
            owner,
            ownership,
            passage,
            peers: Peers::default(),
            seat: None,
            disk: None,
            forming,
            joining,
            holding: Holding::default(),
            leading: Leading::new(parts.profile, parts.gone_max),
            parting: Parting::new(ends.wishes),
            mending: Mending::default(),
            unleased: Unleased::default(),
            foreign: Reminder::default(),
            leader: None,
            own: VecDeque::new(),
            events: ends.events,
            status: ends.status,
            is_warned_of_twins: false,
            said: None,
            missed_until: Time::ZERO,
            words_at: Time::MAX,
            alone_at: Time::MAX,
            unlinked_until: Time::MAX,
            parts,
        }
    }

    /// Runs until the node stops.
    pub(super) async fn run(
        mut self,
        mut queue: Queue,
        mut events: mpsc::Receiver<Event>,
        mut asks: mpsc::Receiver<Ask>,
    ) {
        let token = self.tasks.token().clone();
        let inbox = Arc::clone(queue.inbox());
        let ownership = Arc::clone(&self.ownership);
        let mut wishes = self.parting.wishes();
        let passage = Arc::clone(&self.passage);
        loop {
            self.step(self.now());
            let deadline = self.next_deadline();
            let returned = async {
                match &mut self.seat {
                    Some(seat) => seat.returned().await,
                    None => std::future::pending().await,
                }
            };
            // All branches are cancel safe: what is not taken stays where it is.
            tokio::select! {
                biased;
                () = token.cancelled() => break,
                returned = returned => self.handle_returned(returned),
                () = Queue::links_changed(&inbox) => self.handle_links(&queue),
                Some(event) = events.recv() => self.handle_event(event),
                Some(ask) = asks.recv() => self.handle_wish(ask),
                Some(heard) = queue.next() => self.handle_heard(heard, &queue),
                () = ownership.said() => self.words_at = Time::ZERO,
                Ok(()) = wishes.changed() => self.parting.hasten(),
                () = passage.said() => self.pass_on(),
                () = sleep(deadline.map(|it| it - self.parts.now())) => {}
            }
        }
        // The log's lock is given back BEFORE the node has ended: it may start again at once.
        if let Some(seat) = &mut self.seat {
            seat.stay().await;
        }
    }

    pub(super) fn now(&self) -> Time {
        self.parts.now()
    }

    /// Takes it that there is no control group, if no link comes up before long: of a node whose seeds may
    /// not run, and that nothing on its disk binds to a cluster.
    pub(super) fn go_alone_unless_linked(&mut self, now: Time) {
        self.unlinked_until = now + ALONE_AFTER;
    }

    /// Takes a seat: this node has a log.
    pub(super) fn set_seat(&mut self, seat: Seat) {
        self.disk = Some(seat.id());
        self.seat = Some(seat);
    }

    /// Sends a message, to this node too; returns whether it was taken.
    pub(super) fn send(&mut self, to: NodeId, message: Message) -> bool {
        if to == self.owner.node {
            self.own.push_back(message);
            return true;
        }
        self.peers.send(to, &message, &self.tasks)
    }

    /// Sends a message to whoever leads, if that is known.
    pub(super) fn send_to_leader(&mut self, message: Message) {
        if let Some(leader) = self.leader {
            self.send(leader.node, message);
        }
    }

    /// Takes in who leads. A later term is right.
    pub(super) fn handle_leader(&mut self, leader: Leader, now: Time) {
        if self.leader.is_none_or(|known| leader > known) {
            self.leader = Some(leader);
            self.holding.handle_leader(now);
            self.joining.handle_leader(now);
            self.parting.hasten();
        }
    }

    /// Takes in a trouble that the node's owner should know of.
    pub(super) fn set_trouble(&mut self, code: Code, detail: String) {
        let trouble = Trouble { code, detail };
        if self.status.borrow().trouble.as_ref() != Some(&trouble) {
            tracing::warn!(code = code.text(), detail = %trouble.detail, "not a member of a cluster");
            self.status.send_modify(|it| it.trouble = Some(trouble));
        }
    }

    /// Goes by the times of the cluster, which may not be those that this node was given.
    pub(super) fn set_profile(&mut self, profile: Profile) {
        if profile != self.parts.profile {
            tracing::info!(
                ?profile,
                "the cluster goes by another profile than this node's setting"
            );
            self.parts.profile = profile;
        }
        if let Some(seat) = &mut self.seat {
            seat.set_profile(&profile);
        }
    }

    /// Lets every part do what is due.
    fn step(&mut self, now: Time) {
        self.step_forming(now);
        self.step_joining(now);
        self.step_holding(now);
        self.step_words(now);
        self.step_parting(now);
        self.step_mending(now);
        self.step_unleased(now);
        if now >= self.unlinked_until && self.ownership.placed_by() == PlacedBy::Unknown {
            self.parts.log_alone();
            self.alone_at = now;
        }
        if now >= self.alone_at {
            self.alone_at = Time::MAX;
            self.unlinked_until = Time::MAX;
            self.ownership.set_alone();
            self.warn_of_twins();
        }
        // A part may say something to another one of this node, whose answer is due at once.
        for _ in 0..ROUNDS_MAX {
            self.step_seat(now);
            let Some(message) = self.own.pop_front() else {
                break;
            };
            self.handle_message(self.owner.node, message, now);
        }
        self.say_what_is_new();
        self.publish(now);
    }

    /// Tells the leader of slots that go from here, and again until it is seen to have heard.
    fn step_words(&mut self, now: Time) {
        if now < self.words_at {
            return;
        }
        let words = self.ownership.words();
        self.words_at = match words.is_empty() {
            true => Time::MAX,
            false => now + WORDS_AGAIN,
        };
        for word in words {
            let incarnation = self.owner.incarnation;
            self.send_to_leader(Message::Word { incarnation, word });
        }
    }

    /// Says to other owners of slots what the layer of actors has to say.
    fn pass_on(&mut self) {
        for (to, message) in self.passage.take_said() {
            self.peers.send(to, &message, &self.tasks);
        }
    }

    fn step_seat(&mut self, now: Time) {
        let Some(mut seat) = self.seat.take() else {
            return;
        };
        if let Some(mut group) = seat.take(now) {
            if let Some(first) = self.forming.take_first_command() {
                seat.form(group, first, &self.env);
            } else {
                let was_told = self.lead(&mut group, now);
                seat.give(group, was_told, &self.env);
            }
        }
        self.seat = Some(seat);
    }

    fn handle_returned(&mut self, returned: Result<Returned, Lost>) {
        let now = self.now();
        let lost = match returned {
            Ok(Returned {
                mut group,
                outcome,
                took,
            }) => match outcome {
                Ok(()) => {
                    self.handle_actions(&mut group, now);
                    let (term, voters) = (group.term(), group.voters());
                    let choices = group.state().choices();
                    let seats = Seats {
                        choices: choices.map(|it| it.iter().collect()).unwrap_or_default(),
                        votes: voters.contains(&group.id()),
                        voters,
                        learners: group.learners(),
                    };
                    let (is_leader, applied) = (group.is_leader(), group.applied());
                    self.status
                        .send_if_modified(|it| it.control((term, applied), is_leader, seats, took));
                    if let Some(seat) = &mut self.seat {
                        seat.come_home(group);
                    }
                    return;
                }
                Err(error) => Lost::Stopped(error),
            },
            Err(lost) => lost,
        };
        self.handle_seat_lost(&lost, now);
    }

    fn handle_links(&mut self, queue: &Queue) {
        let changes = self.peers.handle_links(queue.links());
        let now = self.now();
        for node in changes.gone {
            self.forming.handle_lost(node);
            if self.leader.is_some_and(|it| it.node == node) {
                tracing::debug!(%node, "the link with the leader is down");
            }
        }
        if !changes.came.is_empty() {
            self.unlinked_until = Time::MAX;
        }
        if !changes.came.is_empty() && self.ownership.placed_by() == PlacedBy::Unknown {
            // Those that know say so in their hello. Nodes that all do not know wait for each other.
            self.alone_at = self.alone_at.min(now + ALONE_AFTER);
        }
        for node in changes.came {
            self.leading.telling.handle_link(node);
            if let Some(said) = self.said {
                self.send(node, Message::Seen(said));
            }
        }
        self.joining.handle_leader(now);
        self.warn_of_twins();
    }

    fn handle_event(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Probed(incarnation, number) => {
                self.holding.handle_probed(incarnation, number, now);
            }
            Event::Stored(stored) => self.handle_stored(stored, now),
            Event::Opened(opened) => self.handle_opened(opened, now),
            Event::Life(life) => self.handle_life(life, now),
        }
    }

    fn handle_heard(&mut self, heard: Heard, queue: &Queue) {
        let Heard { link, message } = heard;
        let (from, now) = (link.peer().id, self.now());
        if !self.peers.has(from) {
            self.handle_links(queue);
        }
        // What came on a link that is no more was said to a life of the link that has ended.
        if self.peers.link(from) != Some(&link) {
            return;
        }
        match decode_message(&message) {
            Ok(message) => self.handle_message(from, message, now),
            Err(why) => tracing::debug!(%from, %why, "a message of the cluster"),
        }
    }

    fn handle_message(&mut self, from: NodeId, message: Message, now: Time) {
        let by_leader = self.leader.is_some_and(|it| it.node == from);
        if is_leaders(&message) && !by_leader {
            tracing::debug!(%from, "what only a leader says, from a node that is not known to lead");
            return;
        }
        match message {
            Message::Seen(seen) => self.handle_seen(from, seen, now),
            Message::Forming(message) => self.forming.handle_message(from, message, now),
            Message::Group(bytes) => {
                let disk = self.peers.disk(from);
                if let (Some(seat), Some(disk)) = (&mut self.seat, disk) {
                    seat.handle_message(disk, bytes);
                }
            }
            Message::Part(part) => {
                if let Some(message) = self.peers.handle_part(from, part) {
                    self.handle_message(from, message, now);
                }
            }
            Message::Join { number, command } => self.handle_join(from, number, &command),
            Message::Joined { number, profile } => self.handle_joined(number, profile, now),
            Message::NotJoined {
                number,
                later,
                foreign,
                detail,
            } => self.handle_not_joined(number, later, foreign, detail),
            Message::Renew {
                incarnation,
                number,
                version,
            } => self.handle_renew(from, incarnation, number, version, now),
            Message::Granted {
                incarnation,
                number,
            } => self.handle_granted(incarnation, number, now),
            Message::NotGranted { incarnation, why } => {
                self.handle_not_granted(from, incarnation, why);
            }
            Message::Delta(bytes) => self.handle_delta(from, &bytes, now),
            Message::Follow { version } => self.leading.telling.handle_missed(from, version),
            Message::Word { incarnation, word } => {
                let by = Owner {
                    node: from,
                    incarnation,
                };
                self.leading.handle_word(by, word, now);
            }
            message @ (Message::Hand { .. } | Message::Handed { .. }) => {
                self.passage.hear(from, message);
            }
            message => self.handle_parting(from, &message),
        }
    }

    fn handle_seen(&mut self, from: NodeId, seen: Seen, now: Time) {
        if let (Some(ours), Some(theirs)) = (self.forming.cluster(), seen.cluster)
            && ours != theirs
        {
            return self.refuse_foreign(from, ours, theirs);
        }
        if seen.cluster.is_some() || seen.expects.is_some() {
            self.ownership.expect();
        }
        self.peers.handle_seen(from, seen);
        self.forming.handle_seen(from, &seen, now);
        if let Some(leader) = seen.leading {
            self.handle_leader(leader, now);
        }
    }

    fn handle_delta(&mut self, from: NodeId, bytes: &[u8], now: Time) {
        let delta = match Delta::decode(bytes) {
            Ok(delta) => delta,
            Err(why) => return tracing::debug!(%from, %why, "a delta"),
        };
        let Err(why) = self.ownership.handle_delta(&delta) else {
            return;
        };
        tracing::debug!(%from, %why, "a delta");
        // Those behind it have a gap too, and are on their way.
        if matches!(why, DeltaError::Gap { .. }) && now >= self.missed_until {
            self.missed_until = now + MISSED_AGAIN;
            let version = self.ownership.version();
            self.send(from, Message::Follow { version });
        }
    }

    /// Tells the others what this node is, if it is something else than they know.
    pub(super) fn say_what_is_new(&mut self) {
        let seen = Seen {
            cluster: self.forming.cluster(),
            expects: self.forming.expects(),
            disk: self.disk,
            leading: self.leader,
        };
        let has_something = seen.cluster.is_some() || seen.expects.is_some();
        if !has_something || self.said == Some(seen) {
            return;
        }
        self.said = Some(seen);
        for node in self.peers.nodes() {
            self.send(node, Message::Seen(seen));
        }
    }

    fn publish(&self, now: Time) {
        let (cluster, leader) = (self.forming.cluster(), self.leader.map(|it| it.node));
        let lease = self.holding.lease_until(now);
        self.status
            .send_if_modified(|it| it.node(cluster, leader, lease));
    }

    fn next_deadline(&self) -> Option<Time> {
        let parts = [
            self.forming.next_deadline(),
            self.joining_deadline(),
            self.holding.next_deadline(self.now()),
            self.seat.as_ref().and_then(Seat::next_deadline),
            self.leading_deadline(),
            self.parting_deadline(),
            self.mending.next_deadline(),
            self.unleased.next_deadline(),
            [self.words_at, self.alone_at, self.unlinked_until]
                .into_iter()
                .min()
                .filter(|at| *at < Time::MAX),
        ];
        parts.into_iter().flatten().min()
    }
}

pub(super) async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Returns whether only a leader says this. It is taken from the one that this node asks: another
/// one's word may be of a term that is over.
fn is_leaders(message: &Message) -> bool {
    matches!(
        message,
        Message::Joined { .. }
            | Message::NotJoined { .. }
            | Message::Granted { .. }
            | Message::NotGranted { .. }
            | Message::Draining { .. }
            | Message::Delta(_)
    )
}

/// How often parts of this node answer each other in one step. What is left is done in the next.
const ROUNDS_MAX: usize = 16;

/// For how long the leader is not asked again for what was missed.
const MISSED_AGAIN: Duration = Duration::from_millis(100);

/// How long a node that is linked only with such that do not know either waits for one that knows whether
/// there is a control group: links come up in a round trip or two.
const ALONE_AFTER: Duration = Duration::from_secs(1);

/// After what time the leader is told again that a slot has stopped.
const WORDS_AGAIN: Duration = Duration::from_millis(100);
