//! A hierarchical timer wheel: a million timers, constant time to set and to remove each.
//!
//! Ticks are milliseconds. A timer waits on the level of the highest group of six bits in which its
//! tick differs from the wheel's own tick; when the wheel enters the block of ticks that a slot of a
//! higher level stands for, that slot's timers move down. Eight levels cover the whole range of
//! [`Time`]. (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987, scheme 7.)
//!
//! ```text
//! level 0   64 slots of 1 ms       the ticks of the running 64 ms block
//! level 1   64 slots of 64 ms      the rest of the running 4 s block
//! level 2   64 slots of 4 s        …
//! ```
//!
//! A timer fires at the first whole millisecond at or after its time, never before. Timers of the
//! same millisecond fire in the order in which they were set. The wheel does not sleep and reads no
//! clock. Depends on `linked` and `time`.

use std::time::Duration;

use super::linked::{Key, LinkedSlab, ListId};
use crate::time::Time;

/// Timers with a value each.
///
/// It costs 10 KiB when empty, and per timer the value plus 32 bytes. Room once used is kept.
#[derive(Debug)]
pub struct TimerWheel<T> {
    timers: LinkedSlab<Timer<T>>,
    /// One list a slot, level by level.
    slots: Vec<ListId>,
    /// For each level, one bit a slot that has a timer.
    occupied: [u64; LEVELS],
    /// The tick up to which the wheel has turned. No timer waits on an earlier one.
    tick: u64,
}

/// Names a timer of a [`TimerWheel`], until it fires or is removed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TimerKey(Key);

#[derive(Debug)]
struct Timer<T> {
    tick: u64,
    value: T,
}

impl<T> TimerWheel<T> {
    /// Makes a wheel without timers that stands at `now`.
    #[must_use]
    pub fn new(now: Time) -> Self {
        let mut timers = LinkedSlab::new();
        let slots = (0..LEVELS * SLOTS).map(|_| timers.new_list()).collect();
        Self {
            timers,
            slots,
            occupied: [0; LEVELS],
            tick: now.as_millis(),
        }
    }

    /// Sets a timer and returns the key with which it can be removed. A time that has passed fires
    /// at the next [`pop_expired`](Self::pop_expired).
    pub fn insert(&mut self, at: Time, value: T) -> TimerKey {
        let tick = tick_at_or_after(at).max(self.tick);
        let (level, slot) = self.place(tick);
        self.occupied[level] |= 1 << slot;
        let list = self.slots[level * SLOTS + slot];
        TimerKey(self.timers.push_back(list, Timer { tick, value }))
    }

    /// Removes a timer and returns its value, or nothing when it fired or was removed before.
    pub fn remove(&mut self, TimerKey(key): TimerKey) -> Option<T> {
        let list = self.timers.list_of(key)?;
        let tick = self.timers.get(key)?.tick;
        let timer = self.timers.remove(key)?;
        if self.timers.list_len(list) == 0 {
            // It waits where its tick belongs, as the wheel moved no block since without it.
            let (level, slot) = self.place(tick);
            debug_assert_eq!(self.slots[level * SLOTS + slot], list);
            self.occupied[level] &= !(1 << slot);
        }
        Some(timer.value)
    }

    /// Takes out a timer that is due at `now`, the earliest one, and returns its value; nothing when
    /// none is left.
    pub fn pop_expired(&mut self, now: Time) -> Option<T> {
        let now_tick = now.as_millis();
        while let Some((level, slot, tick)) = self.first_occupied()
            && tick <= now_tick
        {
            self.tick = tick;
            let list = self.slots[level * SLOTS + slot];
            if level > 0 {
                self.move_down(level, slot, list);
                continue;
            }
            let timer = self.timers.pop_front(list);
            if self.timers.list_len(list) == 0 {
                self.occupied[0] &= !(1 << slot);
            }
            return timer.map(|timer| timer.value);
        }
        // No occupied block begins up to `now`, so every timer stays on its level.
        self.tick = self.tick.max(now_tick);
        None
    }

    /// Returns the value of a timer for changing, or nothing when it fired or was removed.
    pub fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        Some(&mut self.timers.get_mut(key.0)?.value)
    }

    /// Returns the time at which [`pop_expired`](Self::pop_expired) has to be called next, or nothing when
    /// there is no timer.
    ///
    /// It is never after the first timer. It may be before it, at most once for each level that the
    /// timer is above the lowest: then timers move down, and none fires.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let (_, _, tick) = self.first_occupied()?;
        Some(Time::from_millis(tick))
    }

    /// Returns the number of timers.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.timers.len()
    }

    /// Says whether there is no timer.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    /// Moves the timers of a slot, whose block the wheel just entered, to lower levels.
    ///
    /// None was set on a lower level for this block before, so moving them in order keeps the order
    /// in which they were set.
    fn move_down(&mut self, level: usize, slot: usize, list: ListId) {
        self.occupied[level] &= !(1 << slot);
        while let Some(key) = self.timers.front_key(list) {
            let tick = self.timers.get(key).map_or(self.tick, |timer| timer.tick);
            let (lower, slot) = self.place(tick);
            debug_assert!(lower < level);
            self.occupied[lower] |= 1 << slot;
            self.timers
                .move_to_back(key, self.slots[lower * SLOTS + slot]);
        }
    }

    /// Returns the level and slot on which a tick waits, seen from where the wheel stands.
    fn place(&self, tick: u64) -> (usize, usize) {
        let differing = (tick ^ self.tick) | 1;
        let level = (differing.ilog2() / SLOT_BITS) as usize;
        (level, slot_of(tick, level))
    }

    /// Returns level, slot and first tick of the occupied slot that comes first.
    fn first_occupied(&self) -> Option<(usize, usize, u64)> {
        // A level's timers are all in the running block of the level above, and so before all
        // timers of that level. Within a block a lower slot is earlier.
        let level = self.occupied.iter().position(|&bits| bits != 0)?;
        let slot = self.occupied[level].trailing_zeros();
        let shift = SLOT_BITS * u32_of(level);
        let block = self.tick >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
        let first = block | u64::from(slot) << shift;
        Some((level, slot as usize, first))
    }
}

/// Returns the tick at which a timer of this time fires: rounded up, so that none is early. The end of
/// time is no whole millisecond, and the tick after it would never come.
fn tick_at_or_after(at: Time) -> u64 {
    let tick = at.as_nanos().div_ceil(NANOS_IN_TICK);
    tick.min(Time::MAX.as_millis())
}

fn slot_of(tick: u64, level: usize) -> usize {
    let slot = tick >> (SLOT_BITS * u32_of(level)) & (SLOTS as u64 - 1);
    usize::try_from(slot).expect("it is less than 64")
}

fn u32_of(level: usize) -> u32 {
    u32::try_from(level).expect("it is less than 8")
}

/// How late a timer may fire by rounding, with a driver that is never late itself.
pub const TICK: Duration = Duration::from_millis(1);

const NANOS_IN_TICK: u64 = 1_000_000;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;

/// 8 × 6 bits of milliseconds are more than 2⁶⁴ nanoseconds.
const LEVELS: usize = 8;

#[cfg(test)]
mod tests;
