//! Actors that a node makes for others: which request has made which actor, and which of them nobody has taken.
//!
//! ```text
//!   spawn (request 7) ──> the actor is made ──keep──> it stays ──time──> the request is forgotten
//!   spawn (request 7) ──> the same actor         └─let go, or nobody says anything in time──> it ends
//! ```
//!
//! The reply that says where the actor is may be lost. So whoever asks gives the request an id: to ask again makes no
//! second actor. And it says that it keeps the actor once it knows of it: one that nobody keeps ends, so that none
//! is left that nobody has a ref of. It makes and ends nothing itself. Depends on `id` and `time`.

mod ledger;

pub use ledger::{KEPT_WITHIN, Known, Ledger};
