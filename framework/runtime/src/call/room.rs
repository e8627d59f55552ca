//! Room for large bodies and items while they are received: who finds none waits, first come, first served.
//!
//! It knows lengths and nothing of what they are of.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for so many bytes, given out in pieces of a KiB.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pieces: Arc<Semaphore>,
    most: u32,
}

/// What was taken; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    _pieces: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(super) fn new(bytes_max: usize) -> Self {
        let most = u32::try_from(bytes_max / PIECE_BYTES).unwrap_or(u32::MAX);
        let most = most.clamp(1, PIECES_MAX);
        Self {
            pieces: Arc::new(Semaphore::new(most as usize)),
            most,
        }
    }

    /// Waits for room. More than all of it waits for all of it.
    ///
    /// # Cancel safety
    /// Dropping it loses the place among those who wait, and nothing else.
    pub(super) async fn take(&self, bytes: usize) -> Taken {
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX);
        let pieces = Arc::clone(&self.pieces).acquire_many_owned(pieces.min(self.most));
        // It fails only when the semaphore is closed, which this one never is.
        Taken {
            _pieces: pieces.await.ok(),
        }
    }

    /// Returns how many bytes are taken, and how many may be.
    pub(crate) fn taken_bytes(&self) -> (u64, u64) {
        let most = u64::from(self.most);
        let taken = most.saturating_sub(self.pieces.available_permits() as u64);
        (taken * PIECE_BYTES as u64, most * PIECE_BYTES as u64)
    }
}

const PIECE_BYTES: usize = 1 << 10;

/// 256 GiB: below what a semaphore takes on any machine.
const PIECES_MAX: u32 = 1 << 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_waits_and_one_may_come_whatever_its_length() {
        let room = Room::new(10 << 10);
        let large = room.take(1 << 30).await;
        assert_eq!(room.taken_bytes(), (10 << 10, 10 << 10));
        let mut small = Box::pin(room.take(1));
        assert!(futures_util::poll!(&mut small).is_pending());
        drop(large);
        let small = small.await;
        assert_eq!(room.taken_bytes().0, 1 << 10, "a part counts for a whole");
        drop(small);
        assert_eq!(room.taken_bytes().0, 0);
    }
}
