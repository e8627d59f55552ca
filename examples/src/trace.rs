//! What the turns of the carts leave behind, and what it says when that of all nodes is put together:
//! whether two turns of one key ran at once, whether an older owner began one after a newer one, and
//! how many slots have moved.
//!
//! Each node process writes a [`Turn`] a line, in the order in which they end; nobody asks the runtime
//! what it believes of itself. It opens nothing and reads no clock. What is kept while it is put
//! together is bounded by the number of keys and slots, whatever the run's length.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::io::{self, BufRead};

/// One turn of a keyed actor, in nanoseconds of a clock that all processes of the machine share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The actor's key.
    pub key: String,
    /// The slot of the key.
    pub slot: u32,
    /// The epoch of the slot under which the actor acted.
    pub epoch: u64,
    /// The node that ran it.
    pub node: String,
    /// When it began.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
}

impl fmt::Display for Turn {
    /// As it is in a file, without the line's end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            slot,
            epoch,
            node,
            start_ns,
            end_ns,
        } = self;
        write!(f, "{key}\t{slot}\t{epoch}\t{node}\t{start_ns}\t{end_ns}")
    }
}

impl Turn {
    /// Reads what [`Display`](fmt::Display) writes.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split('\t');
        let turn = Self {
            key: parts.next()?.to_owned(),
            slot: parts.next()?.parse().ok()?,
            epoch: parts.next()?.parse().ok()?,
            node: parts.next()?.to_owned(),
            start_ns: parts.next()?.parse().ok()?,
            end_ns: parts.next()?.parse().ok()?,
        };
        (parts.next().is_none() && turn.start_ns <= turn.end_ns).then_some(turn)
    }
}

/// Something that was done to a node and may cost it what it owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// To whom.
    pub node: String,
    /// From when, by the clock of the turns.
    pub from_ns: u64,
    /// Until when.
    pub until_ns: u64,
    /// What.
    pub kind: FaultKind,
}

/// What was done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Its process was killed, or stopped to be started again.
    Down,
    /// Its process stood still: a turn that had begun ends after it.
    Paused,
    /// It did not reach the other nodes.
    Cut,
}

impl Fault {
    /// Whether a turn was under way when its process began to stand still.
    fn is_slept_through_by(&self, turn: &Turn) -> bool {
        let begins_before = turn.start_ns < self.from_ns + SIGNAL_TAKES_NS;
        let both = begins_before && turn.end_ns > self.from_ns;
        self.kind == FaultKind::Paused && self.node == turn.node && both
    }
}

/// What all turns together say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Turns that were looked at.
    pub turns: u64,
    /// Turns that began before another one of the same key had ended.
    pub overlapping_turns: u64,
    /// Those of them where one of the two was under way when its process was paused, which are not
    /// counted above: nothing that a framework does can stop a turn in a process that stands still.
    pub overlaps_of_paused: u64,
    /// Turns that began after one of a newer epoch of the same slot had begun.
    pub epoch_regressions: u64,
    /// Slots that went from a node to which nothing was done to another one, each time.
    pub moved_slots: u64,
    /// Slots that another node has taken over from one that was killed, paused or cut off, each time.
    pub recovered_slots: u64,
    /// The first few of what must not be, in words.
    pub findings: Vec<String>,
}

/// Puts turns together, in the order in which they ended.
#[derive(Debug, Default)]
pub struct Judge {
    faults: Vec<Fault>,
    keys: BTreeMap<String, Latest>,
    slots: BTreeMap<u32, Owners>,
    verdict: Verdict,
}

/// The turn of a key that ended last.
#[derive(Debug)]
struct Latest {
    turn: Turn,
    was_paused: bool,
}

/// Who has had a slot.
#[derive(Debug, Default)]
struct Owners {
    /// When the first and the last turn of each epoch that is remembered began.
    epochs: BTreeMap<u64, (u64, u64)>,
    /// The node of the newest epoch, and when it last ended a turn.
    newest: Option<(String, u64)>,
}

impl Judge {
    /// Begins, knowing what was done to the nodes.
    #[must_use]
    pub fn new(faults: Vec<Fault>) -> Self {
        Self {
            faults,
            ..Self::default()
        }
    }

    /// Reads whole traces, each in the order of the ends of its turns.
    ///
    /// A last line without its end is of a process that was killed while it wrote: its turn has not
    /// answered, and is left out.
    ///
    /// # Errors
    ///
    /// What a reader says; `InvalidData` for a line that is no turn, or out of order.
    pub fn read(&mut self, traces: Vec<impl BufRead>) -> io::Result<()> {
        let mut traces: Vec<Trace<_>> = traces.into_iter().map(Trace::new).collect();
        let mut next = BinaryHeap::new();
        for (index, trace) in traces.iter_mut().enumerate() {
            if let Some(turn) = trace.next()? {
                next.push((Reverse(turn.end_ns), Reverse(index), ByEnd(turn)));
            }
        }
        while let Some((_, Reverse(index), ByEnd(turn))) = next.pop() {
            self.handle(turn);
            if let Some(trace) = traces.get_mut(index)
                && let Some(turn) = trace.next()?
            {
                next.push((Reverse(turn.end_ns), Reverse(index), ByEnd(turn)));
            }
        }
        Ok(())
    }

    /// Looks at one turn; no turn that ended before it comes after it.
    pub fn handle(&mut self, turn: Turn) {
        self.verdict.turns += 1;
        self.look_at_slot(&turn);
        let was_paused = self.faults.iter().any(|it| it.is_slept_through_by(&turn));
        let before = self.keys.get_mut(&turn.key);
        match before {
            Some(before) if turn.start_ns < before.turn.end_ns => {
                if was_paused || before.was_paused {
                    self.verdict.overlaps_of_paused += 1;
                } else {
                    self.verdict.overlapping_turns += 1;
                    let found = format!("overlap: {:?} and {:?}", before.turn, turn);
                    self.verdict.find(found);
                }
                *before = Latest { turn, was_paused };
            }
            Some(before) => *before = Latest { turn, was_paused },
            None => {
                let key = turn.key.clone();
                self.keys.insert(key, Latest { turn, was_paused });
            }
        }
    }

    /// Says what it all came to.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        self.verdict
    }

    fn look_at_slot(&mut self, turn: &Turn) {
        let owners = self.slots.entry(turn.slot).or_default();
        if owners.regresses(turn) {
            self.verdict.epoch_regressions += 1;
            self.verdict
                .find(format!("regression: {turn:?}, in {owners:?}"));
        }
        let is_newest = owners
            .epochs
            .last_key_value()
            .is_none_or(|(newest, _)| *newest <= turn.epoch);
        let is_new = is_newest && !owners.epochs.contains_key(&turn.epoch);
        owners.note(turn);
        if !is_newest {
            return;
        }
        let before = owners.newest.replace((turn.node.clone(), turn.end_ns));
        let Some((node, since)) = before.filter(|(node, _)| is_new && *node != turn.node) else {
            return;
        };
        let cost = |fault: &Fault| {
            fault.node == node && fault.from_ns <= turn.start_ns && fault.until_ns >= since
        };
        if self.faults.iter().any(cost) {
            self.verdict.recovered_slots += 1;
        } else {
            self.verdict.moved_slots += 1;
        }
    }
}

impl Owners {
    /// Whether a turn of an older epoch has begun after one of a newer epoch, one of them being this.
    fn regresses(&self, turn: &Turn) -> bool {
        let newer = self.epochs.range(turn.epoch + 1..);
        let older = self.epochs.range(..turn.epoch);
        newer
            .into_iter()
            .any(|(_, (first, _))| *first < turn.start_ns)
            || older
                .into_iter()
                .any(|(_, (_, last))| *last > turn.start_ns)
    }

    fn note(&mut self, turn: &Turn) {
        let began = self.epochs.entry(turn.epoch);
        let (first, last) = began.or_insert((turn.start_ns, turn.start_ns));
        *first = (*first).min(turn.start_ns);
        *last = (*last).max(turn.start_ns);
        if self.epochs.len() > EPOCHS_MAX {
            self.epochs.pop_first();
        }
    }
}

impl Verdict {
    fn find(&mut self, found: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(found);
        }
    }
}

/// One process's turns.
struct Trace<R> {
    from: R,
    line: String,
    last_end_ns: u64,
}

impl<R: BufRead> Trace<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            line: String::new(),
            last_end_ns: 0,
        }
    }

    fn next(&mut self) -> io::Result<Option<Turn>> {
        self.line.clear();
        self.from.read_line(&mut self.line)?;
        let Some(line) = self.line.strip_suffix('\n') else {
            return Ok(None);
        };
        let turn = Turn::parse(line).filter(|turn| turn.end_ns >= self.last_end_ns);
        let turn = turn.ok_or_else(|| {
            let what = format!("no turn, or not in the order of the ends: {line:?}");
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        self.last_end_ns = turn.end_ns;
        Ok(Some(turn))
    }
}

/// A turn beside what it is ordered by, which all of the heap's order is.
struct ByEnd(Turn);

impl PartialEq for ByEnd {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ByEnd {}

impl PartialOrd for ByEnd {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByEnd {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// Epochs of one slot that are remembered. Turns that begin so many owners late are not found.
const EPOCHS_MAX: usize = 64;

/// How long a signal may be on its way: a turn that begins in this time may still be slept through.
const SIGNAL_TAKES_NS: u64 = 100_000_000;

/// What is told in words. The counts go on.
const FINDINGS_MAX: usize = 8;

#[cfg(test)]
mod tests;
