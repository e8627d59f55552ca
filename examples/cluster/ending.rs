//! How a run ends: no more calls, every cart is called once more, the nodes are stopped, their traces
//! are put together, and it is said what it all came to.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use callboard_examples::report::{Asserted, Event};
use callboard_examples::trace::Judge;

use crate::args::{EXIT_RUN, TRACE};
use crate::complain;
use crate::driver::{Driver, EXIT_PIPE, State, Stop};
use crate::load::{Load, Unended};
use crate::process::Order;
use crate::shoppers::KEYED_DEADLINE;
use crate::words::Told;

impl Driver {
    /// Begins no more calls and waits for those in flight. Each of them ends by its deadline.
    pub(crate) async fn wind_down(&mut self) -> Result<(), Stop> {
        let Some(load) = &self.load else {
            return Ok(());
        };
        load.end();
        let in_flight = load.in_flight();
        if in_flight > 0 {
            self.say(&Event::Draining { in_flight })?;
        }
        self.wait_ended(KEYED_DEADLINE + HUNG_AFTER).await?;
        self.ask_all_carts().await
    }

    /// Calls every cart once more, in the time in which the profile promises an answer after the
    /// loss of a node together with the leader.
    async fn ask_all_carts(&mut self) -> Result<(), Stop> {
        let Some(load) = &self.load else {
            return Ok(());
        };
        let within = self.plan.profile.times().recovery_worst(true) + Duration::from_secs(1);
        let shoppers = load.shoppers.clone();
        let asking = async move { shoppers.ask_all(within).await };
        let unanswered = self.meanwhile(asking).await?;
        self.summary.keys_unanswered = unanswered.len() as u64;
        let mut told = unanswered.into_iter().take(UNANSWERED_TOLD_MAX);
        told.try_for_each(|what| self.say(&Event::Unanswered { what }))
    }

    async fn wait_ended(&mut self, limit: Duration) -> Result<(), Stop> {
        let limit = Instant::now() + limit;
        let ended = |driver: &Self| driver.load.as_ref().is_none_or(Load::has_ended);
        while !ended(self) && Instant::now() < limit {
            self.pump(Instant::now() + LOOK_EVERY, ended).await?;
        }
        Ok(())
    }

    /// The way out, whatever led to it: ends the load and the nodes, removes the directory, sums up.
    pub(crate) async fn finish(mut self, end: Result<(), Stop>) -> ExitCode {
        let mut code = 0;
        let mut unended = Unended::Hung;
        if let Err(Stop::Early { code: early }) = end {
            code = early;
            unended = Unended::CutOff;
            if let Some(load) = &self.load {
                load.end();
                // Another signal only means that the rest is to be faster still.
                let _ = self.wait_ended(CUT_OFF_AFTER).await;
            }
        }
        for step in self.plan.script.clone().remaining() {
            self.step_failed(step, "the run ended before it").ok();
        }
        self.fail_unfinished();
        if let Some(load) = self.load.take() {
            load.finish(unended, &mut self.summary).await;
        }
        self.stop_nodes().await;
        if self.began.is_some()
            && let Err(error) = self.judge()
        {
            complain(EXIT_RUN, &format!("the traces cannot be read: {error}"));
            code = code.max(EXIT_RUN);
        }
        // Says why if it cannot, for that is a promise: no file stays behind.
        let path = self.directory.path().to_owned();
        if let Err(error) = fs::remove_dir_all(&path) {
            complain(
                EXIT_RUN,
                &format!("{} cannot be removed: {error}", path.display()),
            );
            code = code.max(EXIT_RUN);
        }
        self.sum_up();
        let summary = std::mem::take(&mut self.summary);
        let passed = summary.passed();
        // Nobody may be reading any more; the exit code says the same.
        let _ = self.say(&Event::Summary(Box::new(summary)));
        match end {
            Err(Stop::Failed(why)) => complain(EXIT_RUN, &why),
            _ if code == 0 && !passed => ExitCode::from(EXIT_RUN),
            _ => ExitCode::from(code),
        }
    }

    async fn stop_nodes(&mut self) {
        for (order, limit) in [
            (Order::Tell(Told::Stop), STOP_LIMIT),
            (Order::Kill, STOP_LIMIT),
        ] {
            for member in &mut self.members {
                member.start_again = false;
                if let Some(process) = &member.process {
                    // A paused process hears nothing.
                    process.order(Order::Resume);
                    process.order(order.clone());
                    member.state = State::Ending;
                }
            }
            let limit = Instant::now() + limit;
            let gone = |driver: &Self| driver.members.iter().all(|member| member.process.is_none());
            while !gone(self) && Instant::now() < limit {
                match self.pump(limit, gone).await {
                    Ok(()) => {}
                    // Output that nobody reads stops no clean-up; another signal hastens it.
                    Err(Stop::Early { code: EXIT_PIPE }) => {}
                    Err(_) => break,
                }
            }
        }
    }

    /// Puts the traces of all processes together.
    fn judge(&mut self) -> io::Result<()> {
        let mut traces = Vec::new();
        for entry in fs::read_dir(self.directory.path())? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == TRACE) {
                traces.push(BufReader::new(File::open(path)?));
            }
        }
        let mut judge = Judge::new(self.faults.take());
        judge.read(traces)?;
        let verdict = judge.verdict();
        for what in verdict.findings {
            // Nobody may be reading any more; it is counted all the same.
            let _ = self.say(&Event::Finding { what });
        }
        let summary = &mut self.summary;
        summary.turns = verdict.turns;
        summary.overlapping_turns = verdict.overlapping_turns;
        summary.overlaps_of_paused = verdict.overlaps_of_paused;
        summary.epoch_regressions = verdict.epoch_regressions;
        summary.moved_slots = verdict.moved_slots;
        summary.recovered_slots = verdict.recovered_slots;
        Ok(())
    }

    fn sum_up(&mut self) {
        let summary = &mut self.summary;
        let ran = self
            .began
            .map_or(Duration::ZERO, |began| began.elapsed().min(self.plan.run));
        summary.calls_per_s = (summary.calls_ok as f64 / ran.as_secs_f64().max(1e-3)) as u64;
        summary.nodes = self.plan.nodes.len() as u64;
        summary.rate = self.plan.rate;
        summary.for_ms = ran.as_millis() as u64;
        if let Some(expression) = &self.plan.assert {
            let numbers = summary.clone();
            let field = |name: &str| numbers.field(name);
            let holds = expression.holds(field).unwrap_or(false);
            let untrue = if holds {
                Vec::new()
            } else {
                expression.untrue(field)
            };
            summary.assert = Some(Asserted {
                expression: expression.to_string(),
                holds,
                untrue,
            });
        }
    }
}

/// A node that has not stopped in order by then is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// A call that has not ended that long after its deadline never will.
const HUNG_AFTER: Duration = Duration::from_secs(2);
/// What calls in flight get when a signal ends the run.
const CUT_OFF_AFTER: Duration = Duration::from_millis(500);
/// How often it is looked whether all calls have ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How many carts that do not answer are named; all are counted.
const UNANSWERED_TOLD_MAX: usize = 8;
