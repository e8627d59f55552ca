//! What the script does to the nodes, and what follows from it: who is up, who is gone, who agrees,
//! who answers again.

use std::net::SocketAddr;
use std::time::Instant;

use callboard_examples::report::Event;
use callboard_examples::script::{Action, Step, Target};
use callboard_examples::trace::FaultKind;

use crate::driver::{Driver, Member, State, Stop};
use crate::load::Load;
use crate::process::{Exit, Order};
use crate::turns;
use crate::words::Told;

impl Driver {
    /// Does what a step says. A step that does not fit the state of its node is told and counted, and
    /// the run goes on.
    pub(crate) fn carry_out(&mut self, step: &Step) -> Result<(), Stop> {
        let targets = match self.targets(step) {
            Ok(targets) => targets,
            Err(why) => return self.step_failed(step, why),
        };
        let mut done = Vec::new();
        for index in &targets {
            match unfit(step.action, &self.members[*index]) {
                None => done.push(*index),
                Some(reason) if targets.len() == 1 => return self.step_failed(step, reason),
                Some(_) => {}
            }
        }
        if done.is_empty() {
            return self.step_failed(step, "there is no node to which it can be done");
        }
        let nodes = done.iter().map(|index| self.members[*index].name.clone());
        let node = nodes.collect::<Vec<_>>().join(" ");
        for index in &done {
            self.do_to(step.action, *index)?;
        }
        if step.action == Action::Kill {
            self.last_killed.clone_from(&done);
        }
        self.done_to.insert(step.number, done);
        self.summary.steps_done += 1;
        let action = step.action.to_string();
        self.say(&Event::Step { action, node })
    }

    /// Whom a step is for, at this moment; a node that is to be added is among the members then.
    fn targets(&mut self, step: &Step) -> Result<Vec<usize>, &'static str> {
        let named = |name: &str| self.members.iter().position(|member| member.name == name);
        let one = |index: Option<usize>, why| index.map(|index| vec![index]).ok_or(why);
        if step.action == Action::Add {
            let name = format!("n{}", self.members.len() + 1);
            self.members.push(Member::new(&name, Instant::now()));
            return Ok(vec![self.members.len() - 1]);
        }
        match &step.target {
            Target::Node(name) => one(named(name), "there is no such node"),
            Target::Owner => {
                let owner = self.load.as_ref().and_then(|load| load.shoppers.owner());
                one(
                    owner.and_then(|owner| named(&owner)),
                    "the cart has no owner",
                )
            }
            Target::Leader => one(self.leader().and_then(named), "no node leads"),
            Target::All => Ok((0..self.members.len()).collect()),
            Target::LastKilled => Ok(self.last_killed.clone()),
            Target::SameAs(number, _) => {
                let done_to = self.done_to.get(number).cloned();
                done_to.ok_or("its first half was not carried out")
            }
        }
    }

    fn do_to(&mut self, action: Action, index: usize) -> Result<(), Stop> {
        match action {
            Action::Kill => self.kill(index),
            Action::Restart if self.members[index].is_up() => self.stop_to_start_again(index),
            Action::Restart | Action::Add => self.start_again(index)?,
            Action::Pause => self.pause(index),
            Action::Resume => self.resume(index),
            Action::Drain => self.drain(index),
            Action::Partition => self.cut_off(index),
            Action::Heal => self.heal(index),
        }
        Ok(())
    }

    pub(crate) fn step_failed(&mut self, step: &Step, reason: &str) -> Result<(), Stop> {
        self.summary.steps_failed += 1;
        self.say(&Event::StepFailed {
            step: step.to_string(),
            reason: reason.to_owned(),
        })
    }

    /// At the end of the run: a node that was to be started and is no member, or that was to drain and
    /// is still there, was not, whatever was told when its step began.
    pub(crate) fn fail_unfinished(&mut self) {
        if self.load.is_none() {
            return;
        }
        let mut failed = Vec::new();
        for member in &self.members {
            let starts = member.start_again || member.state == State::Starting;
            if starts || (member.is_up() && !member.has_joined) {
                failed.push((
                    &member.name,
                    "it was no member of the cluster when the run ended",
                ));
            } else if member.not_ok_before.is_some() {
                failed.push((&member.name, "it had not drained when the run ended"));
            }
        }
        let failed = failed.into_iter().map(|(name, why)| (name.clone(), why));
        for (step, reason) in failed.collect::<Vec<_>>() {
            self.fail_done_step(step, reason);
        }
    }

    /// A step that was begun, and counted, has come to nothing.
    fn fail_done_step(&mut self, step: String, reason: &str) {
        self.summary.steps_done = self.summary.steps_done.saturating_sub(1);
        self.summary.steps_failed += 1;
        let reason = reason.to_owned();
        // Nobody may be reading any more; it is counted all the same.
        let _ = self.say(&Event::StepFailed { step, reason });
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
        // Whoever is cut off is so from this one too.
        self.tell_splits();
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
        (member.leads, member.has_joined) = (false, false);
        let drained = member.not_ok_before.take();
        if let (Some(before), Some(load)) = (drained, &self.load) {
            self.summary.failed_during_drain += load.not_ok() - before;
        }
        if drained.is_some() && how != Exit::Code(0) {
            self.fail_done_step(
                format!("drain {node}"),
                "it could not hand over what it owns",
            );
        }
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
        let names = self.members.iter().map(|member| &member.name);
        let nodes = names.filter(|name| running.contains(*name));
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

    /// Tells it when the carts of killed nodes have all answered again.
    pub(crate) fn look_at_carts(&mut self) -> Result<(), Stop> {
        let waiting = self.load.as_ref().map(|load| load.shoppers.waiting());
        let (Some((keys, since)), Some(0)) = (self.outage, waiting) else {
            return Ok(());
        };
        self.outage = None;
        let took_ms = since.elapsed().as_millis() as u64;
        self.say(&Event::Recovered { keys, took_ms })
    }

    fn kill(&mut self, index: usize) {
        self.order(index, Order::Kill, State::Ending);
        self.begin_fault(index, FaultKind::Down);
        let node = &self.members[index].name;
        let keys = self.load.as_mut().map_or(0, |load| load.killed(node));
        if keys > 0 {
            let (before, since) = self.outage.unwrap_or((0, Instant::now()));
            self.outage = Some((before + keys, since));
        }
    }

    fn stop_to_start_again(&mut self, index: usize) {
        self.members[index].start_again = true;
        // It leaves as soon as it is told to, long before its process ends.
        self.views.changed(self.now(), None);
        self.begin_fault(index, FaultKind::Down);
        self.order(index, Order::Tell(Told::Stop), State::Ending);
    }

    fn pause(&mut self, index: usize) {
        self.views.changed(self.now(), None);
        self.begin_fault(index, FaultKind::Paused);
        self.order(index, Order::Pause, State::Paused);
    }

    fn resume(&mut self, index: usize) {
        self.views.changed(self.now(), None);
        self.expect_answers(index);
        self.members[index].since = Instant::now();
        self.order(index, Order::Resume, State::Up);
        self.end_fault(index, FaultKind::Paused);
    }

    fn start_again(&mut self, index: usize) -> Result<(), Stop> {
        self.expect_answers(index);
        self.start(index)
    }

    fn drain(&mut self, index: usize) {
        self.views.changed(self.now(), None);
        self.members[index].not_ok_before = self.load.as_ref().map(Load::not_ok);
        self.order(index, Order::Tell(Told::Drain), State::Ending);
    }

    fn cut_off(&mut self, index: usize) {
        self.members[index].is_split = true;
        self.begin_fault(index, FaultKind::Cut);
        self.tell_splits();
    }

    fn heal(&mut self, index: usize) {
        let member = &mut self.members[index];
        member.is_split = false;
        if let Some(process) = &member.process {
            process.order(Order::Tell(Told::Split(Vec::new())));
        }
        self.end_fault(index, FaultKind::Cut);
    }

    /// Tells each node that is cut off who the others are: it loses what it sends them, and what comes
    /// from them. The client is none of them.
    pub(crate) fn tell_splits(&self) {
        for split in self.members.iter().filter(|member| member.is_split) {
            let others = self.members.iter().filter(|other| other.name != split.name);
            let others = others.filter_map(|other| other.addr).collect();
            if let Some(process) = &split.process {
                process.order(Order::Tell(Told::Split(others)));
            }
        }
    }

    fn begin_fault(&mut self, index: usize, kind: FaultKind) {
        self.faults
            .begin(&self.members[index].name, kind, turns::now_ns());
    }

    pub(crate) fn end_fault(&mut self, index: usize, kind: FaultKind) {
        self.faults
            .end(&self.members[index].name, kind, turns::now_ns());
    }

    fn expect_answers(&mut self, index: usize) {
        let member = &mut self.members[index];
        let answered = self.load.as_ref().map(|load| load.answered(&member.name));
        member.answered_before = answered;
    }

    fn order(&mut self, index: usize, order: Order, state: State) {
        let member = &mut self.members[index];
        if let Some(process) = &member.process {
            process.order(order);
            member.state = state;
        }
    }
}

/// Says why something cannot be done to a node now, if it cannot.
fn unfit(action: Action, member: &Member) -> Option<&'static str> {
    let state = member.state;
    let fits = match action {
        Action::Kill => matches!(state, State::Up | State::Paused | State::Starting),
        Action::Restart => matches!(state, State::Up | State::Down),
        Action::Add => state == State::Down,
        Action::Pause | Action::Drain => state == State::Up,
        Action::Resume => state == State::Paused,
        Action::Partition if member.is_split => return Some("the node is cut off already"),
        Action::Partition => matches!(state, State::Up | State::Paused),
        Action::Heal if !member.is_split => return Some("the node is not cut off"),
        Action::Heal => true,
    };
    (!fits).then(|| reason(state))
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
