//! The last event of a run, and its numbers by name for `--assert`.
//!
//! The names are those of the JSON object, so what can be asserted is what can be read.

use serde::Serialize;
use serde_json::Value;

use super::Named;
use crate::outages::Outage;

/// What a run came to. Every call that was issued is in exactly one of ok, failed and refused.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Calls to the Greeter that were begun.
    pub calls_issued: u64,
    /// Those that were answered.
    pub calls_ok: u64,
    /// Those that ended with an error.
    pub calls_failed: u64,
    /// Those that a bound refused before the handler ran (a full mailbox or send buffer).
    pub calls_refused: u64,
    /// Attempts that the client made again inside these calls, as `idempotent` allows.
    pub calls_retried: u64,
    /// Calls that were due and not begun, because the bound on calls in flight was reached.
    pub calls_skipped: u64,
    /// Calls that had not ended two seconds after their deadline; they count as failed.
    pub calls_hung: u64,
    /// Answered calls a second, over the whole run.
    pub calls_per_s: u64,
    /// Median latency of the answered calls, in microseconds from when each was due.
    pub p50_us: u64,
    /// 99th percentile of the same.
    pub p99_us: u64,
    /// The slowest answered call.
    pub slowest_us: u64,
    /// Calls to the room actor that were begun, directly or through a Greeter that was given its ref.
    pub actor_calls_issued: u64,
    /// Those that were answered.
    pub actor_calls_ok: u64,
    /// Those that ended with an error.
    pub actor_calls_failed: u64,
    /// Those that a bound refused before the handler ran.
    pub actor_calls_refused: u64,
    /// Median latency of the answered ones, in microseconds.
    pub actor_p50_us: u64,
    /// 99th percentile of the same.
    pub actor_p99_us: u64,
    /// Rooms opened: one, and one more each time the node of the room was lost.
    pub rooms_opened: u64,
    /// Calls to the carts, keyed actors, that were begun.
    pub keyed_calls_issued: u64,
    /// Those that were answered.
    pub keyed_calls_ok: u64,
    /// Those that ended with an error. One that waits for a new owner within its deadline has not.
    pub keyed_calls_failed: u64,
    /// Those that a bound refused before the handler ran.
    pub keyed_calls_refused: u64,
    /// Median latency of the answered ones, in microseconds.
    pub keyed_p50_us: u64,
    /// 99th percentile of the same.
    pub keyed_p99_us: u64,
    /// From SIGKILL until each key of the killed node answered, in milliseconds.
    pub outage_ms: Outage,
    /// Carts that were called in the run and did not answer one more call at its end.
    pub keys_unanswered: u64,
    /// Times that a cart answered with what it holds forgotten: its node was lost, or it was idle.
    pub carts_emptied: u64,
    /// Turns of carts in the traces of all node processes.
    pub turns: u64,
    /// Turns that began before another one of the same cart had ended.
    pub overlapping_turns: u64,
    /// Those where one of the two was under way when its process was paused; counted here alone.
    pub overlaps_of_paused: u64,
    /// Turns that began after one under a newer epoch of the same slot had begun.
    pub epoch_regressions: u64,
    /// Times that a slot in use went to another node from one to which nothing was done, or which was
    /// drained.
    pub moved_slots: u64,
    /// Times that a slot in use was taken over from a node that was killed, paused or cut off.
    pub recovered_slots: u64,
    /// Calls to the Greeter and the carts that ended with an error or a refusal from when a node was
    /// told to drain until its process had ended.
    pub failed_during_drain: u64,
    /// How many nodes the cluster has.
    pub nodes: u64,
    /// Calls a second that were asked for.
    pub rate: u64,
    /// How long calls were made.
    pub for_ms: u64,
    /// Steps of the script that were carried out.
    pub steps_done: u64,
    /// Steps that could not be carried out or were not reached.
    pub steps_failed: u64,
    /// Node processes that ended without being asked to.
    pub exits_unexpected: u64,
    /// `answered_n1` and so on: the calls that each node answered.
    #[serde(flatten)]
    pub answered: Named<u64>,
    /// Errors of calls to the Greeter, by code.
    pub errors: Named<u64>,
    /// Errors of calls to the room actor, by code.
    pub actor_errors: Named<u64>,
    /// Errors of calls to the carts, by code.
    pub keyed_errors: Named<u64>,
    /// What became of `--assert`, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assert: Option<Asserted>,
}

/// What became of an assertion.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Asserted {
    /// The condition as it was given.
    pub expression: String,
    /// Whether it holds.
    pub holds: bool,
    /// The comparisons that are not true, with their values; empty when it holds.
    pub untrue: Vec<String>,
}

impl Summary {
    /// A summary of nothing for nodes of these names: all names, each with the value zero.
    #[must_use]
    pub fn of_nothing(nodes: &[String]) -> Self {
        let answered = nodes
            .iter()
            .map(|node| (Self::answered_name(node), 0))
            .collect();
        Self {
            answered: Named(answered),
            ..Self::default()
        }
    }

    /// What the names of the numbers of calls that each node answered begin with.
    pub const ANSWERED: &str = "answered_";

    /// Whether the run was as it should be: every step carried out, no node lost unasked, and the
    /// assertion, if there is one, holds.
    #[must_use]
    pub fn passed(&self) -> bool {
        let asserted = self.assert.as_ref().is_none_or(|assert| assert.holds);
        self.steps_failed == 0 && self.exits_unexpected == 0 && asserted
    }

    /// The name of the number of calls that a node answered.
    #[must_use]
    pub fn answered_name(node: &str) -> String {
        format!("{}{node}", Self::ANSWERED)
    }

    /// The number of that name; one in an object has the names of both, as `outage_ms.max`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<f64> {
        let object = self.object();
        let value = match name.split_once('.') {
            Some((outer, inner)) => object.get(outer)?.get(inner),
            None => object.get(name),
        };
        value.and_then(Value::as_f64)
    }

    /// The names that [`Self::field`] has a number for, in alphabetical order.
    #[must_use]
    pub fn field_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (name, value) in self.object() {
            match value {
                Value::Number(_) => names.push(name),
                // Only the errors of a run have names that are not known before.
                Value::Object(inner) => {
                    names.extend(inner.keys().map(|inner| format!("{name}.{inner}")));
                }
                _ => {}
            }
        }
        names
    }

    fn object(&self) -> serde_json::Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(object)) => object,
            other => unreachable!("a struct of numbers and names is an object, not {other:?}"),
        }
    }
}
