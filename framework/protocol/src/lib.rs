//! Pure decisions of Callboard: identifiers, error codes, frames, limits, supervision and policy.
//!
//! Everything here is a plain value or a plain function. There is no `async`, no socket, no clock,
//! no thread, no randomness and no global state: time and random numbers are arguments, and
//! maps are ordered, so that the same inputs give the same outputs, byte for byte. What carries
//! the decisions out lives in the runtime. This package depends on serde, postcard and a hash
//! function, and on nothing of Callboard.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`id`], [`time`] | what things are called, and when |
//! | [`membership`] | who is a member, until when it may act, who votes |
//! | [`slots`], [`placement`] | who owns which keys, how they move, and who should own them |
//! | [`naming`] | which spawned actor has a name |
//! | [`spawning`] | which actor a request from elsewhere has made, and which of these nobody has taken |
//! | [`code`] | what went wrong, who is at fault, whether a retry is safe |
//! | [`schedule`] | what is due when |
//! | [`policy`] | when to try again, how long to wait, which node to ask |
//! | [`rights`] | who may call what |
//! | [`supervision`] | what to restart after a failure, and when to give up |
//! | [`wire`] | what bytes mean, and which bytes are refused |

pub mod cluster;
pub mod code;
pub mod id;
pub mod membership;
pub mod naming;
pub mod placement;
pub mod policy;
pub mod rights;
pub mod schedule;
pub mod slots;
pub mod spawning;
pub mod supervision;
pub mod time;
pub mod wire;

mod plant;

#[cfg(test)]
mod garbage;
#[cfg(test)]
mod tests;
