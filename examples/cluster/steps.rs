//! What the script does to the nodes, and what follows from it: who is up, who is gone, who agrees,
//! who answers again.

use std::net::SocketAddr;
use std::time::Instant;

use callboard_examples::report::Event;
use callboard_examples::script::{Action, Step};

use crate::driver::{Driver, Member, State, Stop};
use crate::process::{Exit, Order};

impl Driver {
    /// Does what a step says. A step that does not fit the node's state is told and counted, and
    /// the run goes on.
    pub(crate) fn carry_out(&mut self, step: &Step) -> Result<(), Stop> {
        let Some(index) = self
            .members
            .iter()
            .position(|member| member.name == step.target)
        else {
            return self.step_failed(step, "there is no such node");
        };
        let state = self.members[index].state;
        let done = match (step.action, state) {
            (Action::Kill, State::Up | State::Paused | State::Starting) => self.kill(index),
            (Action::Restart, State::Up) => self.stop_to_start_again(index),
            (Action::Restart, State::Down) => self.start_again(index)?,
            (Action::Pause, State::Up) => self.pause(index),
            (Action::Resume, State::Paused) => self.resume(index),
            (_, state) => return self.step_failed(step, reason(state)),
        };
        debug_assert!(done, "every step that fits is carried out");
        self.summary.steps_done += 1;
        let (action, node) = (step.action.to_string(), step.target.clone());
        self.say(&Event::Step { action, node })
    }

    pub(crate) fn step_failed(&mut self, step: &Step, reason: &str) -> Result<(), Stop> {
        self.summary.steps_failed += 1;
        self.say(&Event::StepFailed {
            step: step.to_string(),
            reason: reason.to_owned(),
        })
    }

    /// At the end of the run: a node that was to be started again and is not up was not restarted,
    /// whatever was told when its step began.
    pub(crate) fn fail_unfinished_restarts(&mut self) {
        let unfinished = |member: &&Member| member.start_again || member.state == State::Starting;
        let nodes: Vec<String> = self
            .members
            .iter()
            .filter(unfinished)
            .map(|m| m.name.clone())
            .collect();
        if self.load.is_none() {
            return;
        }
        for node in nodes {
            self.summary.steps_done = self.summary.steps_done.saturating_sub(1);
            self.summary.steps_failed += 1;
            let (step, reason) = (
                format!("restart {node}"),
                "the node was not up again when the run ended",
            );
            // Nobody may be reading any more; it is counted all the same.
            let _ = self.say(&Event::StepFailed {
                step,
                reason: reason.to_owned(),
            });
        }
    }

    /// A node says that it is ready.
    pub(crate) fn is_up(&mut self, node: &str, addr: SocketAddr) -> Result<(), Stop> {
        let now = self.now();
        let Some(member) = self.members.iter_mut().find(|member| member.name == node) else {
            return Ok(());
        };
        member.addr = Some(addr);
        member.state = State::Up;
        let pid = member.process.as_ref().map_or(0, |process| process.pid);
        let took_ms = member.since.elapsed().as_millis() as u64;
        self.views.changed(now, None);
        let (node, addr) = (node.to_owned(), addr.to_string());
        self.say(&Event::Up {
            node,
            addr,
            pid,
            took_ms,
        })
    }

    /// A node's process has ended.
    pub(crate) fn is_gone(&mut self, node: &str, how: Exit) -> Result<(), Stop> {
        let now = self.now();
        let Some(index) = self.members.iter().position(|member| member.name == node) else {
            return Ok(());
        };
        let member = &mut self.members[index];
        let expected = member.state == State::Ending;
        member.state = State::Down;
        member.process = None;
        let start_again = std::mem::take(&mut member.start_again);
        self.summary.exits_unexpected += u64::from(!expected);
        self.views.changed(now, Some(node));
        let node = node.to_owned();
        self.say(&Event::Exited {
            node,
            how: how.to_string(),
            expected,
        })?;
        if start_again {
            self.start_again(index)?;
        }
        self.look_who_agrees()
    }

    /// Tells it once when all running nodes list each other and nobody else.
    pub(crate) fn look_who_agrees(&mut self) -> Result<(), Stop> {
        let running = self.running();
        // While the cluster is being started, the first nodes agree on themselves alone.
        if self.load.is_none() && running.len() < self.members.len() {
            return Ok(());
        }
        let Some(took) = self.views.poll_agreed(self.now(), &running) else {
            return Ok(());
        };
        // In the order of their numbers: n10 after n9.
        let nodes = self
            .plan
            .nodes
            .iter()
            .filter(|node| running.contains(*node));
        let nodes = nodes.cloned().collect();
        self.say(&Event::Agreed {
            nodes,
            took_ms: took.as_millis() as u64,
        })
    }

    /// Tells it once when a node that was started again or resumed has answered a call.
    pub(crate) fn look_who_answers(&mut self) -> Result<(), Stop> {
        let Some(load) = &self.load else {
            return Ok(());
        };
        let mut answering = Vec::new();
        for member in &mut self.members {
            let Some(before) = member.answered_before else {
                continue;
            };
            if load.answered(&member.name) > before {
                member.answered_before = None;
                let took_ms = member.since.elapsed().as_millis() as u64;
                answering.push(Event::Answers {
                    node: member.name.clone(),
                    took_ms,
                });
            }
        }
        answering.iter().try_for_each(|event| self.say(event))
    }

    fn kill(&mut self, index: usize) -> bool {
        self.order(index, Order::Kill, State::Ending)
    }

    fn stop_to_start_again(&mut self, index: usize) -> bool {
        self.members[index].start_again = true;
        // It leaves as soon as it is told to, long before its process ends.
        self.views.changed(self.now(), None);
        self.order(index, Order::Stop, State::Ending)
    }

    fn pause(&mut self, index: usize) -> bool {
        self.views.changed(self.now(), None);
        self.order(index, Order::Pause, State::Paused)
    }

    fn resume(&mut self, index: usize) -> bool {
        self.views.changed(self.now(), None);
        self.expect_answers(index);
        self.members[index].since = Instant::now();
        self.order(index, Order::Resume, State::Up)
    }

    fn start_again(&mut self, index: usize) -> Result<bool, Stop> {
        self.expect_answers(index);
        self.start(index)?;
        Ok(true)
    }

    fn expect_answers(&mut self, index: usize) {
        let member = &mut self.members[index];
        let answered = self.load.as_ref().map(|load| load.answered(&member.name));
        member.answered_before = answered;
    }

    fn order(&mut self, index: usize, order: Order, state: State) -> bool {
        let member = &mut self.members[index];
        let Some(process) = &member.process else {
            return false;
        };
        process.order(order);
        member.state = state;
        true
    }
}

fn reason(state: State) -> &'static str {
    match state {
        State::Down => "the node is down",
        State::Starting => "the node is starting",
        State::Up => "the node is running",
        State::Paused => "the node is paused",
        State::Ending => "the node is about to end",
    }
}
