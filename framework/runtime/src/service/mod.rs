//! Services and actors as users write them: joins `actor` (turns) and `call` (messages) with the
//! user's types through the traits that the macros implement.
//!
//! | file | its job |
//! | --- | --- |
//! | `handlers` | the trait behind `#[handlers]` |
//! | `ctx` | what a handler may know and do |
//! | `instance` | a user's type as an actor |
//! | `hooks` | what an actor does when it begins and when it ends |
//! | `hosting`, `keyed` | services, spawned actors, keyed actors of a node |
//! | `cells` | the activations of a keyed type, by slot and key |
//! | `roster` | which of them goes when there are too many |
//! | `slots`, `leaving` | what becomes of keyed actors whose slot goes, and how it is handed over |
//! | `early` | what comes along with a slot before it is known to come |
//! | `passing` | what goes along with slots, until the keys are called or woken |
//! | `naming` | names of spawned actors, that the whole cluster finds them by |
//! | `spawning` | spawned actors that are made on another node |
//! | `supervisor` | groups with a strategy |
//! | `state` | what the fields of a definition have to be |
//!
//! Knows nothing of sockets. Depends on `call`, `cluster`, `actor` and `protocol`.

mod cells;
mod ctx;
mod early;
mod handlers;
pub(crate) mod hooks;
pub(crate) mod hosting;
mod instance;
pub(crate) mod keyed;
mod leaving;
pub(crate) mod naming;
mod passing;
mod roster;
pub(crate) mod slots;
pub(crate) mod spawning;
pub(crate) mod state;
mod supervisor;
mod surroundings;

pub use ctx::Ctx;
pub use handlers::Handlers;
pub use hooks::Deactivation;
pub use naming::{ClaimError, HeldName};
pub use spawning::Spawning;
pub use supervisor::Supervisor;
