//! What is due when: queues and timers that cost the same for ten entries and a million.
//!
//! [`LinkedSlab`] keeps many first-in-first-out queues in one allocation, with removal from the
//! middle; [`TimerWheel`] is built on it. Neither reads a clock or wakes anybody: a driver asks for
//! the next deadline, sleeps, and hands the time back in. Durable schedules are not kept here.
//! Depends on `time`.

mod linked;
mod wheel;

pub use linked::{Key, LinkedSlab, ListId};
pub use wheel::{TICK, TimerKey, TimerWheel};
