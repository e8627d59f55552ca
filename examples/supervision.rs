//! Break it and watch it restart: what a panic does to an actor, to its callers and to its state.
//!
//! ```text
//! cargo run --example supervision
//! ```

use std::error::Error;

use callboard::prelude::*;
use callboard::{Code, Strategy};
use callboard_examples::flags;

// ANCHOR: actor
/// Counts; and fails on purpose. Three restarts in ten seconds are borne, a fourth is not; before
/// each there is a pause, which doubles.
#[derive(Debug, Default, Actor)]
#[actor(intensity = "3 in 10s", backoff = "100ms..1s")]
struct Counter {
    count: u64,
}

#[handlers]
impl Counter {
    /// Counts one more and returns how many there are.
    pub fn add(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Panics, as a bug would.
    pub fn break_it(&mut self) {
        panic!("this counter is broken on purpose");
    }
}
// ANCHOR_END: actor

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    flags::none(
        "supervision",
        "Breaks an actor and watches it restart, until it is given up",
    );
    // A panic is what this example is about; its stack is not.
    std::panic::set_hook(Box::new(|_| {}));
    let node = Node::builder().name("n1").start().await?;

    // ANCHOR: supervisor
    let supervisor = node.supervisor(Strategy::OneForOne);
    let counter = supervisor.spawn::<Counter>();
    // ANCHOR_END: supervisor

    // ANCHOR: break
    println!("add: {}", counter.add().await?);
    println!("add: {}", counter.add().await?);
    // The second call waits behind the one that panics. It is kept, and runs after the restart.
    let (broken, kept) = tokio::join!(counter.break_it(), counter.add());
    println!("break it: {}", broken.expect_err("it panics"));
    println!("add, which had waited: {}; the count began again", kept?);
    // ANCHOR_END: break

    // ANCHOR: give_up
    let mut panics = 1;
    let down = callboard::watch(&counter);
    let breaking = async {
        while let Err(error) = counter.break_it().await {
            println!("break it: {error}");
            if error.code() == Code::Quarantined {
                break;
            }
            panics += 1;
        }
    };
    // The watch fires when it is given up, and not when it is restarted.
    let (down, ()) = tokio::join!(down, breaking);
    println!("after {panics} panics the watch says: {}", down.reason);
    // ANCHOR_END: give_up

    node.stop().await;
    Ok(())
}
