//! The faults of a run, as one line of text: `kill n3@5s; restart n3@10s; drain n2@12s; add@15s`.
//!
//! Text becomes a list of timed [`Step`]s here; the driver in `cluster/` carries them out. All
//! that can be known before the run is checked before the run: the grammar, the node names, and
//! that no step lies after the end. What only the run can tell (a node to kill that is not running,
//! which node owns a key) is the driver's.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::span;

/// The grammar, as it is shown to whoever got it wrong.
pub const GRAMMAR: &str = "\
a script is steps with `;` between them, in any order:

    kill TARGET@TIME [for TIME]      SIGKILL; with `for`, started again after that time
    restart [TARGET]@TIME            started again if it is down; else stopped in order and started;
                                     without TARGET, what was killed last
    pause TARGET@TIME [for TIME]     SIGSTOP; with `for`, SIGCONT after that time, else to the end
    drain TARGET@TIME                hands its slots over, finishes what is in flight, and ends
    add@TIME                         a further node, which joins: the first one after nN is named N+1
    partition TARGET@TIME [for TIME] no packet between it and the other nodes; the client reaches all

TARGET is a node, n1 to nN or one that was added; `owner` of the cart that is called most; `leader` of
the control group; or `all`. TIME counts from the first call and has a unit: 500ms, 20s, 1.5m.
Example: --script \"kill owner@5s; restart@10s; pause n2@12s for 2s\"";

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
    /// It hands over what it owns and ends, as after SIGTERM.
    Drain,
    /// A further node is started.
    Add,
    /// Packets between it and the other nodes are dropped.
    Partition,
    /// They are not any more.
    Heal,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Drain => "drain",
            Self::Add => "add",
            Self::Partition => "partition",
            Self::Heal => "heal",
        })
    }
}

/// To whom something is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A node of this name.
    Node(String),
    /// Whoever owns the hot key at that moment.
    Owner,
    /// Whoever leads the control group at that moment.
    Leader,
    /// Every node to which it can be done.
    All,
    /// Those that were killed last.
    LastKilled,
    /// Those to which the first half of a step with `for` was done, of this number.
    SameAs(usize, Box<Target>),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, " {name}"),
            Self::Owner => f.write_str(" owner"),
            Self::Leader => f.write_str(" leader"),
            Self::All => f.write_str(" all"),
            Self::LastKilled => Ok(()),
            Self::SameAs(_, first) => first.fmt(f),
        }
    }
}

/// One thing to do at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, counted from the first call.
    pub at: Duration,
    /// What.
    pub action: Action,
    /// To whom.
    pub target: Target,
    /// Which one it is in the text, from 0. The second half of a step with `for` has that of the first.
    pub number: usize,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at, action, target, ..
        } = self;
        write!(f, "{action}{target}@{}", span::exact(*at))
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
        let pieces = text.split(';').map(str::trim);
        let pieces: Vec<&str> = pieces.filter(|piece| !piece.is_empty()).collect();
        let wrong = |number: usize, why: String| {
            let piece = pieces.get(number).copied().unwrap_or_default();
            format!("step `{piece}`: {why}\n\n{GRAMMAR}")
        };
        let mut steps = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            let parsed = parse_step(piece, number).map_err(|why| wrong(number, why))?;
            steps.extend(parsed);
        }
        // Stable: steps of the same time stay in the order written.
        steps.sort_by_key(|step| step.at);
        check(&steps, nodes, run).map_err(|(number, why)| wrong(number, why))?;
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
        let step = |number, action, at| Step {
            at,
            action,
            target: Target::Node(target.clone()),
            number,
        };
        // Whole milliseconds, so that what is printed can be typed back.
        let at = |share: u32| Duration::from_millis((run / share).as_millis() as u64);
        Self {
            steps: [
                step(0, Action::Kill, at(4)),
                step(1, Action::Restart, at(2)),
            ]
            .into(),
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

    /// The names of the nodes that it adds to `nodes`.
    #[must_use]
    pub fn added(&self, nodes: &[String]) -> Vec<String> {
        let adds = self.steps.iter().filter(|step| step.action == Action::Add);
        let numbers = nodes.len() + 1..;
        numbers
            .zip(adds)
            .map(|(number, _)| format!("n{number}"))
            .collect()
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

/// Reads one step as it was typed. With `for` it becomes two.
fn parse_step(text: &str, number: usize) -> Result<Vec<Step>, String> {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    let (verb, mut rest) = match first.split_once('@') {
        Some((verb, at)) => (verb, Some(("", at))),
        None => (first, None),
    };
    let (action, undo) = match verb {
        "kill" => (Action::Kill, Some(Action::Restart)),
        "restart" => (Action::Restart, None),
        "pause" => (Action::Pause, Some(Action::Resume)),
        "drain" => (Action::Drain, None),
        "add" => (Action::Add, None),
        "partition" => (Action::Partition, Some(Action::Heal)),
        verb => {
            return Err(format!(
                "`{verb}` is not one of kill, restart, pause, drain, add, partition"
            ));
        }
    };
    if rest.is_none() {
        let word = words
            .next()
            .ok_or_else(|| format!("`{verb}` needs {}", needs(action)))?;
        let parts = word.split_once('@');
        rest = Some(parts.ok_or_else(|| format!("`{word}` has no @TIME"))?);
    }
    let (name, at) = rest.unwrap_or_default();
    let target = target(verb, action, name)?;
    let at = span::parse(at)?;
    let step = |at, action, target| Step {
        at,
        action,
        target,
        number,
    };
    let mut steps = vec![step(at, action, target.clone())];
    match (words.next(), words.next()) {
        (None, _) => {}
        (Some("for"), Some(length)) => {
            let undo = undo.ok_or_else(|| format!("`{verb}` takes no `for`"))?;
            let same = Target::SameAs(number, Box::new(target));
            steps.push(step(at + span::parse(length)?, undo, same));
        }
        (Some("for"), None) => return Err("`for` needs a time".to_owned()),
        (Some(word), _) => return Err(format!("`{word}` is not understood")),
    }
    match words.next() {
        Some(word) => Err(format!("`{word}` is not understood")),
        None => Ok(steps),
    }
}

fn needs(action: Action) -> &'static str {
    match action {
        Action::Add => "@TIME",
        _ => "TARGET@TIME",
    }
}

fn target(verb: &str, action: Action, name: &str) -> Result<Target, String> {
    Ok(match (action, name) {
        (Action::Restart | Action::Add, "") => Target::LastKilled,
        (Action::Add, _) => return Err(format!("`{verb}` takes no target: write add@TIME")),
        (_, "") => return Err(format!("`{verb}` needs {}", needs(action))),
        (_, "owner") => Target::Owner,
        (_, "leader") => Target::Leader,
        (_, "all") => Target::All,
        (_, name) => Target::Node(name.to_owned()),
    })
}

/// Checks steps in the order of their times; an error names the number of one.
fn check(steps: &[Step], nodes: &[String], run: Duration) -> Result<(), (usize, String)> {
    let mut known = nodes.to_vec();
    let mut killed = false;
    for step in steps {
        let wrong = |why| Err((step.number, why));
        if step.at >= run {
            let end = span::exact(run);
            return wrong(format!(
                "`{step}` would not be reached: the run ends at {end}"
            ));
        }
        match (&step.target, step.action) {
            (_, Action::Add) if known.len() == NODES_MAX => {
                return wrong(format!("a run has at most {NODES_MAX} nodes"));
            }
            (_, Action::Add) => known.push(format!("n{}", known.len() + 1)),
            (Target::Node(name), _) if !known.contains(name) => {
                let known = known.join(" ");
                return wrong(format!("there is no node `{name}`, only {known}"));
            }
            (Target::LastKilled, _) if !killed => {
                return wrong("nothing is killed before it".to_owned());
            }
            _ => {}
        }
        killed |= step.action == Action::Kill;
    }
    Ok(())
}

/// How many nodes a run has at most, those that are added included.
pub const NODES_MAX: usize = 32;

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
        let n3 = Target::Node("n3".to_owned());
        assert_eq!((step.action, step.target), (Action::Kill, n3));
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
            (
                "stop n3@5s",
                "`stop` is not one of kill, restart, pause, drain,",
            ),
            ("kill", "`kill` needs TARGET@TIME"),
            ("kill n3", "`n3` has no @TIME"),
            ("kill n3 @5s", "`n3` has no @TIME"),
            ("kill n3@5", "has no unit"),
            ("kill n3@5s in 2s", "`in` is not understood"),
            ("pause n3@5s for", "`for` needs a time"),
            ("pause n3@5s for 2s now", "`now` is not understood"),
            ("restart n3@5s for 2s", "`restart` takes no `for`"),
            ("drain n3@5s for 2s", "`drain` takes no `for`"),
            ("add n4@5s", "`add` takes no target"),
            ("add", "`add` needs @TIME"),
            ("drain@5s", "`drain` needs TARGET@TIME"),
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
    fn targets_are_nodes_or_roles_or_what_was_killed_last() {
        let text = "kill owner@1s; restart@2s; pause leader@3s for 1s; drain n2@5s; add@6s; \
                    partition n4@7s for 2s; kill all@10s for 1s";
        let mut script = parse(text).expect("a good script");
        assert_eq!(
            script.to_string(),
            "kill owner@1s; restart@2s; pause leader@3s; resume leader@4s; drain n2@5s; add@6s; \
             partition n4@7s; heal n4@9s; kill all@10s; restart all@11s"
        );
        assert_eq!(script.added(&nodes()), ["n4"]);
        let mut due = || script.poll(Duration::from_secs(4)).expect("due").target;
        assert_eq!(
            [due(), due(), due()],
            [Target::Owner, Target::LastKilled, Target::Leader]
        );
        assert_eq!(due(), Target::SameAs(2, Box::new(Target::Leader)));
    }

    #[test]
    fn a_node_is_known_from_when_it_is_added() {
        assert!(parse("add@1s; kill n4@2s; add@3s; kill n5@3s").is_ok());
        let said = parse("kill n4@2s; add@3s").expect_err("not yet");
        assert!(
            said.contains("there is no node `n4`, only n1 n2 n3"),
            "{said}"
        );
    }

    #[test]
    fn what_is_killed_last_is_what_was_killed_before() {
        for text in ["restart@1s", "restart@1s; kill n1@2s"] {
            let said = parse(text).expect_err(text);
            assert!(said.contains("nothing is killed before it"), "{said}");
        }
        assert!(parse("restart@3s; kill n1@2s").is_ok());
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
