//! What this cluster offers: a Greeter on every node, a Lobby that opens rooms, and the Room, a
//! spawned actor that lives on one node and whose ref travels in messages.
//!
//! Nothing here knows of processes, sockets, load or scripts.

use std::collections::VecDeque;

use callboard::prelude::*;

// ANCHOR: greeter
/// An answer, and the node that gave it.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
pub(crate) struct Greeting {
    pub(crate) text: String,
    pub(crate) node: String,
}

/// Says hello. It has no state, so every node that hosts it may answer.
#[derive(Debug, Default, Service)]
pub(crate) struct Greeter;

#[handlers]
impl Greeter {
    /// Says hello. Running it twice does no harm, so a call whose node is lost is made again elsewhere.
    #[handler(idempotent)]
    pub async fn say_hello(&self, ctx: &Ctx<Self>, name: String) -> Greeting {
        Greeting {
            text: format!("Hello, {name}!"),
            node: ctx.node_name().to_string(),
        }
    }

    /// Says hello in a room, wherever the room lives: the ref works on any node.
    pub async fn greet_in(&self, room: RoomRef, name: String) -> Result<Posted, CallError> {
        room.post(name, "hello, everybody").await
    }
}
// ANCHOR_END: greeter

// ANCHOR: lobby
/// Opens rooms.
#[derive(Debug, Default, Service)]
pub(crate) struct Lobby;

#[handlers]
impl Lobby {
    /// Spawns a room on the node that answers, and returns its ref.
    pub async fn open(&self, ctx: &Ctx<Self>) -> Opened {
        Opened {
            room: ctx.spawn::<Room>(),
            node: ctx.node_name().to_string(),
        }
    }
}

/// A new room and the node on which it lives.
#[derive(Clone, Debug, Wire)]
pub(crate) struct Opened {
    pub(crate) room: RoomRef,
    pub(crate) node: String,
}
// ANCHOR_END: lobby

// ANCHOR: room
/// A room with the last things said in it. One actor: its handlers with `&mut self` run alone.
#[derive(Debug, Default, Actor)]
pub(crate) struct Room {
    said: u64,
    last: VecDeque<String>,
}

/// A line that a room has taken.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
pub(crate) struct Posted {
    pub(crate) number: u64,
    pub(crate) node: String,
}

#[handlers]
impl Room {
    /// Says something in the room. Not idempotent: it would be said twice.
    pub fn post(&mut self, ctx: &Ctx<Self>, who: String, text: String) -> Posted {
        if self.last.len() == LINES_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(format!("{who}: {text}"));
        self.said += 1;
        Posted {
            number: self.said,
            node: ctx.node_name().to_string(),
        }
    }
}

/// A room forgets older lines, so its memory is bounded.
const LINES_KEPT: usize = 100;
// ANCHOR_END: room
