//! The faults of a run, as one line of text: `kill n3@5s; restart n3@10s; pause n2@12s for 2s`.
//!
//! Text becomes a list of timed [`Step`]s here; the driver in `cluster/` carries them out. All
//! that can be known before the run is checked before the run: the grammar, the node names, and
//! that no step lies after the end. What only the run can tell (a node to kill that is not running)
//! is the driver's.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::span;

/// The grammar, as it is shown to whoever got it wrong.
pub const GRAMMAR: &str = "\
a script is steps with `;` between them, in any order:

    kill TARGET@TIME [for TIME]      SIGKILL; with `for`, started again after that time
    restart TARGET@TIME              started again if it is down; else stopped in order and started
    pause TARGET@TIME [for TIME]     SIGSTOP; with `for`, SIGCONT after that time, else to the end

TARGET is a node, n1 to nN. TIME counts from the first call and has a unit: 500ms, 20s, 1.5m.
Example: --script \"kill n3@5s; restart n3@10s; pause n2@12s for 2s\"";

/// What is done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL: no goodbye, no flush.
    Kill,
    /// Started again; stopped in order first if it is running.
    Restart,
    /// SIGSTOP: the process stands still, its sockets stay open.
    Pause,
    /// SIGCONT: a paused process goes on.
    Resume,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Resume => "resume",
        })
    }
}

/// One thing to do to one node at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, counted from the first call.
    pub at: Duration,
    /// What.
    pub action: Action,
    /// To which node.
    pub target: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}@{}",
            self.action,
            self.target,
            span::exact(self.at)
        )
    }
}

/// The steps of a run that are still to come, in the order of their times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    steps: VecDeque<Step>,
}

impl Script {
    /// Reads a script for the nodes named `nodes` and a run of `run`. An empty text is an empty script.
    ///
    /// # Errors
    ///
    /// A message that names the step, says what is wrong with it and shows the [`GRAMMAR`]: a step
    /// that does not parse, a node that does not exist, a step that the run would not reach.
    pub fn parse(text: &str, nodes: &[String], run: Duration) -> Result<Self, String> {
        let mut steps = Vec::new();
        for piece in text
            .split(';')
            .map(str::trim)
            .filter(|piece| !piece.is_empty())
        {
            let parsed = parse_step(piece)
                .and_then(|parsed| check(parsed, nodes, run))
                .map_err(|why| format!("step `{piece}`: {why}\n\n{GRAMMAR}"))?;
            steps.extend(parsed);
        }
        // Stable: steps of the same time stay in the order written.
        steps.sort_by_key(|step| step.at);
        Ok(Self {
            steps: steps.into(),
        })
    }

    /// What a run without `--script` shows: the last node is killed after a quarter of the time and
    /// started again at half of it. A cluster of one node is left alone.
    #[must_use]
    pub fn shown_by_default(nodes: &[String], run: Duration) -> Self {
        let Some(target) = nodes.last().filter(|_| nodes.len() > 1) else {
            return Self::default();
        };
        let step = |action, at| Step {
            at,
            action,
            target: target.clone(),
        };
        // Whole milliseconds, so that what is printed can be typed back.
        let at = |share: u32| Duration::from_millis((run / share).as_millis() as u64);
        Self {
            steps: [step(Action::Kill, at(4)), step(Action::Restart, at(2))].into(),
        }
    }

    /// Takes the next step if its time has come. `elapsed` counts from the first call.
    pub fn poll(&mut self, elapsed: Duration) -> Option<Step> {
        self.steps.pop_front_if(|step| step.at <= elapsed)
    }

    /// When the next step is due, counted from the first call.
    #[must_use]
    pub fn next_at(&self) -> Option<Duration> {
        self.steps.front().map(|step| step.at)
    }

    /// The steps that were not taken, in order.
    pub fn remaining(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter()
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(f, "{between}{step}")?;
        }
        Ok(())
    }
}

/// One step as it was typed. With `for` it becomes two.
struct Typed {
    first: Step,
    second: Option<Step>,
}

fn parse_step(text: &str) -> Result<Typed, String> {
    let mut words = text.split_whitespace();
    let verb = words.next().unwrap_or_default();
    let (action, undo) = match verb {
        "kill" => (Action::Kill, Some(Action::Restart)),
        "restart" => (Action::Restart, None),
        "pause" => (Action::Pause, Some(Action::Resume)),
        verb => return Err(format!("`{verb}` is not one of kill, restart, pause")),
    };
    let target = words
        .next()
        .ok_or_else(|| format!("`{verb}` needs TARGET@TIME"))?;
    let (target, at) = target
        .split_once('@')
        .ok_or_else(|| format!("`{target}` has no @TIME"))?;
    let at = span::parse(at)?;
    let second = match (words.next(), words.next()) {
        (None, _) => None,
        (Some("for"), Some(length)) => {
            let action = undo.ok_or_else(|| format!("`{verb}` takes no `for`"))?;
            let at = at + span::parse(length)?;
            Some(Step {
                at,
                action,
                target: target.to_owned(),
            })
        }
        (Some("for"), None) => return Err("`for` needs a time".to_owned()),
        (Some(word), _) => return Err(format!("`{word}` is not understood")),
    };
    if let Some(word) = words.next() {
        return Err(format!("`{word}` is not understood"));
    }
    Ok(Typed {
        first: Step {
            at,
            action,
            target: target.to_owned(),
        },
        second,
    })
}

fn check(typed: Typed, nodes: &[String], run: Duration) -> Result<Vec<Step>, String> {
    let target = &typed.first.target;
    if !nodes.contains(target) {
        return Err(format!(
            "there is no node `{target}`, only {}",
            nodes.join(" ")
        ));
    }
    let steps: Vec<Step> = std::iter::once(typed.first).chain(typed.second).collect();
    if let Some(late) = steps.iter().find(|step| step.at >= run) {
        return Err(format!(
            "`{late}` would not be reached: the run ends at {}",
            span::exact(run)
        ));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<String> {
        ["n1", "n2", "n3"].map(String::from).to_vec()
    }

    fn parse(text: &str) -> Result<Script, String> {
        Script::parse(text, &nodes(), Duration::from_secs(20))
    }

    #[test]
    fn steps_come_in_the_order_of_their_times() {
        let mut script =
            parse("restart n3@10s; kill n3@5s;; pause n2@12s for 2s;").expect("a good script");
        assert_eq!(
            script.to_string(),
            "kill n3@5s; restart n3@10s; pause n2@12s; resume n2@14s"
        );
        assert_eq!(script.poll(Duration::from_secs(4)), None);
        let step = script.poll(Duration::from_secs(5)).expect("due now");
        assert_eq!((step.action, step.target.as_str()), (Action::Kill, "n3"));
        assert_eq!(script.next_at(), Some(Duration::from_secs(10)));
        assert_eq!(script.remaining().count(), 3);
    }

    #[test]
    fn kill_for_a_time_is_started_again_after_it() {
        let script = parse("kill n1@1s for 500ms").expect("a good script");
        assert_eq!(script.to_string(), "kill n1@1s; restart n1@1500ms");
    }

    #[test]
    fn an_empty_script_has_no_steps() {
        assert_eq!(parse(" ; ").expect("empty").next_at(), None);
    }

    #[test]
    fn every_mistake_names_the_step_and_shows_the_grammar() {
        for (text, part) in [
            ("stop n3@5s", "`stop` is not one of kill, restart, pause"),
            ("kill", "`kill` needs TARGET@TIME"),
            ("kill n3", "`n3` has no @TIME"),
            ("kill n3 @5s", "`n3` has no @TIME"),
            ("kill n3@5", "has no unit"),
            ("kill n3@5s in 2s", "`in` is not understood"),
            ("pause n3@5s for", "`for` needs a time"),
            ("pause n3@5s for 2s now", "`now` is not understood"),
            ("restart n3@5s for 2s", "`restart` takes no `for`"),
            ("kill n4@5s", "there is no node `n4`, only n1 n2 n3"),
            ("kill n3@20s", "would not be reached: the run ends at 20s"),
            (
                "pause n3@19s for 2s",
                "`resume n3@21s` would not be reached",
            ),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.contains(part), "{text}: {said}");
            assert!(said.contains(&format!("step `{text}`")), "{said}");
            assert!(said.contains("pause TARGET@TIME [for TIME]"), "{said}");
        }
    }

    #[test]
    fn one_bad_step_refuses_the_whole_script() {
        assert!(parse("kill n3@5s; reboot n3@6s").is_err());
    }

    #[test]
    fn the_default_script_kills_the_last_node_and_starts_it_again() {
        let script = Script::shown_by_default(&nodes(), Duration::from_secs(20));
        assert_eq!(script.to_string(), "kill n3@5s; restart n3@10s");
        let alone = Script::shown_by_default(&["n1".to_owned()], Duration::from_secs(20));
        assert_eq!(alone, Script::default());
    }
}
