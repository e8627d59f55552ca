//! What the nodes of the world host: actors with a key, whose states go along when their slots move, or
//! do not.
//!
//! Every handler takes the token of its call and writes its turn into the ledger, with the right that it
//! runs on. A state is how many turns have changed it, so it is seen if one is lost.

use super::board::{Board, UnderWay};
use crate::ledger::{Acting, Event, MachineNumber, Token, Turn};
use callboard::cluster::{Fence, group_of};
use callboard::prelude::*;
use callboard_protocol::id::InterfaceId;
use callboard_protocol::slots::GroupId;
use std::sync::Arc;
use std::time::Duration;

/// What a turn answers with.
#[derive(Debug, Clone, Copy, Wire)]
pub(super) struct Stamp {
    pub(super) token: Token,
    /// The number of the turn.
    pub(super) turn: Token,
}

/// An actor whose state goes along.
#[derive(Debug, Default, Wire, Actor)]
// Has room for what is sent to it while its slot is on its way: no call may find it full then.
#[actor(key = String, handover, mailbox = 256, idle = "10m")]
pub(super) struct Cart {
    changes: u64,
}

#[handlers]
impl Cart {
    /// Changes the cart; must not run twice.
    pub async fn add(&mut self, ctx: &Ctx<Self>, token: Token, ms: u64) -> Stamp {
        let turn = Running::begin(("Cart", true), ctx.key(), ctx, token, (self.changes, false));
        pause(ms).await;
        self.changes += 1;
        turn.end(self.changes)
    }

    /// Changes the cart; may run twice.
    #[handler(idempotent)]
    pub async fn put(&mut self, ctx: &Ctx<Self>, token: Token, ms: u64) -> Stamp {
        let turn = Running::begin(("Cart", true), ctx.key(), ctx, token, (self.changes, false));
        pause(ms).await;
        self.changes += 1;
        turn.end(self.changes)
    }

    /// Changes the cart, by a message that its sender has numbered; must not run twice.
    pub async fn note(&mut self, ctx: &Ctx<Self>, letter: (Token, u64, u64), ms: u64) {
        let (token, sender, sequence) = letter;
        let turn = Running::begin(("Cart", true), ctx.key(), ctx, token, (self.changes, false));
        turn.arrived(ctx.key(), sender, sequence);
        pause(ms).await;
        self.changes += 1;
        turn.end(self.changes);
    }

    /// Looks at the cart, beside others.
    #[handler(idempotent)]
    pub async fn look(&self, ctx: &Ctx<Self>, token: Token, ms: u64) -> Stamp {
        let turn = Running::begin(("Cart", true), ctx.key(), ctx, token, (self.changes, true));
        pause(ms).await;
        turn.end(self.changes)
    }
}

/// An actor whose state ends with its activation.
#[derive(Debug, Default, Actor)]
#[actor(key = String, mailbox = 64, idle = "300ms")]
pub(super) struct Till {
    changes: u64,
}

#[handlers]
impl Till {
    /// Changes the till; must not run twice.
    pub async fn add(&mut self, ctx: &Ctx<Self>, token: Token, ms: u64) -> Stamp {
        let turn = Running::begin(
            ("Till", false),
            ctx.key(),
            ctx,
            token,
            (self.changes, false),
        );
        pause(ms).await;
        self.changes += 1;
        turn.end(self.changes)
    }

    /// Changes the till; may run twice.
    #[handler(idempotent)]
    pub async fn put(&mut self, ctx: &Ctx<Self>, token: Token, ms: u64) -> Stamp {
        let turn = Running::begin(
            ("Till", false),
            ctx.key(),
            ctx,
            token,
            (self.changes, false),
        );
        pause(ms).await;
        self.changes += 1;
        turn.end(self.changes)
    }
}

/// Returns the group of the carts' slots.
pub(super) fn group() -> GroupId {
    group_of(InterfaceId::of("Cart"))
}

/// A turn that runs. Dropped before its end, it records that it was dropped.
struct Running {
    board: Arc<Board>,
    on: MachineNumber,
    run: Option<Turn>,
    token: Token,
    turn: Token,
    _under_way: UnderWay,
}

/// What a turn needs to know of its context, whatever the type of its actor.
trait Place {
    fn fence(&self) -> Option<&Fence>;
    fn node_name(&self) -> &str;
}

impl<A: callboard::Handlers> Place for Ctx<A> {
    fn fence(&self) -> Option<&Fence> {
        Ctx::fence(self)
    }

    fn node_name(&self) -> &str {
        Ctx::node_name(self)
    }
}

impl Running {
    fn begin(
        (kind, is_handed_over): (&str, bool),
        key: &str,
        ctx: &impl Place,
        token: Token,
        (found, is_shared): (u64, bool),
    ) -> Self {
        let board = Board::current();
        let fence = ctx.fence().expect("a key of a cluster has a slot");
        let on = board.machine(ctx.node_name());
        let life = board.ask(on).expect("a node that runs is known");
        let turn = board.ledger.token();
        let of = Acting {
            actor: format!("{kind}/{key}"),
            is_handed_over,
            is_shared,
            slot: fence.id(),
            epoch: fence.epoch(),
            on,
            life,
        };
        let run = Some(Turn::start(&board.ledger, token, on));
        board.ledger.record(Event::Acting { turn, of, found });
        Self {
            _under_way: board.begin(),
            board,
            on,
            run,
            token,
            turn,
        }
    }

    /// The turn is that of a numbered message to the cart of this key.
    fn arrived(&self, key: &str, sender: u64, sequence: u64) {
        let number = key.strip_prefix('k').and_then(|it| it.parse().ok());
        self.board.ledger.record(Event::Arrived {
            token: self.token,
            actor: number.expect("a key of the world"),
            sender,
            sequence,
        });
    }

    fn end(mut self, left: u64) -> Stamp {
        let (token, turn) = (self.token, self.turn);
        self.board.ask(self.on);
        if let Some(run) = self.run.take() {
            run.finish();
        }
        let left = Some(left);
        self.board.ledger.record(Event::Acted { turn, left });
        Stamp { token, turn }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.run.take().is_some() {
            let turn = self.turn;
            self.board.ledger.record(Event::Acted { turn, left: None });
        }
    }
}

async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
