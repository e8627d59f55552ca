//! How this node comes to belong to a cluster: drives [`Former`].
//!
//! What it promises is on the disk BEFORE anybody hears of it: while a memory is written, what
//! follows it waits. Depends on `driver`.

use callboard_protocol::{
    cluster::Seen,
    code::Code,
    id::{ClusterId, NodeId},
    membership::{Former, FormingAction, FormingMemory, FormingMessage, FormingRefusal, Sighting},
    slots::{Command, Settings},
    time::Time,
};

use super::{
    driver::{Driver, Event},
    seat::{self, Seat},
};
use crate::{control, net::LinkDown};

/// This node's part in forming a cluster.
#[derive(Debug)]
pub(super) struct Forming {
    former: Former,
    /// What is on the disk.
    memory: FormingMemory,
    expects: Option<u32>,
    is_storing: bool,
    /// The disk has failed over this: nothing is promised before it is written.
    unstored: Option<FormingMemory>,
    /// What forms the control group, if it is this node that does.
    first: Option<Command>,
}

/// What came of writing a memory.
#[derive(Debug)]
pub(super) struct Stored {
    memory: FormingMemory,
    outcome: std::io::Result<()>,
}

impl Forming {
    pub(super) fn new(former: Former, memory: FormingMemory, expects: Option<u32>) -> Self {
        Self {
            former,
            memory,
            expects,
            is_storing: false,
            unstored: None,
            first: None,
        }
    }

    /// Returns the cluster that this node belongs to.
    pub(super) fn cluster(&self) -> Option<ClusterId> {
        self.memory.cluster
    }

    pub(super) fn expects(&self) -> Option<u32> {
        self.expects
    }

    pub(super) fn handle_seen(&mut self, node: NodeId, seen: &Seen, now: Time) {
        let sighting = Sighting {
            node,
            cluster: seen.cluster,
            expects: seen.expects,
        };
        self.former.handle_sighting(sighting, now);
    }

    pub(super) fn handle_lost(&mut self, node: NodeId) {
        self.former.handle_lost(node);
    }

    pub(super) fn handle_message(&mut self, from: NodeId, message: FormingMessage, now: Time) {
        self.former.handle_message(from, message, now);
    }

    pub(super) fn take_first_command(&mut self) -> Option<Command> {
        self.first.take()
    }

    /// Returns when something is due. A node that has promised nothing and expects nobody waits
    /// for others, however long.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        let takes_part = self.expects.is_some() || self.memory.promise.is_some();
        let acts = takes_part && !self.is_storing && self.unstored.is_none();
        self.former.next_deadline().filter(|_| acts)
    }
}

impl Driver {
    pub(super) fn step_forming(&mut self, now: Time) {
        if self.forming.next_deadline().is_some_and(|due| due <= now) {
            let (high, low) = (self.env.entropy.next_u64(), self.env.entropy.next_u64());
            let random = u128::from(high) << 64 | u128::from(low);
            self.forming.former.handle_time(random, now);
            self.say_why_not_formed();
        }
        while !self.forming.is_storing && self.forming.unstored.is_none() {
            let Some(action) = self.forming.former.poll_action() else {
                break;
            };
            match action {
                FormingAction::Store(memory) => self.store(memory),
                FormingAction::Send { to, message } => {
                    self.send(to, callboard_protocol::cluster::Message::Forming(message));
                }
                FormingAction::Form { cluster, .. } => {
                    // Only one forms the group, alone. The others join it.
                    if self.forming.memory.decision.is_some() {
                        self.forming.first = Some(self.first_command(cluster));
                    }
                    self.settle(cluster);
                }
                FormingAction::Join { cluster } => self.settle(cluster),
                _ => {}
            }
        }
    }

    pub(super) fn handle_stored(&mut self, stored: Stored, now: Time) {
        self.forming.is_storing = false;
        match stored.outcome {
            Ok(()) => self.forming.memory = stored.memory,
            Err(error) => {
                self.forming.unstored = Some(stored.memory);
                self.handle_memory_failed(&error, now);
            }
        }
    }

    /// Writes once more what the disk has refused.
    pub(super) fn store_again(&mut self) {
        if let Some(memory) = self.forming.unstored.take() {
            self.store(memory);
        }
    }

    pub(super) fn handle_opened(
        &mut self,
        opened: Result<Box<control::Group>, control::Error>,
        now: Time,
    ) {
        match opened {
            Ok(group) => {
                self.set_seat(Seat::new(*group, &self.parts.profile, now));
                self.handle_log_mended();
                // It may have failed over the very first entry.
                if let (Some(cluster), Some(_)) =
                    (self.forming.cluster(), &self.forming.memory.decision)
                {
                    self.forming.first = Some(self.first_command(cluster));
                }
            }
            Err(error) => self.handle_log_failed(&error.into(), now),
        }
    }

    /// Closes the link with a node of another cluster, and says why.
    pub(super) fn refuse_foreign(&mut self, from: NodeId, ours: ClusterId, theirs: ClusterId) {
        let Some(link) = self.peers.link(from).cloned() else {
            return;
        };
        let name = &link.peer().name;
        let detail = format!(
            "node {name} belongs to cluster {theirs}, this node to {ours}: give one of them the \
             other's seeds and an empty data folder"
        );
        // Two that are met in turn are each another trouble, several times a second.
        if self.foreign.is_due(self.env.clock.now()) {
            self.set_trouble(Code::ClusterMismatch, detail.clone());
        }
        link.close(LinkDown::new(Code::ClusterMismatch, detail));
    }

    fn store(&mut self, memory: FormingMemory) {
        let Some(data) = self.parts.data.clone() else {
            // A node that keeps nothing promises nothing: it only joins.
            self.forming.memory = memory;
            return;
        };
        self.forming.is_storing = true;
        let (env, events) = (self.env.clone(), self.events.clone());
        let job = move || {
            let outcome = data.store(&env, &memory);
            let stored = Stored { memory, outcome };
            // There is room: one memory is written at a time.
            drop(events.try_send(Event::Stored(stored)));
        };
        self.env.blocking.run("forming", Box::new(job));
    }

    fn settle(&mut self, cluster: ClusterId) {
        tracing::info!(%cluster, "belongs to a cluster");
        self.joining.begin(cluster);
        if self.seat.is_none() {
            self.open_log();
        }
    }

    /// Opens the log, if there is a data folder.
    pub(super) fn open_log(&self) {
        if let Some(data) = self.parts.data.clone() {
            let (env, events) = (self.env.clone(), self.events.clone());
            let cluster = self.forming.cluster();
            let job = move || {
                let opened = seat::open(&env, &data, cluster);
                drop(events.try_send(Event::Opened(opened.map(Box::new))));
            };
            self.env.blocking.run("control-open", Box::new(job));
        }
    }

    fn first_command(&self, cluster: ClusterId) -> Command {
        let mut settings = Settings::default();
        settings.profile = self.parts.profile.number().unwrap_or_default();
        Command::Form {
            cluster,
            slots: self.parts.slots,
            settings,
        }
    }

    fn say_why_not_formed(&mut self) {
        let Some(why) = self.forming.former.why_not() else {
            return;
        };
        if self.forming.cluster().is_some() {
            return;
        }
        let code = match why {
            FormingRefusal::ExpectDiffers { .. } | FormingRefusal::TooMany { .. } => {
                Code::ConfigInvalid
            }
            _ => Code::NotJoined,
        };
        let text = why.to_string();
        self.set_trouble(code, self.with_name(text, &why));
    }

    /// Names the node of a refusal, which knows it by its id only, as far as it is linked.
    fn with_name(&self, text: String, why: &FormingRefusal) -> String {
        let (FormingRefusal::ExpectDiffers { node, .. } | FormingRefusal::Promised { by: node }) =
            why
        else {
            return text;
        };
        match self.peers.link(*node) {
            Some(link) => text.replace(&node.to_string(), link.peer().name.as_str()),
            None => text,
        }
    }
}
