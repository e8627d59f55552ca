//! What comes on a stream of its own: bodies, and the items of streams.
//!
//! Of a long one no more than its length is read until there is room for it; what waits stays in the
//! network, and its writer with it. The wait ends when there is room, or when the writer gives up or its
//! link is lost. A caller's deadline makes it give up.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use callboard_protocol::wire::stream::BodyHead;
use futures_util::future::{Either, select};

use crate::net::{Link, RecvStream, StreamError};

use super::{
    codec::{Encoding, Large, stream_frame_bytes_max},
    hub::Hub,
    room::{Room, Taken},
    session::Session,
};

/// A call's stream as its reader sees it: frames that count for the room of their peer.
#[derive(Debug)]
pub(crate) struct Inflow {
    recv: RecvStream,
    room: Room,
    /// Knows why it is down, which its streams may not.
    link: Arc<Link>,
}

/// An item's frame, and the room that it takes up.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) frame: Bytes,
    /// Of a long one.
    _room: Option<Taken>,
}

impl Inflow {
    pub(super) fn new(recv: RecvStream, session: &Session) -> Self {
        Self {
            recv,
            room: session.bodies().clone(),
            link: session.link.clone(),
        }
    }

    /// Reads the next frame, whenever it begins; nothing at the end of the stream. A short one needs no
    /// room: a chat must not wait for a large body beside it, and `streams_max` bounds how many there
    /// are.
    ///
    /// # Errors
    /// As [`RecvStream::read_frame`].
    ///
    /// # Cancel safety
    /// None: the place among those who wait for room is lost.
    pub(super) async fn item(&mut self, hub: &Hub) -> Result<Option<Item>, StreamError> {
        match self.next(hub).await {
            Err(StreamError::Down(_)) => Err(StreamError::Down(self.link.closed().await)),
            next => next,
        }
    }

    async fn next(&mut self, hub: &Hub) -> Result<Option<Item>, StreamError> {
        let most = stream_frame_bytes_max(hub);
        let Some(len) = self.recv.next_length(most).await? else {
            return Ok(None);
        };
        let room = match len > SHORT_BYTES_MAX {
            true => Some(take(&mut self.recv, &self.room, len).await?),
            false => None,
        };
        let frame = self.recv.read_frame(most).await?;
        Ok(frame.map(|frame| Item { frame, _room: room }))
    }
}

/// Reads the body that has to come now. Returns nothing if what comes is none.
///
/// # Errors
/// As [`RecvStream::read_piece`].
///
/// # Cancel safety
/// None: what was read of it is lost. Drop the stream then.
pub(super) async fn read_body(
    recv: &mut RecvStream,
    room: &Room,
    hub: &Hub,
) -> Result<Option<Encoding<'static>>, StreamError> {
    let len = recv.announced(stream_frame_bytes_max(hub)).await?;
    let mut left = len.ok_or(StreamError::Truncated)?;
    let room = take(recv, room, left).await?;
    recv.enter_frame();
    let Some(kind) = next_byte(recv, &mut left).await? else {
        return Ok(None);
    };
    let lens = match BodyHead::of(kind) {
        Some(BodyHead::Whole) => vec![left],
        Some(BodyHead::Parts) => {
            let count = next_byte(recv, &mut left).await?.unwrap_or_default();
            let table_bytes = BodyHead::table_bytes(count).unwrap_or(usize::MAX);
            let Some(rest) = left.checked_sub(table_bytes) else {
                return Ok(None);
            };
            left = rest;
            let table = recv.read_piece(table_bytes).await?;
            let Ok(lens) = BodyHead::part_lens(&table, left) else {
                return Ok(None);
            };
            lens
        }
        None => return Ok(None),
    };
    let max = hub.limits().body_bytes_max as usize;
    if left > max {
        return Err(StreamError::TooLarge { len: left, max });
    }
    let mut parts = Vec::with_capacity(lens.len());
    for len in lens {
        parts.push(recv.read_piece(len).await?);
    }
    Ok(Some(Encoding::Apart(Box::new(Large { parts, room }))))
}

/// Waits for room for what was announced, for as long as it may still come.
async fn take(recv: &mut RecvStream, room: &Room, len: usize) -> Result<Taken, StreamError> {
    match select(pin!(room.take(len)), pin!(recv.given_up())).await {
        Either::Left((taken, _)) => Ok(taken),
        Either::Right((why, _)) => Err(why),
    }
}

async fn next_byte(recv: &mut RecvStream, left: &mut usize) -> Result<Option<u8>, StreamError> {
    let Some(rest) = left.checked_sub(1) else {
        return Ok(None);
    };
    *left = rest;
    Ok(recv.read_piece(1).await?.first().copied())
}

/// An item of up to so many bytes needs no room. It is what a stream may take in ahead in any case.
const SHORT_BYTES_MAX: usize = 64 << 10;
