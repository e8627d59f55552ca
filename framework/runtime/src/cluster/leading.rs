//! What the leader of the control group does: leases, placing, who joins, who votes, who is told.
//!
//! It leads once it has committed an entry of its term, so that it knows all that was committed
//! before. Nothing is decided from a state that is older than that. Depends on `driver`; who votes is
//! in `voting`.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    time::Duration,
};

use callboard_protocol::{
    cluster::{Leading as Leader, Message, NotGranted, Word},
    id::{Incarnation, NodeId},
    membership::{LeaseAction, LeaseRefusal, Leases, Profile, RenewalNumber},
    slots::{Command, Event, JoinRefusal, Owner, Refusal, State, Version},
    time::Time,
};

use super::{
    choosing::Choosing,
    driver::Driver,
    parting::{Asked, Goers},
    placing::Placing,
    telling::Telling,
    voting::Voting,
};
use crate::control::{Action, Group, Proposal};

/// What this node does while it leads.
#[derive(Debug)]
pub(super) struct Leading {
    pub(super) leases: Leases,
    pub(super) voting: Voting,
    pub(super) choosing: Choosing,
    placing: Placing,
    /// The term in which it leads.
    pub(super) term: Option<u64>,
    /// Who asks to be let in.
    asks: VecDeque<Ask>,
    /// Whose question is in the log.
    asked: BTreeMap<Proposal, Ask>,
    /// Who has asked to go.
    pub(super) goers: Goers,
    pub(super) telling: Telling,
    /// The lives that have said themselves that they are over, which is not committed yet.
    told: BTreeMap<NodeId, Incarnation>,
}

/// A node asks to be let in.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) from: NodeId,
    pub(super) number: u64,
    pub(super) command: Command,
}

impl Leading {
    pub(super) fn new(profile: Profile, gone_max: Duration) -> Self {
        Self {
            leases: Leases::new(profile),
            voting: Voting::new(gone_max),
            choosing: Choosing::default(),
            placing: Placing::new(profile.lease),
            term: None,
            asks: VecDeque::new(),
            asked: BTreeMap::new(),
            goers: Goers::new(),
            telling: Telling::new(profile.renew),
            told: BTreeMap::new(),
        }
    }

    /// This node leads no more.
    pub(super) fn handle_deposed(&mut self) {
        self.leases.handle_deposed();
        self.placing.handle_deposed();
        self.term = None;
        self.asks.clear();
        self.asked.clear();
        self.choosing.clear();
        self.goers.clear();
        self.telling.clear();
        self.told.clear();
    }

    pub(super) fn handle_ask(&mut self, ask: Ask) {
        if self.term.is_some() && self.asks.len() < ASKS_MAX {
            self.asks.push_back(ask);
        }
    }

    pub(super) fn handle_goer(&mut self, owner: Owner, asked: Asked) {
        if self.term.is_some() && self.goers.len() < ASKS_MAX {
            self.goers.insert(owner, asked);
        }
    }

    /// The owner of a slot says how its move goes.
    pub(super) fn handle_word(&mut self, by: Owner, word: Word, now: Time) {
        match word {
            Word::Stopped { id, epoch } => self.placing.handle_stopped(id, epoch, by, now),
            Word::Stuck { id, epoch } => self.placing.handle_stuck(id, epoch, by, now),
            _ => {}
        }
    }

    /// A member has said that it acts no more.
    pub(super) fn handle_over(&mut self, owner: Owner, state: &State, now: Time) {
        // It says so until that is committed.
        let told = self.told.insert(owner.node, owner.incarnation);
        if told != Some(owner.incarnation) {
            let (node, incarnation) = (name(state, owner.node), owner.incarnation);
            tracing::info!(%incarnation, "member {node} has stopped, and has given its lease up");
        }
        self.leases.handle_over(owner.node, owner.incarnation, now);
    }

    /// That the lease of a member has ended is committed: a leader that stood still itself, and is none any more, only
    /// takes it for that.
    fn handle_lapsed(&mut self, owner: Owner, state: &State) {
        let (node, incarnation) = (name(state, owner.node), owner.incarnation);
        if self.told.remove(&owner.node) != Some(incarnation) {
            tracing::warn!(
                %incarnation,
                "the lease of member {node} has ended, as it was not renewed: its keyed actors go to other \
                 members; look whether its process runs and is reached, and start it again if it does not"
            );
        }
    }

    fn handle_event(&mut self, event: &Event, state: &State, now: Time) {
        match event {
            Event::Joined(owner) => self
                .leases
                .handle_member(owner.node, owner.incarnation, now),
            Event::Lapsed(owner) | Event::Left(owner) => {
                self.leases.handle_member_gone(owner.node);
                match event {
                    Event::Lapsed(owner) => self.handle_lapsed(*owner, state),
                    _ => _ = self.told.remove(&owner.node),
                }
                self.telling.handle_gone(owner.node);
            }
            // Its seat goes before its slots.
            Event::Draining(_) | Event::Chosen(_) => self.voting.handle_changed(now),
            _ => {}
        }
        self.placing.handle_event(event, state, now);
    }
}

impl Driver {
    /// Does what a leader has to do now; returns whether the group was told something.
    pub(super) fn lead(&mut self, group: &mut Group, now: Time) -> bool {
        if !group.is_ready() {
            if self.leading.term.is_some() {
                tracing::info!(me = %self.owner, "leads no more");
                self.leading.handle_deposed();
            }
            self.hear_of_leader(group, now);
            return false;
        }
        if self.leading.term != Some(group.term()) {
            self.begin_to_lead(group, now);
        }
        let mut was_told = self.hand_over(group, now);
        was_told |= self.let_in(group);
        was_told |= self.let_go(group, now);
        was_told |= self.renew(group, now);
        while let Some(command) = self.leading.placing.poll_command(group.state(), now) {
            was_told |= group.propose(&command).is_ok();
        }
        was_told |= self.choose(group, now);
        was_told |= self.seat_voters(group, now);
        self.tell_members(group.state(), now);
        was_told
    }

    /// Carries out what came of a flush.
    pub(super) fn handle_actions(&mut self, group: &mut Group, now: Time) {
        while let Some(action) = group.poll_action() {
            match action {
                Action::Send { to, bytes } => {
                    if let Some(node) = self.node_of(to, group.state()) {
                        self.send(node, Message::Group(bytes));
                    }
                }
                Action::Applied { proposal, outcome } => {
                    if self.leading.term.is_some() {
                        for event in outcome.iter().flatten() {
                            self.leading.handle_event(event, group.state(), now);
                            if let Event::Lapsed(owner) | Event::Left(owner) = *event {
                                self.send_over(owner);
                            }
                        }
                    }
                    self.leading.choosing.handle_applied(proposal, &outcome);
                    self.answer(proposal, &outcome, group.state());
                }
                Action::Read(read) => self.leading.leases.handle_read_done(read),
                Action::Changed { change, .. } => {
                    tracing::info!(?change, "the members of the control group have changed");
                    self.leading.voting.handle_changed(now);
                }
                Action::Installed { index } => tracing::info!(index, "took the leader's state"),
            }
        }
    }

    pub(super) fn leading_deadline(&self) -> Option<Time> {
        let seat = self.seat.as_ref()?;
        self.leading.term?;
        // While the member is away nothing can be done; its return wakes the driver.
        seat.next_deadline()?;
        let parts = [
            self.leading.leases.next_deadline(),
            self.leading.placing.next_deadline(),
            self.leading.voting.next_deadline(),
        ];
        parts.into_iter().flatten().min()
    }

    /// A member renews its lease.
    pub(super) fn handle_renew(
        &mut self,
        from: NodeId,
        incarnation: Incarnation,
        number: RenewalNumber,
        version: Version,
        now: Time,
    ) {
        let leases = &mut self.leading.leases;
        let why = match leases.handle_renewal(from, incarnation, number, now) {
            Ok(()) => {
                self.leading.telling.handle_renewal(from, version, now);
                return;
            }
            // A new leader says so once it knows all members; until then it says nothing.
            Err(LeaseRefusal::NotLeader) if self.is_own_leader() => return,
            Err(LeaseRefusal::NotLeader) => NotGranted::NotLeader,
            // Its end is no more than asked for. It is told when that is committed, by whoever leads
            // then: a leader that stood still would say so to members that another one renews.
            Err(LeaseRefusal::Lapsed { .. }) => return,
            Err(_) => NotGranted::Over,
        };
        self.send(from, Message::NotGranted { incarnation, why });
    }

    fn is_own_leader(&self) -> bool {
        self.status.borrow().is_leader
    }

    fn begin_to_lead(&mut self, group: &Group, now: Time) {
        let (state, term) = (group.state(), group.term());
        tracing::info!(me = %self.owner, term, "leads the control group");
        let profile = Profile::from_number(state.settings().profile).unwrap_or(self.parts.profile);
        self.set_profile(profile);
        let leading = &mut self.leading;
        *leading = Leading::new(profile, self.parts.gone_max);
        let members = state.members().map(|(member, _)| member.owner());
        let living = members.filter(|owner| state.is_live(*owner));
        let living: Vec<_> = living
            .map(|owner| (owner.node, owner.incarnation))
            .collect();
        let nodes = living.iter().map(|(node, _)| *node);
        leading.telling.handle_leading(nodes, state.version());
        leading.leases.handle_leading(living, now);
        leading.placing.handle_leading(state, now);
        leading.voting.handle_changed(now);
        leading.term = Some(term);
        let node = self.owner.node;
        self.handle_leader(Leader { term, node }, now);
        // BEFORE any delta: it is taken from who is known to lead.
        self.say_what_is_new();
    }

    fn hear_of_leader(&mut self, group: &Group, now: Time) {
        let disk = group.leader();
        let node = disk.and_then(|disk| self.node_of(disk, group.state()));
        // One that has just been elected says itself when it is ready.
        if let Some(node) = node.filter(|node| *node != self.owner.node) {
            let term = group.term();
            self.handle_leader(Leader { term, node }, now);
        }
    }

    /// Proposes what those who want to join have asked for, and answers those who are in.
    fn let_in(&mut self, group: &mut Group) -> bool {
        let mut was_told = false;
        for ask in mem::take(&mut self.leading.asks) {
            let Command::Join { member, .. } = &ask.command else {
                continue;
            };
            if group.state().is_live(member.owner()) {
                // Asked again: the answer was lost, or was late.
                self.send_joined(&ask, group.state());
            } else if let Ok(proposal) = group.propose(&ask.command) {
                self.leading.asked.insert(proposal, ask);
                was_told = true;
            }
        }
        was_told
    }

    fn answer(&mut self, proposal: Proposal, outcome: &Result<Vec<Event>, Refusal>, state: &State) {
        // What was proposed for this index or one before, in another term, is lost: it is asked again.
        let mut later = self.leading.asked.split_off(&proposal);
        let ask = later.remove(&proposal);
        self.leading.asked = later;
        let Some(ask) = ask else {
            return;
        };
        let Command::Join { member, .. } = &ask.command else {
            return;
        };
        let owner = member.owner();
        match outcome {
            Ok(_) => self.send_joined(&ask, state),
            // It has asked more than once, and an earlier question let it in.
            Err(_) if state.is_live(owner) => self.send_joined(&ask, state),
            // Its lease has ended before it heard that it was in: only another life can join.
            Err(Refusal::Join(JoinRefusal::StaleIncarnation { .. })) => {
                self.send_over(owner);
            }
            Err(why) => {
                let refusal = match why {
                    Refusal::Join(refusal) => Some(refusal),
                    _ => None,
                };
                let detail = why.to_string();
                tracing::info!(node = %ask.from, %detail, "did not let a node in");
                let number = ask.number;
                let answer = Message::NotJoined {
                    number,
                    later: matches!(refusal, Some(JoinRefusal::StillAlive { .. })),
                    foreign: matches!(refusal, Some(JoinRefusal::WrongCluster { .. })),
                    detail,
                };
                self.send(ask.from, answer);
            }
        }
    }

    /// Says to a life of a node that it is over.
    pub(super) fn send_over(&mut self, owner: Owner) {
        let (incarnation, why) = (owner.incarnation, NotGranted::Over);
        self.send(owner.node, Message::NotGranted { incarnation, why });
    }

    fn send_joined(&mut self, ask: &Ask, state: &State) {
        let (number, profile) = (ask.number, state.settings().profile);
        self.send(ask.from, Message::Joined { number, profile });
    }

    fn renew(&mut self, group: &mut Group, now: Time) -> bool {
        let mut was_told = false;
        while let Some(action) = self.leading.leases.poll_action(now) {
            match action {
                LeaseAction::Read(read) => match group.read(read) {
                    Ok(()) => was_told = true,
                    Err(_) => self.leading.leases.handle_read_failed(read),
                },
                LeaseAction::Grant {
                    to,
                    incarnation,
                    number,
                } => {
                    self.send(
                        to,
                        Message::Granted {
                            incarnation,
                            number,
                        },
                    );
                }
                LeaseAction::Lapse { node, incarnation } => {
                    let owner = Owner { node, incarnation };
                    was_told |= group.propose(&Command::Lapse(owner)).is_ok();
                }
                _ => {}
            }
        }
        was_told
    }

    /// Tells each member what has changed since it was told last.
    fn tell_members(&mut self, state: &State, now: Time) {
        let version = state.version();
        for (node, mut from) in self.leading.telling.behind(version) {
            if node != self.owner.node && !self.peers.has(node) {
                continue;
            }
            for _ in 0..DELTAS_AT_ONCE {
                let Some(delta) = state.since(from, DELTA_ENTRIES_MAX) else {
                    break;
                };
                if !self.send(node, Message::Delta(delta.encode())) {
                    break;
                }
                from = delta.to();
                self.leading.telling.handle_told(node, from, now);
                if from >= version {
                    break;
                }
            }
        }
    }
}

/// Returns the name of a member, or the id of one that is none any more.
pub(super) fn name(state: &State, node: NodeId) -> String {
    let mut members = state.members();
    match members.find(|(member, _)| member.id() == node) {
        Some((member, _)) => member.name.to_string(),
        None => node.to_string(),
    }
}

/// How many nodes may ask to be let in at once.
const ASKS_MAX: usize = 4096;

/// How many slots a delta has: some 40 kB, so that it is said at once.
const DELTA_ENTRIES_MAX: usize = 1024;

/// How many deltas a member is sent at once. More follow with its next renewal, or change.
const DELTAS_AT_ONCE: usize = 8;
